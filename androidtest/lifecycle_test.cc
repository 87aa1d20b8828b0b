// Starting, stopping, dying.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

class LifecycleTest : public DeviceTest {
 protected:
  static Device::Options Standard() {
    return {.policy = AllowAllPolicy(), .packages = StandardPackages()};
  }
};

TEST_F(LifecycleTest, StopsWhileHandlesAreOutstanding) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  ASSERT_EQ(device.Ctl({"view", absl::StrCat("--package=", kMusic)}).exit, 0);
  const App own = device.Launch(kCamera, View::kApp);
  const App shared = device.Launch(kGallery, View::kShared);
  const App waiting = device.Launch(kStranger, View::kShared);
  ASSERT_THAT(own.MakeDirectory("d"), Succeeds());
  ASSERT_THAT(own.Create("d/a", "content"), Succeeds());
  ASSERT_TRUE(device.Sync());
  const File by_kernel = own.Open("d/a", O_RDWR);
  const File directory = shared.Open("d", O_RDONLY | O_DIRECTORY);
  const File locked = shared.Open("d/a", O_RDWR);
  const File waiter = waiting.Open("d/a", O_RDWR);
  ASSERT_THAT(by_kernel, Opens());
  ASSERT_THAT(directory, Opens());
  ASSERT_THAT(locked.Lock(F_SETLK, F_WRLCK), Succeeds());
  ASSERT_THAT(shared.ChangeDirectory("d"), Succeeds());
  waiter.BeginLock(F_WRLCK);
  ASSERT_TRUE(
      Eventually([&] { return device.Count().Requests("SETLKW") >= 1; }));

  EXPECT_TRUE(device.Stop());
  EXPECT_THAT(waiting.Finish(), Fails());
  // What the kernel serves goes on, and the rest says that nobody is there.
  EXPECT_THAT(by_kernel.ReadAt(0, 100), Reads("content"));
  EXPECT_THAT(own.Stat("d/b"), FailsWith(ENOTCONN));
  EXPECT_THAT(directory.List(), FailsWith(ENOTCONN));
}

TEST_F(LifecycleTest, StopsWhileIdle) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  EXPECT_TRUE(device.Stop());
  EXPECT_EQ(device.Ctl({"status"}).exit, 3);
  // And serves again.
  ASSERT_TRUE(device.Start());
  EXPECT_TRUE(device.Stop());
}

TEST_F(LifecycleTest, StartsAgainAfterKill) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  const Completed view =
      device.Ctl({"view", absl::StrCat("--package=", kMusic)});
  ASSERT_EQ(view.exit, 0) << testing::PrintToString(view);
  const std::string path = Lines(view.output).front();
  const App own = device.Launch(kCamera, View::kApp);
  const App shared = device.Launch(kGallery, View::kShared);
  ASSERT_THAT(own.Create("a", "content"), Succeeds());
  const File open = shared.Open("a", O_RDONLY);
  ASSERT_THAT(open, Opens());
  for (int round = 0; round < 3; ++round) {
    device.Kill();
    // Over io_uring the kernel may still be taking the rings down.
    const int aborting = OverUring() ? ECONNABORTED : ENOTCONN;
    const int cancelled = OverUring() ? ECANCELED : ENOTCONN;
    const auto gone = testing::AnyOf(FailsWith(ENOTCONN), FailsWith(aborting),
                                     FailsWith(cancelled));
    EXPECT_THAT(shared.Stat("b"), gone);
    EXPECT_THAT(own.Stat("b"), gone);
    // The same command line.
    ASSERT_TRUE(device.Start());
    EXPECT_THAT(device.Launch(kGallery, View::kShared).Read("a"),
                Reads("content"));
    EXPECT_THAT(device.Launch(kCamera, View::kApp).Read("a"), Reads("content"));
    EXPECT_THAT(shared.Read("a"), Reads("content"));
    // One mount, not one on the other.
    size_t mounts = 0;
    for (const MountLine& mount : MountsBelow(device.directory())) {
      mounts += static_cast<size_t>(absl::StartsWith(mount.type, "fuse"));
    }
    EXPECT_EQ(mounts, 1U) << "round " << round;
    const Completed again =
        device.Ctl({"view", absl::StrCat("--package=", kMusic)});
    ASSERT_EQ(again.exit, 0) << testing::PrintToString(again);
    EXPECT_EQ(Lines(again.output).front(), path);
    EXPECT_THAT(device.LaunchAt(path, 10063, 10063, {}).Read("a"),
                Reads("content"));
  }
  EXPECT_TRUE(device.Stop());
}

// The view of an app lives and dies with the app.
TEST_F(LifecycleTest, AnAppsViewGoesWithIt) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  EXPECT_THAT(device.Status().volumes(0).views(), IsEmpty());
  {
    const App app = device.Launch(kCamera, View::kApp);
    EXPECT_EQ(device.Status().volumes(0).views().size(), 1);
    EXPECT_EQ(device.Status().volumes(0).views(0).package(), kCamera);
    const App killed = device.Launch(kGallery, View::kApp);
    EXPECT_THAT(killed.Create("a", "content"), Succeeds());
    const File file = killed.Open("a", O_RDWR);
    EXPECT_THAT(file.Lock(F_SETLK, F_WRLCK), Succeeds());
    killed.Kill();
    EXPECT_TRUE(Eventually(
        [&] { return device.Status().volumes(0).views().size() == 1; }));
    EXPECT_THAT(app.Open("a", O_RDWR).Lock(F_SETLK, F_WRLCK), Succeeds());
  }
  EXPECT_TRUE(
      Eventually([&] { return device.Status().volumes(0).views().empty(); }));
  EXPECT_TRUE(
      Eventually([&] { return device.Status().volumes(0).handles() == 0; }));
  EXPECT_TRUE(device.Stop());
}

TEST_F(LifecycleTest, APathViewIsFoundAgainAndClosed) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  const std::string package = absl::StrCat("--package=", kMusic);
  const Completed first = device.Ctl({"view", package});
  const Completed second = device.Ctl({"view", package});
  ASSERT_EQ(first.exit, 0) << testing::PrintToString(first);
  EXPECT_EQ(first.output, second.output);
  const std::string path = Lines(first.output).front();
  EXPECT_EQ(path, absl::StrCat(device.views(), "/0/", kMusic, "/storage"));
  EXPECT_THAT(MountsBelow(path),
              Contains(Field(&MountLine::type, "fuse.fused")));
  struct stat st;
  ASSERT_EQ(stat((path + "/..").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0700U);
  EXPECT_EQ(st.st_uid, 10063U);
  EXPECT_EQ(device.Ctl({"view", package, "--close"}).exit, 0);
  EXPECT_THAT(MountsBelow(path), IsEmpty());
  EXPECT_TRUE(device.Stop());
}

TEST_F(LifecycleTest, FindmntCanTellWhatItIs) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  EXPECT_THAT(MountsBelow(device.mount()),
              testing::ElementsAre(Field(&MountLine::type, "fuse.fused")));
  EXPECT_TRUE(device.Stop());
}

TEST_F(LifecycleTest, TellsItsSupervisorWhenItServes) {
  Device device(Standard());
  const std::string path = device.directory() + "/notify";
  const int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(
      bind(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
      0);
  Child daemon(device.CommandLine(),
               {.environment = {"NOTIFY_SOCKET=" + path}});
  std::string told;
  while (!absl::StrContains(told, "READY=1")) {
    pollfd ready = {.fd = socket_fd, .events = POLLIN, .revents = 0};
    ASSERT_EQ(poll(&ready, 1, 20'000), 1) << "told: " << told;
    char buffer[4096];
    const ssize_t n = recv(socket_fd, buffer, sizeof(buffer), 0);
    ASSERT_GT(n, 0);
    told.append(buffer, n).append("\n");
  }
  // It is ready when it says so.
  EXPECT_EQ(device.Status().state(), "SERVING");
  EXPECT_THAT(device.LaunchUid(0).List(""), Succeeds());
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.Wait(absl::Seconds(20)), 0);
  close(socket_fd);
}

TEST_F(LifecycleTest, DaemonizeReturnsWhenItServes) {
  Device device(Standard());
  Arguments command = device.CommandLine();
  command.insert(command.begin() + 1, "--daemonize");
  const Completed done = RunCommand(command, absl::Seconds(20));
  ASSERT_EQ(done.exit, 0) << testing::PrintToString(done);
  const control::v1::Status status = device.Status();
  EXPECT_EQ(status.state(), "SERVING");
  const auto pid = static_cast<pid_t>(status.pid());
  ASSERT_GT(pid, 1);
  const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  ASSERT_GE(descriptor, 0);
  EXPECT_THAT(device.LaunchUid(0).List(""), Succeeds());
  ASSERT_EQ(kill(pid, SIGTERM), 0);
  pollfd ended = {.fd = descriptor, .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ended, 1, 20'000), 1);
  if (ended.revents == 0) kill(pid, SIGKILL);
  close(descriptor);
  for (const MountLine& mount : MountsBelow(device.directory())) {
    EXPECT_FALSE(absl::StartsWith(mount.type, "fuse")) << mount.path;
  }
}

TEST_F(LifecycleTest, ASecondDaemonIsRefused) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  const Completed same = RunCommand(device.CommandLine(), absl::Seconds(20));
  EXPECT_EQ(same.exit, 2) << testing::PrintToString(same);
  EXPECT_THAT(same.error, Not(IsEmpty()));
  // The state directory alone, or the socket alone.
  const std::string other_mount = device.directory() + "/other";
  ASSERT_TRUE(MakeDirectories(other_mount));
  const auto start = [&](const std::string& control, const std::string& state) {
    return RunCommand(
        {FusedPath(), "--control=" + control, "--state_dir=" + state,
         "--views_dir=" + device.directory() + "/other_views", device.lower(),
         other_mount},
        absl::Seconds(20));
  };
  EXPECT_EQ(start(device.control(), device.directory() + "/state2").exit, 2);
  EXPECT_EQ(start(device.directory() + "/control2.sock", device.state()).exit,
            2);
  EXPECT_THAT(MountsBelow(other_mount), IsEmpty());
  // The first goes on.
  EXPECT_EQ(device.Status().state(), "SERVING");
  EXPECT_THAT(device.LaunchUid(0).List(""), Succeeds());
  EXPECT_TRUE(device.Stop());
}

class RecursionTest : public LifecycleTest {
 protected:
  static void ExpectRefused(const Device& device, const std::string& lower,
                            const std::string& mountpoint) {
    const Completed done =
        RunCommand({FusedPath(), "--control=" + device.control(),
                    "--state_dir=" + device.state(),
                    "--views_dir=" + device.views(), lower, mountpoint},
                   absl::Seconds(20));
    EXPECT_EQ(done.exit, 2) << lower << " " << mountpoint << "\n"
                            << testing::PrintToString(done);
    EXPECT_EQ(Lines(done.error).size(), 1U) << done.error;
    for (const MountLine& mount : MountsBelow(device.directory())) {
      EXPECT_FALSE(absl::StartsWith(mount.type, "fuse")) << mount.path;
    }
  }
};

TEST_F(RecursionTest, OneInsideTheOtherIsRefused) {
  Device device;
  const std::string in_lower = device.LowerPath("in/it");
  const std::string in_mount = device.MountPath("in/it");
  ASSERT_TRUE(MakeDirectories(in_lower));
  ASSERT_TRUE(MakeDirectories(in_mount));
  ExpectRefused(device, device.lower(), in_lower);
  ExpectRefused(device, in_mount, device.mount());
  ExpectRefused(device, device.lower(), device.lower());
  ExpectRefused(device, device.lower() + "/in/..", in_lower);
  // By another name.
  const std::string link = device.directory() + "/link";
  ASSERT_EQ(symlink(device.lower().c_str(), link.c_str()), 0);
  ExpectRefused(device, link, in_lower);
  const std::string bound = device.directory() + "/bound";
  ASSERT_TRUE(MakeDirectories(bound));
  ASSERT_TRUE(BindMount(device.lower(), bound));
  ExpectRefused(device, bound, in_lower);
}

TEST_F(RecursionTest, WhatIsNoDirectoryIsRefused) {
  Device device;
  ASSERT_TRUE(WriteFile(device.LowerPath("file"), "x"));
  ExpectRefused(device, device.directory() + "/nonexistent", device.mount());
  ExpectRefused(device, device.LowerPath("file"), device.mount());
  ExpectRefused(device, device.lower(), device.directory() + "/nonexistent");
  ExpectRefused(device, device.lower(), device.LowerPath("file"));
}

TEST_F(LifecycleTest, WithoutADaemonFusedctlSaysSo) {
  Device device;
  EXPECT_EQ(device.Ctl({"status"}).exit, 3);
  EXPECT_EQ(device.Ctl({"wait", "--timeout=100ms"}).exit, 3);
  EXPECT_EQ(device.Ctl({"sync"}).exit, 3);
  EXPECT_THAT(device.Ctl({"handles"}).exit, 3);
}

TEST_F(LifecycleTest, HandlesAreListed) {
  Device device(Standard());
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, View::kShared);
  ASSERT_THAT(app.MakeDirectory("d"), Succeeds());
  ASSERT_THAT(app.Create("d/a", "x"), Succeeds());
  const File file = app.Open("d/a", O_RDWR);
  ASSERT_THAT(file, Opens());
  const Completed all = device.Ctl({"--json", "handles"});
  EXPECT_EQ(all.exit, 0);
  EXPECT_THAT(all.output, AllOf(HasSubstr("d/a"), HasSubstr("PASSTHROUGH")));
  EXPECT_THAT(device.Ctl({"handles", "--uid=10061"}).output, HasSubstr("d/a"));
  EXPECT_THAT(device.Ctl({"handles", "--uid=10062"}).output,
              Not(HasSubstr("d/a")));
  ASSERT_THAT(app.Rename("d/a", "b"), Succeeds());
  EXPECT_THAT(device.Ctl({"handles"}).output, Not(HasSubstr("d/a")));
}

}  // namespace
}  // namespace fused::androidtest
