// No call does what another may not, and no name leads out of the lower tree.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/mounts.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr char kPhoto[] = "a photo";
constexpr char kSecret[] = "what no app may read";

class EscapeTest : public BothViewsTest {
 protected:
  void SetUp() override {
    BothViewsTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    // Outside the lower tree: root's alone, so that an app that reads it has
    // read it by the daemon's hand.
    ASSERT_TRUE(MakeDirectories(Outside(""), 0700));
    ASSERT_TRUE(WriteFile(Outside("secret.jpg"), kSecret, 0600));
    ASSERT_TRUE(WriteFile(Private("secret.jpg"), kSecret));
  }

  void Begin() {
    ASSERT_TRUE(device_.Start());
    ASSERT_THAT(Launch(kCamera).Create("DCIM/photo.jpg", kPhoto), Succeeds());
  }

  App Launch(const char* package) { return device_.Launch(package, view()); }

  std::string Outside(const std::string& name) const {
    return device_.directory() + "/outside" + (name.empty() ? "" : "/") + name;
  }
  // The stranger's.
  static std::string PrivateName(const std::string& name) {
    return absl::StrCat("Android/data/", kStranger, "/files/", name);
  }
  std::string Private(const std::string& name) const {
    return device_.LowerPath(PrivateName(name));
  }
  // As the lower tree has it.
  std::string Below(const std::string& path) const {
    return ReadFile(device_.LowerPath(path));
  }

  Device device_{{.packages = StandardPackages()}};
};

TEST_P(EscapeTest, AReaderDoesNotTruncate) {
  Begin();
  const App gallery = Launch(kGallery);
  const std::string photo = "DCIM/photo.jpg";
  EXPECT_THAT(gallery.Open(photo, O_RDONLY), Opens());
  EXPECT_THAT(gallery.Open(photo, O_RDONLY | O_TRUNC), FailsWith(EACCES));
  EXPECT_THAT(gallery.Open(photo, O_RDONLY | O_TRUNC | O_CREAT),
              FailsWith(EACCES));
  EXPECT_THAT(gallery.Open(photo, O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(gallery.Open(photo, O_RDWR), FailsWith(EACCES));
  EXPECT_THAT(gallery.Open(photo, O_WRONLY | O_APPEND), FailsWith(EACCES));
  EXPECT_THAT(gallery.Truncate(photo, 0), FailsWith(EACCES));
  EXPECT_THAT(gallery.SetTimes(photo, 1), FailsWith(EACCES));
  const File reading = gallery.Open(photo, O_RDONLY);
  EXPECT_THAT(reading.Truncate(0), Fails());
  EXPECT_THAT(reading.Allocate(0, 0, 1 << 20), Fails());
  EXPECT_THAT(
      reading.Allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
      Fails());
  EXPECT_THAT(reading.Write("x"), FailsWith(EBADF));
  EXPECT_EQ(Below(photo), kPhoto);
}

TEST_P(EscapeTest, MakingANodeIsCreating) {
  Begin();
  const App app = Launch(kMusic);
  // Nobody may make a text in DCIM, or a file in the root.
  EXPECT_THAT(app.Create("DCIM/note.txt"), FailsWith(EPERM));
  EXPECT_THAT(app.MakeNode("DCIM/note.txt", S_IFREG | 0600), FailsWith(EPERM));
  EXPECT_THAT(app.MakeNode("photo.jpg", S_IFREG | 0600), FailsWith(EPERM));
  EXPECT_THAT(app.MakeNode(PrivateName("new"), S_IFREG | 0600),
              FailsWith(ENOENT));
  EXPECT_THAT(app.MakeNode("DCIM/fifo.jpg", S_IFIFO | 0600), FailsWith(EPERM));
  EXPECT_THAT(app.MakeNode("DCIM/socket.jpg", S_IFSOCK | 0600),
              FailsWith(EPERM));
  EXPECT_THAT(app.MakeNode("DCIM/zero.jpg", S_IFCHR | 0666, makedev(1, 5)),
              FailsWith(EPERM));
  // What may be created may be made, and is one's own.
  EXPECT_THAT(app.MakeNode("DCIM/mine.jpg", S_IFREG | 0600), Succeeds());
  EXPECT_THAT(app.Overwrite("DCIM/mine.jpg", "mine"), Succeeds());
  EXPECT_THAT(Launch(kStranger).Overwrite("DCIM/mine.jpg", "x"),
              FailsWith(EACCES));
}

TEST_P(EscapeTest, ThereAreNoLinks) {
  Begin();
  const App camera = Launch(kCamera);
  EXPECT_THAT(camera.Link("DCIM/photo.jpg", "DCIM/other.jpg"),
              FailsWith(EPERM));
  EXPECT_THAT(camera.Symlink("photo.jpg", "DCIM/link.jpg"), FailsWith(EPERM));
  EXPECT_THAT(camera.Symlink("/etc/passwd", "Download/link"), FailsWith(EPERM));
  EXPECT_THAT(camera.List("DCIM"), Lists(ElementsAre("photo.jpg")));
}

TEST_P(EscapeTest, RenamingIsCreatingAndRemoving) {
  Begin();
  const App camera = Launch(kCamera);
  const App other = Launch(kMusic);
  ASSERT_THAT(other.Create("Pictures/other.jpg", "other"), Succeeds());
  EXPECT_THAT(other.Rename("DCIM/photo.jpg", "Pictures/mine.jpg"),
              FailsWith(EACCES));
  EXPECT_THAT(camera.Rename("DCIM/photo.jpg", "DCIM/photo.txt"),
              FailsWith(EPERM));
  EXPECT_THAT(camera.Rename("DCIM/photo.jpg", "photo.jpg"), FailsWith(EPERM));
  EXPECT_THAT(camera.Rename("DCIM/photo.jpg", PrivateName("photo.jpg")),
              FailsWith(ENOENT));
  // It would remove what is another's.
  EXPECT_THAT(camera.Rename("DCIM/photo.jpg", "Pictures/other.jpg"),
              FailsWith(EACCES));
  EXPECT_THAT(
      camera.Rename("DCIM/photo.jpg", "Pictures/other.jpg", RENAME_EXCHANGE),
      FailsWith(EACCES));
  EXPECT_THAT(
      camera.Rename("DCIM/photo.jpg", "DCIM/white.jpg", RENAME_WHITEOUT),
      Fails());
  EXPECT_EQ(Below("DCIM/photo.jpg"), kPhoto);
  EXPECT_EQ(Below("Pictures/other.jpg"), "other");
}

TEST_P(EscapeTest, ANamelessFileIsACreatedOne) {
  Begin();
  const App app = Launch(kMusic);
  EXPECT_THAT(app.Open("", O_TMPFILE | O_RDWR), Fails());
  EXPECT_THAT(
      app.Open(absl::StrCat("Android/data/", kStranger), O_TMPFILE | O_RDWR),
      FailsWith(ENOENT));
  const File file = app.Open("Download", O_TMPFILE | O_RDWR);
  if (file.ok()) {
    EXPECT_THAT(file.Write("content"), Succeeds());
    EXPECT_THAT(file.LinkAs(app.At("DCIM/note.txt")), Fails());
    EXPECT_THAT(file.LinkAs(app.At("Download/linked.bin")), FailsWith(EPERM));
  } else {
    EXPECT_EQ(file.error(), EOPNOTSUPP);
  }
  EXPECT_THAT(app.List("Download"), Lists(IsEmpty()));
}

TEST_P(EscapeTest, CopyingGoesByTheHandles) {
  Begin();
  const App gallery = Launch(kGallery);
  ASSERT_THAT(gallery.Create("Download/own.bin", "own content"), Succeeds());
  const File own = gallery.Open("Download/own.bin", O_RDWR);
  const File photo = gallery.Open("DCIM/photo.jpg", O_RDONLY);
  ASSERT_THAT(own, Opens());
  ASSERT_THAT(photo, Opens());
  EXPECT_THAT(own.CopyTo(photo, 3), FailsWith(EBADF));
  EXPECT_EQ(Below("DCIM/photo.jpg"), kPhoto);
  const File write_only = gallery.Open("Download/own.bin", O_WRONLY);
  EXPECT_THAT(write_only.CopyTo(own, 3), FailsWith(EBADF));
  EXPECT_THAT(photo.CopyTo(own, 100), Returns(sizeof(kPhoto) - 1));
  EXPECT_THAT(own.ReadAt(0, 100), Reads("a phototent"));
}

TEST_P(EscapeTest, DotDotStaysInside) {
  Begin();
  const App gallery = Launch(kGallery);
  EXPECT_THAT(gallery.Read("Download/../DCIM/./photo.jpg"), Reads(kPhoto));
  EXPECT_THAT(gallery.Stat(absl::StrCat("Android/data/", kGallery, "/../",
                                        kStranger, "/files/secret.jpg")),
              FailsWith(ENOENT));
  EXPECT_THAT(gallery.Read("DCIM/../../outside/secret.jpg"), Fails());
}

INSTANTIATE_BOTH_VIEWS(EscapeTest);

// What somebody has planted below.
class PlantedTest : public EscapeTest {
 protected:
  void SetUp() override {
    EscapeTest::SetUp();
    // A link that an app follows by itself leads it no further than it may go.
    if (!IsSkipped()) chmod(device_.lower().c_str(), 0700);
  }

  // Whatever a caller makes of `path`: it is not the secret, and nothing is
  // written through it.
  void ExpectLeadsNowhere(const std::string& path) {
    for (const char* package :
         {kGallery, kManager, kSystemGallery, kOldReader, kStranger}) {
      // The stranger's own secret is no secret to it.
      const App app = Launch(package);
      EXPECT_THAT(app.Read(path), Not(Reads(kSecret))) << package << path;
      EXPECT_THAT(app.Overwrite(path, "overwritten"), Fails())
          << package << path;
      EXPECT_THAT(app.Truncate(path, 0), Fails()) << package << path;
      EXPECT_THAT(app.Open(path, O_RDWR | O_CREAT), Fails()) << package << path;
    }
    EXPECT_EQ(ReadFile(Outside("secret.jpg")), kSecret);
    EXPECT_EQ(ReadFile(Private("secret.jpg")), kSecret);
  }
};

TEST_P(PlantedTest, SymlinksLeadNowhere) {
  const auto plant = [&](const std::string& target, const char* path) {
    ASSERT_EQ(symlink(target.c_str(), device_.LowerPath(path).c_str()), 0);
  };
  plant(Outside("secret.jpg"), "DCIM/absolute.jpg");
  plant("../../outside/secret.jpg", "DCIM/relative.jpg");
  plant(Outside(""), "DCIM/directory");
  plant(Outside("new.jpg"), "DCIM/dangling.jpg");
  plant("/proc/self/root" + Outside("secret.jpg"), "DCIM/magic.jpg");
  plant("/", "DCIM/root");
  plant(Private("secret.jpg"), "DCIM/private_below.jpg");
  Begin();
  ExpectLeadsNowhere("DCIM/absolute.jpg");
  ExpectLeadsNowhere("DCIM/relative.jpg");
  ExpectLeadsNowhere("DCIM/directory/secret.jpg");
  ExpectLeadsNowhere("DCIM/dangling.jpg");
  ExpectLeadsNowhere("DCIM/magic.jpg");
  ExpectLeadsNowhere("DCIM/root" + Outside("secret.jpg"));
  ExpectLeadsNowhere("DCIM/private_below.jpg");
  EXPECT_FALSE(Exists(Outside("new.jpg")));
}

TEST_P(PlantedTest, AMountBelowIsAnEmptyDirectory) {
  ASSERT_TRUE(MakeDirectories(device_.LowerPath("Download/early")));
  ASSERT_TRUE(MakeDirectories(device_.LowerPath("Download/late")));
  ASSERT_TRUE(MountTmpfs(device_.LowerPath("Download/early")));
  ASSERT_TRUE(WriteFile(device_.LowerPath("Download/early/in.jpg"), kSecret));
  Begin();
  ASSERT_TRUE(MountTmpfs(device_.LowerPath("Download/late")));
  ASSERT_TRUE(WriteFile(device_.LowerPath("Download/late/in.jpg"), kSecret));
  const App gallery = Launch(kGallery);
  for (const char* name : {"Download/early", "Download/late"}) {
    EXPECT_THAT(gallery.List(name), Lists(IsEmpty())) << name;
    EXPECT_THAT(gallery.Stat(absl::StrCat(name, "/in.jpg")), FailsWith(ENOENT))
        << name;
  }
}

TEST_P(PlantedTest, EachNameOfAHardLinkIsJudgedByItself) {
  ASSERT_EQ(link(Private("secret.jpg").c_str(),
                 device_.LowerPath("DCIM/linked.jpg").c_str()),
            0);
  Begin();
  const App gallery = Launch(kGallery);
  const App stranger = Launch(kStranger);
  for (int round = 0; round < 3; ++round) {
    EXPECT_THAT(gallery.Read("DCIM/linked.jpg"), Reads(kSecret));
    EXPECT_THAT(gallery.Read(PrivateName("secret.jpg")), FailsWith(ENOENT));
    EXPECT_THAT(stranger.Read("DCIM/linked.jpg"), FailsWith(EACCES));
    EXPECT_THAT(stranger.Read(PrivateName("secret.jpg")), Reads(kSecret));
    const File own = stranger.Open(PrivateName("secret.jpg"), O_RDWR);
    EXPECT_THAT(own, Opens());
    EXPECT_THAT(gallery.Open("DCIM/linked.jpg", O_WRONLY), FailsWith(EACCES));
    EXPECT_THAT(stranger.Open("DCIM/linked.jpg", O_WRONLY), FailsWith(EACCES));
  }
}

// Names that are no names.
TEST_P(PlantedTest, OddNamesAreRefused) {
  Begin();
  const App app = Launch(kMusic);
  for (const char* name :
       {"a:b.jpg", "a*b.jpg", "a?b.jpg", "a\"b.jpg", "a<b.jpg", "a>b.jpg",
        "a|b.jpg", "a\\b.jpg", "a\x01.jpg", "\xff\xfe.jpg", "a\x7f.jpg"}) {
    EXPECT_THAT(app.Create(absl::StrCat("DCIM/", name)), FailsWith(EPERM))
        << name;
    EXPECT_THAT(app.MakeDirectory(absl::StrCat("DCIM/", name)),
                FailsWith(EPERM))
        << name;
  }
  EXPECT_THAT(app.Create(absl::StrCat("DCIM/", std::string(300, 'a'), ".jpg")),
              AnyOf(FailsWith(ENAMETOOLONG), FailsWith(EPERM)));
  EXPECT_THAT(app.Create(absl::StrCat("DCIM/", std::string(251, 'a'), ".jpg")),
              Succeeds());
}

INSTANTIATE_BOTH_VIEWS(PlantedTest);

}  // namespace
}  // namespace fused::androidtest
