// Who made a file owns it: that one, and no other which takes its place.
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Ge;
using testing::Le;

class OwnershipTest : public testing::TestWithParam<Device::Lower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    PlantDirectories(device_);
    ASSERT_TRUE(device_.Start());
  }

  Device device_{{.lower = GetParam(), .packages = StandardPackages()}};
};

// File systems give a removed file's inode number to the next.
TEST_P(OwnershipTest, ANewFileOfAnOldNumberIsNew) {
  const App camera = device_.Launch(kCamera, View::kApp);
  const App stranger = device_.Launch(kStranger, View::kShared);
  for (int i = 0; i < 50; ++i) {
    ASSERT_THAT(camera.Create("Download/old.bin", "old"), Succeeds());
    ASSERT_THAT(camera.Unlink("Download/old.bin"), Succeeds());
    ASSERT_TRUE(device_.Sync());
    const std::string path = absl::StrCat("Download/new", i, ".bin");
    ASSERT_THAT(stranger.Create(path, "new"), Succeeds());
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(camera.Read(path), FailsWith(EACCES));
    EXPECT_THAT(stranger.Read(path), Reads("new"));
  }
}

// The same behind the daemon's back.
TEST_P(OwnershipTest, ANewFileBelowOfAnOldNumberIsNobodys) {
  const App camera = device_.Launch(kCamera, View::kShared);
  for (int i = 0; i < 20; ++i) {
    const std::string old = absl::StrCat("Download/old", i, ".bin");
    const std::string fresh = absl::StrCat("Download/new", i, ".bin");
    ASSERT_THAT(camera.Create(old, "old"), Succeeds());
    ASSERT_EQ(unlink(device_.LowerPath(old).c_str()), 0);
    ASSERT_TRUE(WriteFile(device_.LowerPath(fresh), "new"));
    EXPECT_THAT(camera.Read(fresh), FailsWith(EACCES)) << fresh;
  }
}

TEST_P(OwnershipTest, ItOutlivesTheDaemon) {
  {
    const App camera = device_.Launch(kCamera, View::kApp);
    ASSERT_THAT(camera.Create("Download/a.bin", "a"), Succeeds());
    ASSERT_THAT(camera.Create("Download/b.bin", "b"), Succeeds());
    ASSERT_THAT(camera.Rename("Download/b.bin", "Documents/c.bin"), Succeeds());
  }
  for (const bool killed : {false, true}) {
    if (killed) {
      device_.Kill();
    } else {
      ASSERT_TRUE(device_.Stop());
    }
    ASSERT_TRUE(device_.Start());
    for (const View view : {View::kApp, View::kShared}) {
      const App camera = device_.Launch(kCamera, view);
      const App stranger = device_.Launch(kStranger, view);
      for (const char* path : {"Download/a.bin", "Documents/c.bin"}) {
        EXPECT_THAT(camera.Open(path, O_RDWR), Opens()) << path << Name(view);
        EXPECT_THAT(stranger.Open(path, O_RDWR), FailsWith(EACCES))
            << path << Name(view);
      }
    }
  }
}

// One app's copy is its own, whoever made the original.
TEST_P(OwnershipTest, WhatOneWritesOverStaysAnothers) {
  const App camera = device_.Launch(kCamera, View::kApp);
  const App manager = device_.Launch(kManager, View::kApp);
  ASSERT_THAT(camera.Create("Download/a.bin", "a"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(manager.Overwrite("Download/a.bin", "b"), Succeeds());
  EXPECT_THAT(manager.Rename("Download/a.bin", "Download/b.bin"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(camera.Read("Download/b.bin"), Reads("b"));
  // What replaces it is the replacer's.
  ASSERT_THAT(manager.Create("Download/c.bin", "c"), Succeeds());
  ASSERT_THAT(manager.Rename("Download/c.bin", "Download/b.bin"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(camera.Read("Download/b.bin"), FailsWith(EACCES));
}

INSTANTIATE_TEST_SUITE_P(, OwnershipTest,
                         testing::Values(Device::Lower::kTmpfs,
                                         Device::Lower::kDisk),
                         [](const testing::TestParamInfo<Device::Lower>& info) {
                           return info.param == Device::Lower::kTmpfs
                                      ? "OnTmpfs"
                                      : "OnDisk";
                         });

class ManyNodesTest : public DeviceTest {};

// Known files cost no descriptors beyond the budget.
TEST_F(ManyNodesTest, StayWithinTheDescriptorBudget) {
  Device device({.policy = AllowAllPolicy(),
                 .packages = StandardPackages(),
                 .config = "descriptor_budget: 100\n"});
  const int count = IsLong() ? 100'000 : 2'000;
  const auto name = [](int i) { return absl::StrCat("d", i % 20, "/f", i); };
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(WriteFile(device.LowerPath(name(i)), absl::StrCat(i)));
  }
  ASSERT_TRUE(device.Start());
  for (const View view : {View::kApp, View::kShared}) {
    const App app = device.Launch(kCamera, view);
    for (int i = 0; i < count; ++i) {
      ASSERT_THAT(app.Stat(name(i)), Succeeds()) << i;
    }
    const control::v1::VolumeStatus volume = device.Status().volumes(0);
    EXPECT_THAT(volume.nodes(), Ge(static_cast<uint64_t>(count)));
    EXPECT_THAT(volume.descriptors(), Le(100U));
    // All of them are as good as those that have one.
    for (int i = 0; i < count; i += 7) {
      ASSERT_THAT(app.Read(name(i)), Reads(absl::StrCat(i))) << i;
    }
    EXPECT_THAT(app.Rename("d3", "e3"), Succeeds());
    EXPECT_THAT(app.Read("e3/f3"), Reads("3"));
    EXPECT_THAT(app.Unlink("e3/f3"), Succeeds());
    EXPECT_THAT(app.Stat("e3/f3"), FailsWith(ENOENT));
    EXPECT_THAT(app.Create("e3/f3", "3"), Succeeds());
    EXPECT_THAT(app.Rename("e3", "d3"), Succeeds());
    ASSERT_TRUE(device.Sync());
  }
  EXPECT_TRUE(device.Stop());
}

}  // namespace
}  // namespace fused::androidtest
