// One app, or a lower file system that hangs, takes nothing from the others.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/outcome.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "androidtest/harness/stalling_lower.h"
#include "androidtest/harness/transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// DIRECTORY COUNT: opens as many of its files, f0 and so on, and says in the
// result how many it got before the first error.
APP_PROGRAM(OpenMany) {
  const int count = atoi(arguments[1].c_str());
  std::vector<int> open_files;
  int error = 0;
  for (int i = 0; i < count && error == 0; ++i) {
    const int fd = open(absl::StrCat(arguments[0], "/f", i).c_str(), O_RDONLY);
    if (fd < 0) {
      error = errno;
    } else {
      open_files.push_back(fd);
    }
  }
  // Nothing is made where it can't be opened.
  const std::string made = arguments[0] + "/made";
  if (error != 0 && (open(made.c_str(), O_WRONLY | O_CREAT, 0660) >= 0 ||
                     errno != error || access(made.c_str(), F_OK) == 0)) {
    return Wrong("a file that could not be opened was made");
  }
  for (const int fd : open_files) close(fd);
  return Done(static_cast<int64_t>(open_files.size()), absl::StrCat(error));
}

APP_PROGRAM(StatSlowly) {
  struct stat st;
  return stat(arguments[0].c_str(), &st) == 0 ? Done() : Failed("stat");
}

class LimitsTest : public BothViewsTest {};

TEST_P(LimitsTest, OpenFilesOfOneApp) {
  Device device({.packages = StandardPackages(),
                 .config = "limits { handles_per_app: 5 "
                           "backing_ids_per_app: 3 }\n"});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  {
    const App camera = device.Launch(kCamera, view());
    const App stranger = device.Launch(kStranger, view());
    for (const App* app : {&camera, &stranger}) {
      const std::string place = "Download/" + app->name();
      ASSERT_THAT(app->MakeDirectory(place), Succeeds());
      for (int i = 0; i < 8; ++i) {
        ASSERT_THAT(app->Create(absl::StrCat(place, "/f", i), "x"), Succeeds());
      }
    }
    ASSERT_TRUE(device.Sync());
    for (int round = 0; round < 3; ++round) {
      for (const App* app : {&camera, &stranger}) {
        const std::string place = app->At("Download/" + app->name());
        const Counts before = device.Count();
        const Outcome many = app->Run("OpenMany", {place, "8"});
        EXPECT_EQ(many.value, 5);
        EXPECT_EQ(many.data, absl::StrCat(EMFILE));
        const Counts counts = device.Count() - before;
        EXPECT_EQ(counts.passthrough, 3);
        EXPECT_EQ(counts.daemon, 2);
        // All of it was given back.
        EXPECT_EQ(app->Run("OpenMany", {place, "5"}).data, "0");
      }
    }
  }
  const control::v1::Status status = device.Status();
  EXPECT_EQ(status.workers().handles_refused(), 12U);
  EXPECT_EQ(status.workers().backing_ids_refused(), 24U);
  EXPECT_EQ(status.volumes(0).fallbacks().at(
                "the app has as many backing ids as it may"),
            24U);
  EXPECT_TRUE(device.Stop());
}

INSTANTIATE_BOTH_VIEWS(LimitsTest);

class HangingLowerTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    char path[] = "/tmp/fused-stalling.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    path_ = path;
    lower_.emplace(path_, std::vector<std::string>{"a", "b", "c"});
    ASSERT_TRUE(lower_->mounted());
  }
  void Start(const std::string& config) {
    device_.emplace(Device::Options{.policy = AllowAllPolicy(),
                                    .packages = StandardPackages(),
                                    .config = config,
                                    .lower_path = path_});
    ASSERT_TRUE(device_->Start());
  }
  void TearDown() override {
    // First, lest the daemon cannot even die.
    if (lower_.has_value()) lower_->Release();
    device_.reset();
    lower_.reset();
    if (!path_.empty()) rmdir(path_.c_str());
  }

  // Each in a view of its own, so that the kernel sends each one's question.
  static void Hang(const App& app) {
    app.Begin("StatSlowly", {app.At("d/slow")});
  }

  std::string path_;
  std::optional<StallingLower> lower_;
  std::optional<Device> device_;
};

TEST_F(HangingLowerTest, WhoHangsIsToldAndTheOthersGoOn) {
  Start("threads: 2 limits { deadline_seconds: 1 }\n");
  std::vector<App> hanging;
  for (const char* package : {kCamera, kGallery, kMusic}) {
    hanging.push_back(device_->Launch(package, View::kApp));
    ASSERT_THAT(hanging.back().Stat("d/a"), Succeeds());
  }
  const App bystander = device_->Launch(kStranger, View::kApp);
  lower_->Stall();
  for (const App& app : hanging) Hang(app);
  ASSERT_TRUE(lower_->AwaitCaller(absl::Seconds(20)));
  // More hang than there are threads.
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(bystander.Stat("d/c"), Succeeds());
    EXPECT_THAT(bystander.Stat(absl::StrCat("d/absent", i)), FailsWith(ENOENT));
  }
  for (const App& app : hanging) {
    EXPECT_THAT(app.Finish(), FailsWith(ETIMEDOUT));
  }
  control::v1::Status status = device_->Status();
  EXPECT_EQ(status.workers().expired(), 3U);
  EXPECT_EQ(status.workers().stuck(), 3U);
  EXPECT_EQ(status.workers().aborted(), 0U);
  EXPECT_EQ(status.volumes(0).expired(), 3U);
  lower_->Release();
  for (const App& app : hanging) {
    EXPECT_THAT(app.Stat("d/slow"), Succeeds());
  }
  EXPECT_TRUE(
      Eventually([&] { return device_->Status().workers().stuck() == 0; }));
  status = device_->Status();
  EXPECT_EQ(status.volumes(0).unanswered(), 0U);
  hanging.clear();
  EXPECT_TRUE(device_->Stop());
}

TEST_F(HangingLowerTest, WhereNothingMovesAConnectionIsAborted) {
  Start(
      "threads: 2 limits { max_threads: 2 deadline_seconds: 1 "
      "abort_seconds: 2 }\n");
  std::vector<App> hanging;
  for (const char* package : {kCamera, kGallery}) {
    hanging.push_back(device_->Launch(package, View::kApp));
    ASSERT_THAT(hanging.back().Stat("d/a"), Succeeds());
  }
  const App bystander = device_->Launch(kStranger, View::kShared);
  ASSERT_THAT(bystander.Stat("d/c"), Succeeds());
  lower_->Stall();
  for (const App& app : hanging) Hang(app);
  for (const App& app : hanging) {
    EXPECT_THAT(app.Finish(), FailsWith(ETIMEDOUT));
  }
  // There is no thread for it, until those views are given up; but over
  // io_uring each view has threads of its own, and none is given up for others.
  EXPECT_THAT(bystander.Stat("d/absent"), FailsWith(ENOENT));
  if (OverUring()) {
    EXPECT_EQ(device_->Status().workers().aborted(), 0U);
    lower_->Release();
    for (const App& app : hanging) EXPECT_THAT(app.Stat("d/a"), Succeeds());
    hanging.clear();
    EXPECT_TRUE(device_->Stop());
    return;
  }
  EXPECT_EQ(device_->Status().workers().aborted(), 2U);
  for (const App& app : hanging) {
    EXPECT_THAT(app.Stat("d/a"), FailsWith(ENOTCONN));
  }
  EXPECT_THAT(bystander.Stat("d/c"), Succeeds());
  lower_->Release();
  hanging.clear();
  EXPECT_TRUE(device_->Stop());
}

}  // namespace
}  // namespace fused::androidtest
