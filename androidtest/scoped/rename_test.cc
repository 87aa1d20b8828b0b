// Renames, of every kind: judged as the removal of the old name, the creation
// of the new one, and the removal of what is replaced.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
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

using testing::ElementsAre;

class RenameTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    dcim_ = Place("DCIM");
    download_ = Place("Download");
  }

  Outcome Rename(const std::string& from, const std::string& to,
                 unsigned flags = 0) {
    return As(kStranger).Rename(from, to, flags);
  }

  std::string dcim_;
  std::string download_;
};

TEST_P(RenameTest, AFileInItsDirectory) {
  Given(kStranger, dcim_ + "/a.jpg", "a");
  EXPECT_THAT(Rename(dcim_ + "/a.jpg", dcim_ + "/b.jpg"), Succeeds());
  EXPECT_THAT(As(kStranger).Read(dcim_ + "/b.jpg"), Reads("a"));
  EXPECT_THAT(As(kStranger).Stat(dcim_ + "/a.jpg"), FailsWith(ENOENT));
  EXPECT_THAT(As(kStranger).List(dcim_), Lists(ElementsAre("b.jpg")));
}

TEST_P(RenameTest, AFileToAnotherDirectory) {
  GivenDirectory(kCamera, dcim_ + "/d");
  Given(kStranger, dcim_ + "/a.jpg", "a");
  EXPECT_THAT(Rename(dcim_ + "/a.jpg", dcim_ + "/d/a.jpg"), Succeeds());
  EXPECT_THAT(As(kStranger).Read(dcim_ + "/d/a.jpg"), Reads("a"));
  EXPECT_THAT(As(kStranger).List(dcim_), Lists(ElementsAre("d")));
}

TEST_P(RenameTest, AFileToAnotherCollection) {
  const std::string movies = Place("Movies");
  Given(kStranger, dcim_ + "/a.mp4", "video");
  Given(kStranger, dcim_ + "/a.jpg", "image");
  EXPECT_THAT(Rename(dcim_ + "/a.mp4", movies + "/a.mp4"), Succeeds());
  EXPECT_THAT(Rename(dcim_ + "/a.jpg", movies + "/a.jpg"), FailsWith(EPERM));
  EXPECT_THAT(As(kStranger).Read(movies + "/a.mp4"), Reads("video"));
  EXPECT_THAT(As(kStranger).Read(dcim_ + "/a.jpg"), Reads("image"));
}

TEST_P(RenameTest, ToRingtones) {
  const std::string music = Place("Music");
  const std::string ringtones = Place("Ringtones");
  Given(kStranger, music + "/a.mp3", "a");
  Given(kStranger, music + "/a.m3u", "list");
  EXPECT_THAT(Rename(music + "/a.mp3", ringtones + "/a.mp3"), Succeeds());
  EXPECT_THAT(Rename(music + "/a.m3u", ringtones + "/a.m3u"), FailsWith(EPERM));
}

TEST_P(RenameTest, ATypeThatTheDirectoryTakes) {
  Given(kStranger, dcim_ + "/a.jpg", "a");
  EXPECT_THAT(Rename(dcim_ + "/a.jpg", dcim_ + "/a.png"), Succeeds());
  EXPECT_THAT(Rename(dcim_ + "/a.png", dcim_ + "/a.mp4"), Succeeds());
  ASSERT_TRUE(device().Sync());
  // Its type is now that of its name.
  EXPECT_THAT(As(kCinema).Read(dcim_ + "/a.mp4"), Reads("a"));
  EXPECT_THAT(As(kMusic).Open(dcim_ + "/a.mp4", O_RDONLY), FailsWith(EACCES));
}

TEST_P(RenameTest, ATypeThatTheDirectoryDoesNotTake) {
  Given(kStranger, dcim_ + "/a.jpg", "a");
  for (const char* name : {"/a.mp3", "/a.txt", "/a", "/jpg"}) {
    EXPECT_THAT(Rename(dcim_ + "/a.jpg", dcim_ + name), FailsWith(EPERM))
        << name;
  }
  EXPECT_THAT(As(kStranger).List(dcim_), Lists(ElementsAre("a.jpg")));
}

TEST_P(RenameTest, OntoOnesOwn) {
  Given(kStranger, download_ + "/a", "a");
  Given(kStranger, download_ + "/b", "b");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b"), Succeeds());
  EXPECT_THAT(As(kStranger).Read(download_ + "/b"), Reads("a"));
  EXPECT_THAT(As(kStranger).List(download_), Lists(ElementsAre("b")));
}

TEST_P(RenameTest, OntoAnothers) {
  Given(kStranger, download_ + "/a", "a");
  Given(kCamera, download_ + "/b", "b");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b"), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Read(download_ + "/a"), Reads("a"));
  EXPECT_THAT(As(kCamera).Read(download_ + "/b"), Reads("b"));
}

TEST_P(RenameTest, OntoItself) {
  Given(kStranger, download_ + "/a", "a");
  Given(kCamera, download_ + "/b", "b");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/a"), Succeeds());
  EXPECT_THAT(As(kStranger).Read(download_ + "/a"), Reads("a"));
}

TEST_P(RenameTest, AnothersFile) {
  Given(kCamera, download_ + "/a", "a");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b"), FailsWith(EACCES));
  // Its being readable does not help.
  Given(kCamera, dcim_ + "/a.jpg", "a");
  EXPECT_THAT(As(kGallery).Rename(dcim_ + "/a.jpg", dcim_ + "/b.jpg"),
              FailsWith(EACCES));
}

TEST_P(RenameTest, UnlessThere) {
  Given(kStranger, download_ + "/a", "a");
  Given(kCamera, download_ + "/b", "b");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b", RENAME_NOREPLACE),
              FailsWith(EEXIST));
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/c", RENAME_NOREPLACE),
              Succeeds());
  EXPECT_THAT(As(kStranger).List(download_), Lists(ElementsAre("b", "c")));
}

TEST_P(RenameTest, ExchangeOfOnesOwn) {
  Given(kStranger, download_ + "/a", "a");
  Given(kStranger, download_ + "/b", "b");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b", RENAME_EXCHANGE),
              Succeeds());
  EXPECT_THAT(As(kStranger).Read(download_ + "/a"), Reads("b"));
  EXPECT_THAT(As(kStranger).Read(download_ + "/b"), Reads("a"));
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/none", RENAME_EXCHANGE),
              FailsWith(ENOENT));
}

TEST_P(RenameTest, ExchangeWithAnothers) {
  Given(kStranger, download_ + "/a", "a");
  Given(kCamera, download_ + "/b", "b");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b", RENAME_EXCHANGE),
              FailsWith(EACCES));
  EXPECT_THAT(Rename(download_ + "/b", download_ + "/a", RENAME_EXCHANGE),
              FailsWith(EACCES));
}

// Judged both ways: what comes in return must fit too.
TEST_P(RenameTest, ExchangeOfTypes) {
  Given(kStranger, dcim_ + "/a.jpg", "image");
  Given(kStranger, download_ + "/b.jpg", "other");
  EXPECT_THAT(Rename(dcim_ + "/a.jpg", download_ + "/b.jpg", RENAME_EXCHANGE),
              Succeeds());
  EXPECT_THAT(As(kStranger).Read(dcim_ + "/a.jpg"), Reads("other"));
  // Of names and directories it is the name that has the type.
  GivenDirectory(kStranger, download_ + "/d");
  Given(kStranger, download_ + "/d/c.pdf", "paper");
  GivenDirectory(kStranger, dcim_ + "/d");
  EXPECT_THAT(Rename(download_ + "/d", dcim_ + "/d", RENAME_EXCHANGE),
              FailsWith(EPERM));
  EXPECT_THAT(Rename(dcim_ + "/d", download_ + "/d", RENAME_EXCHANGE),
              FailsWith(EPERM));
}

TEST_P(RenameTest, NoWhiteouts) {
  Given(kStranger, download_ + "/a", "a");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b", RENAME_WHITEOUT),
              Fails());
  EXPECT_THAT(As(kStranger).List(download_), Lists(ElementsAre("a")));
}

TEST_P(RenameTest, WhatIsNotThere) {
  Given(kStranger, download_ + "/a", "a");
  EXPECT_THAT(Rename(download_ + "/none", download_ + "/b"), FailsWith(ENOENT));
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/none/b"),
              FailsWith(ENOENT));
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/a/b"), FailsWith(ENOTDIR));
}

TEST_P(RenameTest, FilesAndDirectoriesDoNotReplaceEachOther) {
  Given(kStranger, download_ + "/a", "a");
  GivenDirectory(kStranger, download_ + "/d");
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/d"), FailsWith(EISDIR));
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/a"), FailsWith(ENOTDIR));
}

TEST_P(RenameTest, ADirectoryWithOnesOwnFiles) {
  GivenDirectory(kStranger, download_ + "/d");
  GivenDirectory(kStranger, download_ + "/d/e");
  Given(kStranger, download_ + "/d/e/a", "a");
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/f"), Succeeds());
  EXPECT_THAT(As(kStranger).Read(download_ + "/f/e/a"), Reads("a"));
  EXPECT_THAT(As(kStranger).Stat(download_ + "/d/e/a"), FailsWith(ENOENT));
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(In(other_view(), kStranger).Read(download_ + "/f/e/a"),
              Reads("a"));
  EXPECT_THAT(In(other_view(), kStranger).Stat(download_ + "/d"),
              FailsWith(ENOENT));
}

TEST_P(RenameTest, ADirectoryWithAnothersFileDeepDown) {
  GivenDirectory(kStranger, download_ + "/d");
  GivenDirectory(kStranger, download_ + "/d/e");
  Given(kStranger, download_ + "/d/a", "own");
  Given(kCamera, download_ + "/d/e/b", "another's");
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/f"), FailsWith(EACCES));
  EXPECT_THAT(Rename(download_ + "/d/e", download_ + "/f"), FailsWith(EACCES));
  EXPECT_THAT(As(kManager).Rename(download_ + "/d", download_ + "/f"),
              Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kCamera).Read(download_ + "/f/e/b"), Reads("another's"));
}

TEST_P(RenameTest, AnEmptyDirectoryOfAnothers) {
  GivenDirectory(kCamera, download_ + "/d");
  GivenDirectory(kCamera, download_ + "/d/e");
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/f"), Succeeds());
  EXPECT_THAT(As(kStranger).List(download_ + "/f"), Lists(ElementsAre("e")));
}

TEST_P(RenameTest, ADirectoryToWhereItsFilesDoNotFit) {
  GivenDirectory(kStranger, download_ + "/d");
  Given(kStranger, download_ + "/d/a.jpg", "image");
  Given(kStranger, download_ + "/d/b.pdf", "paper");
  EXPECT_THAT(Rename(download_ + "/d", dcim_ + "/d"), FailsWith(EPERM));
  ASSERT_THAT(As(kStranger).Unlink(download_ + "/d/b.pdf"), Succeeds());
  EXPECT_THAT(Rename(download_ + "/d", dcim_ + "/d"), Succeeds());
  EXPECT_THAT(As(kStranger).Read(dcim_ + "/d/a.jpg"), Reads("image"));
}

TEST_P(RenameTest, ADirectoryOntoAnEmptyOne) {
  GivenDirectory(kStranger, download_ + "/d");
  Given(kStranger, download_ + "/d/a", "a");
  GivenDirectory(kCamera, download_ + "/e");
  GivenDirectory(kCamera, download_ + "/f");
  Given(kStranger, download_ + "/f/b", "b");
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/f"), FailsWith(ENOTEMPTY));
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/e"), Succeeds());
  EXPECT_THAT(As(kStranger).List(download_ + "/e"), Lists(ElementsAre("a")));
}

TEST_P(RenameTest, ADirectoryIntoItself) {
  GivenDirectory(kStranger, download_ + "/d");
  GivenDirectory(kStranger, download_ + "/d/e");
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/d/e/f"),
              FailsWith(EINVAL));
  EXPECT_THAT(Rename(download_ + "/d/e", download_ + "/d"),
              FailsWith(ENOTEMPTY));
}

TEST_P(RenameTest, ExchangeOfDirectories) {
  GivenDirectory(kStranger, download_ + "/d");
  GivenDirectory(kStranger, download_ + "/e");
  Given(kStranger, download_ + "/d/a", "a");
  Given(kStranger, download_ + "/e/b", "b");
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/e", RENAME_EXCHANGE),
              Succeeds());
  EXPECT_THAT(As(kStranger).List(download_ + "/d"), Lists(ElementsAre("b")));
  EXPECT_THAT(As(kStranger).Read(download_ + "/e/a"), Reads("a"));
  Given(kCamera, download_ + "/d/c", "c");
  EXPECT_THAT(Rename(download_ + "/d", download_ + "/e", RENAME_EXCHANGE),
              FailsWith(EACCES));
  EXPECT_THAT(Rename(download_ + "/e", download_ + "/d", RENAME_EXCHANGE),
              FailsWith(EACCES));
}

// A file that is open goes on under its new name.
TEST_P(RenameTest, AnOpenFile) {
  Given(kStranger, download_ + "/a", "0123");
  const File file = As(kStranger).Open(download_ + "/a", O_RDWR);
  ASSERT_THAT(file, Opens());
  EXPECT_THAT(Rename(download_ + "/a", download_ + "/b"), Succeeds());
  EXPECT_THAT(file.WriteAt(0, "abcd"), Returns(4));
  EXPECT_THAT(As(kStranger).Read(download_ + "/b"), Reads("abcd"));
}

TEST_P(RenameTest, OnlyTheCaseOfAName) {
  Given(kStranger, dcim_ + "/a.jpg", "a");
  EXPECT_THAT(Rename(dcim_ + "/a.jpg", dcim_ + "/A.JPG"), Succeeds());
  EXPECT_THAT(As(kStranger).List(dcim_), Lists(ElementsAre("A.JPG")));
  EXPECT_THAT(As(kStranger).Read(dcim_ + "/A.JPG"), Reads("a"));
}

TEST_P(RenameTest, FromAndToHiddenNames) {
  Given(kStranger, dcim_ + "/a.jpg", "a");
  EXPECT_THAT(As(kGallery).Read(dcim_ + "/a.jpg"), Reads("a"));
  EXPECT_THAT(Rename(dcim_ + "/a.jpg", dcim_ + "/.a.jpg"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery).Open(dcim_ + "/.a.jpg", O_RDONLY),
              FailsWith(EACCES));
  EXPECT_THAT(Rename(dcim_ + "/.a.jpg", dcim_ + "/b.jpg"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery).Read(dcim_ + "/b.jpg"), Reads("a"));
}

// Another view knew what is deep below it by the old name, as a directory that
// is no more by the new one, or not at all.
TEST_P(RenameTest, ADirectoryThatAnotherViewKnows) {
  const App& there = In(other_view(), kCamera);
  const std::string deep = "/e/f/g/h/i";
  ASSERT_THAT(As(kStranger).MakeDirectory(download_ + "/d0"), Succeeds());
  for (const char* below : {"/e", "/e/f", "/e/f/g", "/e/f/g/h", "/e/f/g/h/i"}) {
    ASSERT_THAT(As(kStranger).MakeDirectory(download_ + "/d0" + below),
                Succeeds());
  }
  ASSERT_THAT(As(kStranger).Create(download_ + "/d0" + deep + "/a", "a"),
              Succeeds());
  ASSERT_TRUE(device().Sync());
  for (int i = 0; i < 100; ++i) {
    const std::string from = absl::StrCat(download_, "/d", i % 3);
    const std::string to = absl::StrCat(download_, "/d", (i + 1) % 3);
    ASSERT_THAT(there.Stat(from + deep + "/a"), HasSize(1)) << i;
    ASSERT_THAT(Rename(from, to), Succeeds()) << i;
    ASSERT_TRUE(device().Sync());
    ASSERT_THAT(there.Stat(to + deep + "/a"), HasSize(1)) << i;
    ASSERT_THAT(there.Stat(from + deep + "/a"), FailsWith(ENOENT)) << i;
    ASSERT_THAT(there.RemoveDirectory(to + deep + "/a"), FailsWith(ENOTDIR));
  }
}

TEST_P(RenameTest, AnExchangeThatAnotherViewKnows) {
  const std::string a = download_ + "/a/n/o";
  const std::string b = dcim_ + "/n";
  for (const std::string& path :
       {download_ + "/a", download_ + "/a/n", a, a + "/n", a + "/n/n", b,
        b + "/n", b + "/n/n"}) {
    ASSERT_THAT(As(kStranger).MakeDirectory(path), Succeeds()) << path;
  }
  ASSERT_THAT(As(kStranger).Create(a + "/n/n/f.jpg", "a"), Succeeds());
  ASSERT_THAT(As(kStranger).Create(b + "/n/n/f.jpg", "bb"), Succeeds());
  ASSERT_TRUE(device().Sync());
  const App& there = In(other_view(), kCamera);
  for (int i = 0; i < 100; ++i) {
    ASSERT_THAT(there.Stat(a + "/n/n/f.jpg"), HasSize(1 + i % 2)) << i;
    ASSERT_THAT(there.Stat(b + "/n/n/f.jpg"), HasSize(2 - i % 2)) << i;
    ASSERT_THAT(Rename(a, b, RENAME_EXCHANGE), Succeeds()) << i;
    ASSERT_TRUE(device().Sync());
  }
}

TEST_P(RenameTest, AndAndroidsDirectories) {
  GivenDirectory(kStranger, download_ + "/d");
  EXPECT_THAT(Rename(download_ + "/d", "Android/" + Own()), FailsWith(EPERM));
  EXPECT_THAT(Rename(download_ + "/d", DataOf("com.not.installed")),
              FailsWith(ENOENT));
  EXPECT_THAT(Rename(download_ + "/d", MediaOf("com.not.installed")),
              FailsWith(EACCES));
}

INSTANTIATE_BOTH_VIEWS(RenameTest);

}  // namespace
}  // namespace fused::androidtest
