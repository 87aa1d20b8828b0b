// What a walk costs: bytes read, memory held, processor time, whatever the
// file's size and whatever stands in it.
#include <malloc.h>
#include <stdio.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/redaction.h"
#include "policy/redaction/testing.h"
#include "policy/redaction/types.h"

namespace {

std::atomic<int64_t> held = 0;
std::atomic<int64_t> most = 0;
std::atomic<int64_t> largest = 0;

void* Take(size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  const auto got = static_cast<int64_t>(malloc_usable_size(memory));
  most = std::max<int64_t>(most, held += got);
  largest = std::max<int64_t>(largest, got);
  return memory;
}

void Give(void* memory) {
  held -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return Take(size); }
void* operator new[](size_t size) { return Take(size); }
void operator delete(void* memory) noexcept { Give(memory); }
void operator delete[](void* memory) noexcept { Give(memory); }
void operator delete(void* memory, size_t) noexcept { Give(memory); }
void operator delete[](void* memory, size_t) noexcept { Give(memory); }

namespace fused::policy::redaction {
namespace {

using Kind = Finding::Kind;

constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr int64_t kMiB = 1 << 20;

struct Cost {
  Kind kind = Kind::kRefused;
  std::vector<Range> ranges;
  uint64_t bytes = 0;
  int reads = 0;
  int64_t most = 0;     // held at once
  int64_t largest = 0;  // of one piece
  double milliseconds = 0;
};

double Milliseconds() {
  timespec now = {};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 +
         static_cast<double>(now.tv_nsec) / 1e6;
}

Cost Walk(std::string_view name, Source& source) {
  Cost cost;
  const int64_t before = held;
  most = before;
  largest = 0;
  const double begin = Milliseconds();
  absl::StatusOr<Finding> finding = FindLocation(source);
  cost.milliseconds = Milliseconds() - begin;
  cost.most = most - before;
  cost.largest = largest;
  EXPECT_TRUE(finding.ok()) << finding.status();
  if (finding.ok()) {
    cost.kind = finding->kind;
    cost.ranges = std::move(finding->ranges);
  }
  cost.bytes = source.bytes();
  cost.reads = source.reads();
  std::printf("%-28s %7.3f ms %9lu bytes %6d reads %8ld held %8ld largest\n",
              std::string(name).c_str(), cost.milliseconds,
              static_cast<unsigned long>(cost.bytes),    // NOLINT(google-*)
              cost.reads, static_cast<long>(cost.most),  // NOLINT(google-*)
              static_cast<long>(cost.largest));          // NOLINT(google-*)
  return cost;
}

// A file whose metadata stands behind much else.
struct Large {
  std::string name;
  uint64_t size;
  std::map<uint64_t, std::string> pieces;
};

// `start` at 0 and `end` at the end, with what is between them zeros.
Large Made(std::string name, std::string start, uint64_t at, std::string end) {
  const uint64_t size = at + end.size();
  return {std::move(name), size, {{0, std::move(start)}, {at, std::move(end)}}};
}

Large Film() {
  const std::string start =
      absl::StrCat(Box("ftyp", "mp42"), Big(1, 4), "mdat", Big(4 * kGiB, 8));
  return Made("mp4, moov at the end", start, 12 + 4 * kGiB,
              Box("moov", Box("udta", Box("\xa9xyz", kSecret))));
}

Large Heif() {
  const std::string start =
      absl::StrCat(Box("ftyp", "heic"), Big(1, 4), "mdat", Big(4 * kGiB, 8));
  const uint64_t at = 12 + 4 * kGiB;
  const std::string exif = Big(0, 4) + Exif();
  // Offsets of eight bytes, lengths of four.
  const std::string place =
      absl::StrCat(Big(0x8400, 2), Big(1, 2), Big(1, 2), Big(0, 2), Big(0, 2),
                   Big(1, 2), Big(at - exif.size(), 8), Big(exif.size(), 4));
  const std::string info = FullBox(
      "infe", absl::StrCat(Big(1, 2), Big(0, 2), std::string("Exif\0", 5)),
      2 << 24);
  const std::string meta =
      FullBox("meta", absl::StrCat(FullBox("hdlr", "....pict"),
                                   FullBox("iinf", Big(1, 2) + info),
                                   FullBox("iloc", place, 1 << 24)));
  return Made("heif, meta at the end", start, at - exif.size(), exif + meta);
}

// RIFF counts in 32 bits.
Large Webp() {
  const uint64_t picture = 4 * kGiB - 4096;
  const std::string end =
      absl::StrCat("EXIF", Little(Exif().size(), 4), Exif());
  return Made("webp, EXIF at the end",
              absl::StrCat("RIFF", Little(12 + picture + end.size(), 4), "WEBP",
                           "VP8 ", Little(picture, 4)),
              20 + picture, end);
}

Large Tiff() {
  const uint32_t at = static_cast<uint32_t>(4 * kGiB - 4096);
  const uint32_t gps = at + 2 + 12 + 4;
  return Made("tiff, IFD at the end",
              absl::StrCat("II*", Big(0, 1), Little(at, 4)), at,
              absl::StrCat(Directory({{0x8825, kLong, 1, Little(gps, 4)}}, at),
                           Directory({TextEntry(27, kSecret)}, gps)));
}

Large Png() {
  std::map<uint64_t, std::string> pieces;
  pieces[0] = absl::StrCat("\x89PNG\r\n\x1a\n", Big(13, 4), "IHDR",
                           std::string(13 + 4, 'h'));
  uint64_t at = pieces[0].size();
  for (int i = 0; i < 3; ++i) {
    const uint64_t length = (uint64_t{1} << 31) - 1;
    pieces[at] = absl::StrCat(Big(length, 4), "IDAT");
    at += 8 + length + 4;
  }
  pieces[at] = absl::StrCat(Big(Exif().size(), 4), "eXIf", Exif(), "SUM.",
                            Big(0, 4), "IEND", "SUM.");
  const uint64_t size = at + pieces[at].size();
  return {"png, eXIf at the end", size, std::move(pieces)};
}

Large Matroska() {
  const auto element = [](std::string_view id, std::string_view payload) {
    return absl::StrCat(id, Big(0x10000000 | payload.size(), 4), payload);
  };
  const std::string tag = element("\x67\xc8", element("\x45\xa3", "LOCATION") +
                                                  element("\x44\x87", kSecret));
  const std::string start = absl::StrCat(
      "\x1a\x45\xdf\xa3\x81x\x18\x53\x80\x67\x01", std::string(7, '\xff'),
      "\x1f\x43\xb6\x75\x01", Big(4 * kGiB, 7));
  return Made("matroska, tags at the end", start, start.size() + 4 * kGiB,
              element("\x12\x54\xc3\x67", element("\x73\x73", tag)));
}

// 10 ms is what a large file may take on an idle machine; a loaded one, and a
// sanitizer, get ten times as much. Bytes and memory are the same everywhere.
TEST(CostTest, MetadataAtTheEndOfFourGibibytes) {
  for (const Large& file :
       {Film(), Heif(), Webp(), Tiff(), Png(), Matroska()}) {
    Source source(file.size, file.pieces);
    const Cost cost = Walk(file.name, source);
    EXPECT_GE(file.size, 4 * kGiB - 4096) << file.name;
    ASSERT_EQ(cost.kind, Kind::kRanges) << file.name;
    EXPECT_GE(cost.ranges.front().begin, 4 * kGiB - 8192) << file.name;
    EXPECT_LE(cost.bytes, 128 << 10) << file.name;
    EXPECT_LE(cost.reads, 32) << file.name;
    EXPECT_LE(cost.most, kMiB) << file.name;
    EXPECT_LE(cost.milliseconds, 100) << file.name;
    // What is to be hidden is in the ranges, whole.
    const auto& [at, end] = *file.pieces.rbegin();
    const size_t secret = end.find(kSecret);
    ASSERT_NE(secret, std::string::npos) << file.name;
    EXPECT_TRUE(std::any_of(cost.ranges.begin(), cost.ranges.end(),
                            [&, begin = at + secret](const Range& range) {
                              return range.begin <= begin &&
                                     begin + kSecret.size() <= range.end;
                            }))
        << file.name;
  }
}

// A picture's name does not make it one, nor does its size cost anything.
TEST(CostTest, OtherContentOfFourGibibytes) {
  Source unknown(4 * kGiB, {{0, "no picture"}, {4 * kGiB - 100, Xmp()}});
  const Cost cost = Walk("other content", unknown);
  EXPECT_EQ(cost.kind, Kind::kRefused);
  EXPECT_LE(cost.bytes, 4096U);
  EXPECT_LE(cost.most, kMiB);
}

std::string Repeated(std::string_view piece, size_t size) {
  std::string all;
  while (all.size() < size) all += piece;
  return all;
}

// Files made to cost as much as they can.
TEST(CostTest, MemoryAndTimeAreBounded) {
  const Limits limits;
  constexpr size_t kMuch = 4 << 20;
  const std::string gps = absl::StrCat(
      "II*", Big(0, 1), Little(8, 4), Little(0xffff, 2),
      Repeated(Little(0x8825, 2) + Little(4, 2) + Little(1, 4) + Little(8, 4),
               kMuch));
  const std::vector<std::pair<const char*, std::string>> files = {
      {"jpeg without an end", absl::StrCat("\xff\xd8\xff\xda", Big(2, 2))},
      {"jpeg of Exif segments",
       "\xff\xd8" + Repeated(absl::StrCat("\xff\xe1", Big(8 + Exif().size(), 2),
                                          std::string("Exif\0\0", 6), Exif()),
                             kMuch)},
      {"jpeg of extended XMP",
       "\xff\xd8" +
           Repeated(absl::StrCat(
                        "\xff\xe1", Big(2 + 35 + 40 + 100, 2),
                        std::string("http://ns.adobe.com/xmp/extension/\0", 35),
                        std::string(32, 'A'), Big(1 << 20, 4), Big(0, 4),
                        std::string(100, '<')),
                    kMuch)},
      {"boxes", Box("ftyp", "mp42") + Repeated(Box("free", ""), kMuch)},
      {"tracks",
       Repeated(Box("moov", Repeated(Box("trak", Box("udta", "")), 60000)),
                kMuch)},
      {"location boxes",
       Box("ftyp", "mp42") +
           Box("moov", Repeated(Box("loci", "x") + Box("free", "x"), kMuch))},
      {"xmp boxes",
       Box("ftyp", "mp42") + Box("moov", Repeated(Box("ABCD", Xmp()), kMuch))},
      {"png texts",
       "\x89PNG\r\n\x1a\n" +
           Repeated(Big(9, 4) + std::string("tEXtLocation\0x", 14), kMuch)},
      {"tiff of directories", gps},
      {"riff", absl::StrCat("RIFF", Little(kGiB, 4), "WEBP",
                            Repeated("EXIF" + Little(2, 4) + "II", kMuch))},
      {"elements", "\x1a\x45\xdf\xa3\x81x" +
                       Repeated("\x12\x54\xc3\x67\x84\x73\x73\x81x", kMuch)},
      {"xmp without an end", "<x:xmpmeta" + Repeated(" a='", kMuch)},
      {"xmp of nests", "<x:xmpmeta>" + Repeated("<a>", kMuch)},
      {"xmp of positions",
       "<x:xmpmeta>" + Repeated("<GPS>1</GPS>", kMuch) + "</x:xmpmeta>"},
      {"packets", Repeated("<rdf:RDF></rdf:RDF>", kMuch)},
      {"resources", Repeated(absl::StrCat("8BIM\x04\x04", Big(0, 2),
                                          Big(Iptc().size(), 4), Iptc()),
                             kMuch)},
      {"movies in movies", Repeated(Box("ftyp", "") + Box("moov", ""), kMuch)},
      {"keys of films",
       Box("ftyp", "mp42") +
           Box("moov",
               FullBox("meta",
                       FullBox("hdlr", "....mdta") +
                           FullBox("keys",
                                   Big(100000, 4) +
                                       Repeated(Box("mdta", "gps"), kMuch)) +
                           FullBox("ilst", "")))},
      {"fragments",
       Box("ftyp", "mp42") +
           Box("moov",
               Box("mvex", Repeated(FullBox("trex", Big(1, 8)), kMuch)))},
      {"tags", absl::StrCat("\x1a\x45\xdf\xa3\x81x\x12\x54\xc3\x67",
                            Big(0x10400000, 4)) +
                   Repeated("\x44\x87\x80", kMuch)},
      {"keys", Repeated("GPSLatitude:", kMuch)},
  };
  for (const auto& [name, content] : files) {
    Source source(4 * kGiB, {{0, content}});
    const Cost much = Walk(name, source);
    Source whole(content);
    const Cost cost = Walk(name, whole);
    for (const Cost& one : {much, cost}) {
      EXPECT_LE(one.most, kMiB) << name;
      EXPECT_LE(one.bytes, limits.read_bytes) << name;
      EXPECT_LE(one.reads, static_cast<int>(limits.reads)) << name;
      EXPECT_LE(one.milliseconds, 100) << name;
    }
  }
}

}  // namespace
}  // namespace fused::policy::redaction
