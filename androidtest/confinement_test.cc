// Inside `fusedctl run` the lower tree cannot be reached, nor any other app's
// view. Its files are open to everybody here: only hiding hides them.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

constexpr char kSecret[] = "what only its app may read";

bool IsSecret(const std::string& path) { return ReadFile(path) == kSecret; }

std::vector<std::string> Processes() {
  std::vector<std::string> processes;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return processes;
  while (const dirent* entry = readdir(proc)) {
    int pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid)) {
      processes.push_back(absl::StrCat("/proc/", pid));
    }
  }
  closedir(proc);
  processes.emplace_back("/proc/self");
  processes.emplace_back("/proc/thread-self");
  return processes;
}

// The first of the paths by which the secret is read.
std::string TryPaths(const std::string& secret, const std::string& name) {
  std::vector<std::string> tries = {secret, "/.." + secret};
  for (const std::string& process : Processes()) {
    tries.push_back(absl::StrCat(process, "/root", secret));
    tries.push_back(absl::StrCat(process, "/cwd", secret));
    tries.push_back(absl::StrCat(process, "/cwd/", name));
    tries.push_back(absl::StrCat(process, "/cwd/lower/", name));
    for (int fd = 0; fd < 64; ++fd) {
      tries.push_back(absl::StrCat(process, "/fd/", fd, "/", name));
    }
  }
  // Whatever part of the tree is mounted wherever.
  for (const MountLine& mount :
       ParseMountInfo(ReadFile("/proc/self/mountinfo"))) {
    for (size_t at = 0; at != std::string::npos;
         at = secret.find('/', at + 1)) {
      tries.push_back(mount.path + secret.substr(at));
    }
  }
  for (const std::string& path : tries) {
    if (IsSecret(path)) return path;
  }
  return "";
}

struct Handle {
  file_handle head;
  unsigned char bytes[MAX_HANDLE_SZ];
};

// By a file handle that somebody has told it, from any mount that it sees.
bool TryHandle(const std::string& handle_bytes) {
  Handle handle = {};
  memcpy(&handle, handle_bytes.data(),
         std::min(handle_bytes.size(), sizeof(handle)));
  bool found = false;
  for (const MountLine& mount :
       ParseMountInfo(ReadFile("/proc/self/mountinfo"))) {
    const int at = open(mount.path.c_str(), O_RDONLY | O_CLOEXEC);
    if (at < 0) continue;
    const int fd = open_by_handle_at(at, &handle.head, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
      found |= IsSecret(absl::StrCat("/proc/self/fd/", fd));
      close(fd);
    }
    close(at);
  }
  return found;
}

// SECRET NAME HANDLE VIEWS: fails with what led to the secret.
v1::Reply TryAll(const Arguments& arguments, const std::string& how) {
  const std::string path = TryPaths(arguments[0], arguments[1]);
  if (!path.empty()) return Wrong(absl::StrCat(how, "read at ", path));
  std::string handle;
  if (!absl::HexStringToBytes(arguments[2], &handle)) return Wrong("handle");
  if (TryHandle(handle)) {
    return Wrong(how + "read by its handle");
  }
  const std::string in_view =
      absl::StrCat(arguments[3], "/0/", kStranger, "/storage/", arguments[1]);
  if (IsSecret(in_view)) return Wrong(absl::StrCat(how, in_view));
  return Done();
}

APP_PROGRAM(ReachForSecret) { return TryAll(arguments, ""); }

bool WriteProc(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done =
      write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return done;
}

// As root of a user namespace of its own it takes down, covers and copies what
// it can.
std::string TakeMountsApart(const Arguments& arguments) {
  const std::string& lower = arguments[4];
  const std::string& mountpoint = arguments[5];
  const std::string uid = absl::StrCat(getuid());
  const std::string gid = absl::StrCat(getgid());
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return "no user namespace";
  WriteProc("/proc/self/setgroups", "deny");
  if (!WriteProc("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1")) ||
      !WriteProc("/proc/self/gid_map", absl::StrCat("0 ", gid, " 1"))) {
    return "no identity in it";
  }
  for (int i = 0; i < 4; ++i) {
    for (const std::string& path : {lower, mountpoint, arguments[3]}) {
      umount2(path.c_str(), i < 2 ? 0 : MNT_DETACH);
      umount2(path.c_str(), MNT_FORCE);
    }
  }
  // A copy of the tree without what is mounted on it, which the kernel refuses.
  mount("/", "/mnt", nullptr, MS_BIND, nullptr);
  mount("/", "/mnt", nullptr, MS_BIND | MS_REC, nullptr);
  umount2(("/mnt" + lower).c_str(), MNT_DETACH);
  const int tree =
      static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* CLONE */));
  if (tree >= 0) {
    const std::string in_tree = absl::StrCat("/proc/self/fd/", tree);
    if (IsSecret(in_tree + arguments[0])) return "READ in a cloned tree";
    close(tree);
  }
  mount("tmpfs", "/tmp", "tmpfs", 0, nullptr);
  umount2("/tmp", MNT_DETACH);
  if (IsSecret("/mnt" + arguments[0])) return "READ below a bind mount";
  return "";
}

APP_PROGRAM(ReachFromUserNamespace) {
  const std::string how = TakeMountsApart(arguments);
  if (absl::StartsWith(how, "READ")) return Wrong(how);
  v1::Reply reply = TryAll(arguments, "in a user namespace: ");
  // Says whether there was one.
  reply.set_data(how);
  return reply;
}

// PID: whether the process can be seen into.
APP_PROGRAM(LookInto) {
  int pid = 0;
  if (!absl::SimpleAtoi(arguments[0], &pid)) return Wrong("PID");
  if (ptrace(PTRACE_ATTACH, pid, nullptr, nullptr) == 0) {
    waitpid(pid, nullptr, 0);
    ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
    return Wrong("ptrace");
  }
  for (const char* what : {"/root", "/cwd", "/fd/0", "/exe"}) {
    char buffer[256];
    const std::string path = absl::StrCat("/proc/", pid, what);
    if (readlink(path.c_str(), buffer, sizeof(buffer)) >= 0) {
      return Wrong(path);
    }
  }
  const std::string memory = absl::StrCat("/proc/", pid, "/mem");
  if (open(memory.c_str(), O_RDONLY | O_CLOEXEC) >= 0) return Wrong(memory);
  return Done();
}

// What is mounted where, as the app may read it.
APP_PROGRAM(Mounts) { return Done(0, ReadFile("/proc/self/mountinfo")); }

class ConfinementTest : public testing::TestWithParam<Device::Lower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    PlantDirectories(device_);
    name_ = absl::StrCat("Android/data/", kStranger, "/files/secret.bin");
    ASSERT_TRUE(WriteFile(device_.LowerPath(name_), kSecret));
    ASSERT_TRUE(device_.Start());
    const Completed view =
        device_.Ctl({"view", absl::StrCat("--package=", kStranger)});
    ASSERT_EQ(view.exit, 0) << testing::PrintToString(view);
    Handle handle = {};
    handle.head.handle_bytes = MAX_HANDLE_SZ;
    int mount_id = 0;
    ASSERT_EQ(name_to_handle_at(AT_FDCWD, device_.LowerPath(name_).c_str(),
                                &handle.head, &mount_id, 0),
              0);
    handle_ = absl::BytesToHexString(std::string_view(
        reinterpret_cast<const char*>(&handle), sizeof(handle)));
  }

  Arguments Reach() const {
    return {device_.LowerPath(name_), name_,           handle_,
            device_.views(),          device_.lower(), device_.mount()};
  }

  Device device_{{.lower = GetParam(), .packages = StandardPackages()}};
  std::string name_;
  std::string handle_;
};

// The ways are ways: root, outside, reaches it by them.
TEST_P(ConfinementTest, OutsideThereAreWays) {
  const App root = device_.LaunchUid(0);
  EXPECT_THAT(root.Run("ReachForSecret", Reach()), Fails());
}

TEST_P(ConfinementTest, NoWayLeadsToTheLowerTree) {
  const App camera = device_.Launch(kCamera, View::kApp);
  EXPECT_THAT(camera.Run("ReachForSecret", Reach()), Succeeds());
  EXPECT_THAT(camera.Read(device_.LowerPath(name_)), Fails());
  EXPECT_THAT(camera.List(device_.lower()),
              testing::AnyOf(Lists(testing::IsEmpty()), Fails()));
  EXPECT_THAT(camera.Create(device_.LowerPath("Download/new.bin")), Fails());
  EXPECT_THAT(camera.Read(name_), FailsWith(ENOENT));
}

TEST_P(ConfinementTest, NorInAUserNamespaceOfItsOwn) {
  const App camera = device_.Launch(kCamera, View::kApp);
  const Outcome outcome = camera.Run("ReachFromUserNamespace", Reach());
  EXPECT_THAT(outcome, Succeeds());
  // Had there been none, nothing would have been tried.
  EXPECT_EQ(outcome.data, "");
}

// The lower tree, a part of it and what it is a part of are mounted elsewhere
// too.
TEST_P(ConfinementTest, NorByAnotherMountOfIt) {
  const std::string whole = device_.directory() + "/whole";
  const std::string part = device_.directory() + "/part";
  const std::string above = device_.directory() + "/above";
  for (const std::string& path : {whole, part, above}) {
    ASSERT_TRUE(MakeDirectories(path));
  }
  ASSERT_TRUE(BindMount(device_.lower(), whole));
  ASSERT_TRUE(BindMount(device_.LowerPath("Android"), part));
  ASSERT_TRUE(BindMount(device_.directory(), above));
  const App camera = device_.Launch(kCamera, View::kApp);
  EXPECT_THAT(camera.Run("ReachForSecret", Reach()), Succeeds());
  EXPECT_THAT(camera.Run("ReachFromUserNamespace", Reach()), Succeeds());
}

// One that comes later, where mounts spread.
TEST_P(ConfinementTest, NorByAMountThatComesLater) {
  const App camera = device_.Launch(kCamera, View::kApp);
  const std::string whole = device_.directory() + "/whole";
  ASSERT_TRUE(MakeDirectories(whole));
  ASSERT_TRUE(BindMount(device_.lower(), whole));
  EXPECT_THAT(camera.Run("ReachForSecret", Reach()), Succeeds());
}

TEST_P(ConfinementTest, OtherAppsViewsAreClosed) {
  const std::string views = device_.views();
  const std::string theirs =
      absl::StrCat(views, "/0/", kStranger, "/storage/", name_);
  EXPECT_THAT(device_.LaunchUid(10064).Read(theirs), Reads(kSecret));
  for (const View view : {View::kApp, View::kShared}) {
    const App camera = device_.Launch(kCamera, view);
    EXPECT_THAT(camera.Read(theirs), Fails()) << Name(view);
    EXPECT_THAT(camera.List(absl::StrCat(views, "/0/", kStranger)), Fails())
        << Name(view);
  }
}

TEST_P(ConfinementTest, TheDaemonCannotBeSeenInto) {
  const App camera = device_.Launch(kCamera, View::kApp);
  EXPECT_THAT(camera.Run("LookInto", {absl::StrCat(device_.pid())}),
              Succeeds());
  const App stranger = device_.Launch(kStranger, View::kApp);
  EXPECT_THAT(camera.Run("LookInto", {absl::StrCat(stranger.pid())}),
              Succeeds());
}

TEST_P(ConfinementTest, TheMountPointIsTheViewAlone) {
  const App camera = device_.Launch(kCamera, View::kApp);
  const Outcome text = camera.Run("Mounts", {});
  ASSERT_THAT(text, Succeeds());
  std::string topmost;
  for (const MountLine& mount : ParseMountInfo(text.data)) {
    if (mount.path == device_.mount()) topmost = mount.type;
    // Nothing of another app's.
    EXPECT_FALSE(absl::StrContains(mount.path, kStranger)) << mount.path;
  }
  EXPECT_TRUE(absl::StartsWith(topmost, "fuse")) << topmost;
  // What the app's namespace mounts does not come back.
  size_t here = 0;
  for (const MountLine& mount : MountsBelow(device_.mount())) {
    here += static_cast<size_t>(mount.path == device_.mount());
  }
  EXPECT_EQ(here, 1U);
}

TEST_P(ConfinementTest, AnAppDoesNotCommandTheDaemon) {
  const std::string policy =
      device_.Keep("open.textproto", AllowAllPolicy(1000));
  const auto as_camera = [&](const Arguments& command) {
    Arguments all = {"run", absl::StrCat("--package=", kCamera), "--",
                     FusedctlPath(),
                     absl::StrCat("--control=", device_.control())};
    all.insert(all.end(), command.begin(), command.end());
    return device_.Ctl(all);
  };
  const std::string sha = device_.Status().policy().sha256();
  EXPECT_NE(as_camera({"push", policy}).exit, 0);
  EXPECT_NE(as_camera({"apps", policy}).exit, 0);
  EXPECT_NE(as_camera({"view", absl::StrCat("--package=", kStranger)}).exit, 0);
  EXPECT_NE(as_camera({"run", absl::StrCat("--package=", kStranger), "--",
                       "/bin/true"})
                .exit,
            0);
  EXPECT_EQ(device_.Status().policy().sha256(), sha);
}

INSTANTIATE_TEST_SUITE_P(, ConfinementTest,
                         testing::Values(Device::Lower::kTmpfs,
                                         Device::Lower::kDisk),
                         [](const testing::TestParamInfo<Device::Lower>& info) {
                           return info.param == Device::Lower::kTmpfs
                                      ? "OnTmpfs"
                                      : "OnDisk";
                         });

}  // namespace
}  // namespace fused::androidtest
