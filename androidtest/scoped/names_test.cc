// What a new name may look like: as FAT holds it, in UTF-8, at most 255 bytes;
// and which names the root of the volume takes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::ElementsAre;

class NamesTest : public ScopedTest {
 protected:
  // No way to make a name makes this one, in a directory of a class that any
  // type may go into.
  void ExpectRefused(const std::string& name) {
    for (const std::string& place :
         {Place("Download"), Place(DataOf(kStranger))}) {
      const App& app = As(kStranger);
      const std::string path = absl::StrCat(place, "/", name);
      const std::string good = place + "/good";
      ASSERT_THAT(app.Create(good, "x"), Succeeds());
      EXPECT_THAT(app.Create(path), FailsWith(EPERM)) << path;
      EXPECT_THAT(app.MakeDirectory(path), FailsWith(EPERM)) << path;
      EXPECT_THAT(app.MakeNode(path, S_IFREG | 0600), FailsWith(EPERM)) << path;
      EXPECT_THAT(app.Rename(good, path), FailsWith(EPERM)) << path;
      EXPECT_THAT(app.List(place), Lists(ElementsAre("good"))) << path;
      EXPECT_THAT(app.Unlink(good), Succeeds());
    }
  }

  void ExpectTaken(const std::string& name) {
    const App& app = As(kStranger);
    const std::string place = Place("Download");
    const std::string path = absl::StrCat(place, "/", name);
    EXPECT_THAT(app.Create(path, "x"), Succeeds()) << path;
    EXPECT_THAT(app.Read(path), Reads("x")) << path;
    EXPECT_THAT(app.List(place), Lists(ElementsAre(name))) << path;
    EXPECT_THAT(app.Unlink(path), Succeeds()) << path;
    EXPECT_THAT(app.MakeDirectory(path), Succeeds()) << path;
    EXPECT_THAT(app.RemoveDirectory(path), Succeeds()) << path;
  }
};

TEST_P(NamesTest, FatsForbiddenCharacters) {
  for (const char c : std::string("\"*:<>?\\|")) {
    ExpectRefused(std::string("a") + c + "b");
  }
}

TEST_P(NamesTest, ControlCharacters) {
  for (const char c : {'\1', '\t', '\n', '\r', '\x1f'}) {
    ExpectRefused(std::string("a") + c);
  }
}

TEST_P(NamesTest, ATrailingDot) { ExpectRefused("a."); }
TEST_P(NamesTest, ATrailingSpace) { ExpectRefused("a "); }
TEST_P(NamesTest, DotsAlone) { ExpectRefused("..."); }
TEST_P(NamesTest, ALoneContinuationByte) { ExpectRefused("a\x80"); }
TEST_P(NamesTest, ACutSequence) { ExpectRefused("a\xe2\x82"); }
TEST_P(NamesTest, AnOverlongSequence) { ExpectRefused("a\xc0\xaf"); }
TEST_P(NamesTest, ASurrogate) { ExpectRefused("a\xed\xa0\x80"); }
TEST_P(NamesTest, BeyondUnicode) { ExpectRefused("a\xf4\x90\x80\x80"); }
TEST_P(NamesTest, TwoHundredAndFiftySixBytes) {
  ExpectRefused(std::string(256, 'a'));
}
// In bytes, not in characters.
TEST_P(NamesTest, MoreBytesThanCharacters) {
  std::string name;
  for (int i = 0; i < 86; ++i) name += "\xe2\x82\xac";
  ExpectRefused(name);
}

TEST_P(NamesTest, TwoHundredAndFiftyFiveBytes) {
  ExpectTaken(std::string(255, 'a'));
}
TEST_P(NamesTest, OtherScripts) {
  ExpectTaken("\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82");
  ExpectTaken("\xe5\x86\x99\xe7\x9c\x9f \xf0\x9f\x93\xb7");
}
TEST_P(NamesTest, PunctuationThatFatHolds) {
  ExpectTaken("~!@#$%^&()_+-=[]{};',.`");
}
TEST_P(NamesTest, SpacesWithin) { ExpectTaken("a  b c"); }
TEST_P(NamesTest, DotsWithin) { ExpectTaken("a..b.c"); }

// What those may not do who may do everything else.
TEST_P(NamesTest, RolesDoNotMakeNamesGood) {
  const std::string place = Place("Pictures");
  for (const char* package : {kManager, kSystemGallery}) {
    EXPECT_THAT(As(package).Create(place + "/a?.jpg"), FailsWith(EPERM))
        << package;
    EXPECT_THAT(As(package).MakeDirectory(place + "/a:"), FailsWith(EPERM))
        << package;
  }
}

// What is there already under such a name may be seen, and taken away by who
// may write it.
TEST_P(NamesTest, AForeignNameMayBeMendedByTheManager) {
  const std::string place = Place("Download");
  Plant(place + "/a?b.txt", "old");
  EXPECT_THAT(As(kStranger).List(place), Lists(ElementsAre("a?b.txt")));
  EXPECT_THAT(As(kStranger).Stat(place + "/a?b.txt"), HasSize(3));
  EXPECT_THAT(As(kManager).Rename(place + "/a?b.txt", place + "/ab.txt"),
              Succeeds());
  EXPECT_THAT(As(kManager).Read(place + "/ab.txt"), Reads("old"));
}

class TopLevelTest : public ScopedTest {};

TEST_P(TopLevelTest, NoFilesForAnApp) {
  for (const char* package : {kStranger, kGallery, kInstaller, kOldReader}) {
    EXPECT_THAT(As(package).Create(Own() + ".jpg"), FailsWith(EPERM))
        << package;
    EXPECT_THAT(As(package).MakeNode(Own() + ".jpg", S_IFREG | 0600),
                FailsWith(EPERM))
        << package;
  }
  EXPECT_THAT(As(kStranger).Stat(Own() + ".jpg"), FailsWith(ENOENT));
}

TEST_P(TopLevelTest, FilesForTheManagerAndPrivilegedRoles) {
  for (const char* package : {kManager, kMtp, kDownloads}) {
    const std::string path = Own() + ".txt";
    EXPECT_THAT(As(package).Create(path, "x"), Succeeds()) << package;
    ASSERT_TRUE(device().Sync());
    EXPECT_THAT(As(kStranger).Stat(path), HasSize(1)) << package;
    EXPECT_THAT(As(kStranger).Open(path, O_RDONLY), FailsWith(EACCES));
    EXPECT_THAT(As(package).Unlink(path), Succeeds()) << package;
    ASSERT_TRUE(device().Sync());
  }
}

TEST_P(TopLevelTest, DefaultDirectoriesAreMadeAgain) {
  for (const char* name : {"Alarms", "Audiobooks", "DCIM", "Documents",
                           "Download", "Movies", "Music", "Notifications",
                           "Pictures", "Podcasts", "Recordings", "Ringtones"}) {
    EXPECT_THAT(As(kStranger).MakeDirectory(name), FailsWith(EEXIST)) << name;
    // An app may not take one away, empty or not.
    EXPECT_THAT(As(kStranger).RemoveDirectory(name), FailsWith(EACCES)) << name;
    ASSERT_THAT(As(kManager).RemoveDirectory(name), Succeeds()) << name;
    ASSERT_TRUE(device().Sync());
    EXPECT_THAT(As(kStranger).Stat(name), FailsWith(ENOENT)) << name;
    EXPECT_THAT(As(kStranger).MakeDirectory(name), Succeeds()) << name;
    ASSERT_TRUE(device().Sync());
  }
}

TEST_P(TopLevelTest, NoOtherDirectories) {
  for (const char* package :
       {kStranger, kGallery, kSystemGallery, kInstaller, kOldReader}) {
    EXPECT_THAT(As(package).MakeDirectory(Own()), FailsWith(EPERM)) << package;
  }
}

TEST_P(TopLevelTest, NothingIsMovedToTheRoot) {
  const std::string place = Place("Documents");
  Given(kStranger, place + "/a.txt");
  GivenDirectory(kStranger, place + "/d");
  EXPECT_THAT(As(kStranger).Rename(place + "/a.txt", Own() + ".txt"),
              FailsWith(EPERM));
  EXPECT_THAT(As(kStranger).Rename(place + "/d", Own()), FailsWith(EPERM));
  EXPECT_THAT(As(kManager).Rename(place + "/a.txt", Own() + ".txt"),
              Succeeds());
  EXPECT_THAT(As(kManager).Rename(place + "/d", Own()), Succeeds());
}

TEST_P(TopLevelTest, NoDefaultDirectoryIsMovedByAnApp) {
  for (const char* package : {kStranger, kGallery, kInstaller}) {
    EXPECT_THAT(As(package).Rename("Alarms", "Music/" + Own()),
                FailsWith(EACCES))
        << package;
  }
  EXPECT_THAT(As(kStranger).Stat("Alarms"), Succeeds());
}

TEST_P(TopLevelTest, TheManagerMovesDefaultDirectoriesButNotAndroid) {
  const App& manager = As(kManager);
  EXPECT_THAT(manager.Rename("Ringtones", Own()), Succeeds());
  EXPECT_THAT(manager.Rename(Own(), "Ringtones"), Succeeds());
  EXPECT_THAT(manager.Rename("Android", Own()), FailsWith(EPERM));
  EXPECT_THAT(manager.RemoveDirectory("Android"), FailsWith(EPERM));
  EXPECT_THAT(As(kStranger).Rename("Android", "Music/" + Own()),
              FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).RemoveDirectory("Android"), FailsWith(EACCES));
  ASSERT_TRUE(device().Sync());
}

// A place of the manager's making is nobody's to write to.
TEST_P(TopLevelTest, OtherTopLevelDirectories) {
  const App& manager = As(kManager);
  const App& app = As(kStranger);
  const std::string d = Own();
  ASSERT_THAT(manager.MakeDirectory(d), Succeeds());
  ASSERT_THAT(manager.Create(d + "/a.txt", "text"), Succeeds());
  ASSERT_THAT(manager.Create(d + "/a.jpg", "image"), Succeeds());
  ASSERT_THAT(manager.MakeDirectory(d + "/empty"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(app.List(d), Lists(ElementsAre("a.jpg", "a.txt", "empty")));
  EXPECT_THAT(app.Stat(d + "/a.txt"), HasSize(4));
  EXPECT_THAT(app.Create(d + "/b.txt"), FailsWith(EPERM));
  EXPECT_THAT(app.MakeDirectory(d + "/b"), FailsWith(EPERM));
  EXPECT_THAT(app.RemoveDirectory(d + "/empty"), FailsWith(EACCES));
  EXPECT_THAT(app.Rename(d + "/empty", "Download/" + d), FailsWith(EACCES));
  EXPECT_THAT(app.RemoveDirectory(d), FailsWith(EACCES));
}

TEST_P(TopLevelTest, FilesInOtherTopLevelDirectories) {
  const App& manager = As(kManager);
  const std::string d = Own();
  ASSERT_THAT(manager.MakeDirectory(d), Succeeds());
  ASSERT_THAT(manager.Create(d + "/a.txt", "text"), Succeeds());
  ASSERT_THAT(manager.Create(d + "/a.jpg", "image"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kStranger).Open(d + "/a.txt", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Open(d + "/a.jpg", O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Unlink(d + "/a.txt"), FailsWith(EACCES));
  EXPECT_THAT(As(kGallery).Read(d + "/a.jpg"), Reads("image"));
  EXPECT_THAT(As(kGallery).Open(d + "/a.txt", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kMusic).Open(d + "/a.jpg", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kSystemGallery).Open(d + "/a.jpg", O_RDWR), Opens());
  EXPECT_THAT(As(kSystemGallery).Open(d + "/a.txt", O_RDWR), FailsWith(EACCES));
  EXPECT_THAT(As(kSystemGallery).MakeDirectory(d + "/new"), FailsWith(EPERM));
  EXPECT_THAT(As(kSystemGallery).Create(d + "/b.jpg"), Succeeds());
}

// What was moved there stays its owner's.
TEST_P(TopLevelTest, AnOwnersFileInAnotherTopLevelDirectory) {
  const std::string d = Own();
  const std::string place = Place("Download");
  Given(kStranger, place + "/a.bin", "own");
  ASSERT_THAT(As(kManager).MakeDirectory(d), Succeeds());
  ASSERT_THAT(As(kManager).Rename(place + "/a.bin", d + "/a.bin"), Succeeds());
  ASSERT_TRUE(device().Sync());
  const App& app = As(kStranger);
  EXPECT_THAT(app.Read(d + "/a.bin"), Reads("own"));
  EXPECT_THAT(app.Overwrite(d + "/a.bin", "OWN"), Succeeds());
  EXPECT_THAT(app.Rename(d + "/a.bin", d + "/b.bin"), FailsWith(EPERM));
  EXPECT_THAT(app.Rename(d + "/a.bin", place + "/b.bin"), Succeeds());
  EXPECT_THAT(app.Unlink(place + "/b.bin"), Succeeds());
}

INSTANTIATE_BOTH_VIEWS(NamesTest);
INSTANTIATE_BOTH_VIEWS(TopLevelTest);

}  // namespace
}  // namespace fused::androidtest
