#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

std::string Chunk(std::string_view type, std::string_view data) {
  return absl::StrCat(type, Little(data.size(), 4), data,
                      std::string(data.size() % 2, '\0'));
}

std::string Webp(std::string_view chunks) {
  return Chunk("RIFF", absl::StrCat("WEBP", Chunk("VP8L", "pixel"), chunks));
}

void ExpectGone(const std::string& file) {
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size()) << view;
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_TRUE(Holds(view, kPublic));
}

TEST(RiffTest, LooksIntoWebp) {
  ExpectGone(Webp(Chunk("EXIF", Exif())));
  ExpectGone(
      Webp(Chunk("EXIF", absl::StrCat(std::string("Exif\0\0", 6), Exif()))));
  ExpectGone(Webp(Chunk("XMP ", Xmp())));
  ExpectGone(Webp(Chunk("ABCD", Xmp())));
  EXPECT_EQ(Redacted(Webp(Chunk("ICCP", kPublic))), "NONE");
}

TEST(RiffTest, LooksIntoAvi) {
  const std::string exif = Chunk("strd", Exif());
  ExpectGone(Chunk(
      "RIFF",
      absl::StrCat("AVI ",
                   Chunk("LIST", absl::StrCat("hdrl", Chunk("avih", "x"),
                                              Chunk("LIST", "strl" + exif))),
                   Chunk("LIST", absl::StrCat("movi", kPublic)))));
  const std::string tags = absl::StrCat(
      Big(0x1, 4), Big(2, 2), Big(kPublic.size(), 2), kPublic,
      Big(0x1200002, 4), Big(2, 2), Big(kSecret.size(), 2), kSecret);
  ExpectGone(Chunk(
      "RIFF",
      absl::StrCat("AVI ",
                   Chunk("LIST", absl::StrCat("ncdt", Chunk("nctg", tags))))));
}

TEST(RiffTest, LooksBehindTheEnd) {
  ExpectGone(absl::StrCat(Webp(""), "more", Xmp()));
}

TEST(RiffTest, TakesWhatIsCutOff) {
  const std::string file =
      Webp(absl::StrCat(Chunk("EXIF", Exif()), Chunk("XMP ", Xmp())));
  for (size_t size = 0; size < file.size(); ++size) {
    ASSERT_FALSE(Holds(Redacted(file.substr(0, size)), kSecret)) << size;
  }
}

}  // namespace
}  // namespace fused::policy::redaction
