#include "policy/redaction/redaction.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"
#include "policy/redaction/types.h"

namespace fused::policy::redaction {
namespace {

using Kind = Finding::Kind;

Kind KindOf(Source& source, const Limits& limits = Limits()) {
  const absl::StatusOr<Finding> finding = FindLocation(source, limits);
  EXPECT_TRUE(finding.ok()) << finding.status();
  return finding.ok() ? finding->kind : Kind::kRefused;
}

TEST(RedactionTest, FindsNothingInAnEmptyFile) {
  Source source("");
  EXPECT_EQ(KindOf(source), Kind::kNone);
  EXPECT_EQ(source.reads(), 0);
}

TEST(RedactionTest, GivesTheSourcesError) {
  for (int nth = 1; nth < 6; ++nth) {
    Source source(uint64_t{1} << 20,
                  {{0, Box("ftyp", "mp42") + Box("free", std::string(9000, 0)) +
                           Box("mdat", std::string(100000, 'x'))}});
    source.FailAt(nth, absl::DataLossError("broken"));
    EXPECT_EQ(FindLocation(source).status(), absl::DataLossError("broken"))
        << nth;
  }
}

TEST(RedactionTest, SearchesOtherContent) {
  for (const std::string& metadata :
       {absl::StrCat(std::string("Exif\0\0", 6), Exif()), Exif(true), Xmp(),
        Box("loci", kSecret), Box("\xa9xyz", kSecret),
        absl::StrCat("8BIM\x04\x04", Big(0, 2), Big(Iptc().size(), 4),
                     Iptc())}) {
    for (const size_t before : {1, 5, 65530, 65536, 65541}) {
      const std::string file =
          absl::StrCat(std::string(before, 'x'), metadata, kPublic);
      const std::string view = Redacted(file);
      ASSERT_EQ(view.size(), file.size()) << view.substr(0, 10);
      EXPECT_FALSE(Holds(view, kSecret)) << before;
      EXPECT_TRUE(Holds(view, kPublic));
    }
  }
}

TEST(RedactionTest, LeavesOtherContent) {
  for (const char* text :
       {"dummy content", "loci and gps in words", "II* MM* Exif ftyp <rdf",
        "\x89PN", "RIFF", "\xff\xd8", "GIF89a"}) {
    EXPECT_EQ(Redacted(text), "NONE") << text;
  }
}

TEST(RedactionTest, ZeroesXmpThatIsNotUnderstood) {
  const std::string view =
      Redacted(absl::StrCat(kPublic, "<x:xmpmeta><a>", kSecret));
  EXPECT_TRUE(Holds(view, kPublic));
  EXPECT_FALSE(Holds(view, kSecret));
}

TEST(RedactionTest, RefusesMuchOfOtherContent) {
  Source most(16 << 20, {{0, "content"}});
  EXPECT_EQ(KindOf(most), Kind::kNone);
  Source more((16 << 20) + 1, {{0, "content"}});
  EXPECT_EQ(KindOf(more), Kind::kRefused);
  EXPECT_LE(more.bytes(), 4096);
}

// A film of 4 GiB with its head at the end costs what it must.
TEST(RedactionTest, WalksALargeFilmInFewReads) {
  constexpr uint64_t kEnd = uint64_t{4} << 30;
  const std::string start =
      absl::StrCat(Box("ftyp", "mp42"), Big(1, 4), "mdat", Big(kEnd - 12, 8));
  const std::string head = Box("moov", Box("udta", Box("\xa9xyz", kSecret)));
  Source source(kEnd + head.size(), {{0, start}, {kEnd, head}});
  const absl::StatusOr<Finding> finding = FindLocation(source);
  ASSERT_TRUE(finding.ok());
  ASSERT_EQ(finding->kind, Kind::kRanges);
  EXPECT_EQ(finding->ranges[0], (Range{kEnd + 20, source.size()}));
  EXPECT_LE(source.reads(), 8);
  EXPECT_LE(source.bytes(), 64 << 10);
}

// Whatever the content, a file costs no more than the limits.
TEST(RedactionTest, StaysWithinLimits) {
  const Limits limits;
  const auto repeat = [](const std::string& piece, size_t size) {
    std::string all;
    while (all.size() < size) all += piece;
    return all;
  };
  const std::string kStarts[] = {
      // A picture without an end; boxes, chunks, segments without number.
      "\xff\xd8\xff\xda" + Big(2, 2),
      Box("ftyp", "mp42") + repeat(Box("free", ""), 4 << 20),
      absl::StrCat("\x89PNG\r\n\x1a\n",
                   repeat(Big(0, 4) + "tEXt" + Big(0, 4), 4 << 20)),
      repeat(Box("moov", repeat(Box("trak", Box("udta", "")), 60000)), 4 << 20),
      "\xff\xd8" + repeat("\xff\xe1" + Big(8, 2) + "Exif..", 4 << 20),
      absl::StrCat("RIFF", Little(1 << 30, 4), "WEBP",
                   repeat("EXIF" + Little(0, 4), 4 << 20)),
  };
  for (const std::string& start : kStarts) {
    Source source(uint64_t{4} << 30, {{0, start}});
    KindOf(source);
    EXPECT_LE(source.reads(), static_cast<int>(limits.reads));
    EXPECT_LE(source.bytes(), limits.read_bytes);
  }
  for (const std::string& piece :
       {std::string("II*\0", 4), std::string("<x:xmpmeta"),
        std::string("<rdf:RDF></rdf:RDF>"), std::string("\0\0\0\x08gps ", 8),
        std::string("\0\0\0\x08"
                    "ftyp",
                    8),
        std::string("Exif\0\0II*\0\x08\0\0\0", 14)}) {
    Source source(repeat(piece, 8 << 20));
    KindOf(source);
    EXPECT_LE(source.reads(), static_cast<int>(limits.reads)) << piece;
    EXPECT_LE(source.bytes(), limits.read_bytes) << piece;
  }
}

TEST(RedactionTest, RefusesWhatIsBeyondItsLimits) {
  const std::string film =
      Box("ftyp", "mp42") +
      Box("moov", Box("udta", Box("loci", kSecret) + Box("ABCD", Xmp())));
  const auto with = [&film](auto set) {
    Limits limits;
    set(limits);
    Source source(film);
    return KindOf(source, limits);
  };
  EXPECT_EQ(with([](Limits& limits) {}), Kind::kRanges);
  EXPECT_EQ(with([](Limits& limits) { limits.steps = 3; }), Kind::kRefused);
  EXPECT_EQ(with([](Limits& limits) { limits.reads = 0; }), Kind::kRefused);
  EXPECT_EQ(with([](Limits& limits) { limits.read_bytes = 9; }),
            Kind::kRefused);
  EXPECT_EQ(with([](Limits& limits) { limits.jobs = 0; }), Kind::kRefused);
  EXPECT_EQ(with([](Limits& limits) { limits.searched_bytes = 9; }),
            Kind::kRefused);
  EXPECT_EQ(with([](Limits& limits) { limits.ranges = 1; }), Kind::kRefused);
}

TEST(RedactionTest, TakesAFileThatWasCutMeanwhile) {
  // It says that it is longer than what can be read.
  class Shorter : public Source {
   public:
    using Source::Source;
    uint64_t size() const override { return Source::size() + 5000; }
  };
  Shorter source(Box("ftyp", "mp42") + Box("moov", Box("udta", "")));
  EXPECT_EQ(KindOf(source), Kind::kNone);
}

}  // namespace
}  // namespace fused::policy::redaction
