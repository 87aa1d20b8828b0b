// What each collection takes: by the table of media types, for an app that is
// nobody special, by each way to make a name.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// One extension of each type, and none.
constexpr const char* kImage = "jpg";
constexpr const char* kVideo = "mp4";
constexpr const char* kAudio = "mp3";
constexpr const char* kPlaylist = "m3u";
constexpr const char* kSubtitle = "srt";
constexpr const char* kDocument = "pdf";
constexpr const char* kUnknown = "xyz";

struct Collection {
  const char* name;
  // Empty: any.
  std::vector<const char*> taken;

  bool Takes(std::string_view extension) const {
    if (taken.empty()) return true;
    for (const char* one : taken) {
      if (extension == one) return true;
    }
    return false;
  }
};

std::vector<Collection> Collections() {
  return {
      {"DCIM", {kImage, kVideo}},
      {"Pictures", {kImage, kVideo}},
      {"Movies", {kVideo, kPlaylist, kSubtitle}},
      {"Music", {kAudio, kPlaylist, kSubtitle}},
      {"Alarms", {kAudio}},
      {"Audiobooks", {kAudio}},
      {"Notifications", {kAudio}},
      {"Podcasts", {kAudio}},
      {"Recordings", {kAudio}},
      {"Ringtones", {kAudio}},
      {"Download", {}},
      {"Documents", {}},
  };
}

void PrintTo(const Collection& collection, std::ostream* os) {
  *os << collection.name;
}

const std::vector<const char*>& Extensions() {
  static const auto* const kAll = new std::vector<const char*>{
      kImage, kVideo, kAudio, kPlaylist, kSubtitle, kDocument, kUnknown};
  return *kAll;
}

using Cell = std::tuple<View, Collection, const char*>;

class TypesTest : public testing::WithParamInterface<Cell>, public DeviceTest {
 public:
  static void SetUpTestSuite() { ScopedTest::SetUpTestSuite(); }
  static void TearDownTestSuite() { ScopedTest::TearDownTestSuite(); }
};

// ScopedTest's helpers for a test with other parameters.
struct Scene : ScopedTest {
  using ScopedTest::device;
  using ScopedTest::In;
  using ScopedTest::Plant;
  using ScopedTest::PlantDirectory;
  void TestBody() override {}
};

TEST_P(TypesTest, IsTakenOrNot) {
  const auto& [view, collection, extension] = GetParam();
  const App& app = Scene::In(view, kStranger);
  const std::string place =
      absl::StrCat(collection.name, "/", Name(view), "-", extension);
  Scene::PlantDirectory(place);
  const std::string made = absl::StrCat(place, "/a.", extension);
  const std::string node = absl::StrCat(place, "/Node.", extension);
  const std::string moved = absl::StrCat(place, "/moved.", extension);
  const std::string own = DataOf(
      kStranger,
      absl::StrCat("files/", Name(view), "-", collection.name, "-", extension));
  ASSERT_THAT(app.Create(own, "x"), Succeeds());
  if (collection.Takes(extension)) {
    EXPECT_THAT(app.Create(made, "x"), Succeeds());
    EXPECT_THAT(app.Read(made), Reads("x"));
    EXPECT_THAT(app.MakeNode(node, S_IFREG | 0600), Succeeds());
    EXPECT_THAT(app.Rename(own, moved), Succeeds());
    EXPECT_THAT(app.Read(moved), Reads("x"));
    EXPECT_THAT(app.List(place), Lists(testing::SizeIs(3)));
  } else {
    EXPECT_THAT(app.Create(made, "x"), FailsWith(EPERM));
    EXPECT_THAT(app.MakeNode(node, S_IFREG | 0600), FailsWith(EPERM));
    EXPECT_THAT(app.Rename(own, moved), FailsWith(EPERM));
    EXPECT_THAT(app.List(place), Lists(testing::IsEmpty()));
    EXPECT_THAT(app.Read(own), Reads("x"));
  }
}

std::string CellName(const testing::TestParamInfo<Cell>& info) {
  const auto& [view, collection, extension] = info.param;
  return absl::StrCat(Name(view), "_", collection.name, "_", extension);
}

INSTANTIATE_TEST_SUITE_P(, TypesTest,
                         testing::Combine(testing::Values(View::kApp,
                                                          View::kShared),
                                          testing::ValuesIn(Collections()),
                                          testing::ValuesIn(Extensions())),
                         CellName);

// Names of directories and of types.
class TypeNamesTest : public ScopedTest {};

TEST_P(TypeNamesTest, ExtensionsAreComparedWithoutCase) {
  const std::string place = Place("DCIM");
  EXPECT_THAT(As(kStranger).Create(place + "/A.JPG"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/b.Mp4"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/c.MP3"), FailsWith(EPERM));
}

TEST_P(TypeNamesTest, TheLastExtensionCounts) {
  const std::string place = Place("Music");
  EXPECT_THAT(As(kStranger).Create(place + "/a.jpg.mp3"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/a.mp3.jpg"), FailsWith(EPERM));
  EXPECT_THAT(As(kStranger).Create(place + "/a.mp3."), FailsWith(EPERM));
  EXPECT_THAT(As(kStranger).Create(place + "/mp3"), FailsWith(EPERM));
}

TEST_P(TypeNamesTest, TypesHoldAtAnyDepth) {
  const std::string place = Place("Pictures");
  EXPECT_THAT(As(kStranger).MakeDirectory(place + "/b"), Succeeds());
  EXPECT_THAT(As(kStranger).MakeDirectory(place + "/b/c"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/b/c/a.png"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/b/c/a.txt"), FailsWith(EPERM));
}

// A directory's name has no type.
TEST_P(TypeNamesTest, DirectoriesMayBeCalledAsTheyLike) {
  const std::string place = Place("DCIM");
  EXPECT_THAT(As(kStranger).MakeDirectory(place + "/songs.mp3"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/songs.mp3/a.jpg"), Succeeds());
  EXPECT_THAT(As(kStranger).Rename(place + "/songs.mp3", place + "/papers.pdf"),
              Succeeds());
}

// A collection's name counts at the top alone.
TEST_P(TypeNamesTest, ACollectionWithinAnotherIsADirectory) {
  const std::string place = Place("Documents");
  EXPECT_THAT(As(kStranger).MakeDirectory(place + "/Music"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/Music/a.jpg"), Succeeds());
  EXPECT_THAT(As(kStranger).MakeDirectory(place + "/Android"), Succeeds());
  EXPECT_THAT(As(kStranger).Create(place + "/Android/data"), Succeeds());
}

// An unnamed file is a file of no type.
TEST_P(TypeNamesTest, AnUnnamedFileHasNoTypeEither) {
  const std::string place = Place("DCIM");
  const File refused = As(kStranger).Open(place, O_TMPFILE | O_RDWR);
  EXPECT_FALSE(refused.ok());
  EXPECT_THAT(refused.error(), testing::AnyOf(EPERM, EOPNOTSUPP));
}

TEST_P(TypeNamesTest, NothingButFilesAndDirectoriesIsMade) {
  const std::string place = Place("Download");
  const App& app = As(kStranger);
  EXPECT_THAT(app.MakeNode(place + "/fifo", S_IFIFO | 0600), FailsWith(EPERM));
  EXPECT_THAT(app.MakeNode(place + "/socket", S_IFSOCK | 0600),
              FailsWith(EPERM));
  EXPECT_THAT(app.Symlink("target", place + "/link"), FailsWith(EPERM));
  ASSERT_THAT(app.Create(place + "/file"), Succeeds());
  EXPECT_THAT(app.Link(place + "/file", place + "/name"), FailsWith(EPERM));
  EXPECT_THAT(app.List(place), Lists(testing::ElementsAre("file")));
}

// As much as it may do, an app cannot put there what FAT does not hold.
TEST_P(TypeNamesTest, NoDevicesForAnyone) {
  const std::string place = Place("Download");
  for (const char* package : {kStranger, kManager, kMtp}) {
    EXPECT_THAT(As(package).MakeNode(place + "/pipe", S_IFIFO | 0600),
                FailsWith(EPERM))
        << package;
    EXPECT_THAT(As(package).Symlink("target", place + "/link"),
                FailsWith(EPERM))
        << package;
  }
}

INSTANTIATE_BOTH_VIEWS(TypeNamesTest);

}  // namespace
}  // namespace fused::androidtest
