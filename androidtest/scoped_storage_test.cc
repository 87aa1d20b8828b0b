// The built-in policy, as apps meet it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;
using testing::UnorderedElementsAre;

std::string Private(const char* package, const std::string& name = "") {
  return absl::StrCat("Android/data/", package, name.empty() ? "" : "/", name);
}

class ScopedStorageTest : public BothViewsTest {
 protected:
  void SetUp() override {
    BothViewsTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    // For somebody to make.
    ASSERT_EQ(rmdir(device_.LowerPath("Podcasts").c_str()), 0);
    ASSERT_TRUE(device_.Start());
  }

  App Launch(const char* package) { return device_.Launch(package, view()); }

  Device device_{{.packages = StandardPackages()}};
};

TEST_P(ScopedStorageTest, APrivateDirectoryIsItsAppsAlone) {
  const App camera = Launch(kCamera);
  const std::string file = Private(kCamera, "files/a.txt");
  EXPECT_THAT(camera.Create(file, "own"), Succeeds());
  EXPECT_THAT(camera.MakeDirectory(Private(kCamera, "cache")), Succeeds());
  EXPECT_THAT(camera.Rename(file, Private(kCamera, "cache/b")), Succeeds());
  EXPECT_THAT(camera.List(Private(kCamera)),
              Lists(UnorderedElementsAre("cache", "files")));
  EXPECT_THAT(camera.Read(Private(kCamera, "cache/b")), Reads("own"));
  ASSERT_TRUE(device_.Sync());
  for (const char* package : {kGallery, kMusic, kStranger, kManager,
                              kSystemGallery, kInstaller, kOldReader}) {
    const App app = Launch(package);
    EXPECT_THAT(app, SeesNothingAt(Private(kCamera))) << package;
    EXPECT_THAT(app, SeesNothingAt(Private(kCamera, "cache/b"))) << package;
  }
  EXPECT_THAT(camera.Read(Private(kCamera, "cache/b")), Reads("own"));
}

// Nor can an app tell whether another is installed.
TEST_P(ScopedStorageTest, WhatIsThereAndWhatIsNotLookAlike) {
  const App stranger = Launch(kStranger);
  EXPECT_THAT(stranger, SeesNothingAt(Private(kCamera)));
  EXPECT_THAT(stranger, SeesNothingAt(Private("com.not.installed")));
  EXPECT_THAT(stranger, SeesNothingAt(Private(kCamera, "files")));
  EXPECT_THAT(stranger, SeesNothingAt(Private("com.not.installed", "files")));
  EXPECT_THAT(stranger.List("Android/data"), FailsWith(EACCES));
  EXPECT_THAT(stranger.List("Android/obb"), FailsWith(EACCES));
  EXPECT_THAT(stranger.Stat("Android/data"), Succeeds());
  // Its own it may make anew; another's it may not, as if there were no place.
  EXPECT_THAT(stranger.MakeDirectory(absl::StrCat("Android/obb/", kStranger)),
              Succeeds());
  EXPECT_THAT(stranger.MakeDirectory(absl::StrCat("Android/obb/", kCamera)),
              FailsWith(ENOENT));
  EXPECT_THAT(stranger.Create("Android/data/file.txt"), FailsWith(ENOENT));
}

// What an app is told does not depend on who asked before it.
TEST_P(ScopedStorageTest, OneAppsLookupIsNotAnothers) {
  const App camera = Launch(kCamera);
  const App stranger = Launch(kStranger);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(camera.Stat(Private(kCamera)), Succeeds());
    EXPECT_THAT(stranger.Stat(Private(kCamera)), FailsWith(ENOENT));
    EXPECT_THAT(stranger.Stat(Private(kStranger)), Succeeds());
    EXPECT_THAT(camera.Stat(Private(kStranger)), FailsWith(ENOENT));
  }
}

TEST_P(ScopedStorageTest, TheInstallerHasAllOfObb) {
  ASSERT_TRUE(WriteFile(
      device_.LowerPath(absl::StrCat("Android/obb/", kCamera, "/main.obb")),
      "obb"));
  const App installer = Launch(kInstaller);
  const std::string obb = absl::StrCat("Android/obb/", kCamera, "/main.obb");
  EXPECT_THAT(installer.Read(obb), Reads("obb"));
  EXPECT_THAT(installer.List("Android/obb"), Lists(ElementsAre(kCamera)));
  EXPECT_THAT(Launch(kCamera).Read(obb), Reads("obb"));
  EXPECT_THAT(Launch(kStranger), SeesNothingAt(obb));
}

TEST_P(ScopedStorageTest, CollectionsTakeTheirTypes) {
  const App app = Launch(kStranger);
  struct Case {
    const char* path;
    bool taken;
  };
  for (const auto& [path, taken] : {
           Case{"DCIM/a.jpg", true},      Case{"DCIM/a.mp4", true},
           Case{"DCIM/A.JPG", true},      Case{"DCIM/a.mp3", false},
           Case{"DCIM/a.txt", false},     Case{"DCIM/a", false},
           Case{"Pictures/a.png", true},  Case{"Pictures/a.pdf", false},
           Case{"Movies/a.mp4", true},    Case{"Movies/a.srt", true},
           Case{"Movies/a.jpg", false},   Case{"Music/a.mp3", true},
           Case{"Music/a.m3u", true},     Case{"Music/a.mp4", false},
           Case{"Ringtones/a.ogg", true}, Case{"Ringtones/a.jpg", false},
           Case{"Download/a.txt", true},  Case{"Download/a", true},
           Case{"Documents/a.jpg", true}, Case{"a.jpg", false},
           Case{"Own/a.jpg", false},
       }) {
    const Outcome outcome = app.Create(path, "x");
    if (taken) {
      EXPECT_THAT(outcome, Succeeds()) << path;
      EXPECT_THAT(app.Read(path), Reads("x")) << path;
    } else if (std::string_view(path) == "Own/a.jpg") {
      // Its parent is not there.
      EXPECT_THAT(outcome, Fails()) << path;
    } else {
      EXPECT_THAT(outcome, FailsWith(EPERM)) << path;
    }
  }
}

TEST_P(ScopedStorageTest, OthersFilesAreSeenAndNotRead) {
  const App camera = Launch(kCamera);
  ASSERT_THAT(camera.Create("DCIM/a.jpg", "image"), Succeeds());
  ASSERT_THAT(camera.Create("DCIM/a.mp4", "video"), Succeeds());
  ASSERT_THAT(camera.Create("Download/a.pdf", "paper"), Succeeds());
  ASSERT_THAT(camera.Create("Music/a.mp3", "music"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const App stranger = Launch(kStranger);
  for (const char* path :
       {"DCIM/a.jpg", "DCIM/a.mp4", "Download/a.pdf", "Music/a.mp3"}) {
    EXPECT_THAT(stranger.Stat(path), HasSize(5)) << path;
    EXPECT_THAT(stranger.Open(path, O_RDONLY), FailsWith(EACCES)) << path;
    EXPECT_THAT(stranger.Open(path, O_WRONLY), FailsWith(EACCES)) << path;
    EXPECT_THAT(stranger.Unlink(path), FailsWith(EACCES)) << path;
    EXPECT_THAT(stranger.Rename(path, "Download/b"), FailsWith(EACCES)) << path;
    EXPECT_THAT(stranger.Access(path, F_OK), Succeeds()) << path;
    EXPECT_THAT(stranger.Access(path, R_OK), FailsWith(EACCES)) << path;
    EXPECT_THAT(stranger.Access(path, W_OK), FailsWith(EACCES)) << path;
    EXPECT_THAT(camera.Access(path, R_OK | W_OK), Succeeds()) << path;
  }
  EXPECT_THAT(stranger.List("DCIM"), Lists(ElementsAre("a.jpg", "a.mp4")));
  EXPECT_THAT(stranger.Create("DCIM/a.jpg"), FailsWith(EEXIST));

  const App gallery = Launch(kGallery);
  EXPECT_THAT(gallery.Read("DCIM/a.jpg"), Reads("image"));
  EXPECT_THAT(gallery.Read("DCIM/a.mp4"), Reads("video"));
  EXPECT_THAT(gallery.Read("Download/a.pdf"), FailsWith(EACCES));
  EXPECT_THAT(gallery.Read("Music/a.mp3"), FailsWith(EACCES));
  EXPECT_THAT(gallery.Unlink("DCIM/a.jpg"), FailsWith(EACCES));

  const App music = Launch(kMusic);
  EXPECT_THAT(music.Read("Music/a.mp3"), Reads("music"));
  EXPECT_THAT(music.Read("DCIM/a.jpg"), FailsWith(EACCES));

  const App system_gallery = Launch(kSystemGallery);
  EXPECT_THAT(system_gallery.Overwrite("DCIM/a.jpg", "IMAGE"), Succeeds());
  EXPECT_THAT(system_gallery.Open("Download/a.pdf", O_RDWR), FailsWith(EACCES));

  const App manager = Launch(kManager);
  EXPECT_THAT(manager.Read("Download/a.pdf"), Reads("paper"));
  EXPECT_THAT(manager.Overwrite("Music/a.mp3", "MUSIC"), Succeeds());
  EXPECT_THAT(manager.Rename("DCIM/a.mp4", "Movies/b.mp4"), Succeeds());
  EXPECT_THAT(manager.Unlink("Download/a.pdf"), Succeeds());
}

TEST_P(ScopedStorageTest, OldPermissionsCountForOldApps) {
  ASSERT_THAT(Launch(kCamera).Create("DCIM/a.jpg", "image"), Succeeds());
  ASSERT_THAT(Launch(kCamera).Create("Music/a.mp3", "music"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const App old = Launch(kOldReader);
  EXPECT_THAT(old.Read("DCIM/a.jpg"), Reads("image"));
  EXPECT_THAT(old.Read("Music/a.mp3"), Reads("music"));
  EXPECT_THAT(old.Overwrite("DCIM/a.jpg", "IMAGE"), Succeeds());
}

TEST_P(ScopedStorageTest, TheOwnerIsWhoMadeIt) {
  const App camera = Launch(kCamera);
  const App stranger = Launch(kStranger);
  ASSERT_THAT(camera.Create("Download/a.bin", "a"), Succeeds());
  EXPECT_THAT(camera.Open("Download/a.bin", O_RDWR), Opens());
  EXPECT_THAT(camera.Truncate("Download/a.bin", 0), Succeeds());
  EXPECT_THAT(camera.Rename("Download/a.bin", "Documents/b.bin"), Succeeds());
  EXPECT_THAT(camera.Overwrite("Documents/b.bin", "b"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(stranger.Open("Documents/b.bin", O_RDWR), FailsWith(EACCES));
  // The name that it left belongs to who takes it.
  ASSERT_THAT(stranger.Create("Download/a.bin", "mine"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(stranger.Read("Download/a.bin"), Reads("mine"));
  EXPECT_THAT(camera.Read("Download/a.bin"), FailsWith(EACCES));
  EXPECT_THAT(camera.Unlink("Documents/b.bin"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  ASSERT_THAT(stranger.Create("Documents/b.bin", "mine too"), Succeeds());
  EXPECT_THAT(camera.Read("Documents/b.bin"), FailsWith(EACCES));
  // A file of nobody's.
  ASSERT_TRUE(WriteFile(device_.LowerPath("Download/planted.bin"), "x"));
  EXPECT_THAT(camera.Stat("Download/planted.bin"), Succeeds());
  EXPECT_THAT(camera.Read("Download/planted.bin"), FailsWith(EACCES));
}

// Made in one view, owned in the other.
TEST_P(ScopedStorageTest, OwnershipIsTheSameInBothViews) {
  const App here = Launch(kCamera);
  const App there = device_.Launch(
      kCamera, view() == View::kApp ? View::kShared : View::kApp);
  ASSERT_THAT(here.Create("Download/a.bin", "a"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(there.Read("Download/a.bin"), Reads("a"));
  EXPECT_THAT(there.Overwrite("Download/a.bin", "b"), Succeeds());
  EXPECT_THAT(there.Unlink("Download/a.bin"), Succeeds());
}

TEST_P(ScopedStorageTest, DirectoriesBelowACollectionAreEverybodys) {
  const App camera = Launch(kCamera);
  const App stranger = Launch(kStranger);
  EXPECT_THAT(camera.MakeDirectory("DCIM/Camera"), Succeeds());
  EXPECT_THAT(camera.MakeDirectory("DCIM/Camera/trip"), Succeeds());
  EXPECT_THAT(camera.Create("DCIM/Camera/trip/a.jpg", "a"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(stranger.RemoveDirectory("DCIM/Camera/trip"),
              FailsWith(ENOTEMPTY));
  // A directory goes where every file in it may go.
  EXPECT_THAT(stranger.Rename("DCIM/Camera/trip", "DCIM/stolen"),
              FailsWith(EACCES));
  EXPECT_THAT(camera.Rename("DCIM/Camera/trip", "DCIM/moved"), Succeeds());
  EXPECT_THAT(camera.Read("DCIM/moved/a.jpg"), Reads("a"));
  ASSERT_THAT(camera.Unlink("DCIM/moved/a.jpg"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(stranger.RemoveDirectory("DCIM/moved"), Succeeds());
}

TEST_P(ScopedStorageTest, TheRootTakesDefaultDirectoriesAlone) {
  const App app = Launch(kStranger);
  EXPECT_THAT(app.MakeDirectory("Own"), FailsWith(EPERM));
  EXPECT_THAT(app.Create("note.txt"), FailsWith(EPERM));
  EXPECT_THAT(app.MakeDirectory("Podcasts"), Succeeds());
  EXPECT_THAT(app.MakeDirectory("Podcasts"), FailsWith(EEXIST));
  EXPECT_THAT(app.Create("Podcasts/a.mp3", "x"), Succeeds());
  EXPECT_THAT(app.Rename("DCIM", "Own"), Fails());
  EXPECT_THAT(app.RemoveDirectory("Android"), Fails());
  const App manager = Launch(kManager);
  EXPECT_THAT(manager.Rename("Android", "Robot"), FailsWith(EPERM));
  EXPECT_THAT(manager.MakeDirectory("Own"), Succeeds());
  EXPECT_THAT(manager.Create("Own/a.txt", "x"), Succeeds());
}

TEST_P(ScopedStorageTest, PendingAndTrashedFilesAreTheirOwners) {
  const App camera = Launch(kCamera);
  const std::string pending = "DCIM/.pending-1999999999-a.jpg";
  const std::string trashed = "DCIM/.trashed-1999999999-b.jpg";
  ASSERT_THAT(camera.Create(pending, "p"), Succeeds());
  ASSERT_THAT(camera.Create(trashed, "t"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const App gallery = Launch(kGallery);
  for (const std::string& path : {pending, trashed}) {
    EXPECT_THAT(camera.Open(path, O_RDWR), Opens()) << path;
    EXPECT_THAT(gallery.Read(path), FailsWith(EACCES)) << path;
    EXPECT_THAT(Launch(kManager).Open(path, O_RDWR), Opens()) << path;
    EXPECT_THAT(Launch(kSystemGallery).Open(path, O_RDWR), Opens()) << path;
  }
  ASSERT_THAT(camera.Rename(pending, "DCIM/a.jpg"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(gallery.Read("DCIM/a.jpg"), Reads("p"));
}

TEST_P(ScopedStorageTest, HiddenFilesAreNoMedia) {
  const App camera = Launch(kCamera);
  ASSERT_THAT(camera.Create("Pictures/.hidden.jpg", "h"), Succeeds());
  ASSERT_THAT(camera.MakeDirectory("Pictures/.dir"), Succeeds());
  ASSERT_THAT(camera.Create("Pictures/.dir/a.jpg", "h"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const App gallery = Launch(kGallery);
  EXPECT_THAT(gallery.Read("Pictures/.hidden.jpg"), FailsWith(EACCES));
  EXPECT_THAT(gallery.Read("Pictures/.dir/a.jpg"), FailsWith(EACCES));
  EXPECT_THAT(camera.Read("Pictures/.dir/a.jpg"), Reads("h"));
}

// A listing leaves out what may not be seen.
TEST_P(ScopedStorageTest, ListingsLeaveOutWhatMayNotBeSeen) {
  const App root = device_.LaunchUid(0);
  EXPECT_THAT(root.List("Android/data"),
              Lists(testing::SizeIs(StandardPackages().size())));
  EXPECT_THAT(Launch(kStranger).List("Android"),
              Lists(ElementsAre("data", "media", "obb")));
  const App manager = Launch(kManager);
  const Outcome listing = manager.List("Android/data");
  if (listing.ok()) {
    EXPECT_THAT(listing.names, Not(Contains(std::string(kCamera))));
  }
}

// Many names come in several answers.
TEST_P(ScopedStorageTest, LongListingsAreWhole) {
  const App camera = Launch(kCamera);
  const int count = 1500;
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(WriteFile(
        device_.LowerPath(absl::StrCat(
            "Pictures/a file with a rather long name, number ", i, ".jpg")),
        ""));
  }
  EXPECT_THAT(camera.List("Pictures"), Lists(testing::SizeIs(count)));
  EXPECT_THAT(camera.List("Pictures"),
              Lists(Contains("a file with a rather long name, number "
                             "1499.jpg")));
}

INSTANTIATE_BOTH_VIEWS(ScopedStorageTest);

}  // namespace
}  // namespace fused::androidtest
