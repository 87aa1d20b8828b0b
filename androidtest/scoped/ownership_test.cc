// Who made a file owns it: what the owner may do, what others may not, and
// what a listing says of both.
#include <fcntl.h>
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
using testing::IsEmpty;

class OwnerTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("Download");
    file_ = place_ + "/camera.bin";
    Given(kCamera, file_, "content");
  }

  std::string place_;
  std::string file_;
};

TEST_P(OwnerTest, DoesEverything) {
  const App& camera = As(kCamera);
  EXPECT_THAT(camera.Read(file_), Reads("content"));
  EXPECT_THAT(camera.Open(file_, O_RDWR), Opens());
  EXPECT_THAT(camera.Overwrite(file_, "CONTENT"), Succeeds());
  EXPECT_THAT(camera.Truncate(file_, 3), Succeeds());
  EXPECT_THAT(camera.SetTimes(file_, 1'000'000'000), Succeeds());
  EXPECT_THAT(camera.Access(file_, R_OK | W_OK), Succeeds());
  EXPECT_THAT(camera.Rename(file_, file_ + "2"), Succeeds());
  EXPECT_THAT(camera.Unlink(file_ + "2"), Succeeds());
}

TEST_P(OwnerTest, OthersDoNotRead) {
  EXPECT_THAT(As(kStranger).Open(file_, O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Access(file_, R_OK), FailsWith(EACCES));
}

TEST_P(OwnerTest, OthersDoNotWrite) {
  const App& app = As(kStranger);
  EXPECT_THAT(app.Open(file_, O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(app.Open(file_, O_RDWR), FailsWith(EACCES));
  EXPECT_THAT(app.Open(file_, O_WRONLY | O_APPEND), FailsWith(EACCES));
  EXPECT_THAT(app.Open(file_, O_RDONLY | O_TRUNC), FailsWith(EACCES));
  EXPECT_THAT(app.Open(file_, O_WRONLY | O_CREAT), FailsWith(EACCES));
  EXPECT_THAT(app.Open(file_, O_WRONLY | O_CREAT | O_EXCL), FailsWith(EEXIST));
  EXPECT_THAT(app.Truncate(file_, 0), FailsWith(EACCES));
  EXPECT_THAT(app.Access(file_, W_OK), FailsWith(EACCES));
  EXPECT_THAT(As(kCamera).Read(file_), Reads("content"));
}

TEST_P(OwnerTest, OthersDoNotSetTimes) {
  const int64_t before = As(kStranger).Stat(file_).attributes.modified();
  EXPECT_THAT(As(kStranger).SetTimes(file_, 1'000'000'000), FailsWith(EACCES));
  EXPECT_EQ(As(kStranger).Stat(file_).attributes.modified(), before);
}

TEST_P(OwnerTest, OthersDoNotDelete) {
  EXPECT_THAT(As(kStranger).Unlink(file_), FailsWith(EACCES));
  EXPECT_THAT(As(kCamera).Read(file_), Reads("content"));
}

TEST_P(OwnerTest, OthersDoNotRename) {
  const App& app = As(kStranger);
  EXPECT_THAT(app.Rename(file_, place_ + "/mine.bin"), FailsWith(EACCES));
  EXPECT_THAT(app.Rename(file_, DataOf(kStranger, "files/" + Own())),
              FailsWith(EACCES));
}

TEST_P(OwnerTest, OthersDoNotReplace) {
  const std::string own = place_ + "/own.bin";
  Given(kStranger, own, "own");
  EXPECT_THAT(As(kStranger).Rename(own, file_), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Read(own), Reads("own"));
  EXPECT_THAT(As(kCamera).Read(file_), Reads("content"));
}

TEST_P(OwnerTest, OthersSeeThatItExists) {
  const App& app = As(kStranger);
  EXPECT_THAT(app.Stat(file_), HasSize(7));
  EXPECT_THAT(app.Access(file_, F_OK), Succeeds());
  EXPECT_THAT(app.List(place_), Lists(ElementsAre("camera.bin")));
  EXPECT_THAT(app.Open(file_, O_PATH), Opens());
}

// A descriptor that only names the file is no way into it.
TEST_P(OwnerTest, AnOpenPathDoesNotOpenTheFile) {
  const App& app = As(kStranger);
  const File path = app.Open(file_, O_PATH);
  ASSERT_THAT(path, Opens());
  const std::string again = absl::StrCat("/proc/self/fd/", path.fd());
  EXPECT_THAT(app.Open(again, O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(app.Open(again, O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(app.Truncate(again, 0), FailsWith(EACCES));
}

// Changes of mode and owner succeed on anything visible, and do nothing.
TEST_P(OwnerTest, ModesAreNobodysToChange) {
  const v1::Attributes before = As(kStranger).Stat(file_).attributes;
  for (const char* package : {kStranger, kCamera, kManager}) {
    EXPECT_THAT(As(package).ChangeMode(file_, 0777), Succeeds()) << package;
    EXPECT_THAT(As(package).ChangeOwner(file_, 0, 0), Succeeds()) << package;
  }
  const v1::Attributes after = As(kStranger).Stat(file_).attributes;
  EXPECT_EQ(after.mode(), before.mode());
  EXPECT_EQ(after.uid(), before.uid());
  EXPECT_THAT(As(kStranger).Open(file_, O_RDONLY), FailsWith(EACCES));
}

TEST_P(OwnerTest, ItIsOwnedInBothViews) {
  const App& there = In(other_view(), kCamera);
  EXPECT_THAT(there.Overwrite(file_, "CONTENT"), Succeeds());
  EXPECT_THAT(In(other_view(), kStranger).Open(file_, O_RDONLY),
              FailsWith(EACCES));
  EXPECT_THAT(there.Unlink(file_), Succeeds());
}

TEST_P(OwnerTest, PackagesOfOneUidOwnTogether) {
  EXPECT_THAT(As(kCameraEditor).Overwrite(file_, "CONTENT"), Succeeds());
  EXPECT_THAT(As(kCameraEditor).Rename(file_, file_ + "2"), Succeeds());
  EXPECT_THAT(As(kCamera).Read(file_ + "2"), Reads("CONTENT"));
  EXPECT_THAT(As(kCameraEditor).Unlink(file_ + "2"), Succeeds());
}

TEST_P(OwnerTest, ANodeIsOwnedAsAFile) {
  const std::string node = place_ + "/node.bin";
  ASSERT_THAT(As(kCamera).MakeNode(node, S_IFREG | 0600), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kCamera).Overwrite(node, "x"), Succeeds());
  EXPECT_THAT(As(kStranger).Open(node, O_RDONLY), FailsWith(EACCES));
}

TEST_P(OwnerTest, ItStaysTheOwnersWhateverTheManagerDoes) {
  const App& manager = As(kManager);
  EXPECT_THAT(manager.Truncate(file_, 0), Succeeds());
  EXPECT_THAT(manager.Overwrite(file_, "managed"), Succeeds());
  EXPECT_THAT(manager.Rename(file_, place_ + "/managed.bin"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kCamera).Read(place_ + "/managed.bin"), Reads("managed"));
  EXPECT_THAT(As(kStranger).Open(place_ + "/managed.bin", O_RDONLY),
              FailsWith(EACCES));
}

TEST_P(OwnerTest, AnExchangeExchangesNames) {
  const std::string second = place_ + "/stranger.bin";
  Given(kStranger, second, "strange");
  ASSERT_THAT(As(kManager).Rename(file_, second, RENAME_EXCHANGE), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kCamera).Read(second), Reads("content"));
  EXPECT_THAT(As(kCamera).Open(file_, O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Read(file_), Reads("strange"));
  EXPECT_THAT(As(kStranger).Open(second, O_RDONLY), FailsWith(EACCES));
}

TEST_P(OwnerTest, AFreedNameBelongsToWhoTakesIt) {
  ASSERT_THAT(As(kCamera).Unlink(file_), Succeeds());
  ASSERT_TRUE(device().Sync());
  Given(kStranger, file_, "new");
  EXPECT_THAT(As(kStranger).Read(file_), Reads("new"));
  EXPECT_THAT(As(kCamera).Open(file_, O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kCamera).Unlink(file_), FailsWith(EACCES));
}

TEST_P(OwnerTest, AFoundFileIsNobodys) {
  Plant(place_ + "/found.bin", "found");
  Plant(place_ + "/found.jpg", "image");
  EXPECT_THAT(As(kCamera).Open(place_ + "/found.bin", O_RDONLY),
              FailsWith(EACCES));
  EXPECT_THAT(As(kCamera).Unlink(place_ + "/found.bin"), FailsWith(EACCES));
  EXPECT_THAT(As(kGallery).Read(place_ + "/found.jpg"), Reads("image"));
  EXPECT_THAT(As(kManager).Read(place_ + "/found.bin"), Reads("found"));
}

TEST_P(OwnerTest, AFileOutlivesItsNameForWhoHasItOpen) {
  const File file = As(kCamera).Open(file_, O_RDWR);
  ASSERT_THAT(file, Opens());
  ASSERT_THAT(As(kCamera).Unlink(file_), Succeeds());
  EXPECT_THAT(file.ReadAt(0, 100), Reads("content"));
  EXPECT_THAT(file.WriteAt(0, "CONTENT"), Returns(7));
  EXPECT_THAT(file.Stat(), HasSize(7));
}

// Directories below a collection are nobody's.
TEST_P(OwnerTest, DirectoriesAreEverybodys) {
  const App& app = As(kStranger);
  GivenDirectory(kCamera, place_ + "/d");
  EXPECT_THAT(app.MakeDirectory(place_ + "/d/e"), Succeeds());
  EXPECT_THAT(app.MakeDirectory(place_ + "/d"), FailsWith(EEXIST));
  EXPECT_THAT(app.Create(place_ + "/d/own.bin"), Succeeds());
  EXPECT_THAT(app.RemoveDirectory(place_ + "/d"), FailsWith(ENOTEMPTY));
  EXPECT_THAT(app.Unlink(place_ + "/d/own.bin"), Succeeds());
  EXPECT_THAT(app.RemoveDirectory(place_ + "/d/e"), Succeeds());
  EXPECT_THAT(app.RemoveDirectory(place_ + "/d"), Succeeds());
}

TEST_P(OwnerTest, ADirectoryWithOthersFilesStays) {
  GivenDirectory(kCamera, place_ + "/d");
  Given(kCamera, place_ + "/d/a.bin");
  EXPECT_THAT(As(kStranger).RemoveDirectory(place_ + "/d"),
              FailsWith(ENOTEMPTY));
  EXPECT_THAT(As(kStranger).Unlink(place_ + "/d"), FailsWith(EISDIR));
  EXPECT_THAT(As(kStranger).RemoveDirectory(file_), FailsWith(ENOTDIR));
}

class ListingTest : public ScopedTest {};

TEST_P(ListingTest, NamesAreForEverybody) {
  const std::string place = Place("Download");
  Given(kCamera, place + "/a.jpg");
  Given(kMusic, place + "/b.mp3");
  Given(kStranger, place + "/c.pdf");
  Given(kStranger, place + "/d.xyz");
  for (const char* package :
       {kStranger, kGallery, kMusic, kManager, kInstaller, kLateReader}) {
    EXPECT_THAT(As(package).List(place),
                Lists(ElementsAre("a.jpg", "b.mp3", "c.pdf", "d.xyz")))
        << package;
  }
}

TEST_P(ListingTest, HiddenPendingAndTrashedNamesToo) {
  const std::string place = Place("Pictures");
  Given(kCamera, place + "/.hidden.jpg");
  Given(kCamera, place + "/.pending-1999999999-a.jpg");
  Given(kCamera, place + "/.trashed-1999999999-b.jpg");
  EXPECT_THAT(As(kStranger).List(place),
              Lists(ElementsAre(".hidden.jpg", ".pending-1999999999-a.jpg",
                                ".trashed-1999999999-b.jpg")));
  EXPECT_THAT(As(kStranger).Stat(place + "/.pending-1999999999-a.jpg"),
              Succeeds());
}

TEST_P(ListingTest, NamesComeAndGo) {
  const std::string place = Place("Documents");
  EXPECT_THAT(As(kStranger).List(place), Lists(IsEmpty()));
  Given(kCamera, place + "/a.txt");
  EXPECT_THAT(As(kStranger).List(place), Lists(ElementsAre("a.txt")));
  ASSERT_THAT(As(kCamera).Rename(place + "/a.txt", place + "/b.txt"),
              Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kStranger).List(place), Lists(ElementsAre("b.txt")));
  ASSERT_THAT(As(kCamera).Unlink(place + "/b.txt"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kStranger).List(place), Lists(IsEmpty()));
}

TEST_P(ListingTest, AnOpenDirectoryIsListedAnew) {
  const std::string place = Place("Documents");
  const File directory = As(kStranger).Open(place, O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(directory, Opens());
  EXPECT_THAT(directory.List(), Lists(IsEmpty()));
  Given(kCamera, place + "/a.txt");
  EXPECT_THAT(directory.List(), Lists(ElementsAre("a.txt")));
}

TEST_P(ListingTest, FilesAreNotDirectories) {
  const std::string place = Place("Documents");
  Given(kCamera, place + "/a.txt");
  EXPECT_THAT(As(kStranger).List(place + "/a.txt"), FailsWith(ENOTDIR));
  EXPECT_THAT(As(kStranger).Open(place + "/a.txt", O_RDONLY | O_DIRECTORY),
              FailsWith(ENOTDIR));
  EXPECT_THAT(As(kStranger).Stat(place + "/a.txt/b"), FailsWith(ENOTDIR));
  EXPECT_THAT(As(kStranger).Open(place, O_WRONLY), FailsWith(EISDIR));
  EXPECT_THAT(As(kStranger).List(place + "/absent"), FailsWith(ENOENT));
}

TEST_P(ListingTest, TheRootIsForEverybody) {
  for (const char* package : {kStranger, kInstaller, kManager}) {
    EXPECT_THAT(As(package).List(""),
                Lists(testing::IsSupersetOf({"Android", "DCIM", "Music"})));
  }
}

// In no app's entry: it sees, and does nothing.
TEST_P(ListingTest, AnUnlistedUidLooksAndTouchesNothing) {
  const std::string place = Place("Download");
  Given(kCamera, place + "/a.jpg");
  const App nobody = device().LaunchUid(10'999);
  EXPECT_THAT(nobody.List(place), Lists(ElementsAre("a.jpg")));
  EXPECT_THAT(nobody.Stat(place + "/a.jpg"), Succeeds());
  EXPECT_THAT(nobody.Open(place + "/a.jpg", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(nobody.Open(place + "/a.jpg", O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(nobody.Create(place + "/b.jpg"), FailsWith(EACCES));
  EXPECT_THAT(nobody.MakeDirectory(place + "/d"), FailsWith(EACCES));
  EXPECT_THAT(nobody.Unlink(place + "/a.jpg"), FailsWith(EACCES));
  EXPECT_THAT(nobody.Rename(place + "/a.jpg", place + "/b.jpg"),
              FailsWith(EACCES));
  EXPECT_THAT(nobody.RemoveDirectory(place), FailsWith(EACCES));
  EXPECT_THAT(nobody.List("Android/data"), FailsWith(EACCES));
  EXPECT_THAT(nobody.Stat(DataOf(kCamera)), FailsWith(ENOENT));
}

INSTANTIATE_BOTH_VIEWS(OwnerTest);
INSTANTIATE_BOTH_VIEWS(ListingTest);

}  // namespace
}  // namespace fused::androidtest
