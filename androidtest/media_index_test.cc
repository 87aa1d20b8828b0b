// Who made a file is remembered: through kills, and through the loss of either
// place where it is written down.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/media_device.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;
using testing::Lt;

constexpr char kXattr[] = "trusted.fused.owner";
constexpr char kCameras[] = "1:10061:com.example.camera";

class MediaIndexTest : public testing::TestWithParam<MediaLower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    media_ = std::make_unique<MediaDevice>(GetParam());
    if (const std::string why = media_->why_not(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    device_ = &media_->device();
    PlantDirectories(*device_);
  }

  bool has_xattrs() const { return HasXattrs(GetParam()); }

  control::v1::MediaStatus Media() const {
    return device_->Status().volumes(0).media();
  }
  testing::AssertionResult Becomes(std::string_view state) const {
    if (Eventually([&] { return Media().state() == state; },
                   absl::Seconds(60))) {
      return testing::AssertionSuccess();
    }
    return testing::AssertionFailure() << Media().DebugString();
  }
  std::string OwnerBelow(const std::string& path) const {
    char value[256];
    const ssize_t size = lgetxattr(device_->LowerPath(path).c_str(), kXattr,
                                   value, sizeof(value));
    return size < 0 ? "" : std::string(value, static_cast<size_t>(size));
  }
  std::string Described(const std::string& path) const {
    return device_->Ctl({"file", path}).output;
  }
  void RemoveDatabase() const {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      unlink(absl::StrCat(device_->state(), "/media.db", suffix).c_str());
    }
  }

  std::unique_ptr<MediaDevice> media_;
  Device* device_ = nullptr;
};

// Where the lower files say whose they are, and where they do not.
class MarkedFilesTest : public MediaIndexTest {};
class UnmarkedFilesTest : public MediaIndexTest {};

TEST_P(MediaIndexTest, OwnersOutliveTheDaemon) {
  ASSERT_TRUE(device_->Start());
  {
    const App camera = device_->Launch(kCamera, View::kShared);
    ASSERT_THAT(camera.Create("Download/a.bin", "a"), Succeeds());
    ASSERT_THAT(camera.MakeDirectory("Download/d"), Succeeds());
    ASSERT_THAT(camera.MakeNode("Download/d/b.bin", S_IFREG | 0600),
                Succeeds());
    ASSERT_THAT(camera.Create("Download/d/.pending-1900000000-c.jpg"),
                Succeeds());
    ASSERT_THAT(camera.Rename("Download/d", "Download/e"), Succeeds());
    ASSERT_THAT(camera.Rename("Download/a.bin", "Download/e/A.bin"),
                Succeeds());
  }
  ASSERT_TRUE(device_->Stop());
  ASSERT_TRUE(device_->Start());
  // Told by the state that was left: nothing is looked through.
  EXPECT_EQ(Media().state(), "READY");
  EXPECT_EQ(Media().scans(), 0U);
  EXPECT_EQ(Media().owned(), 3U);
  EXPECT_THAT(Described("Download/e/A.bin"),
              HasSubstr("indexed   com.example.camera (10061)"));
  EXPECT_THAT(Described("Download/e/.pending-1900000000-c.jpg"),
              testing::AllOf(HasSubstr("type      IMAGE"),
                             HasSubstr("state     PENDING until 1900000000")));
  const App camera = device_->Launch(kCamera, View::kShared);
  const App stranger = device_->Launch(kStranger, View::kShared);
  for (const char* path : {"Download/e/A.bin", "Download/e/b.bin"}) {
    EXPECT_THAT(stranger.Overwrite(path, "no"), FailsWith(EACCES)) << path;
    EXPECT_THAT(camera.Overwrite(path, "yes"), Succeeds()) << path;
    EXPECT_EQ(OwnerBelow(path), has_xattrs() ? kCameras : "");
  }
  EXPECT_TRUE(device_->Stop());
}

TEST_P(MediaIndexTest, WhatReplacesAFileIsItsMakers) {
  ASSERT_TRUE(device_->Start());
  {
    const App camera = device_->Launch(kCamera, View::kShared);
    const App manager = device_->Launch(kManager, View::kShared);
    ASSERT_THAT(camera.Create("Download/a.bin"), Succeeds());
    ASSERT_THAT(manager.Create("Download/b.bin"), Succeeds());
    ASSERT_THAT(manager.Rename("Download/b.bin", "Download/a.bin"), Succeeds());
    // A file of that name, later.
    ASSERT_THAT(camera.Create("Download/c.bin"), Succeeds());
    ASSERT_THAT(camera.Unlink("Download/c.bin"), Succeeds());
    ASSERT_THAT(manager.Create("Download/c.bin"), Succeeds());
  }
  device_->Kill();
  ASSERT_TRUE(device_->Start());
  ASSERT_TRUE(Becomes("READY"));
  const App camera = device_->Launch(kCamera, View::kShared);
  for (const char* path : {"Download/a.bin", "Download/c.bin"}) {
    EXPECT_THAT(camera.Overwrite(path, "no"), FailsWith(EACCES)) << path;
    EXPECT_THAT(Described(path), HasSubstr("indexed   com.example.files"));
  }
  EXPECT_TRUE(device_->Stop());
}

TEST_P(MarkedFilesTest, EachPlaceIsMadeGoodFromTheOther) {
  ASSERT_TRUE(device_->Start());
  ASSERT_THAT(
      device_->Launch(kCamera, View::kShared).Create("Download/a.bin", "a"),
      Succeeds());
  ASSERT_THAT(
      device_->Launch(kCamera, View::kShared).Create("Download/b.bin", "b"),
      Succeeds());
  ASSERT_TRUE(device_->Stop());

  // The attribute is lost: at the first use, and by a scan.
  for (const char* path : {"Download/a.bin", "Download/b.bin"}) {
    ASSERT_EQ(lremovexattr(device_->LowerPath(path).c_str(), kXattr), 0);
  }
  ASSERT_TRUE(device_->Start());
  EXPECT_THAT(
      device_->Launch(kCamera, View::kShared).Overwrite("Download/a.bin", "c"),
      Succeeds());
  EXPECT_EQ(OwnerBelow("Download/a.bin"), kCameras);
  EXPECT_EQ(OwnerBelow("Download/b.bin"), "");
  EXPECT_THAT(device_->Ctl({"scan"}).output, HasSubstr("1 repaired"));
  EXPECT_EQ(OwnerBelow("Download/b.bin"), kCameras);
  ASSERT_TRUE(device_->Stop());

  // The database is lost, then damaged.
  RemoveDatabase();
  ASSERT_TRUE(device_->Start());
  ASSERT_TRUE(Becomes("READY"));
  EXPECT_EQ(Media().adopted(), 2U);
  EXPECT_EQ(Media().owned(), 2U);
  ASSERT_TRUE(device_->Stop());
  RemoveDatabase();
  ASSERT_TRUE(
      WriteFile(device_->state() + "/media.db", std::string(20'000, 'x')));
  ASSERT_TRUE(device_->Start());
  ASSERT_TRUE(Becomes("READY"));
  EXPECT_EQ(Media().set_aside(), device_->state() + "/media.db.corrupt-1");
  EXPECT_TRUE(Exists(device_->state() + "/media.db.corrupt-1"));
  EXPECT_EQ(Media().owned(), 2U);
  EXPECT_THAT(Described("Download/a.bin"),
              HasSubstr("indexed   com.example.camera"));
  EXPECT_TRUE(device_->Stop());
}

// More than the database keeps in memory, so that it reads what was damaged.
TEST_P(MarkedFilesTest, ADatabaseDamagedWhileItIsUsedIsWrittenAnew) {
  const uint64_t count = 40'000;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string path =
        device_->LowerPath(absl::StrCat("Download/f", i, ".bin"));
    ASSERT_EQ(mknod(path.c_str(), S_IFREG | 0660, 0), 0);
    ASSERT_EQ(setxattr(path.c_str(), kXattr, kCameras, sizeof(kCameras) - 1, 0),
              0);
  }
  ASSERT_TRUE(device_->Start());
  ASSERT_TRUE(Becomes("READY"));
  ASSERT_TRUE(Eventually([&] { return Media().pending_writes() == 0; }));
  for (const char* suffix : {"", "-wal"}) {
    const std::string file =
        absl::StrCat(device_->state(), "/media.db", suffix);
    std::string content = ReadFile(file);
    if (content.size() > 4096) {
      std::fill(content.begin() + 4096, content.end(), '\xa5');
    }
    // In place, as a failing disk does it.
    const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(pwrite(fd, content.data(), content.size(), 0),
              static_cast<ssize_t>(content.size()));
    close(fd);
  }
  const App camera = device_->Launch(kCamera, View::kShared);
  const App stranger = device_->Launch(kStranger, View::kShared);
  uint64_t made = 0;
  EXPECT_TRUE(Eventually([&] {
    const std::string old = absl::StrCat("Download/f", made * 397, ".bin");
    EXPECT_THAT(stranger.Overwrite(old, "no"), FailsWith(EACCES));
    EXPECT_THAT(camera.Unlink(old), Succeeds());
    EXPECT_THAT(camera.Create(absl::StrCat("Download/new", made++, ".bin")),
                Succeeds());
    return !Media().set_aside().empty() || made * 397 >= count;
  }));
  EXPECT_EQ(Media().set_aside(), device_->state() + "/media.db.corrupt-1");
  ASSERT_TRUE(Becomes("READY"));
  EXPECT_EQ(Media().owned(), count);
  ASSERT_TRUE(Eventually([&] { return Media().pending_writes() == 0; }));
  ASSERT_TRUE(device_->Stop());
  // All of it is on disk again.
  ASSERT_TRUE(device_->Start());
  EXPECT_EQ(Media().state(), "READY");
  EXPECT_EQ(Media().scans(), 0U);
  EXPECT_EQ(Media().owned(), count);
  EXPECT_TRUE(device_->Stop());
}

TEST_P(UnmarkedFilesTest, ALostDatabaseGivesNobodyAnything) {
  ASSERT_TRUE(device_->Start());
  ASSERT_THAT(
      device_->Launch(kCamera, View::kShared).Create("Download/a.bin", "a"),
      Succeeds());
  ASSERT_TRUE(device_->Stop());
  RemoveDatabase();
  ASSERT_TRUE(device_->Start());
  for (const char* package : {kCamera, kStranger}) {
    EXPECT_THAT(device_->Launch(package, View::kShared)
                    .Overwrite("Download/a.bin", "b"),
                FailsWith(EACCES));
  }
  EXPECT_TRUE(device_->Stop());
}

TEST_P(MediaIndexTest, AFullDiskStopsNoMount) {
  const std::string state = device_->state();
  ASSERT_TRUE(MakeDirectories(state, 0700));
  ASSERT_EQ(mount("state", state.c_str(), "tmpfs", 0, "size=2m,mode=0700"), 0);
  ASSERT_TRUE(device_->Start());
  const App camera = device_->Launch(kCamera, View::kShared);
  const App stranger = device_->Launch(kStranger, View::kShared);
  ASSERT_THAT(camera.Create("Download/before.bin", "a"), Succeeds());
  const std::string filler = state + "/filler";
  WriteFile(filler, std::string(4 << 20, 'x'));
  if (has_xattrs()) {
    // The lower file says it. The database has to follow, some day.
    ASSERT_THAT(camera.Create("Download/full.bin", "b"), Succeeds());
    ASSERT_TRUE(Becomes("DEGRADED"));
  } else {
    EXPECT_THAT(camera.Create("Download/full.bin", "b"), FailsWith(ENOSPC));
    EXPECT_THAT(camera.Stat("Download/full.bin"), FailsWith(ENOENT));
    EXPECT_FALSE(Exists(device_->LowerPath("Download/full.bin")));
    EXPECT_THAT(camera.Rename("Download/before.bin", "Download/new.bin"),
                FailsWith(ENOSPC));
    EXPECT_EQ(Media().state(), "DEGRADED");
  }
  EXPECT_THAT(Media().reason(), HasSubstr("full"));
  EXPECT_THAT(camera.Overwrite("Download/before.bin", "b"), Succeeds());
  EXPECT_THAT(stranger.Overwrite("Download/before.bin", "c"),
              FailsWith(EACCES));
  ASSERT_EQ(unlink(filler.c_str()), 0);
  // By itself.
  EXPECT_TRUE(Becomes("READY"));
  EXPECT_THAT(camera.Create("Download/after.bin", "c"), Succeeds());
  EXPECT_THAT(camera.Rename("Download/before.bin", "Download/new.bin"),
              Succeeds());
  EXPECT_TRUE(device_->Stop());
}

TEST_P(MediaIndexTest, ALockedDatabaseStopsNoMount) {
  ASSERT_TRUE(device_->Start());
  ASSERT_THAT(
      device_->Launch(kCamera, View::kShared).Create("Download/a.bin", "a"),
      Succeeds());
  ASSERT_TRUE(device_->Stop());
  auto database =
      std::make_unique<LockedDatabase>(device_->state() + "/media.db");
  ASSERT_TRUE(database->locked());
  ASSERT_TRUE(device_->Start());
  EXPECT_EQ(Media().state(), "DEGRADED");
  EXPECT_THAT(Media().reason(), HasSubstr("locked"));
  const App camera = device_->Launch(kCamera, View::kShared);
  const App stranger = device_->Launch(kStranger, View::kShared);
  EXPECT_THAT(stranger.Overwrite("Download/a.bin", "c"), FailsWith(EACCES));
  if (has_xattrs()) {
    EXPECT_THAT(camera.Overwrite("Download/a.bin", "b"), Succeeds());
    EXPECT_THAT(camera.Create("Download/b.bin", "b"), Succeeds());
  } else {
    // Whose it is can't be told yet.
    EXPECT_THAT(camera.Overwrite("Download/a.bin", "b"), FailsWith(EACCES));
    EXPECT_THAT(camera.Create("Download/b.bin", "b"), FailsWith(EACCES));
  }
  database = nullptr;
  EXPECT_TRUE(Becomes("READY"));
  EXPECT_THAT(camera.Overwrite("Download/a.bin", "b"), Succeeds());
  EXPECT_THAT(stranger.Overwrite("Download/a.bin", "c"), FailsWith(EACCES));
  EXPECT_TRUE(device_->Stop());
}

TEST_P(MediaIndexTest, WhatHasExpiredIsDeleted) {
  ASSERT_TRUE(device_->Start());
  const int64_t now = time(nullptr);
  constexpr int64_t kDay = int64_t{24} * 60 * 60;
  const App camera = device_->Launch(kCamera, View::kApp);
  const auto pending = [](int64_t at) {
    return absl::StrCat("Download/.pending-", at, "-a.bin");
  };
  const auto trashed = [](int64_t at) {
    return absl::StrCat("Download/.trashed-", at, "-b.bin");
  };
  for (const int64_t at :
       {now - 5, now + kDay, now + 1000 * kDay, now - 8 * kDay}) {
    ASSERT_THAT(camera.Create(pending(at), "a"), Succeeds());
    ASSERT_THAT(camera.Create(trashed(at), "b"), Succeeds());
  }
  const Completed done = device_->Ctl({"maintain"});
  EXPECT_EQ(done.exit, 0);
  EXPECT_THAT(done.output, HasSubstr("2 deleted, 2 postponed, 0 failed"));
  EXPECT_THAT(done.output,
              HasSubstr("deleted external_primary/0:" + pending(now - 5)));
  ASSERT_TRUE(device_->Sync());
  for (const int64_t at : {now + kDay, now + 1000 * kDay}) {
    EXPECT_THAT(camera.Stat(pending(at)), Succeeds());
    EXPECT_THAT(camera.Stat(trashed(at)), Succeeds());
  }
  for (const int64_t at : {now - 5, now - 8 * kDay}) {
    EXPECT_THAT(camera.Stat(pending(at)), FailsWith(ENOENT));
    EXPECT_THAT(camera.Stat(trashed(at)), FailsWith(ENOENT));
  }
  // What a wrong clock may have made old has a week, and is its owner's still.
  int postponed = 0;
  for (const std::string& name : camera.List("Download").names) {
    const int64_t at = atoll(name.c_str() + 9);
    if (at <= now + 6 * kDay || at >= now + 8 * kDay) continue;
    ++postponed;
    EXPECT_THAT(camera.Overwrite("Download/" + name, "c"), Succeeds());
    EXPECT_THAT(Described("Download/" + name),
                HasSubstr("indexed   com.example.camera"));
  }
  EXPECT_EQ(postponed, 2);
  EXPECT_EQ(Media().owned(), 6U);
  EXPECT_TRUE(device_->Stop());
}

TEST_P(MediaIndexTest, ListingRunsNoSql) {
  // A directory of vfat is searched from its beginning for each name.
  const int count = GetParam() == MediaLower::kVfat ? 1'000 : 10'000;
  for (int i = 0; i < count; ++i) {
    const std::string path =
        device_->LowerPath(absl::StrCat("Pictures/p", i, ".jpg"));
    const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0660);
    ASSERT_GE(fd, 0);
    if (has_xattrs() && i % 2 == 0) {
      ASSERT_EQ(fsetxattr(fd, kXattr, kCameras, sizeof(kCameras) - 1, 0), 0);
    }
    close(fd);
  }
  ASSERT_TRUE(device_->Start());
  ASSERT_TRUE(Becomes("READY"));
  const App stranger = device_->Launch(kStranger, View::kApp);
  const uint64_t before = Media().sql_statements();
  EXPECT_THAT(stranger.List("Pictures"),
              Lists(testing::SizeIs(testing::Ge(count))));
  for (int i = 0; i < count; i += 10) {
    ASSERT_THAT(stranger.Stat(absl::StrCat("Pictures/p", i, ".jpg")),
                Succeeds());
  }
  EXPECT_EQ(Media().pending_writes(), 0U);
  EXPECT_EQ(Media().sql_statements(), before);
  EXPECT_TRUE(device_->Stop());
}

// A scan, while the mount serves.
TEST_P(MarkedFilesTest, ATreeIsLookedThrough) {
  const uint64_t count = IsLong() ? 100'000 : 5'000;
  for (uint64_t i = 0; i < count; ++i) {
    const std::string path =
        device_->LowerPath(absl::StrCat("Download/", i % 100, "/f", i, ".bin"));
    ASSERT_TRUE(WriteFile(path, "x"));
    ASSERT_EQ(setxattr(path.c_str(), kXattr, kCameras, sizeof(kCameras) - 1, 0),
              0);
  }
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(device_->Start());
  const App camera = device_->Launch(kCamera, View::kShared);
  uint64_t served = 0;
  while (Media().state() != "READY") {
    ASSERT_THAT(camera.Overwrite(absl::StrCat("Download/1/f1.bin"), "y"),
                Succeeds());
    ++served;
  }
  const absl::Duration took = absl::Now() - begin;
  GTEST_LOG_(INFO) << count << " files in " << took << ", " << served
                   << " writes served";
  EXPECT_THAT(took, Lt(absl::Seconds(60)));
  EXPECT_EQ(Media().scanned(), count);
  EXPECT_EQ(Media().owned(), count);
  // But for what the writes have brought in.
  EXPECT_THAT(Media().adopted(),
              testing::AllOf(testing::Ge(count - 1), testing::Le(count)));
  EXPECT_TRUE(device_->Stop());
}

INSTANTIATE_TEST_SUITE_P(, MediaIndexTest, testing::ValuesIn(kMediaLowers),
                         MediaLowerName);
INSTANTIATE_TEST_SUITE_P(, MarkedFilesTest,
                         testing::Values(MediaLower::kTmpfs, MediaLower::kDisk,
                                         MediaLower::kOverlay),
                         MediaLowerName);
INSTANTIATE_TEST_SUITE_P(, UnmarkedFilesTest,
                         testing::Values(MediaLower::kRamfs, MediaLower::kVfat),
                         MediaLowerName);

class MaintenanceTest : public DeviceTest {};

TEST_F(MaintenanceTest, GoesByATimer) {
  Device device(
      {.packages = StandardPackages(), .config = "maintain_seconds: 1\n"});
  PlantDirectories(device);
  const std::string path = device.LowerPath(
      absl::StrCat("Download/.trashed-", time(nullptr) - 1, "-a.bin"));
  ASSERT_TRUE(WriteFile(path, "a"));
  ASSERT_TRUE(device.Start());
  EXPECT_TRUE(Eventually([&] {
    device.Status();
    return !Exists(path);
  }));
  EXPECT_TRUE(device.Stop());
}

// What was found of a photo is known in the daemon's next life.
TEST_F(MaintenanceTest, ACleanPhotoIsNotSearchedAgain) {
  constexpr char kBlind[] = "com.example.blind";
  Device device({.lower = Device::Lower::kDisk,
                 .packages = {{.name = kBlind,
                               .uid = 10070,
                               .permissions = {"READ_MEDIA_IMAGES"}}}});
  ASSERT_TRUE(MakeDirectories(device.LowerPath("Pictures")));
  const std::string photo = "Pictures/a.jpg";
  ASSERT_TRUE(WriteFile(device.LowerPath(photo), "no photo, no location"));
  ASSERT_TRUE(device.Start());
  {
    const App blind = device.Launch(kBlind, View::kShared);
    // As soon as the file has come to rest.
    ASSERT_TRUE(Eventually([&] {
      EXPECT_THAT(blind.Read(photo), Reads("no photo, no location"));
      return absl::StrContains(device.Ctl({"file", photo}).output,
                               "location  NONE");
    }));
  }
  ASSERT_TRUE(device.Stop());
  ASSERT_TRUE(device.Start());
  const std::string described = device.Ctl({"file", photo}).output;
  EXPECT_THAT(described, HasSubstr("location  NONE"));
  EXPECT_THAT(described, HasSubstr("type      IMAGE"));
  const App blind = device.Launch(kBlind, View::kShared);
  const Counts before = device.Count();
  EXPECT_THAT(blind.Read(photo), Reads("no photo, no location"));
  EXPECT_EQ((device.Count() - before).passthrough, 1);
  // Another content voids it.
  ASSERT_TRUE(WriteFile(device.LowerPath(photo), "other"));
  EXPECT_THAT(device.Ctl({"file", photo}).output,
              HasSubstr("location  UNKNOWN"));
  EXPECT_TRUE(device.Stop());
}

}  // namespace
}  // namespace fused::androidtest
