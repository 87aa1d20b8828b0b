// Pending, trashed and hidden files, as their names say.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

constexpr char kPending[] = "/.pending-1999999999-";
constexpr char kTrashed[] = "/.trashed-1999999999-";

// The cases that pending and trashed files have in common.
class StatesTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("DCIM");
    music_ = Place("Music");
    for (const char* state : {kPending, kTrashed}) {
      Given(kCamera, absl::StrCat(place_, state, "a.jpg"), "image");
      Given(kCamera, absl::StrCat(music_, state, "a.mp3"), "music");
    }
  }

  std::string Image(const char* state) {
    return absl::StrCat(place_, state, "a.jpg");
  }
  std::string Music(const char* state) {
    return absl::StrCat(music_, state, "a.mp3");
  }

  std::string place_;
  std::string music_;
};

TEST_P(StatesTest, TheOwnerDoesEverything) {
  for (const char* state : {kPending, kTrashed}) {
    const std::string path = Image(state);
    EXPECT_THAT(As(kCamera).Overwrite(path, "IMAGE"), Succeeds()) << path;
    EXPECT_THAT(As(kCamera).Read(path), Reads("IMAGE")) << path;
    EXPECT_THAT(As(kCamera).Truncate(path, 0), Succeeds()) << path;
    EXPECT_THAT(As(kCamera).SetTimes(path, 0), Succeeds()) << path;
    EXPECT_THAT(As(kCameraEditor).Open(path, O_RDWR), Opens()) << path;
    EXPECT_THAT(As(kCamera).Unlink(path), Succeeds()) << path;
  }
}

TEST_P(StatesTest, ReadersDoNotRead) {
  for (const char* state : {kPending, kTrashed}) {
    for (const char* package : {kGallery, kBlind, kLastReader, kStranger}) {
      EXPECT_THAT(As(package).Open(Image(state), O_RDONLY), FailsWith(EACCES))
          << package;
    }
    EXPECT_THAT(As(kMusic).Open(Music(state), O_RDONLY), FailsWith(EACCES));
  }
}

TEST_P(StatesTest, OthersDoNotWriteDeleteOrRename) {
  for (const char* state : {kPending, kTrashed}) {
    for (const char* package : {kGallery, kStranger, kInstaller}) {
      const App& app = As(package);
      const std::string path = Image(state);
      EXPECT_THAT(app.Open(path, O_WRONLY), FailsWith(EACCES)) << package;
      EXPECT_THAT(app.Truncate(path, 0), FailsWith(EACCES)) << package;
      EXPECT_THAT(app.Unlink(path), FailsWith(EACCES)) << package;
      EXPECT_THAT(app.Rename(path, place_ + "/mine.jpg"), FailsWith(EACCES))
          << package;
    }
  }
}

TEST_P(StatesTest, OthersSeeThem) {
  for (const char* state : {kPending, kTrashed}) {
    EXPECT_THAT(As(kStranger).Stat(Image(state)), HasSize(5));
    EXPECT_THAT(As(kStranger).Access(Image(state), F_OK), Succeeds());
    EXPECT_THAT(As(kStranger).Access(Image(state), R_OK), FailsWith(EACCES));
  }
  EXPECT_THAT(As(kStranger).List(place_), Lists(testing::SizeIs(2)));
}

TEST_P(StatesTest, TheManagerDoesEverything) {
  for (const char* state : {kPending, kTrashed}) {
    EXPECT_THAT(As(kManager).Overwrite(Music(state), "MUSIC"), Succeeds());
    EXPECT_THAT(As(kManager).Rename(Image(state), place_ + state + "b.jpg"),
                Succeeds());
    EXPECT_THAT(As(kManager).Unlink(place_ + state + "b.jpg"), Succeeds());
  }
}

TEST_P(StatesTest, TheSystemGalleryHasItsTypes) {
  for (const char* state : {kPending, kTrashed}) {
    const App& photos = As(kSystemGallery);
    EXPECT_THAT(photos.Overwrite(Image(state), "IMAGE"), Succeeds());
    EXPECT_THAT(photos.Read(Image(state)), Reads("IMAGE"));
    EXPECT_THAT(photos.Open(Music(state), O_RDONLY), FailsWith(EACCES));
    EXPECT_THAT(photos.Unlink(Music(state)), FailsWith(EACCES));
    EXPECT_THAT(photos.Unlink(Image(state)), Succeeds());
  }
}

TEST_P(StatesTest, PublishedAndRestored) {
  const App& gallery = As(kGallery);
  for (const char* state : {kPending, kTrashed}) {
    const std::string path = place_ + "/b.jpg";
    ASSERT_THAT(As(kCamera).Rename(Image(state), path), Succeeds());
    ASSERT_TRUE(device().Sync());
    EXPECT_THAT(gallery.Read(path), Reads("image"));
    // And away again.
    ASSERT_THAT(As(kCamera).Rename(path, Image(state)), Succeeds());
    ASSERT_TRUE(device().Sync());
    EXPECT_THAT(gallery.Open(Image(state), O_RDONLY), FailsWith(EACCES));
    EXPECT_THAT(gallery.Open(path, O_RDONLY), FailsWith(ENOENT));
  }
}

// It is the name behind the prefix that has the type.
TEST_P(StatesTest, TypesAreThoseOfTheNameBehind) {
  for (const char* state : {kPending, kTrashed}) {
    EXPECT_THAT(As(kStranger).Create(place_ + state + "b.mp3"),
                FailsWith(EPERM));
    EXPECT_THAT(As(kStranger).Create(place_ + state + "b"), FailsWith(EPERM));
    EXPECT_THAT(As(kStranger).Create(place_ + state + "b.mp4"), Succeeds());
  }
}

TEST_P(StatesTest, ADirectoryWithOnesOfOthersStays) {
  for (const char* state : {kPending, kTrashed}) {
    const std::string dir = place_ + "/d";
    GivenDirectory(kStranger, dir);
    Given(kCamera, dir + state + "c.jpg");
    EXPECT_THAT(As(kStranger).Rename(dir, place_ + "/e"), FailsWith(EACCES));
    EXPECT_THAT(As(kStranger).RemoveDirectory(dir), FailsWith(ENOTEMPTY));
    EXPECT_THAT(As(kSystemGallery).Rename(dir, place_ + "/e"), Succeeds());
    ASSERT_TRUE(device().Sync());
    EXPECT_THAT(As(kCamera).Unlink(place_ + "/e" + state + "c.jpg"),
                Succeeds());
    EXPECT_THAT(As(kCamera).RemoveDirectory(place_ + "/e"), Succeeds());
    ASSERT_TRUE(device().Sync());
  }
}

// A prefix without a time is but a hidden name.
TEST_P(StatesTest, NamesThatOnlyLookLikeThem) {
  for (const char* name :
       {"/.pending-a.jpg", "/.pending-12x-a.jpg", "/.trashed--a.jpg"}) {
    const std::string path = place_ + name;
    Given(kCamera, path, "image");
    EXPECT_THAT(As(kCamera).Read(path), Reads("image")) << name;
    EXPECT_THAT(As(kGallery).Open(path, O_RDONLY), FailsWith(EACCES)) << name;
  }
  const std::string shown = place_ + "/pending-1999999999-a.jpg";
  Given(kCamera, shown, "image");
  EXPECT_THAT(As(kGallery).Read(shown), Reads("image"));
}

class HiddenTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("Pictures");
  }

  void ExpectHidden(const std::string& path) {
    for (const char* package : {kGallery, kBlind, kLastReader}) {
      EXPECT_THAT(As(package).Open(path, O_RDONLY), FailsWith(EACCES))
          << path << " " << package;
      EXPECT_THAT(As(package).Stat(path), Succeeds()) << path;
    }
    EXPECT_THAT(As(kCamera).Open(path, O_RDWR), Opens()) << path;
    EXPECT_THAT(As(kManager).Open(path, O_RDWR), Opens()) << path;
    EXPECT_THAT(As(kSystemGallery).Open(path, O_RDWR), Opens()) << path;
  }

  std::string place_;
};

TEST_P(HiddenTest, AFileByItsName) {
  Given(kCamera, place_ + "/.a.jpg", "image");
  ExpectHidden(place_ + "/.a.jpg");
  EXPECT_THAT(As(kStranger).Open(place_ + "/.a.jpg", O_RDONLY),
              FailsWith(EACCES));
}

TEST_P(HiddenTest, AFileByADirectoryAbove) {
  GivenDirectory(kCamera, place_ + "/.d");
  GivenDirectory(kCamera, place_ + "/.d/e");
  Given(kCamera, place_ + "/.d/a.jpg");
  Given(kCamera, place_ + "/.d/e/a.jpg");
  ExpectHidden(place_ + "/.d/a.jpg");
  ExpectHidden(place_ + "/.d/e/a.jpg");
}

TEST_P(HiddenTest, ADotWithinANameHidesNothing) {
  GivenDirectory(kCamera, place_ + "/a.d");
  Given(kCamera, place_ + "/a.d/a..jpg", "image");
  EXPECT_THAT(As(kGallery).Read(place_ + "/a.d/a..jpg"), Reads("image"));
}

// Known to every view by its old place when it goes.
TEST_P(HiddenTest, ADirectoryIsHiddenAndShown) {
  GivenDirectory(kCamera, place_ + "/d");
  GivenDirectory(kCamera, place_ + "/d/e");
  Given(kCamera, place_ + "/d/e/a.jpg", "image");
  EXPECT_THAT(As(kGallery).Read(place_ + "/d/e/a.jpg"), Reads("image"));
  ASSERT_THAT(As(kCamera).Rename(place_ + "/d", place_ + "/.d"), Succeeds());
  ASSERT_TRUE(device().Sync());
  ExpectHidden(place_ + "/.d/e/a.jpg");
  ASSERT_THAT(As(kCamera).Rename(place_ + "/.d", place_ + "/d"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery).Read(place_ + "/d/e/a.jpg"), Reads("image"));
}

TEST_P(HiddenTest, AFileMovedIntoAHiddenDirectory) {
  GivenDirectory(kCamera, place_ + "/.d");
  Given(kCamera, place_ + "/a.jpg", "image");
  EXPECT_THAT(As(kGallery).Read(place_ + "/a.jpg"), Reads("image"));
  ASSERT_THAT(As(kCamera).Rename(place_ + "/a.jpg", place_ + "/.d/a.jpg"),
              Succeeds());
  ASSERT_TRUE(device().Sync());
  ExpectHidden(place_ + "/.d/a.jpg");
  ASSERT_THAT(As(kCamera).Rename(place_ + "/.d/a.jpg", place_ + "/a.jpg"),
              Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery).Read(place_ + "/a.jpg"), Reads("image"));
}

TEST_P(HiddenTest, MusicAndFilmsToo) {
  const std::string music = Place("Music");
  const std::string movies = Place("Movies");
  Given(kCamera, music + "/.a.mp3");
  Given(kCamera, movies + "/.a.mp4");
  EXPECT_THAT(As(kMusic).Open(music + "/.a.mp3", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kCinema).Open(movies + "/.a.mp4", O_RDONLY),
              FailsWith(EACCES));
}

INSTANTIATE_BOTH_VIEWS(StatesTest);
INSTANTIATE_BOTH_VIEWS(HiddenTest);

}  // namespace
}  // namespace fused::androidtest
