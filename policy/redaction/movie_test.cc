#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

std::string Movie(std::string_view boxes) {
  return absl::StrCat(Box("ftyp", "mp42"), Box("moov", boxes),
                      Box("mdat", kPublic));
}

void ExpectGone(const std::string& file, bool other_stays = true) {
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size()) << view;
  EXPECT_TRUE(Holds(file, kSecret));
  EXPECT_FALSE(Holds(view, kSecret));
  EXPECT_EQ(Holds(view, kPublic), other_stays);
}

TEST(MovieTest, HasNone) {
  EXPECT_EQ(Redacted(Movie("")), "NONE");
  EXPECT_EQ(Redacted(Movie(Box("udta", Box("\xa9nam", kPublic)))), "NONE");
}

TEST(MovieTest, ZeroesLocationBoxes) {
  for (const char* type : {"loci", "\xa9xyz", "@xyz", "gps ", "gps0", "GPS "}) {
    const std::string box = Box(type, kSecret);
    const std::string file =
        Movie(Box("udta", absl::StrCat(Box("\xa9nam", kPublic), box)));
    ExpectGone(file);
    // Its size stays, so that what follows is found.
    EXPECT_TRUE(Holds(Redacted(file), Big(box.size(), 4) + std::string(16, 0)));
    ExpectGone(Movie(box));
    ExpectGone(Movie(Box("trak", Box("udta", box))));
    ExpectGone(Movie(Box("meta", absl::StrCat(Big(0, 4), box))));
    // With a size of 64 bits, and one to the end.
    ExpectGone(
        Movie(Box("udta", absl::StrCat(Big(1, 4), type,
                                       Big(16 + kSecret.size(), 8), kSecret))));
    ExpectGone(absl::StrCat(Box("ftyp", kPublic), Big(0, 4), type, kSecret));
  }
}

TEST(MovieTest, ZeroesKeysOfALocation) {
  const auto key = [](std::string_view name) { return Box("mdta", name); };
  const std::string keys = FullBox(
      "keys", absl::StrCat(Big(2, 4), key("com.apple.quicktime.title"),
                           key("com.apple.quicktime.location.ISO6709")));
  const auto item = [](uint32_t number, std::string_view value) {
    return Box(Big(number, 4),
               Box("data", absl::StrCat(Big(1, 4), Big(0, 4), value)));
  };
  const std::string list = Box("ilst", item(1, kPublic) + item(2, kSecret));
  const std::string handler = FullBox("hdlr", "....mdta");
  ExpectGone(Movie(Box("meta", handler + keys + list)));
  ExpectGone(Movie(FullBox("meta", handler + keys + list)));
  ExpectGone(Movie(Box("udta", FullBox("meta", handler + list + keys))));
  ExpectGone(Movie(Box("trak", Box("meta", handler + keys + list))));
  // Keys that cannot be read.
  ExpectGone(absl::StrCat(
      Box("ftyp", "mp42"),
      Box("moov", Box("meta", handler + FullBox("keys", Big(2, 4) + Big(5, 4)) +
                                  Box("ilst", item(2, kSecret)))),
      Box("mdat", kPublic)));
}

TEST(MovieTest, ZeroesFreeTags) {
  const auto tag = [](std::string_view name, std::string_view value) {
    return Box("----", FullBox("mean", "com.example") + FullBox("name", name) +
                           Box("data", absl::StrCat(Big(1, 8), value)));
  };
  ExpectGone(Movie(Box(
      "udta", FullBox("meta", FullBox("hdlr", "....mdir") +
                                  Box("ilst", tag("Title", kPublic) +
                                                  tag("LOCATION", kSecret))))));
}

TEST(MovieTest, LooksIntoXmp) {
  const std::string id =
      "\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac";
  ExpectGone(Movie("") + Box("uuid", id + Xmp()));
  ExpectGone(Movie(Box("udta", Box("XMP_", Xmp()))));
  ExpectGone(Movie(Box("uuid", "0123456789abcdef" + Xmp())));
}

TEST(MovieTest, LooksIntoCanonsBoxes) {
  const std::string id =
      "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48";
  const std::string gps = absl::StrCat(std::string("II*\0", 4), Little(8, 4),
                                       Directory({TextEntry(27, kSecret)}, 8));
  ExpectGone(Movie(Box("uuid", id + Box("CMT1", Exif()) + Box("CMT4", gps))));
}

TEST(MovieTest, SearchesWhatNobodyKnows) {
  ExpectGone(Movie(Box("udta", Box("ABCD", Xmp()))));
  ExpectGone(Movie("") + Box("free", Xmp()));
  ExpectGone(Movie("") + Box("ABCD", Exif()));
  ExpectGone(Movie("") + "trailer" + Xmp());
}

TEST(MovieTest, ZeroesWholeWhatIsNotUnderstood) {
  // A box that is longer than what is around it, or shorter than itself.
  ExpectGone(Movie(Box("udta", absl::StrCat(Big(100, 4), "loci", kSecret))));
  ExpectGone(Movie(Box("udta", absl::StrCat(Big(5, 4), "loci", kSecret))));
  EXPECT_EQ(Redacted(Movie(Box("udta", Big(0, 4)))), "NONE");
}

TEST(MovieTest, TakesWhatIsCutOff) {
  const std::string file = absl::StrCat(
      Box("ftyp", "mp42"), Box("mdat", kPublic),
      Box("moov", Box("udta", Box("loci", kSecret) + Box("XMP_", Xmp()))));
  for (size_t size = 12; size < file.size(); ++size) {
    ASSERT_FALSE(Holds(Redacted(file.substr(0, size)), kSecret)) << size;
  }
}

TEST(MovieTest, RefusesACompressedHead) {
  EXPECT_EQ(Redacted(Movie(Box("cmov", "x"))), "REFUSED");
}

TEST(MovieTest, ZeroesBlocksAmongSamples) {
  // Their list, first in the file.
  const std::string block = absl::StrCat(Big(0, 4), "freeGPS ", kSecret);
  const uint32_t at = 8 + 8 + 16 + 8;
  const std::string file = absl::StrCat(
      Box("moov", Box("gps ", absl::StrCat(Big(0x101, 4), Big(1, 4), Big(at, 4),
                                           Big(block.size(), 4)))),
      Box("mdat", block + std::string(kPublic)));
  ASSERT_EQ(file.find(block), at);
  ExpectGone(file);
}

TEST(MovieTest, LooksIntoJpegXl) {
  const std::string start =
      absl::StrCat(Box("JXL ", "\r\n\x87\n"), Box("ftyp", "jxl "));
  ExpectGone(start + Box("Exif", Big(0, 4) + Exif()));
  ExpectGone(start + Box("Exif", Big(2, 4) + "xx" + Exif()));
  ExpectGone(start + Box("xml ", Xmp()));
  ExpectGone(start + Box("brob", absl::StrCat("Exif", kSecret)) +
             Box("jxlc", kPublic));
}

// Items, as pictures have them.
struct Item {
  uint32_t id;
  std::string type;  // with what follows it
  uint64_t method;
  std::vector<std::pair<uint64_t, uint64_t>> extents;
};

std::string Items(const std::vector<Item>& items, std::string_view data = "") {
  std::string infos = Big(items.size(), 2);
  std::string places = Big(0x4400, 2) + Big(items.size(), 2);
  for (const Item& item : items) {
    infos += FullBox("infe", Big(item.id, 2) + Big(0, 2) + item.type, 2 << 24);
    places += Big(item.id, 2) + Big(item.method, 2) + Big(0, 2) +
              Big(item.extents.size(), 2);
    for (const auto& [offset, length] : item.extents) {
      places += Big(offset, 4) + Big(length, 4);
    }
  }
  return FullBox("meta", FullBox("hdlr", "....pict") + FullBox("iinf", infos) +
                             FullBox("iloc", places, 1 << 24) +
                             Box("idat", data));
}

const char kExifType[] = "Exif\0";
const char kXmpType[] = "mime\0application/rdf+xml\0";

std::string Type(const char* type) {
  return type == kExifType ? std::string(kExifType, 5)
                           : std::string(kXmpType, 25);
}

TEST(ItemsTest, LooksIntoItemsInTheFile) {
  const std::string start = Box("ftyp", "heic");
  const std::string exif = Big(6, 4) + std::string("Exif\0\0", 6) + Exif();
  const std::string data = exif + Xmp();
  const uint64_t at = start.size() + 8;
  const std::string file =
      start + Box("mdat", data) +
      Items({{1, "hvc1", 0, {{at, 4}}},
             {2, Type(kExifType), 0, {{at, exif.size()}}},
             {3, Type(kXmpType), 0, {{at + exif.size(), Xmp().size()}}}});
  ExpectGone(file);
}

TEST(ItemsTest, LooksIntoItemsInTheBox) {
  const std::string exif = Big(0, 4) + Exif();
  const std::string file =
      Box("ftyp", "avif") +
      Items({{2, Type(kExifType), 1, {{3, exif.size()}}}}, "xxx" + exif);
  ExpectGone(file);
}

TEST(ItemsTest, LooksIntoItemsInPieces) {
  const std::string start = Box("ftyp", "heic");
  const std::string exif = Big(0, 4) + Exif();
  const uint64_t at = start.size() + 8;
  for (uint64_t split = 1; split < exif.size(); ++split) {
    const std::string data =
        exif.substr(split) + "between" + exif.substr(0, split);
    const std::string file = start + Box("mdat", data) +
                             Items({{2,
                                     Type(kExifType),
                                     0,
                                     {{at + exif.size() - split + 7, split},
                                      {at, exif.size() - split}}}});
    const std::string view = Redacted(file);
    ASSERT_EQ(view.size(), file.size()) << view;
    for (size_t i = 0; i + 4 <= kSecret.size(); ++i) {
      ASSERT_FALSE(Holds(view, kSecret.substr(i, 4))) << split;
    }
    ASSERT_TRUE(Holds(view, "between"));
  }
}

TEST(ItemsTest, RefusesItemsThatCannotBeFound) {
  const std::string start = Box("ftyp", "heic");
  EXPECT_EQ(Redacted(start + Items({{2, Type(kExifType), 2, {{0, 9}}}})),
            "REFUSED");
  EXPECT_EQ(Redacted(start + Items({{2, "hvc1", 2, {{0, 9}}}})), "NONE");
}

TEST(ItemsTest, ZeroesItemsThatAreNotUnderstood) {
  const std::string start = Box("ftyp", "heic");
  const std::string broken = absl::StrCat(Big(0, 4), "broken", kSecret);
  ExpectGone(
      start + Box("mdat", absl::StrCat(broken, kPublic)) +
      Items({{2, Type(kExifType), 0, {{start.size() + 8, broken.size()}}}}));
}

}  // namespace
}  // namespace fused::policy::redaction
