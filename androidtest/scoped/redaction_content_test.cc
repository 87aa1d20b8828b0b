// What a photo is, its content tells: dummies, films under a picture's name,
// what nobody knows, what is too large.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/photo.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

constexpr std::string_view kPlaceText = "+48.1371+011.5754/";
constexpr int64_t kGiB = int64_t{1} << 30;

std::string Big(uint64_t number, int width) {
  std::string bytes;
  while (width-- > 0) bytes += static_cast<char>(number >> (8 * width));
  return bytes;
}

std::string Box(std::string_view type, std::string_view payload) {
  return absl::StrCat(Big(8 + payload.size(), 4), type, payload);
}

std::string Head() {
  return Box("moov", Box("udta", Box("\xa9xyz", kPlaceText)));
}

std::string Film() {
  return absl::StrCat(Box("ftyp", "mp42"), Head(), Box("mdat", "frames"));
}

// What is left of a film without its place.
MATCHER_P(HidesThePlaceOf, whole, "is the same without its place") {
  const std::string_view content = whole;
  if (!arg.ok() || arg.data.size() != content.size()) return false;
  const size_t at = content.find(kPlaceText);
  for (size_t i = 0; i < content.size(); ++i) {
    if (i >= at && i < at + kPlaceText.size() && arg.data[i] != '\0') {
      return false;
    }
    if (arg.data[i] != content[i] && arg.data[i] != '\0') return false;
  }
  return true;
}

class ContentTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (!IsSkipped()) place_ = Place("Pictures") + "/";
  }

  std::string place_;
};

// As Android's own tests write them.
TEST_P(ContentTest, DummiesOpen) {
  for (const std::string& content :
       {std::string("Dummy content"), std::string("\0\1\2", 3),
        std::string(100'000, 'x'), std::string(5000, '\0')}) {
    for (const char* name : {"a.jpg", "a.png", "a.webp", "a.heic", "a.dng"}) {
      const std::string path = absl::StrCat(place_, content.size(), name);
      Given(kCamera, path, content);
      EXPECT_THAT(As(kBlind).Read(path), Reads(content)) << path;
    }
  }
}

TEST_P(ContentTest, MetadataWithinADummyIsZeroed) {
  const std::string path = place_ + "a.jpg";
  const std::string before(70'000, 'x');
  // From "Exif\0\0" on, as a JPEG file has it.
  const std::string exif = Photo().substr(6, Photo().size() - 8);
  Given(kCamera, path, absl::StrCat(before, exif, "behind"));
  const Outcome read = As(kBlind).Read(path);
  ASSERT_THAT(read, Succeeds());
  EXPECT_EQ(read.data.substr(0, before.size()), before);
  EXPECT_EQ(read.data.substr(before.size() + exif.size()), "behind");
  EXPECT_TRUE(HidesTheLatitude(
      absl::StrCat(Photo().substr(0, 6),
                   read.data.substr(before.size(), exif.size()), "\xff\xd9")));
  const std::string film = place_ + "b.jpg";
  const std::string boxes = absl::StrCat("text", Box("loci", kPlaceText));
  Given(kCamera, film, boxes);
  EXPECT_THAT(As(kBlind).Read(film), HidesThePlaceOf(boxes));
}

TEST_P(ContentTest, MuchOfNoKnownKindIsRefused) {
  const std::string path = place_ + "a.jpg";
  Given(kCamera, path, "dummy");
  ASSERT_THAT(As(kCamera).Truncate(path, 16 << 20), Succeeds());
  ASSERT_TRUE(device().Sync());
  const File most = As(kBlind).Open(path, O_RDONLY);
  EXPECT_THAT(most.ReadAt(0, 5), Reads("dummy"));
  ASSERT_THAT(As(kCamera).Truncate(path, (16 << 20) + 1), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Open(path, O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(As(kSystemGallery).Open(path, O_RDWR), FailsWith(EACCES));
  // Not to who may see it all.
  EXPECT_THAT(As(kGallery).Open(path, O_RDONLY), Opens());
  EXPECT_THAT(As(kCamera).Open(path, O_RDWR), Opens());
  // Nor to who sees no byte.
  EXPECT_THAT(As(kSystemGallery).Open(path, O_WRONLY), Opens());
}

TEST_P(ContentTest, AContainerThatCannotBeWalkedIsRefused) {
  const std::vector<std::string> broken = {
      // A movie's head, compressed.
      absl::StrCat(Box("ftyp", "mp42"), Box("moov", Box("cmov", "zzzz"))),
      // A table of items that ends in the middle, with items in it.
      absl::StrCat(
          Box("ftyp", "heic"),
          Box("meta",
              absl::StrCat(
                  Big(0, 4), Box("hdlr", Big(0, 8) + "pict"),
                  Box("iinf",
                      absl::StrCat(
                          Big(0, 4), Big(1, 2),
                          Box("infe", Big(2 << 24, 4) + Big(1, 2) + Big(0, 2) +
                                          "Exif" + Big(0, 1)))),
                  Box("iloc", Big(0, 4) + Big(0x4400, 2) + Big(9, 2))))),
      // A directory that stands nowhere.
      absl::StrCat("II*", Big(0, 1), "\xff\xff\xff\x7f"),
  };
  for (size_t i = 0; i < broken.size(); ++i) {
    const std::string path = absl::StrCat(place_, i, ".jpg");
    Given(kCamera, path, broken[i]);
    EXPECT_THAT(As(kBlind).Open(path, O_RDONLY), FailsWith(EACCES)) << i;
    EXPECT_THAT(As(kGallery).Read(path), Reads(broken[i])) << i;
  }
}

TEST_P(ContentTest, AFilmUnderAPicturesName) {
  Given(kCamera, place_ + "a.jpg", Film());
  EXPECT_THAT(As(kBlind).Read(place_ + "a.jpg"), HidesThePlaceOf(Film()));
  EXPECT_THAT(As(kGallery).Read(place_ + "a.jpg"), Reads(Film()));
}

// Granted as the photo picker does: the grant is to read, not to know where.
TEST_P(ContentTest, APhotoUnderNoMediasNameThatIsGranted) {
  const std::string place = Place("Download");
  const std::string path = place + "/a.bin";
  Given(kCamera, path, Photo());
  EXPECT_THAT(As(kStranger).Open(path, O_RDONLY), FailsWith(EACCES));
  const std::string file = device().Keep(
      "granted.textproto",
      absl::StrCat(AppsText(AllPackages(), 1000 + static_cast<int>(view())),
                   "grants { package: '", kStranger,
                   "' volume: 'external_primary' path: '", path,
                   "' access: GRANT_READ }\n"));
  const Completed done = device().Ctl({"apps", file});
  ASSERT_EQ(done.exit, 0) << testing::PrintToString(done);
  EXPECT_THAT(As(kStranger).Read(path), IsRedacted());
}

// A picture of 4 GiB costs what its head does, not what its size would.
TEST_P(ContentTest, FourGibibytesWithThePlaceAtTheEnd) {
  const std::string path = place_ + "large.jpg";
  const std::string start =
      absl::StrCat(Box("ftyp", "mp42"), Big(1, 4), "mdat", Big(4 * kGiB, 8));
  const int64_t at = 12 + 4 * kGiB;
  const std::string head = Head();
  {
    const File file = As(kCamera).Open(path, O_WRONLY | O_CREAT);
    ASSERT_THAT(file.WriteAt(0, start), Returns(start.size()));
    ASSERT_THAT(file.WriteAt(at, head), Returns(head.size()));
  }
  ASSERT_TRUE(device().Sync());
  const Counts before = device().Count();
  const File file = As(kBlind).Open(path, O_RDONLY);
  ASSERT_THAT(file, Opens());
  EXPECT_THAT(file.Stat(), HasSize(at + static_cast<int64_t>(head.size())));
  EXPECT_THAT(file.ReadAt(at, 10'000), HidesThePlaceOf(head));
  EXPECT_THAT(file.ReadAt(2 * kGiB, 4), Reads(std::string(4, '\0')));
  const Counts counts = device().Count() - before;
  EXPECT_EQ(counts.redacted, 1);
  EXPECT_LT(counts.moved, 1 << 20);
  EXPECT_THAT(As(kGallery).Open(path, O_RDONLY).ReadAt(at, 10'000),
              Reads(head));
}

INSTANTIATE_BOTH_VIEWS(ContentTest);

}  // namespace
}  // namespace fused::androidtest
