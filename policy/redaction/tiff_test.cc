#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

// A file of which the main directory is this, with `behind` behind it.
std::string Tiff(const std::vector<TiffEntry>& entries,
                 const std::string& behind = "", uint32_t next = 0) {
  return absl::StrCat("II*", std::string(1, '\0'), Little(8, 4),
                      Directory(entries, 8, false, next), behind);
}

TiffEntry Pointer(uint16_t tag, uint32_t offset) {
  return {tag, kLong, 1, Little(offset, 4)};
}

// Where a file with `entries` pointers ends.
constexpr uint32_t Behind(uint32_t entries) { return 8 + 2 + entries * 12 + 4; }

std::string Gps(uint32_t offset) {
  return Directory({TextEntry(27, kSecret)}, offset);
}

void ExpectSecretGone(const std::string& file) {
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size()) << view;
  EXPECT_TRUE(Holds(file, kSecret));
  EXPECT_FALSE(Holds(view, kSecret));
}

TEST(TiffTest, ZeroesTheGpsDirectory) {
  for (const bool big : {false, true}) {
    const std::string file = Exif(big);
    const std::string view = Redacted(file);
    ASSERT_EQ(view.size(), file.size());
    // The directory is the last thing in the file.
    const size_t gps = 8 + 2 + 2 * 12 + 4 + kPublic.size();
    EXPECT_EQ(view.substr(0, gps), file.substr(0, gps));
    EXPECT_EQ(view.substr(gps), std::string(file.size() - gps, '\0'));
  }
}

TEST(TiffTest, FollowsEveryWayThere) {
  const uint32_t at = Behind(1);
  // Chain of directories, sub-directories, the Exif directory.
  ExpectSecretGone(Tiff({Pointer(0x8825, at)}, Gps(at)));
  for (const uint16_t tag : {0x8769, 0x014a, 0x0190}) {
    const uint32_t gps = at + Behind(1) - 8;
    ExpectSecretGone(Tiff({Pointer(tag, at)},
                          Directory({Pointer(0x8825, gps)}, at) + Gps(gps)));
  }
  const uint32_t gps = at + Behind(1) - 8;
  ExpectSecretGone(Tiff({Pointer(0x0100, 5)},
                        Directory({Pointer(0x8825, gps)}, at) + Gps(gps), at));
}

TEST(TiffTest, TakesLoops) {
  EXPECT_EQ(Redacted(Tiff({Pointer(0x8769, 8)}, "", 8)), "NONE");
  const uint32_t at = Behind(2);
  ExpectSecretGone(Tiff({Pointer(0x014a, 8), Pointer(0x8825, at)}, Gps(at), 8));
}

TEST(TiffTest, TakesBigTiff) {
  const auto entry = [](uint16_t tag, uint16_t type, uint64_t count,
                        uint64_t value) {
    return Little(tag, 2) + Little(type, 2) + Little(count, 8) +
           Little(value, 8);
  };
  const std::string file = absl::StrCat(
      "II", Little(43, 2), Little(8, 2), Little(0, 2), Little(16, 8),
      Little(1, 8), entry(0x8825, 18, 1, 52), Little(0, 8),  // 16 to 52
      Little(1, 8), entry(27, kUndefined, kSecret.size(), 88), Little(0, 8),
      kSecret);
  ASSERT_EQ(file.size(), 88 + kSecret.size());
  const std::string view = Redacted(file);
  EXPECT_EQ(view, file.substr(0, 52) + std::string(file.size() - 52, '\0'));
}

TEST(TiffTest, LooksInto) {
  for (const auto& [tag, content] :
       {std::pair<uint16_t, std::string>{0x02bc, Xmp()}, {0x83bb, Iptc()}}) {
    const std::string file = Tiff({TextEntry(tag, content)});
    const std::string view = Redacted(file);
    ASSERT_EQ(view.size(), file.size());
    EXPECT_FALSE(Holds(view, kSecret)) << tag;
    EXPECT_TRUE(Holds(view, kPublic)) << tag;
  }
}

TEST(TiffTest, ZeroesGeoTiff) {
  for (const uint16_t tag : {33922, 34264, 34735, 34736, 34737}) {
    ExpectSecretGone(Tiff({TextEntry(tag, kSecret)}));
  }
}

TEST(TiffTest, KnowsMakerNotes) {
  // Panasonic's offsets count from the header.
  const uint32_t note = Behind(2);
  const std::string panasonic = absl::StrCat(
      std::string("Panasonic\0\0\0", 12),
      Directory({TextEntry(0x25, kPublic), TextEntry(0x6d, kSecret)},
                note + 12));
  std::string file = Tiff({Pointer(0x0100, 1), TextEntry(0x927c, panasonic)});
  std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size());
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_TRUE(Holds(view, kPublic));
  // Nikon's from one of their own.
  const std::string nikon = absl::StrCat(
      std::string("Nikon\0\x02\x10\0\0", 10), "MM", Big(42, 2), Big(8, 4),
      Directory({TextEntry(0x39, kSecret), TextEntry(0x40, kPublic)}, 8, true));
  file = Tiff({TextEntry(0x927c, nikon)});
  view = Redacted(file);
  ASSERT_EQ(view.size(), file.size());
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_TRUE(Holds(view, kPublic));
}

TEST(TiffTest, LeavesPointersThatLeadNowhere) {
  EXPECT_EQ(Redacted(Tiff({Pointer(0x8769, 5000), Pointer(0x8825, 5000)})),
            "NONE");
  EXPECT_EQ(Redacted(Tiff({Pointer(0x8769, 0)}, "", 1 << 30)), "NONE");
}

TEST(TiffTest, RefusesWhatCannotBeWalked) {
  // No first directory; a GPS directory that is cut off, or whose values are
  // of a type that there is not.
  EXPECT_EQ(
      Redacted(absl::StrCat("II*", std::string(1, '\0'), Little(5000, 4))),
      "REFUSED");
  const uint32_t at = Behind(1);
  EXPECT_EQ(Redacted(Tiff({Pointer(0x8825, at)}, Little(9, 2) + "xxxxxxxxxxx")),
            "REFUSED");
  EXPECT_EQ(Redacted(Tiff({Pointer(0x8825, at)},
                          Directory({{2, 99, 1, "xxxx"}}, at))),
            "REFUSED");
}

TEST(TiffTest, ClipsValuesThatGoTooFar) {
  const uint32_t at = Behind(1);
  const std::string file =
      Tiff({Pointer(0x8825, at)},
           absl::StrCat(Little(1, 2), Little(27, 2), Little(7, 2),
                        Little(0xffffffff, 4), Little(at + 18, 4), Little(0, 4),
                        kSecret));
  ExpectSecretGone(file);
}

}  // namespace
}  // namespace fused::policy::redaction
