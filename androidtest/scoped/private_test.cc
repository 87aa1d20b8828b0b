// An app's private directories below Android/data and Android/obb, its
// Android/media, and `Android` itself.
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

using testing::Contains;
using testing::ElementsAre;
using testing::IsSupersetOf;

class PrivateTest : public ScopedTest {};

TEST_P(PrivateTest, AnyTypeGoesIntoOnesOwn) {
  const std::string place = Place(DataOf(kStranger));
  for (const char* name : {"a.jpg", "a.mp3", "a.pdf", "a", ".hidden",
                           ".pending-1999999999-a.jpg", "a.trashed"}) {
    const std::string path = absl::StrCat(place, "/", name);
    EXPECT_THAT(As(kStranger).Create(path, "x"), Succeeds()) << path;
    EXPECT_THAT(As(kStranger).Overwrite(path, "y"), Succeeds()) << path;
    EXPECT_THAT(As(kStranger).Read(path), Reads("y")) << path;
  }
}

TEST_P(PrivateTest, OnesOwnDirectoryIsMadeAgain) {
  const std::string own = ObbOf(kStranger, Own());
  As(kStranger).RemoveDirectory(ObbOf(kStranger));
  EXPECT_THAT(As(kStranger).MakeDirectory(ObbOf(kStranger)), Succeeds());
  EXPECT_THAT(As(kStranger).MakeDirectory(ObbOf(kStranger)), FailsWith(EEXIST));
  EXPECT_THAT(As(kStranger).MakeDirectory(own), Succeeds());
  EXPECT_THAT(As(kStranger).RemoveDirectory(own), Succeeds());
  EXPECT_THAT(As(kStranger).RemoveDirectory(ObbOf(kStranger)), Succeeds());
  ASSERT_TRUE(device().Sync());
}

TEST_P(PrivateTest, NobodyMakesAnothers) {
  for (const char* package : {kStranger, kManager, kSystemGallery}) {
    EXPECT_THAT(As(package).MakeDirectory(ObbOf(kGallery)), FailsWith(ENOENT));
    EXPECT_THAT(As(package).MakeDirectory(DataOf("com.not.installed")),
                FailsWith(ENOENT));
  }
}

// Who made a file there does not matter: whose directory it is does.
TEST_P(PrivateTest, TheDirectoryDecidesNotTheFile) {
  const std::string place = Place(DataOf(kStranger));
  Plant(place + "/planted.txt", "planted");
  EXPECT_THAT(As(kStranger).Read(place + "/planted.txt"), Reads("planted"));
  EXPECT_THAT(As(kStranger).Unlink(place + "/planted.txt"), Succeeds());
}

TEST_P(PrivateTest, FromPrivateToACollection) {
  const std::string place = Place(DataOf(kStranger));
  const std::string pictures = Place("Pictures");
  const App& app = As(kStranger);
  Given(kStranger, place + "/a.jpg", "image");
  Given(kStranger, place + "/a.pdf", "paper");
  EXPECT_THAT(app.Rename(place + "/a.jpg", pictures + "/a.jpg"), Succeeds());
  EXPECT_THAT(app.Rename(place + "/a.pdf", pictures + "/a.pdf"),
              FailsWith(EPERM));
  EXPECT_THAT(app.Rename(place + "/a.pdf", pictures + "/b.jpg"), Succeeds());
  ASSERT_TRUE(device().Sync());
  // They are the app's there, and media.
  EXPECT_THAT(app.Overwrite(pictures + "/a.jpg", "IMAGE"), Succeeds());
  EXPECT_THAT(As(kGallery).Read(pictures + "/a.jpg"), Reads("IMAGE"));
  EXPECT_THAT(As(kMusic).Open(pictures + "/a.jpg", O_RDONLY),
              FailsWith(EACCES));
}

TEST_P(PrivateTest, FromACollectionToPrivate) {
  const std::string place = Place(DataOf(kStranger));
  const std::string pictures = Place("Pictures");
  Given(kStranger, pictures + "/a.jpg", "own");
  Given(kCamera, pictures + "/b.jpg", "another's");
  const App& app = As(kStranger);
  EXPECT_THAT(app.Rename(pictures + "/a.jpg", place + "/a.jpg"), Succeeds());
  EXPECT_THAT(app.Rename(pictures + "/b.jpg", place + "/b.jpg"),
              FailsWith(EACCES));
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery), SeesNothingAt(place + "/a.jpg"));
  EXPECT_THAT(As(kCamera).Read(pictures + "/b.jpg"), Reads("another's"));
}

TEST_P(PrivateTest, DirectoriesMoveInAndOut) {
  const std::string place = Place(DataOf(kStranger));
  const std::string documents = Place("Documents");
  const App& app = As(kStranger);
  ASSERT_THAT(app.MakeDirectory(place + "/d"), Succeeds());
  ASSERT_THAT(app.Create(place + "/d/a.txt", "x"), Succeeds());
  EXPECT_THAT(app.Rename(place + "/d", documents + "/d"), Succeeds());
  EXPECT_THAT(app.Read(documents + "/d/a.txt"), Reads("x"));
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery).Stat(documents + "/d/a.txt"), HasSize(1));
  EXPECT_THAT(app.Rename(documents + "/d", place + "/d"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery).Stat(documents + "/d/a.txt"), FailsWith(ENOENT));
  EXPECT_THAT(As(kGallery), SeesNothingAt(place + "/d/a.txt"));
}

// The packages of one uid are one app.
TEST_P(PrivateTest, PackagesOfOneUidShare) {
  const std::string path = DataOf(kCamera, "files/" + Own());
  Given(kCamera, path, "shared");
  EXPECT_THAT(As(kCameraEditor).Read(path), Reads("shared"));
  EXPECT_THAT(As(kCameraEditor).Overwrite(path, "SHARED"), Succeeds());
  EXPECT_THAT(As(kCameraEditor).Unlink(path), Succeeds());
}

TEST_P(PrivateTest, RolesThatReachPrivateDirectories) {
  const std::string data = Place(DataOf(kCamera));
  for (const char* package : {kMtp, kDownloads}) {
    const App& app = As(package);
    const std::string path = data + "/a.txt";
    EXPECT_THAT(app.Create(path, "x"), Succeeds()) << package;
    EXPECT_THAT(app.Rename(path, data + "/b.txt"), Succeeds()) << package;
    EXPECT_THAT(app.Read(data + "/b.txt"), Reads("x")) << package;
    EXPECT_THAT(app.List(data), Lists(ElementsAre("b.txt"))) << package;
    EXPECT_THAT(app.List("Android/data"),
                Lists(IsSupersetOf({kCamera, kGallery})))
        << package;
    EXPECT_THAT(app.Unlink(data + "/b.txt"), Succeeds()) << package;
  }
}

TEST_P(PrivateTest, RootAndShellReachEverything) {
  const std::string path = DataOf(kCamera, "files/" + Own());
  Given(kCamera, path, "content");
  for (const uid_t uid : {0, 2000}) {
    const App app = device().LaunchUid(uid);
    EXPECT_THAT(app.Read(path), Reads("content")) << uid;
    EXPECT_THAT(app.Overwrite(path, "CONTENT"), Succeeds()) << uid;
    EXPECT_THAT(app.List("Android/data"), Lists(Contains(kCamera))) << uid;
    EXPECT_THAT(app.Overwrite(path, "content"), Succeeds()) << uid;
  }
}

// 100000 is another user's uid 0, which is nobody.
TEST_P(PrivateTest, AnotherUsersRootIsNotRoot) {
  const App app = device().LaunchUid(100'000);
  EXPECT_THAT(app.Stat(DataOf(kCamera)), FailsWith(ENOENT));
  EXPECT_THAT(app.Stat(DataOf(kCamera, "files")), FailsWith(ENOENT));
}

TEST_P(PrivateTest, TheInstallerHasObbAndNotData) {
  As(kCamera).MakeDirectory(ObbOf(kCamera));
  const std::string obb = ObbOf(kCamera, Own());
  const App& installer = As(kInstaller);
  EXPECT_THAT(installer.Create(obb, "obb"), Succeeds());
  EXPECT_THAT(installer.Rename(obb, obb + ".main"), Succeeds());
  EXPECT_THAT(installer.List("Android/obb"), Lists(Contains(kCamera)));
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kCamera).Read(obb + ".main"), Reads("obb"));
  EXPECT_THAT(installer.Unlink(obb + ".main"), Succeeds());
  EXPECT_THAT(installer, SeesNothingAt(DataOf(kCamera)));
}

TEST_P(PrivateTest, TheInstallerMakesObbForAnyone) {
  const std::string dir = ObbOf("com.to.be.installed");
  EXPECT_THAT(As(kInstaller).MakeDirectory(dir), Succeeds());
  EXPECT_THAT(As(kInstaller).Create(dir + "/main.obb", "x"), Succeeds());
  EXPECT_THAT(As(kInstaller).Unlink(dir + "/main.obb"), Succeeds());
  EXPECT_THAT(As(kInstaller).RemoveDirectory(dir), Succeeds());
  ASSERT_TRUE(device().Sync());
}

class AndroidTest : public ScopedTest {};

TEST_P(AndroidTest, HoldsNoFilesAndNoOtherDirectories) {
  const App& app = As(kStranger);
  EXPECT_THAT(app.Create("Android/a.txt"), FailsWith(EPERM));
  EXPECT_THAT(app.Create("Android/a.jpg"), FailsWith(EPERM));
  EXPECT_THAT(app.MakeDirectory("Android/" + Own()), FailsWith(EPERM));
  EXPECT_THAT(app.Create("Android/media/a.txt"), FailsWith(EPERM));
  EXPECT_THAT(app.Create("Android/media/a.jpg"), FailsWith(EPERM));
}

TEST_P(AndroidTest, ItsDirectoriesStay) {
  const std::string place = Place("Documents");
  for (const char* path :
       {"Android", "Android/data", "Android/obb", "Android/media"}) {
    for (const char* package : {kStranger, kGallery, kSystemGallery}) {
      EXPECT_THAT(As(package).Stat(path), Succeeds()) << path;
      EXPECT_THAT(As(package).MakeDirectory(path), FailsWith(EEXIST)) << path;
      EXPECT_THAT(As(package).RemoveDirectory(path), FailsWith(EACCES)) << path;
      EXPECT_THAT(As(package).Rename(path, place + "/d"), FailsWith(EACCES))
          << path;
    }
  }
  EXPECT_THAT(As(kStranger).List("Android"),
              Lists(ElementsAre("data", "media", "obb")));
  EXPECT_THAT(As(kStranger).List("Android/media"), Succeeds());
}

class AndroidMediaTest : public ScopedTest {
 protected:
  // A directory of the package's, with this case's name.
  std::string MediaPlace(const char* package) {
    As(package).MakeDirectory(MediaOf(package));
    std::string place = MediaOf(package, Own());
    EXPECT_THAT(As(package).MakeDirectory(place), Succeeds());
    EXPECT_TRUE(device().Sync());
    return place;
  }
};

TEST_P(AndroidMediaTest, AnyTypeGoesIntoOnesOwn) {
  const std::string place = MediaPlace(kStranger);
  for (const char* name : {"a.jpg", "a.mp3", "a.pdf", "a"}) {
    const std::string path = absl::StrCat(place, "/", name);
    EXPECT_THAT(As(kStranger).Create(path, "x"), Succeeds()) << path;
    EXPECT_THAT(As(kStranger).Read(path), Reads("x")) << path;
  }
}

TEST_P(AndroidMediaTest, OthersSeeAndDoNotTouch) {
  const std::string place = MediaPlace(kCamera);
  Given(kCamera, place + "/a.jpg", "image");
  const App& app = As(kStranger);
  EXPECT_THAT(app.List(place), Lists(ElementsAre("a.jpg")));
  EXPECT_THAT(app.Stat(place + "/a.jpg"), HasSize(5));
  EXPECT_THAT(app.Open(place + "/a.jpg", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(app.Open(place + "/a.jpg", O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(app.Truncate(place + "/a.jpg", 0), FailsWith(EACCES));
  EXPECT_THAT(app.SetTimes(place + "/a.jpg", 0), FailsWith(EACCES));
  EXPECT_THAT(app.Unlink(place + "/a.jpg"), FailsWith(EACCES));
  EXPECT_THAT(app.Rename(place + "/a.jpg", DataOf(kStranger, "files/a.jpg")),
              FailsWith(EACCES));
}

TEST_P(AndroidMediaTest, NobodyAddsToAnothers) {
  const std::string place = MediaPlace(kCamera);
  for (const char* package : {kStranger, kGallery, kInstaller}) {
    const App& app = As(package);
    const std::string own = DataOf(package, "files/" + Own());
    ASSERT_THAT(app.Create(own, "x"), Succeeds());
    EXPECT_THAT(app.Create(place + "/b.jpg"), FailsWith(EACCES)) << package;
    EXPECT_THAT(app.MakeDirectory(place + "/b"), FailsWith(EACCES)) << package;
    EXPECT_THAT(app.Rename(own, place + "/b.jpg"), FailsWith(EACCES))
        << package;
    EXPECT_THAT(app.RemoveDirectory(place), FailsWith(EACCES)) << package;
  }
}

TEST_P(AndroidMediaTest, ReadersReadTheirTypes) {
  const std::string place = MediaPlace(kCamera);
  Given(kCamera, place + "/a.jpg", "image");
  Given(kCamera, place + "/a.mp3", "music");
  Given(kCamera, place + "/a.pdf", "paper");
  EXPECT_THAT(As(kGallery).Read(place + "/a.jpg"), Reads("image"));
  EXPECT_THAT(As(kGallery).Open(place + "/a.jpg", O_RDWR), FailsWith(EACCES));
  EXPECT_THAT(As(kGallery).Open(place + "/a.mp3", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kGallery).Open(place + "/a.pdf", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kMusic).Read(place + "/a.mp3"), Reads("music"));
  EXPECT_THAT(As(kMusic).Open(place + "/a.jpg", O_RDONLY), FailsWith(EACCES));
}

TEST_P(AndroidMediaTest, TheManagerAndTheGallery) {
  const std::string place = MediaPlace(kCamera);
  Given(kCamera, place + "/a.jpg", "image");
  Given(kCamera, place + "/a.pdf", "paper");
  EXPECT_THAT(As(kSystemGallery).Overwrite(place + "/a.jpg", "IMAGE"),
              Succeeds());
  EXPECT_THAT(As(kSystemGallery).Open(place + "/a.pdf", O_RDONLY),
              FailsWith(EACCES));
  EXPECT_THAT(As(kSystemGallery).Create(place + "/b.jpg"), Succeeds());
  EXPECT_THAT(As(kSystemGallery).Create(place + "/b.pdf"), FailsWith(EACCES));
  EXPECT_THAT(As(kManager).Overwrite(place + "/a.pdf", "PAPER"), Succeeds());
  EXPECT_THAT(As(kManager).Create(place + "/c.pdf"), Succeeds());
  EXPECT_THAT(As(kManager).Unlink(place + "/a.jpg"), Succeeds());
  EXPECT_THAT(As(kManager).MakeDirectory(place + "/d"), Succeeds());
}

INSTANTIATE_BOTH_VIEWS(PrivateTest);
INSTANTIATE_BOTH_VIEWS(AndroidTest);
INSTANTIATE_BOTH_VIEWS(AndroidMediaTest);

}  // namespace
}  // namespace fused::androidtest
