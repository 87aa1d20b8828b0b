// Permissions, roles and apps that come and go while the apps run: each change
// counts at the next open, and nothing is restarted.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/photo.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Contains;

class PermissionsTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("Download");
    Given(kCamera, place_ + "/a.jpg", "image");
    Given(kCamera, place_ + "/a.mp3", "music");
    Given(kCamera, place_ + "/a.pdf", "paper");
  }
  void TearDown() override {
    if (!IsSkipped()) Push(AllPackages());
  }

  // The stranger, as something else; known to all views when it returns.
  void MakeStranger(std::vector<std::string> permissions,
                    std::vector<std::string> roles = {}, int sdk = 34) {
    Push(With(AllPackages(), {.name = kStranger,
                              .uid = 10064,
                              .permissions = std::move(permissions),
                              .roles = std::move(roles),
                              .target_sdk = sdk}));
  }

  Outcome Read(const char* name) { return As(kStranger).Read(place_ + name); }
  File Open(const char* name, int flags) {
    return As(kStranger).Open(place_ + name, flags);
  }

  std::string place_;
};

TEST_P(PermissionsTest, ToReadImages) {
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(Open("/a.jpg", O_RDONLY), FailsWith(EACCES));
    MakeStranger({"READ_MEDIA_IMAGES"});
    EXPECT_THAT(Read("/a.jpg"), Reads("image"));
    EXPECT_THAT(Open("/a.mp3", O_RDONLY), FailsWith(EACCES));
    MakeStranger({});
  }
}

TEST_P(PermissionsTest, OneForAnother) {
  MakeStranger({"READ_MEDIA_IMAGES"});
  EXPECT_THAT(Read("/a.jpg"), Reads("image"));
  EXPECT_THAT(Open("/a.mp3", O_RDONLY), FailsWith(EACCES));
  MakeStranger({"READ_MEDIA_AUDIO"});
  EXPECT_THAT(Open("/a.jpg", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(Read("/a.mp3"), Reads("music"));
}

// What ACCESS says changes with what open does.
TEST_P(PermissionsTest, AccessFollows) {
  EXPECT_THAT(As(kStranger).Access(place_ + "/a.jpg", R_OK), FailsWith(EACCES));
  MakeStranger({"READ_MEDIA_IMAGES"});
  EXPECT_THAT(As(kStranger).Access(place_ + "/a.jpg", R_OK), Succeeds());
  EXPECT_THAT(As(kStranger).Access(place_ + "/a.jpg", W_OK), FailsWith(EACCES));
  MakeStranger({});
  EXPECT_THAT(As(kStranger).Access(place_ + "/a.jpg", R_OK), FailsWith(EACCES));
}

TEST_P(PermissionsTest, TheManagersRole) {
  EXPECT_THAT(Open("/a.pdf", O_RDWR), FailsWith(EACCES));
  MakeStranger({}, {"MANAGER"});
  EXPECT_THAT(Read("/a.pdf"), Reads("paper"));
  EXPECT_THAT(As(kStranger).Overwrite(place_ + "/a.pdf", "PAPER"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place_ + "/b.pdf"), Succeeds());
  MakeStranger({});
  EXPECT_THAT(Open("/a.pdf", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Unlink(place_ + "/a.pdf"), FailsWith(EACCES));
  // What it made as the manager is its own.
  EXPECT_THAT(As(kStranger).Unlink(place_ + "/b.pdf"), Succeeds());
}

TEST_P(PermissionsTest, TheGallerysRole) {
  EXPECT_THAT(As(kStranger).Unlink(place_ + "/a.jpg"), FailsWith(EACCES));
  MakeStranger({}, {"SYSTEM_GALLERY"});
  EXPECT_THAT(As(kStranger).Overwrite(place_ + "/a.jpg", "IMAGE"), Succeeds());
  EXPECT_THAT(Open("/a.mp3", O_RDONLY), FailsWith(EACCES));
  MakeStranger({});
  EXPECT_THAT(Open("/a.jpg", O_WRONLY), FailsWith(EACCES));
}

// Where it is a matter of seeing: kernels have kept that nothing is there, and
// later that something is.
TEST_P(PermissionsTest, ARoleThatShowsPrivateDirectories) {
  const std::string path = DataOf(kCamera, "files/" + Own());
  Given(kCamera, path, "private");
  const App& app = As(kStranger);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(app.Stat(path), FailsWith(ENOENT));
    EXPECT_THAT(app.Stat(DataOf(kCamera)), FailsWith(ENOENT));
    EXPECT_THAT(app.List("Android/data"), FailsWith(EACCES));
    MakeStranger({}, {"MTP"});
    ASSERT_TRUE(device().Sync());
    EXPECT_THAT(app.Read(path), Reads("private"));
    EXPECT_THAT(app.List("Android/data"), Lists(Contains(kCamera)));
    MakeStranger({});
    ASSERT_TRUE(device().Sync());
  }
  EXPECT_THAT(app, SeesNothingAt(path));
}

TEST_P(PermissionsTest, TheInstallersRole) {
  As(kCamera).MakeDirectory(ObbOf(kCamera));
  const std::string path = ObbOf(kCamera, Own());
  Given(kCamera, path, "obb");
  EXPECT_THAT(As(kStranger).Stat(path), FailsWith(ENOENT));
  MakeStranger({}, {"INSTALLER"});
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kStranger).Read(path), Reads("obb"));
  MakeStranger({});
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kStranger), SeesNothingAt(path));
}

TEST_P(PermissionsTest, AnUpdateToANewerPlatform) {
  MakeStranger({"READ_EXTERNAL_STORAGE"}, {}, 32);
  EXPECT_THAT(Read("/a.jpg"), Reads("image"));
  MakeStranger({"READ_EXTERNAL_STORAGE"}, {}, 33);
  EXPECT_THAT(Open("/a.jpg", O_RDONLY), FailsWith(EACCES));
  MakeStranger({"READ_MEDIA_IMAGES"}, {}, 33);
  EXPECT_THAT(Read("/a.jpg"), Reads("image"));
}

TEST_P(PermissionsTest, ToWriteAsOfOld) {
  MakeStranger({"READ_EXTERNAL_STORAGE", "WRITE_EXTERNAL_STORAGE"}, {}, 29);
  EXPECT_THAT(As(kStranger).Overwrite(place_ + "/a.jpg", "IMAGE"), Succeeds());
  MakeStranger({"READ_EXTERNAL_STORAGE", "WRITE_EXTERNAL_STORAGE"}, {}, 30);
  EXPECT_THAT(Open("/a.jpg", O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(Read("/a.jpg"), Reads("IMAGE"));
  MakeStranger({});
  EXPECT_THAT(Open("/a.jpg", O_RDONLY), FailsWith(EACCES));
}

// ACCESS_MEDIA_LOCATION: the same photo whole, and without its place.
TEST_P(PermissionsTest, ToKnowWherePhotosWereTaken) {
  ASSERT_THAT(As(kCamera).Create(place_ + "/photo.jpg", Photo()), Succeeds());
  ASSERT_TRUE(device().Sync());
  for (int round = 0; round < 3; ++round) {
    MakeStranger({"READ_MEDIA_IMAGES"});
    EXPECT_THAT(Read("/photo.jpg"), IsRedacted());
    MakeStranger({"READ_MEDIA_IMAGES", "ACCESS_MEDIA_LOCATION"});
    EXPECT_THAT(Read("/photo.jpg"), Reads(Photo()));
  }
}

// In both views at once, while files are open: by the kernel for who may know,
// by the daemon for who may not, from the next open on.
TEST_P(PermissionsTest, ToKnowWherePhotosWereTakenAtTheNextOpen) {
  const std::string path = place_ + "/photo.jpg";
  Given(kCamera, path, Photo());
  const App* const strangers[] = {&As(kStranger), &In(other_view(), kStranger)};
  for (int round = 0; round < 3; ++round) {
    MakeStranger({"READ_MEDIA_IMAGES"});
    const File hidden = As(kStranger).Open(path, O_RDONLY);
    const Counts before = device().Count();
    for (const App* app : strangers) {
      EXPECT_THAT(app->Read(path), IsRedacted()) << round;
      EXPECT_THAT(As(kGallery).Read(path), Reads(Photo()));
    }
    EXPECT_EQ((device().Count() - before).redacted, 2);
    EXPECT_EQ((device().Count() - before).passthrough, 2);

    MakeStranger({"READ_MEDIA_IMAGES", "ACCESS_MEDIA_LOCATION"});
    const File whole = As(kStranger).Open(path, O_RDONLY);
    EXPECT_THAT(whole.ReadAt(0, 4096), Reads(Photo())) << round;
    const Counts then = device().Count();
    for (const App* app : strangers) {
      EXPECT_THAT(app->Read(path), Reads(Photo())) << round;
      EXPECT_THAT(As(kBlind).Read(path), IsRedacted());
    }
    EXPECT_EQ((device().Count() - then).redacted, 2);
    EXPECT_EQ((device().Count() - then).passthrough, 2);
    // What was opened before is as it was.
    EXPECT_THAT(hidden.ReadAt(0, 4096), IsRedacted()) << round;
  }
}

// A handle that was given stays; the next open counts.
TEST_P(PermissionsTest, AnOpenFileStaysOpen) {
  MakeStranger({"READ_MEDIA_IMAGES"});
  const File file = Open("/a.jpg", O_RDONLY);
  ASSERT_THAT(file, Opens());
  MakeStranger({});
  EXPECT_THAT(Open("/a.jpg", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(file.Stat(), Succeeds());
}

TEST_P(PermissionsTest, OnesOwnStaysOnesOwn) {
  Given(kStranger, place_ + "/own.bin", "own");
  MakeStranger({"READ_MEDIA_IMAGES"}, {"MANAGER"});
  EXPECT_THAT(Read("/own.bin"), Reads("own"));
  MakeStranger({});
  EXPECT_THAT(Read("/own.bin"), Reads("own"));
  EXPECT_THAT(As(kStranger).Unlink(place_ + "/own.bin"), Succeeds());
}

// While it is gone, what was its is nobody's, and it may do nothing.
TEST_P(PermissionsTest, AnAppThatIsRemovedAndComesBack) {
  Given(kStranger, place_ + "/own.bin", "own");
  const std::string own = DataOf(kStranger, "files/" + Own());
  Given(kStranger, own, "private");
  Push(Without(AllPackages(), kStranger));
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(Open("/own.bin", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Create(place_ + "/b.bin"), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Stat(own), FailsWith(ENOENT));
  EXPECT_THAT(As(kManager).Read(place_ + "/own.bin"), Reads("own"));
  Push(AllPackages());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(Read("/own.bin"), Reads("own"));
  EXPECT_THAT(As(kStranger).Read(own), Reads("private"));
  EXPECT_THAT(As(kStranger).Unlink(place_ + "/own.bin"), Succeeds());
}

// A package of the same name with another uid inherits nothing.
TEST_P(PermissionsTest, AnAppOfTheSameName) {
  Given(kStranger, place_ + "/own.bin", "own");
  Push(With(AllPackages(), {.name = kStranger, .uid = 10'164}));
  ASSERT_TRUE(device().Sync());
  const App other = view() == View::kApp
                        ? device().Launch(kStranger, View::kApp)
                        : device().LaunchUid(10'164);
  EXPECT_THAT(other.Open(place_ + "/own.bin", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(other.Unlink(place_ + "/own.bin"), FailsWith(EACCES));
  EXPECT_THAT(other.Create(place_ + "/new.bin", "new"), Succeeds());
  Push(AllPackages());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(Read("/own.bin"), Reads("own"));
  EXPECT_THAT(Open("/new.bin", O_RDONLY), FailsWith(EACCES));
}

TEST_P(PermissionsTest, AnAppThatIsInstalled) {
  constexpr char kNew[] = "com.example.new";
  Push(With(
      AllPackages(),
      {.name = kNew, .uid = 10'200, .permissions = {"READ_MEDIA_IMAGES"}}));
  const App app = view() == View::kApp ? device().Launch(kNew, View::kApp)
                                       : device().LaunchUid(10'200);
  EXPECT_THAT(app.Read(place_ + "/a.jpg"), Reads("image"));
  EXPECT_THAT(app.Create(place_ + "/new.bin", "new"), Succeeds());
  EXPECT_THAT(app.MakeDirectory(DataOf(kNew)), Succeeds());
  EXPECT_THAT(app.Create(DataOf(kNew, "a"), "x"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kStranger), SeesNothingAt(DataOf(kNew)));
  EXPECT_THAT(app.Unlink(DataOf(kNew, "a")), Succeeds());
  EXPECT_THAT(app.RemoveDirectory(DataOf(kNew)), Succeeds());
}

// Another package of the same uid is the same app from then on.
TEST_P(PermissionsTest, APackageThatJoinsAUid) {
  Given(kMusic, place_ + "/music.bin", "music's");
  EXPECT_THAT(Open("/music.bin", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Stat(DataOf("com.example.joins")),
              FailsWith(ENOENT));
  Push(With(AllPackages(), {.name = "com.example.joins", .uid = 10064}));
  ASSERT_TRUE(device().Sync());
  const std::string joined = DataOf("com.example.joins");
  EXPECT_THAT(As(kStranger).MakeDirectory(joined), Succeeds());
  EXPECT_THAT(As(kStranger).RemoveDirectory(joined), Succeeds());
  EXPECT_THAT(Open("/music.bin", O_RDONLY), FailsWith(EACCES));
}

// A push that is refused changes nothing.
TEST_P(PermissionsTest, ARefusedPush) {
  MakeStranger({"READ_MEDIA_IMAGES"});
  const std::string old =
      device().Keep("old.textproto", AppsText(AllPackages(), 1));
  EXPECT_EQ(device().Ctl({"apps", old}).exit, 1);
  const std::string bad =
      device().Keep("bad.textproto", "version: 99999 apps { uid: \"x\" }");
  EXPECT_EQ(device().Ctl({"apps", bad}).exit, 1);
  EXPECT_THAT(Read("/a.jpg"), Reads("image"));
  EXPECT_THAT(Open("/a.mp3", O_RDONLY), FailsWith(EACCES));
}

// A rehearsal too.
TEST_P(PermissionsTest, ADryRun) {
  const std::string file = device().Keep(
      "dry.textproto",
      AppsText(With(AllPackages(), {.name = kStranger,
                                    .uid = 10064,
                                    .permissions = {"READ_MEDIA_IMAGES"}}),
               9'999));
  EXPECT_EQ(device().Ctl({"apps", file, "--dry_run"}).exit, 0);
  EXPECT_THAT(Open("/a.jpg", O_RDONLY), FailsWith(EACCES));
  EXPECT_NE(device().Status().apps().version(), 9'999U);
}

INSTANTIATE_BOTH_VIEWS(PermissionsTest);

}  // namespace
}  // namespace fused::androidtest
