// Apps that are somebody special: by permissions to read media, by roles, and
// by the permissions of old.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// One file of each type, the stranger's, where each type may be.
class RolesTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("Download");
    for (const char* name :
         {"a.jpg", "a.mp4", "a.mp3", "a.m3u", "a.srt", "a.pdf", "a.xyz"}) {
      Given(kStranger, File(name), name);
    }
  }

  std::string File(const char* name) { return absl::StrCat(place_, "/", name); }

  // Reads these, no others, and writes none of all.
  void ExpectReadsOnly(const char* package,
                       const std::set<std::string>& names) {
    const App& app = As(package);
    for (const char* name :
         {"a.jpg", "a.mp4", "a.mp3", "a.m3u", "a.srt", "a.pdf", "a.xyz"}) {
      if (names.count(name) > 0) {
        EXPECT_THAT(app.Read(File(name)), Reads(name)) << package << name;
        EXPECT_THAT(app.Access(File(name), R_OK), Succeeds()) << name;
      } else {
        EXPECT_THAT(app.Open(File(name), O_RDONLY), FailsWith(EACCES))
            << package << name;
        EXPECT_THAT(app.Access(File(name), R_OK), FailsWith(EACCES)) << name;
      }
      EXPECT_THAT(app.Open(File(name), O_WRONLY), FailsWith(EACCES)) << name;
      EXPECT_THAT(app.Open(File(name), O_RDWR), FailsWith(EACCES)) << name;
      EXPECT_THAT(app.Open(File(name), O_RDONLY | O_TRUNC), FailsWith(EACCES))
          << name;
      EXPECT_THAT(app.Unlink(File(name)), FailsWith(EACCES)) << name;
      EXPECT_THAT(app.Rename(File(name), File("b")), FailsWith(EACCES)) << name;
    }
  }

  void ExpectDoesEverythingTo(const char* package, const char* name) {
    const App& app = As(package);
    EXPECT_THAT(app.Read(File(name)), Reads(name)) << package << name;
    EXPECT_THAT(app.Overwrite(File(name), "X"), Succeeds()) << package << name;
    EXPECT_THAT(app.Truncate(File(name), 1), Succeeds()) << package << name;
    EXPECT_THAT(app.SetTimes(File(name), 0), Succeeds()) << package << name;
    const std::string moved = absl::StrCat(place_, "/moved.", name);
    EXPECT_THAT(app.Rename(File(name), moved), Succeeds()) << package << name;
    EXPECT_THAT(app.Read(moved), Reads("X")) << package << name;
    EXPECT_THAT(app.Unlink(moved), Succeeds()) << package << name;
  }

  void ExpectDoesNothingTo(const char* package, const char* name) {
    const App& app = As(package);
    EXPECT_THAT(app.Open(File(name), O_RDONLY), FailsWith(EACCES)) << name;
    EXPECT_THAT(app.Open(File(name), O_WRONLY), FailsWith(EACCES)) << name;
    EXPECT_THAT(app.Unlink(File(name)), FailsWith(EACCES)) << name;
    EXPECT_THAT(app.Rename(File(name), File("b")), FailsWith(EACCES)) << name;
  }

  std::string place_;
};

TEST_P(RolesTest, NobodySpecial) { ExpectReadsOnly(kCamera, {}); }
TEST_P(RolesTest, ReaderOfImagesAndVideo) {
  ExpectReadsOnly(kGallery, {"a.jpg", "a.mp4", "a.srt"});
}
TEST_P(RolesTest, ReaderOfImages) { ExpectReadsOnly(kBlind, {"a.jpg"}); }
TEST_P(RolesTest, ReaderOfVideo) {
  ExpectReadsOnly(kCinema, {"a.mp4", "a.srt"});
}
TEST_P(RolesTest, ReaderOfAudio) {
  ExpectReadsOnly(kMusic, {"a.mp3", "a.m3u", "a.srt"});
}
TEST_P(RolesTest, TheInstallerIsNobodyHere) { ExpectReadsOnly(kInstaller, {}); }

TEST_P(RolesTest, OldPermissionToReadCounts) {
  ExpectReadsOnly(kLastReader, {"a.jpg", "a.mp4", "a.mp3", "a.m3u", "a.srt"});
}
TEST_P(RolesTest, OldPermissionToReadNoLongerCounts) {
  ExpectReadsOnly(kLateReader, {});
}
TEST_P(RolesTest, OldPermissionToWriteNoLongerCounts) {
  ExpectReadsOnly(kLateWriter, {"a.jpg", "a.mp4", "a.mp3", "a.m3u", "a.srt"});
}

TEST_P(RolesTest, OldPermissionToWriteCounts) {
  const App& app = As(kOldReader);
  for (const char* name : {"a.jpg", "a.mp4", "a.mp3"}) {
    EXPECT_THAT(app.Read(File(name)), Reads(name));
    EXPECT_THAT(app.Overwrite(File(name), "X"), Succeeds()) << name;
    EXPECT_THAT(app.Truncate(File(name), 1), Succeeds()) << name;
    EXPECT_THAT(app.SetTimes(File(name), 0), Succeeds()) << name;
    EXPECT_THAT(app.Read(File(name)), Reads("X"));
  }
  EXPECT_THAT(app, SeesNothingAt(DataOf(kCamera)));
}

TEST_P(RolesTest, TheManagerDoesEverything) {
  for (const char* name : {"a.jpg", "a.mp3", "a.pdf", "a.xyz"}) {
    ExpectDoesEverythingTo(kManager, name);
  }
}

TEST_P(RolesTest, MtpAndDownloadsDoEverything) {
  for (const char* name : {"a.jpg", "a.pdf"}) {
    ExpectDoesEverythingTo(kMtp, name);
  }
  for (const char* name : {"a.mp3", "a.xyz"}) {
    ExpectDoesEverythingTo(kDownloads, name);
  }
}

TEST_P(RolesTest, TheSystemGalleryDoesEverythingToItsTypes) {
  for (const char* name : {"a.jpg", "a.mp4"}) {
    ExpectDoesEverythingTo(kSystemGallery, name);
  }
  for (const char* name : {"a.mp3", "a.m3u", "a.srt", "a.pdf", "a.xyz"}) {
    ExpectDoesNothingTo(kSystemGallery, name);
  }
}

TEST_P(RolesTest, RootAndShellDoEverything) {
  for (const uid_t uid : {0, 2000}) {
    const App app = device().LaunchUid(uid);
    const std::string path = File(uid == 0 ? "a.pdf" : "a.mp3");
    EXPECT_THAT(app.Overwrite(path, "X"), Succeeds()) << uid;
    EXPECT_THAT(app.Truncate(path, 1), Succeeds()) << uid;
    EXPECT_THAT(app.Read(path), Reads("X")) << uid;
    EXPECT_THAT(app.Rename(path, path + ".moved"), Succeeds()) << uid;
    EXPECT_THAT(app.Unlink(path + ".moved"), Succeeds()) << uid;
  }
}

class CreatorsTest : public ScopedTest {};

// No type is refused to who may do all.
TEST_P(CreatorsTest, TypesBindNeitherTheManagerNorMtp) {
  const std::string place = Place("DCIM");
  for (const char* package : {kManager, kMtp, kDownloads}) {
    const std::string path = absl::StrCat(place, "/", package, ".mp3");
    EXPECT_THAT(As(package).Create(path, "x"), Succeeds()) << package;
    EXPECT_THAT(As(package).Read(path), Reads("x")) << package;
  }
}

TEST_P(CreatorsTest, TheSystemGalleryPutsPicturesAnywhere) {
  for (const char* collection :
       {"DCIM", "Pictures", "Movies", "Music", "Ringtones", "Download"}) {
    const std::string place = Place(collection);
    EXPECT_THAT(As(kSystemGallery).Create(place + "/a.jpg", "x"), Succeeds())
        << place;
    EXPECT_THAT(As(kSystemGallery).Create(place + "/a.mp4", "x"), Succeeds())
        << place;
  }
  EXPECT_THAT(As(kSystemGallery).Create(Place("DCIM") + "/a.mp3"),
              FailsWith(EPERM));
  EXPECT_THAT(As(kSystemGallery).Create(Place("Movies") + "/a.pdf"),
              FailsWith(EPERM));
}

TEST_P(CreatorsTest, TheSystemGalleryRenamesAlbums) {
  const std::string place = Place("DCIM");
  GivenDirectory(kCamera, place + "/album");
  Given(kCamera, place + "/album/a.jpg", "a");
  Given(kStranger, place + "/album/b.mp4", "b");
  EXPECT_THAT(As(kSystemGallery).Rename(place + "/album", place + "/renamed"),
              Succeeds());
  ASSERT_TRUE(device().Sync());
  // They stay whose they were.
  EXPECT_THAT(As(kCamera).Overwrite(place + "/renamed/a.jpg", "A"), Succeeds());
  EXPECT_THAT(As(kCamera).Open(place + "/renamed/b.mp4", O_WRONLY),
              FailsWith(EACCES));
}

TEST_P(CreatorsTest, TheSystemGalleryDoesNotRenameOthersPapers) {
  const std::string place = Place("Download");
  GivenDirectory(kCamera, place + "/d");
  Given(kCamera, place + "/d/a.jpg");
  Given(kCamera, place + "/d/a.pdf");
  EXPECT_THAT(As(kSystemGallery).Rename(place + "/d", place + "/e"),
              FailsWith(EACCES));
}

TEST_P(CreatorsTest, TheSystemGalleryDoesNotChangeTypesAgainstTheCollection) {
  const std::string place = Place("DCIM");
  Given(kCamera, place + "/a.jpg");
  const App& photos = As(kSystemGallery);
  EXPECT_THAT(photos.Rename(place + "/a.jpg", place + "/a.mp3"),
              FailsWith(EPERM));
  EXPECT_THAT(photos.Rename(place + "/a.jpg", place + "/a.mp4"), Succeeds());
}

// A reader's copy is its own.
TEST_P(CreatorsTest, AReadersCopyIsItsOwn) {
  const std::string place = Place("Pictures");
  Given(kCamera, place + "/a.jpg", "image");
  const Outcome image = As(kGallery).Read(place + "/a.jpg");
  Given(kGallery, place + "/b.jpg", image.data);
  EXPECT_THAT(As(kGallery).Overwrite(place + "/b.jpg", "IMAGE"), Succeeds());
  EXPECT_THAT(As(kCamera).Open(place + "/b.jpg", O_RDONLY), FailsWith(EACCES));
}

// Whoever makes it owns it, special or not.
TEST_P(CreatorsTest, WhatTheManagerMakesIsTheManagers) {
  const std::string place = Place("Pictures");
  Given(kManager, place + "/a.jpg", "image");
  EXPECT_THAT(As(kCamera).Open(place + "/a.jpg", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kGallery).Read(place + "/a.jpg"), Reads("image"));
  EXPECT_THAT(As(kCamera).Unlink(place + "/a.jpg"), FailsWith(EACCES));
}

TEST_P(CreatorsTest, ReadersMayStillMakeTheirOwn) {
  const std::string place = Place("Music");
  Given(kMusic, place + "/a.mp3", "mine");
  EXPECT_THAT(As(kMusic).Overwrite(place + "/a.mp3", "MINE"), Succeeds());
  EXPECT_THAT(As(kMusic).Unlink(place + "/a.mp3"), Succeeds());
}

INSTANTIATE_BOTH_VIEWS(RolesTest);
INSTANTIATE_BOTH_VIEWS(CreatorsTest);

}  // namespace
}  // namespace fused::androidtest
