#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

constexpr std::string_view kSum = "SUM.";

std::string Chunk(std::string_view type, std::string_view data) {
  return absl::StrCat(Big(data.size(), 4), type, data, kSum);
}

std::string Png(const std::vector<std::string>& chunks,
                std::string_view behind = "") {
  std::string file = "\x89PNG\r\n\x1a\n";
  for (const std::string& chunk : chunks) file += chunk;
  return absl::StrCat(file, Chunk("IEND", ""), behind);
}

std::string Text(std::string_view type, std::string_view key,
                 std::string_view text) {
  std::string between(1, '\0');
  if (type == "iTXt") between = std::string(5, '\0');
  if (type == "zTXt") between = std::string(2, '\0');
  return Chunk(type, absl::StrCat(key, between, text));
}

void ExpectGone(const std::string& chunk, bool other_stays = true) {
  const std::string file = Png({Chunk("IHDR", "size"), chunk});
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size()) << view;
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_EQ(Holds(view, kPublic), other_stays);
  // Its checksum goes, no other.
  const size_t first = 8 + 8 + 4;
  EXPECT_EQ(view.substr(first, 4), kSum);
  EXPECT_EQ(view.substr(file.size() - 16, 4), std::string(4, '\0'));
  EXPECT_EQ(view.substr(file.size() - 4), kSum);
}

TEST(PngTest, LooksIntoExif) {
  ExpectGone(Chunk("eXIf", Exif()));
  ExpectGone(Chunk("eXIf", absl::StrCat(std::string("Exif\0\0", 6), Exif())));
  ExpectGone(Chunk("zxIf", kSecret), false);
}

TEST(PngTest, LooksIntoXmp) {
  ExpectGone(Text("iTXt", "XML:com.adobe.xmp", Xmp()));
  ExpectGone(Text("tEXt", "XML:com.adobe.xmp", Xmp()));
}

TEST(PngTest, ZeroesTextOfALocation) {
  for (const char* type : {"tEXt", "zTXt", "iTXt"}) {
    for (const char* key :
         {"exif:GPSLatitude", "Location", "Raw profile type exif",
          "Raw profile type APP1", "Raw profile type iptc"}) {
      ExpectGone(Text(type, key, kSecret), false);
    }
  }
  // The rest of it is compressed.
  ExpectGone(Chunk("iTXt", absl::StrCat("XML:com.adobe.xmp",
                                        std::string("\0\1\0\0\0", 5), kSecret)),
             false);
}

TEST(PngTest, LeavesOtherText) {
  EXPECT_EQ(Redacted(Png({Text("tEXt", "Comment", kPublic),
                          Text("zTXt", "Raw profile type icc", kPublic),
                          Text("iTXt", "Title", kPublic), Chunk("tIME", "x")})),
            "NONE");
  EXPECT_EQ(Redacted(Png({})), "NONE");
}

TEST(PngTest, LooksBehindTheEnd) {
  const std::string file = Png({}, absl::StrCat("more", kPublic, Xmp()));
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size());
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_TRUE(Holds(view, kPublic));
}

TEST(PngTest, TakesWhatIsCutOff) {
  const std::string file = Png({Chunk("IHDR", "size"), Chunk("eXIf", Exif()),
                                Text("iTXt", "XML:com.adobe.xmp", Xmp())});
  for (size_t size = 8; size < file.size(); ++size) {
    ASSERT_FALSE(Holds(Redacted(file.substr(0, size)), kSecret)) << size;
  }
}

}  // namespace
}  // namespace fused::policy::redaction
