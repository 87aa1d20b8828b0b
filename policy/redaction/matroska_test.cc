#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

std::string Element(std::string_view id, std::string_view payload) {
  return absl::StrCat(id, Big(0x10000000 | payload.size(), 4), payload);
}

std::string Tag(std::string_view name, std::string_view value,
                std::string_view inside = "") {
  return Element("\x67\xc8", absl::StrCat(Element("\x45\xa3", name),
                                          Element("\x44\x87", value), inside));
}

std::string Tags(std::string_view tags) {
  return Element("\x12\x54\xc3\x67", Element("\x73\x73", tags));
}

constexpr std::string_view kHeader = "\x1a\x45\xdf\xa3\x81x";
constexpr std::string_view kSegment = "\x18\x53\x80\x67";

std::string Film(std::string_view inside) {
  const std::string cluster = Element("\x1f\x43\xb6\x75", kPublic);
  return absl::StrCat(kHeader,
                      Element(kSegment, absl::StrCat(cluster, inside)));
}

void ExpectGone(const std::string& file) {
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size()) << view;
  EXPECT_TRUE(Holds(file, kSecret));
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_TRUE(Holds(view, kPublic));
}

TEST(MatroskaTest, ZeroesTagsOfALocation) {
  EXPECT_EQ(Redacted(Film(Tags(Tag("TITLE", kPublic)))), "NONE");
  ExpectGone(Film(Tags(Tag("TITLE", kPublic) + Tag("LOCATION", kSecret))));
  ExpectGone(Film(Tags(Tag("TITLE", "x", Tag("COUNTRY", kSecret)))));
  ExpectGone(Film(Tags(Tag("LOCATION", "x", Tag("NAME", kSecret)))));
}

TEST(MatroskaTest, ZeroesTheChecksumWithThem) {
  const std::string sum = Element("\xbf", "SUM.");
  const auto tags = [&](std::string_view name) {
    return Film(
        Element("\x12\x54\xc3\x67",
                absl::StrCat(sum, Element("\x73\x73", Tag(name, kSecret)))));
  };
  EXPECT_EQ(Redacted(tags("TITLE")), "NONE");
  EXPECT_FALSE(Holds(Redacted(tags("LOCATION")), "SUM."));
}

TEST(MatroskaTest, SearchesAttachments) {
  ExpectGone(Film(Element("\x19\x41\xa4\x69",
                          Element("\x61\xa7", Element("\x46\x5c", Exif())))));
}

TEST(MatroskaTest, TakesWhatIsOpen) {
  ExpectGone(absl::StrCat(kHeader, kSegment, "\x01\xff\xff\xff\xff\xff\xff\xff",
                          "\x1f\x43\xb6\x75\xff", Element("\xa3", kPublic),
                          Tags(Tag("LOCATION", kSecret))));
}

TEST(MatroskaTest, ZeroesWholeWhatIsNotUnderstood) {
  ExpectGone(Film(Element("\x12\x54\xc3\x67",
                          absl::StrCat(std::string(1, '\0'), kSecret))));
  ExpectGone(Film("") + Xmp());
}

TEST(MatroskaTest, TakesWhatIsCutOff) {
  const std::string file = Film(Tags(Tag("LOCATION", kSecret)));
  for (size_t size = 4; size < file.size(); ++size) {
    ASSERT_FALSE(Holds(Redacted(file.substr(0, size)), kSecret)) << size;
  }
}

TEST(MatroskaTest, RefusesWhatCannotBeWalked) {
  EXPECT_EQ(Redacted(absl::StrCat("\x1a\x45\xdf\xa3", std::string(9, '\0'))),
            "REFUSED");
}

}  // namespace
}  // namespace fused::policy::redaction
