#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "policy/redaction/location_names.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

// As the only metadata of a JPEG picture, which gives it as it is.
std::string Show(std::string_view packet) {
  const std::string payload = absl::StrCat(
      std::string_view("http://ns.adobe.com/xap/1.0/\0", 29), packet);
  const std::string head =
      absl::StrCat("\xff\xd8\xff\xe1", Big(payload.size() + 2, 2), payload);
  std::string view = Redacted(absl::StrCat(head, "\xff\xd9"));
  if (view == "NONE" || view == "REFUSED") return view;
  view = view.substr(6 + 29, packet.size());
  return absl::StrReplaceAll(view, {{std::string(1, '\0'), "0"}});
}

TEST(IsLocationNameTest, KnowsTheNames) {
  for (const char* name :
       {"exif:GPSLatitude", "GPSVersionID", "drone-dji:GpsLongtitude",
        "photoshop:City", "Iptc4xmpExt:LocationShown", "photoshop:Country",
        "geo:alt", "com.apple.quicktime.location.ISO6709", "foo:gpsLatitude",
        "xmpDM:shotLocation", "LATITUDE"}) {
    EXPECT_TRUE(IsLocationName(name)) << name;
  }
  for (const char* name : {"dc:title", "rdf:Alt", "exif:SubjectLocation",
                           "xmlns:GPS", "xmp:Rating", "CiAdrCity",
                           "com.android.version", "", ":", "exif:Flash"}) {
    EXPECT_FALSE(IsLocationName(name)) << name;
  }
}

TEST(XmpTest, ZeroesElements) {
  EXPECT_EQ(Show("<a><exif:GPSLatitude>1</exif:GPSLatitude><b>2</b></a>"),
            absl::StrCat("<a>", std::string(38, '0'), "<b>2</b></a>"));
  EXPECT_EQ(Show("<a><City/></a>"), "<a>0000000</a>");
  EXPECT_EQ(Show("<City>x</City>"), std::string(14, '0'));
}

TEST(XmpTest, ZeroesAttributes) {
  EXPECT_EQ(Show("<a b='1' exif:GPSLatitude = \"2>\" c='3'/>"),
            absl::StrCat("<a b='1' ", std::string(23, '0'), " c='3'/>"));
}

TEST(XmpTest, ZeroesWhatIsWithin) {
  EXPECT_EQ(Show("<a><LocationShown><City>x</City><b c='d'/></LocationShown>"
                 "<e/></a>"),
            absl::StrCat("<a>", std::string(55, '0'), "<e/></a>"));
}

TEST(XmpTest, TakesSyntaxAsItComes) {
  EXPECT_EQ(Show("<?p a>b?><!-- <City>- --><a><![CDATA[<City>]]]><City >x</City"
                 "\n></a>\n\n"),
            "<?p a>b?><!-- <City>- --><a><![CDATA[<City>]]]>0000000000000000"
            "</a>\n\n");
  EXPECT_EQ(Show("<a xmlns:GPS='x' rdf:about='lat'>Latitude City</a>"), "NONE");
}

TEST(XmpTest, ZeroesWholeWhatIsNotUnderstood) {
  for (const char* packet :
       {"<a><b></a></b>", "<a>", "</a>", "<a b>x</a>", "<a b=c>x</a>",
        "<a b='c", "<!DOCTYPE x [<!ENTITY a 'b'>]><a>x</a>", "<", "text",
        "<a b='<'/>", "< a/>", "<a><!-- --></b></a>", "<a><![CDATA[ ]]</a>"}) {
    EXPECT_EQ(Show(packet), std::string(std::string_view(packet).size(), '0'))
        << packet;
  }
  // UTF-16.
  std::string wide;
  for (const char c : std::string_view("<City>x</City>")) {
    wide += c;
    wide += '\0';
  }
  EXPECT_EQ(Show(wide), std::string(wide.size(), '0'));
}

TEST(XmpTest, HasADepth) {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "<a>";
  for (int i = 0; i < 100; ++i) deep += "</a>";
  EXPECT_EQ(Show(deep), std::string(deep.size(), '0'));
}

TEST(XmpTest, TakesNameInAnyPiece) {
  // Across the end of what is read at once.
  for (size_t space = 3900; space < 4100; ++space) {
    const std::string view = Show(absl::StrCat(
        "<a>", std::string(space, ' '), "<exif:GPSLatitude b='c'>", kSecret,
        "</exif:GPSLatitude><!----><b d='", kPublic, "'/></a>"));
    ASSERT_FALSE(Holds(view, kSecret)) << space;
    ASSERT_TRUE(Holds(view, kPublic)) << space;
  }
}

}  // namespace
}  // namespace fused::policy::redaction
