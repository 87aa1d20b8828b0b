// Open files when the rules change: what the daemon serves is asked at each
// request, what the kernel serves is listed, and its holders are ended where
// that is wanted.
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/control.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/photo.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// What is in the box is allowed or not, by the kernel or by the daemon.
std::string BoxPolicy(uint64_t version, std::string_view effect) {
  return absl::StrCat("name: 'box' version: ", version, R"(
path_classes { name: "box" patterns: "Box/**" }
rules { name: "see" operations: LOOKUP effect { allow {} } }
rules { name: "box" path_classes: "box" operations: ANY effect { )",
                      effect, R"( } }
rules { name: "rest" operations: ANY effect { allow {} } }
)");
}

constexpr char kByKernel[] = "allow {}";
constexpr char kByDaemon[] = "allow { io: DAEMON }";
constexpr char kDenied[] = "deny {}";

// PATH: a process that has it open in a thread which outlives the first one.
APP_PROGRAM(HoldInAThread) {
  int ready[2];
  if (pipe(ready) != 0) return Failed("pipe");
  const pid_t child = fork();
  if (child == 0) {
    if (open(arguments[0].c_str(), O_RDONLY) < 0) _exit(1);
    std::thread([leader = pthread_self(), end = ready[1]] {
      pthread_join(leader, nullptr);
      (void)!write(end, "x", 1);
      for (;;) pause();
    }).detach();
    pthread_exit(nullptr);
  }
  close(ready[1]);
  char byte = 0;
  const bool is_ready = read(ready[0], &byte, 1) == 1;
  close(ready[0]);
  return is_ready ? Done(child) : Wrong("it did not open the file");
}

// DIRECTORY LEVELS: a file so far below, which stays open.
APP_PROGRAM(OpenDeep) {
  int at = open(arguments[0].c_str(), O_PATH | O_DIRECTORY);
  const std::string name(200, 'd');
  for (int i = 0; i < std::stoi(arguments[1]) && at >= 0; ++i) {
    if (mkdirat(at, name.c_str(), 0770) != 0) return Failed("mkdirat");
    const int below = openat(at, name.c_str(), O_PATH | O_DIRECTORY);
    close(at);
    at = below;
  }
  const int file = openat(at, "f", O_RDWR | O_CREAT, 0660);
  close(at);
  return file >= 0 ? Done(file) : Failed("openat");
}

class PushHandlesTest : public BothViewsTest {
 protected:
  void StartWith(std::string_view effect) {
    device_ = std::make_unique<Device>(Device::Options{
        .policy = BoxPolicy(1, effect), .packages = StandardPackages()});
    ASSERT_TRUE(MakeDirectories(device_->LowerPath("Box")));
    ASSERT_TRUE(WriteFile(device_->LowerPath("Box/f"), "content"));
    ASSERT_TRUE(device_->Start());
  }

  Completed Push(std::string_view effect, const std::string& flag = "") {
    Arguments arguments = {
        "push", device_->Keep("pushed", BoxPolicy(++version_, effect))};
    if (!flag.empty()) arguments.push_back(flag);
    Completed done = device_->Ctl(arguments);
    EXPECT_EQ(done.exit, 0) << done.error;
    return done;
  }

  std::vector<control::v1::Handle> Stale() const {
    const Completed done = device_->Ctl({"handles", "--stale", "--json"});
    EXPECT_EQ(done.exit, 0) << done.error;
    control::v1::HandlesResponse response;
    EXPECT_TRUE(
        google::protobuf::util::JsonStringToMessage(done.output, &response)
            .ok());
    return {response.handles().begin(), response.handles().end()};
  }

  std::unique_ptr<Device> device_;
  uint64_t version_ = 1;
};

TEST_P(PushHandlesTest, WhatTheDaemonServesIsAskedAtEachRequest) {
  StartWith(kByDaemon);
  const App app = device_->Launch(kCamera, view());
  const File file = app.Open("Box/f", O_RDWR);
  ASSERT_THAT(file, Opens());
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(file.ReadAt(0, 7), Reads("content"));
    EXPECT_THAT(file.WriteAt(0, "c"), Succeeds());
    EXPECT_THAT(file.Truncate(7), Succeeds());
    Push(kDenied);
    EXPECT_THAT(file.ReadAt(0, 7), FailsWith(EACCES));
    EXPECT_THAT(file.WriteAt(0, "x"), FailsWith(EACCES));
    EXPECT_THAT(file.Truncate(0), FailsWith(EACCES));
    EXPECT_THAT(file.Allocate(0, 0, 100), FailsWith(EACCES));
    EXPECT_THAT(file.Seek(0, SEEK_DATA), FailsWith(EACCES));
    EXPECT_THAT(Stale(), IsEmpty());
    Push(kByDaemon);
  }
  EXPECT_EQ(ReadFile(device_->LowerPath("Box/f")), "content");
}

TEST_P(PushHandlesTest, AnOpenDirectoryIsAskedAtEachRequest) {
  StartWith(kByKernel);
  const App app = device_->Launch(kCamera, view());
  const File directory = app.Open("Box", O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(directory, Opens());
  Push(kDenied);
  EXPECT_THAT(directory.List(), FailsWith(EACCES));
  Push(kByKernel);
  EXPECT_THAT(directory.List(), Succeeds());
}

TEST_P(PushHandlesTest, WhatTheKernelServesIsListed) {
  StartWith(kByKernel);
  const App app = device_->Launch(kCamera, view());
  File file = app.Open("Box/f", O_RDWR);
  ASSERT_THAT(file, Opens());
  ASSERT_GT(device_->Count().passthrough, 0);
  EXPECT_THAT(Stale(), IsEmpty());
  EXPECT_THAT(Push(kDenied).output, HasSubstr("1 open files stay"));
  const std::vector<control::v1::Handle> stale = Stale();
  ASSERT_THAT(stale, SizeIs(1));
  EXPECT_EQ(stale[0].path(), "Box/f");
  EXPECT_EQ(stale[0].stale_reason(), "policy");
  EXPECT_TRUE(stale[0].stale());
  // As it is said: what is open stays so, but for what the daemon is asked.
  EXPECT_THAT(file.ReadAt(0, 7), Reads("content"));
  EXPECT_THAT(file.Truncate(0), FailsWith(EACCES));
  EXPECT_THAT(app.Open("Box/f", O_RDONLY), FailsWith(EACCES));
  Push(kByKernel);
  EXPECT_THAT(Stale(), IsEmpty());
  Push(kDenied);
  EXPECT_THAT(Stale(), SizeIs(1));
  file.Close();
  EXPECT_THAT(Stale(), IsEmpty());
  EXPECT_EQ(device_->Status().volumes(0).backing_ids(), 0u);
}

TEST_P(PushHandlesTest, HoldersAreReportedOrEnded) {
  StartWith(kByKernel);
  App holder = device_->Launch(kCamera, view());
  const App other = device_->Launch(kStranger, view());
  const File file = holder.Open("Box/f", O_RDONLY);
  ASSERT_THAT(file, Opens());
  ASSERT_GT(device_->Count().passthrough, 0);
  const Completed reported = Push(kDenied, "--revoke=report");
  EXPECT_THAT(reported.output, HasSubstr("Box/f"));
  EXPECT_THAT(reported.output, HasSubstr(absl::StrCat("pids ", holder.pid())));
  EXPECT_THAT(holder.Stat("Box"), Succeeds());
  // It is there still, so it may be asked for again.
  const Completed ended = Push(kDenied, "--revoke=signal");
  EXPECT_THAT(ended.output, HasSubstr("killed 1"));
  EXPECT_THAT(holder.Stat("Box"), FailsWith(ECONNRESET));
  EXPECT_THAT(other.Stat("Box"), Succeeds());
}

// A process whose first thread has ended shows nothing in its own /proc/PID/fd.
TEST_P(PushHandlesTest, AThreadThatOutlivesTheFirstIsEnded) {
  StartWith(kByKernel);
  const App app = device_->Launch(kCamera, view());
  const Outcome held = app.Run("HoldInAThread", {app.At("Box/f")});
  ASSERT_THAT(held, Succeeds());
  ASSERT_GT(device_->Count().passthrough, 0);
  const Completed reported = Push(kDenied, "--revoke=report");
  EXPECT_THAT(reported.output, HasSubstr(absl::StrCat("pids ", held.value)));
  const Completed ended = Push(kDenied, "--revoke=signal");
  EXPECT_THAT(ended.output, HasSubstr("killed 1"));
  EXPECT_THAT(ended.output, Not(HasSubstr("open files stay")));
  EXPECT_THAT(Stale(), IsEmpty());
}

// No path keeps an operator from what is open.
TEST_P(PushHandlesTest, NamesThatAreNoTextAreListed) {
  StartWith(kByKernel);
  const std::string odd = "Box/odd\xff";
  ASSERT_TRUE(WriteFile(device_->LowerPath(odd), "content"));
  const App app = device_->Launch(kCamera, view());
  const File file = app.Open(odd, O_RDONLY);
  ASSERT_THAT(file, Opens());
  const File directory = app.Open("Box", O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(directory, Opens());
  EXPECT_THAT(Push(kDenied, "--revoke=report").output,
              HasSubstr("Box/odd\\xff"));
  ASSERT_THAT(Stale(), SizeIs(1));
  EXPECT_EQ(Stale()[0].path(), "Box/odd\\xff");
}

TEST_P(PushHandlesTest, APathOfAnyDepthIsListedInShort) {
  StartWith(kByKernel);
  const App app = device_->Launch(kCamera, view());
  const Outcome made = app.Run("OpenDeep", {app.At("Box"), "100"});
  ASSERT_THAT(made, Succeeds());
  EXPECT_THAT(Push(kDenied, "--revoke=report").output, HasSubstr("..."));
  ASSERT_THAT(Stale(), SizeIs(1));
  EXPECT_EQ(Stale()[0].path().size(), 1024u);
}

INSTANTIATE_BOTH_VIEWS(PushHandlesTest);

class PushConcernsTest : public DeviceTest {
 protected:
  static uint64_t LookupsOf(const Device& device, std::string_view package) {
    const control::v1::Status status = device.Status();
    for (const control::v1::ViewStatus& view : status.volumes(0).views()) {
      if (view.package() == package) return view.requests().at("LOOKUP");
    }
    return 0;
  }
};

TEST_F(PushConcernsTest, APermissionTouchesOnlyTheViewOfItsApp) {
  std::vector<Package> packages = StandardPackages();
  Device device({.packages = packages});
  PlantDirectories(device);
  ASSERT_TRUE(WriteFile(device.LowerPath("Music/a.mp3"), "song"));
  ASSERT_TRUE(device.Start());
  const App stranger = device.Launch(kStranger, View::kApp);
  const App music = device.Launch(kMusic, View::kApp);
  const App camera = device.Launch(kCamera, View::kApp);
  EXPECT_THAT(stranger.Read("Music/a.mp3"), FailsWith(EACCES));
  EXPECT_THAT(camera.Stat("Music/a.mp3"), Succeeds());
  EXPECT_THAT(camera.Stat("Music/a.mp3"), Succeeds());
  const uint64_t before = LookupsOf(device, kCamera);
  EXPECT_GT(before, 0u);
  for (Package& package : packages) {
    if (package.name == kStranger) {
      package.permissions.push_back("READ_MEDIA_AUDIO");
    }
  }
  control::v1::Request request;
  request.mutable_push()->set_kind(control::v1::PushRequest::APPS);
  request.mutable_push()->set_content(AppsText(packages, 2));
  request.mutable_push()->set_diff(true);
  Control control(device.control());
  const control::v1::Response response =
      control.Ask(request).value_or(control::v1::Response());
  ASSERT_TRUE(response.push().accepted()) << response.ShortDebugString();
  EXPECT_EQ(response.push().views_told(), 1u);
  EXPECT_EQ(response.push().views_spared(), 3u);
  EXPECT_EQ(response.push().draining(), "");
  ASSERT_GT(response.push().diff().changes_size(), 0);
  EXPECT_EQ(response.push().diff().changes(0).callers(0), kStranger);
  EXPECT_THAT(stranger.Read("Music/a.mp3"), Reads("song"));
  // From its kernel's cache.
  EXPECT_THAT(camera.Stat("Music/a.mp3"), Succeeds());
  EXPECT_EQ(LookupsOf(device, kCamera), before);
}

TEST_F(PushConcernsTest, APhotoThatMustNotTellItsPlaceAnyMore) {
  std::vector<Package> packages = {
      {.name = kCamera, .uid = 10001},
      {.name = kGallery,
       .uid = 10002,
       .permissions = {"READ_MEDIA_IMAGES", "ACCESS_MEDIA_LOCATION"}}};
  Device device({.packages = packages});
  PlantDirectories(device);
  ASSERT_TRUE(WriteFile(device.LowerPath("DCIM/a.jpg"), Photo()));
  ASSERT_TRUE(device.Start());
  const App gallery = device.Launch(kGallery, View::kApp);
  const File file = gallery.Open("DCIM/a.jpg", O_RDONLY);
  ASSERT_THAT(file, Opens());
  ASSERT_GT(device.Count().passthrough, 0);
  packages[1].permissions = {"READ_MEDIA_IMAGES"};
  ASSERT_EQ(
      device.Ctl({"apps", device.Keep("apps", AppsText(packages, 2))}).exit, 0);
  const Completed done = device.Ctl({"handles", "--stale"});
  EXPECT_THAT(done.output, HasSubstr("redaction"));
  EXPECT_THAT(done.output, HasSubstr("DCIM/a.jpg"));
}

}  // namespace
}  // namespace fused::androidtest
