#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

std::string Segment(uint8_t marker, std::string_view payload) {
  return absl::StrCat("\xff", Big(marker, 1), Big(payload.size() + 2, 2),
                      payload);
}

std::string ExifSegment(std::string_view tiff) {
  return Segment(0xe1, absl::StrCat(std::string("Exif\0\0", 6), tiff));
}

// A picture with these segments, and a scan with stuffed bytes and restarts.
std::string Jpeg(const std::vector<std::string>& segments,
                 std::string_view behind = "") {
  std::string file = "\xff\xd8";
  for (const std::string& segment : segments) file += segment;
  file += Segment(0xda, "scan");
  file += std::string("data\xff\x00more\xff\xd0more\xff\xff\xd9", 19);
  return absl::StrCat(file, behind);
}

// Redacts; what is left has the one text, not the other.
void ExpectGone(const std::string& file, bool other_stays = true) {
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size()) << view.substr(0, 10);
  EXPECT_TRUE(Holds(file, kSecret));
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_EQ(Holds(view, kPublic), other_stays);
  for (size_t i = 0; i < file.size(); ++i) {
    ASSERT_TRUE(view[i] == 0 || view[i] == file[i]) << i;
  }
}

TEST(JpegTest, HasNoneWithoutMetadata) {
  EXPECT_EQ(Redacted(Jpeg({})), "NONE");
  EXPECT_EQ(Redacted("\xff\xd8\xff\xd9"), "NONE");
  EXPECT_EQ(Redacted("\xff\xd8\xff"), "NONE");
}

TEST(JpegTest, LooksIntoExif) {
  ExpectGone(Jpeg({ExifSegment(Exif())}));
  ExpectGone(Jpeg({ExifSegment(Exif(true))}));
}

TEST(JpegTest, LooksIntoExifInSeveralSegments) {
  const std::string exif = Exif();
  ExpectGone(
      Jpeg({ExifSegment(exif.substr(0, 60)), ExifSegment(exif.substr(60, 20)),
            ExifSegment(exif.substr(80))}));
}

TEST(JpegTest, ZeroesExifThatIsNotUnderstood) {
  ExpectGone(Jpeg(
      {ExifSegment(absl::StrCat("garbage", kSecret)), Segment(0xe4, kPublic)}));
}

TEST(JpegTest, LooksIntoXmp) {
  const std::string_view head("http://ns.adobe.com/xap/1.0/\0", 29);
  ExpectGone(Jpeg({Segment(0xe1, absl::StrCat(head, Xmp()))}));
}

std::string Extension(std::string_view packet, uint32_t from, uint32_t to) {
  return Segment(
      0xe1,
      absl::StrCat(std::string_view("http://ns.adobe.com/xmp/extension/\0", 35),
                   std::string(32, 'A'), Big(packet.size(), 4), Big(from, 4),
                   packet.substr(from, to - from)));
}

TEST(JpegTest, LooksIntoExtendedXmp) {
  const std::string xmp = Xmp();
  const uint32_t end = xmp.size();
  for (uint32_t at = 1; at < end; ++at) {
    const std::string file =
        Jpeg({Extension(xmp, 0, at), Segment(0xe1, "other"),
              Extension(xmp, at, end)});
    const std::string view = Redacted(file);
    ASSERT_EQ(view.size(), file.size());
    for (size_t i = 0; i + 4 <= kSecret.size(); ++i) {
      ASSERT_FALSE(Holds(view, kSecret.substr(i, 4))) << at;
    }
  }
  // In the wrong order, and with a part missing.
  ExpectGone(Jpeg({Extension(xmp, 100, end), Extension(xmp, 0, 100)}));
  ExpectGone(Jpeg({Extension(xmp, 100, end)}), false);
}

std::string Resource(uint16_t id, std::string_view content) {
  return absl::StrCat("8BIM", Big(id, 2), std::string(2, '\0'),
                      Big(content.size(), 4), content,
                      std::string(content.size() % 2, '\0'));
}

TEST(JpegTest, LooksIntoPhotoshop) {
  const std::string digest = "DIGESTDIGEST-16-";
  const std::string all = Resource(0x0425, digest) + Resource(0x0404, Iptc());
  const std::string head("Photoshop 3.0\0", 14);
  const std::string file = Jpeg({Segment(0xed, head + all)});
  ExpectGone(file);
  // What gives it away goes with it, and only with it.
  EXPECT_FALSE(Holds(Redacted(file), digest));
  ExpectGone(Jpeg({Segment(0xed, head + all.substr(0, 30)),
                   Segment(0xed, head + all.substr(30))}));
  const std::string other = Jpeg(
      {ExifSegment(Exif()), Segment(0xed, head + Resource(0x0425, digest))});
  EXPECT_TRUE(Holds(Redacted(other), digest));
  ExpectGone(Jpeg({Segment(0xed, absl::StrCat(head, "junk", kSecret)),
                   Segment(0xe4, kPublic)}));
}

TEST(JpegTest, LooksBetweenScans) {
  ExpectGone(Jpeg({Segment(0xda, "scan"), "data", ExifSegment(Exif())}));
}

TEST(JpegTest, LooksBehindThePicture) {
  ExpectGone(Jpeg({}, Jpeg({ExifSegment(Exif())})));
  ExpectGone(Jpeg({}, std::string(7, '\0') + Jpeg({ExifSegment(Exif())})));
  ExpectGone(
      Jpeg({}, absl::StrCat(Box("ftyp", "mp42"),
                            Box("moov", Box("udta", Box("\xa9xyz", kSecret))),
                            kPublic)));
  ExpectGone(Jpeg({}, absl::StrCat("trailer", kPublic, Xmp())));
}

TEST(JpegTest, SearchesOtherSegments) {
  ExpectGone(Jpeg({Segment(0xe7, absl::StrCat("Maker", Xmp()))}));
  ExpectGone(Jpeg({Segment(0xfe, Xmp())}));
}

TEST(JpegTest, LooksIntoGoPro) {
  const auto value = [](std::string_view key, std::string_view text) {
    return absl::StrCat(key, "c", Big(1, 1), Big(text.size(), 2), text);
  };
  const std::string inside = value("GPS5", kSecret) + value("MINF", kPublic);
  ExpectGone(
      Jpeg({Segment(0xe6, absl::StrCat(std::string("GoPro\0", 6), "DEVC",
                                       std::string("\0\1", 2),
                                       Big(inside.size(), 2), inside))}));
}

TEST(JpegTest, TakesBrokenSegments) {
  const std::string exif = ExifSegment(Exif());
  // Cut off anywhere: no byte of it is there, or it is gone.
  const std::string file = Jpeg({exif});
  for (size_t size = 3; size < file.size(); ++size) {
    const std::string view = Redacted(file.substr(0, size));
    ASSERT_FALSE(Holds(view, kSecret)) << size;
  }
  ExpectGone(absl::StrCat("\xff\xd8\xff\xe0", Big(1, 2), exif));
  ExpectGone(absl::StrCat("\xff\xd8\xff\xe0", Big(3, 2), "x", "junk", exif));
}

}  // namespace
}  // namespace fused::policy::redaction
