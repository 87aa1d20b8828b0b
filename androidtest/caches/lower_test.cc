// Changes that are made in the lower tree behind the daemon's back: views show
// them after a sync, whatever they have kept.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Contains;
using testing::Ge;
using testing::Not;
using testing::UnorderedElementsAre;

class LowerTest : public testing::TestWithParam<Device::Lower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(MakeDirectories(Below("d/sub")));
    ASSERT_TRUE(WriteFile(Below("d/f"), "content"));
    ASSERT_TRUE(device_.Start());
    const control::v1::VolumeStatus volume = device_.Status().volumes(0);
    ASSERT_TRUE(volume.watch_lower()) << volume.watch_lower_reason();
  }

  std::string Below(const char* path) const { return device_.LowerPath(path); }

  Device device_{{.lower = GetParam(),
                  .policy = AllowAllPolicy(),
                  .packages = StandardPackages()}};
};

TEST_P(LowerTest, NamesComeAndGo) {
  for (const View view : {View::kApp, View::kShared}) {
    const App app = device_.Launch(kCamera, view);
    // Kept: an absent name, a listing, and what is there.
    EXPECT_THAT(app.Stat("d/new"), FailsWith(ENOENT));
    EXPECT_THAT(app.Stat("d/f"), HasSize(7));
    EXPECT_THAT(app.List("d"), Lists(UnorderedElementsAre("f", "sub")));

    ASSERT_TRUE(WriteFile(Below("d/new"), "12345"));
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(app.Stat("d/new"), HasSize(5));
    EXPECT_THAT(app.List("d"), Lists(UnorderedElementsAre("f", "new", "sub")));

    ASSERT_EQ(rename(Below("d/new").c_str(), Below("d/newer").c_str()), 0);
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(app.Stat("d/new"), FailsWith(ENOENT));
    EXPECT_THAT(app.Stat("d/newer"), HasSize(5));
    EXPECT_THAT(app.List("d"),
                Lists(UnorderedElementsAre("f", "newer", "sub")));

    ASSERT_EQ(unlink(Below("d/newer").c_str()), 0);
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(app.Stat("d/newer"), FailsWith(ENOENT));
    EXPECT_THAT(app.List("d"), Lists(UnorderedElementsAre("f", "sub")));
  }
  EXPECT_THAT(device_.Status().volumes(0).lower_changes(), Ge(8U));
}

TEST_P(LowerTest, ContentAndAttributesFollow) {
  const App app = device_.Launch(kCamera, View::kApp);
  EXPECT_THAT(app.Stat("d/f"), HasSize(7));
  ASSERT_TRUE(WriteFile(Below("d/f"), "longer content"));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(app.Stat("d/f"), HasSize(14));
  EXPECT_THAT(app.Read("d/f"), Reads("longer content"));
  const struct timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, Below("d/f").c_str(), times, 0), 0);
  ASSERT_TRUE(device_.Sync());
  EXPECT_EQ(app.Stat("d/f").attributes.modified(), 1'000'000'000'000'000'000);
}

TEST_P(LowerTest, DirectoriesMove) {
  const App app = device_.Launch(kCamera, View::kApp);
  ASSERT_TRUE(WriteFile(Below("d/sub/g"), "g"));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(app.Read("d/sub/g"), Reads("g"));
  EXPECT_THAT(app.Stat("e/sub/g"), FailsWith(ENOENT));
  ASSERT_EQ(rename(Below("d").c_str(), Below("e").c_str()), 0);
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(app.Stat("d/sub/g"), FailsWith(ENOENT));
  EXPECT_THAT(app.Read("e/sub/g"), Reads("g"));
  EXPECT_THAT(app.List("e"), Lists(UnorderedElementsAre("f", "sub")));
}

// DIRECTORY IN OUT: stands in the directory while the test does something: it
// opens the two in turn. The errno of getcwd(2) then.
APP_PROGRAM(StandIn) {
  if (chdir(arguments[0].c_str()) != 0) return Failed("chdir");
  close(open(arguments[1].c_str(), O_WRONLY | O_CLOEXEC));
  close(open(arguments[2].c_str(), O_RDONLY | O_CLOEXEC));
  char path[4096];
  return getcwd(path, sizeof(path)) == nullptr ? Failed("getcwd") : Done(0);
}

// The event of its making comes when an app stands in it already.
TEST_P(LowerTest, ANewDirectoryStaysWhoStandsInIt) {
  const std::string in = device_.directory() + "/in";
  const std::string out = device_.directory() + "/out";
  for (const std::string& fifo : {in, out}) {
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    ASSERT_EQ(chmod(fifo.c_str(), 0666), 0);
  }
  for (const View view : {View::kApp, View::kShared}) {
    const App app = device_.Launch(kCamera, view);
    for (int i = 0; i < 30; ++i) {
      const std::string name = absl::StrCat("d/", app.name(), i);
      ASSERT_TRUE(MakeDirectories(Below(name.c_str())));
      app.Begin("StandIn", {app.At(name), in, out});
      close(open(in.c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_TRUE(device_.Sync());
      close(open(out.c_str(), O_WRONLY | O_CLOEXEC));
      ASSERT_THAT(app.Finish(), Succeeds());
    }
  }
}

// What apps do is not taken for others' doing.
TEST_P(LowerTest, OwnChangesAreNotTold) {
  const App app = device_.Launch(kCamera, View::kApp);
  ASSERT_TRUE(device_.Sync());
  const auto before = device_.Status().volumes(0).lower_changes();
  for (int i = 0; i < 20; ++i) {
    const std::string name = absl::StrCat("d/n", i);
    ASSERT_THAT(app.MakeDirectory(name), Succeeds());
    ASSERT_THAT(app.Rename(name, name + "x"), Succeeds());
    ASSERT_THAT(app.RemoveDirectory(name + "x"), Succeeds());
  }
  ASSERT_TRUE(device_.Sync());
  EXPECT_EQ(device_.Status().volumes(0).lower_changes(), before);
}

// More than the kernel keeps: then all is asked for again.
TEST_P(LowerTest, AFloodIsSurvived) {
  const App app = device_.Launch(kCamera, View::kApp);
  EXPECT_THAT(app.Stat("d/late"), FailsWith(ENOENT));
  EXPECT_THAT(app.List("d").names, Not(Contains("late")));
  device_.daemon().Signal(SIGSTOP);
  for (int i = 0; i < 20'000; ++i) {
    const std::string path = Below(absl::StrCat("d/flood", i).c_str());
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    close(fd);
  }
  ASSERT_TRUE(WriteFile(Below("d/late"), "late"));
  device_.daemon().Signal(SIGCONT);
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(app.Stat("d/late"), HasSize(4));
  EXPECT_THAT(app.List("d").names, Contains("late"));
  EXPECT_THAT(device_.Status().volumes(0).lower_overflows(), Ge(1U));
}

INSTANTIATE_TEST_SUITE_P(, LowerTest,
                         testing::Values(Device::Lower::kTmpfs,
                                         Device::Lower::kDisk),
                         [](const auto& info) {
                           return info.param == Device::Lower::kTmpfs ? "Tmpfs"
                                                                      : "Disk";
                         });

class NotWatchedTest : public DeviceTest {};

TEST_F(NotWatchedTest, IsSaid) {
  Device device({.flags = {"--watch_lower=off"}});
  ASSERT_TRUE(device.Start());
  const control::v1::VolumeStatus volume = device.Status().volumes(0);
  EXPECT_FALSE(volume.watch_lower());
  EXPECT_THAT(volume.watch_lower_reason(), testing::HasSubstr("turned off"));
}

}  // namespace
}  // namespace fused::androidtest
