#include "policy/redaction/jpeg.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/redaction/endian.h"
#include "policy/redaction/tiff.h"

namespace fused::policy::redaction {
namespace {

constexpr std::string_view kExif("Exif\0", 5);
constexpr size_t kExifHeader = 6;
constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
constexpr std::string_view kMoreXmp("http://ns.adobe.com/xmp/extension/\0", 35);
// Its digest, its whole length, the offset of what this segment holds.
constexpr size_t kDigest = 32;
constexpr size_t kMoreXmpHeader = 35 + kDigest + 8;
constexpr std::string_view kPhotoshop("Photoshop 3.0\0", 14);
constexpr std::string_view kGoPro("GoPro\0", 6);
constexpr std::string_view kFlir("FLIR\0", 5);
// Known to hold nothing of the kind, and often large.
constexpr std::string_view kIcc("ICC_PROFILE\0", 12);

constexpr size_t kMaxMoreXmp = 16;
constexpr size_t kMaxPieces = 1024;

enum Marker : uint8_t {
  kTemporary = 0x01,
  kRestart0 = 0xd0,
  kRestart7 = 0xd7,
  kStart = 0xd8,
  kEnd = 0xd9,
  kScan = 0xda,
  kApp0 = 0xe0,
  kApp1 = 0xe1,
  kApp2 = 0xe2,
  kApp6 = 0xe6,
  kApp13 = 0xed,
  kApp15 = 0xef,
  kComment = 0xfe,
};

// An XMP packet in as many segments as it takes.
struct MoreXmp {
  std::string digest;
  uint64_t length = 0;
  // By the offset within the packet.
  std::vector<std::pair<uint64_t, Range>> pieces;
};

class Jpeg {
 public:
  Jpeg(const Bytes& bytes, bool head_only)
      : bytes_(bytes), head_only_(head_only) {}

  bool Run() {
    uint64_t at = 2;
    while (true) {
      const Next next = Segment(at);
      if (next == Next::kSegment) continue;
      Finish();
      if (next == Next::kEnd && !head_only_) {
        bytes_.walk().Add(Part::kTail, bytes_.Sub(at, bytes_.size()));
      }
      return true;
    }
  }

 private:
  enum class Next : uint8_t { kSegment, kEnd, kNothing };

  // The segment at `at`, which goes past it.
  Next Segment(uint64_t& at) {
    const std::string header = bytes_.Text(at, 4);
    if (header.size() < 2 || !bytes_.walk().Step()) return Next::kNothing;
    // Not a segment: from here on it may be anything.
    if (header[0] != '\xff') return Next::kEnd;
    const auto marker = static_cast<uint8_t>(header[1]);
    if (marker == 0xff) {
      ++at;
      return Next::kSegment;
    }
    if (marker == kEnd) {
      at += 2;
      return Next::kEnd;
    }
    if (marker == kTemporary || marker == kStart ||
        (marker >= kRestart0 && marker <= kRestart7)) {
      at += 2;
      return Next::kSegment;
    }
    if (marker < kTemporary || header.size() < 4) return Next::kEnd;
    const uint64_t length = LoadBig(&header[2], 2);
    if (length < 2) return Next::kEnd;
    if (marker == kScan && head_only_) return Next::kNothing;
    if ((marker >= kApp0 && marker <= kApp15) || marker == kComment) {
      Application(marker, at + 4, std::min(at + 2 + length, bytes_.size()));
    }
    at += 2 + length;
    return marker == kScan ? SkipScan(at) : Next::kSegment;
  }

  // To the next marker that ends the data of a scan.
  Next SkipScan(uint64_t& at) {
    bool after_ff = false;
    while (true) {
      const std::string_view some = bytes_.Peek(at);
      if (some.empty()) return Next::kNothing;
      size_t i = 0;
      while (i < some.size()) {
        if (!after_ff) {
          i = some.find('\xff', i);
          if (i == some.npos) break;
          after_ff = true;
          ++i;
          continue;
        }
        const auto marker = static_cast<uint8_t>(some[i]);
        after_ff = marker == 0xff;
        const bool stuffed = marker == 0 || marker == 0xff ||
                             (marker >= kRestart0 && marker <= kRestart7);
        if (!stuffed) {
          at += i;
          --at;
          return Next::kSegment;
        }
        ++i;
      }
      at += some.size();
    }
  }

  void Application(uint8_t marker, uint64_t begin, uint64_t end) {
    const std::string start = bytes_.Text(
        begin,
        std::min<uint64_t>(kMoreXmpHeader, end > begin ? end - begin : 0));
    const std::string_view text = start;
    Walk& walk = bytes_.walk();
    const bool exif = marker == kApp1 && text.starts_with(kExif);
    // A segment that goes on where the one before it ended.
    if (!exif) FinishExif();
    if (marker != kApp13) FinishPhotoshop();
    if (exif) {
      Exif(begin + kExifHeader, end);
    } else if (marker == kApp1 && text.starts_with(kXmp)) {
      walk.Add(Part::kXmp, bytes_.Sub(begin + kXmp.size(), end));
    } else if (marker == kApp1 && text.starts_with(kMoreXmp)) {
      Extension(text, begin, end);
    } else if (marker == kApp1 && text.starts_with(kFlir)) {
      Append(flir_, begin + 8, end);
    } else if (marker == kApp13 && text.starts_with(kPhotoshop)) {
      Append(photoshop_, begin + kPhotoshop.size(), end);
    } else if (marker == kApp6 && text.starts_with(kGoPro)) {
      walk.Add(Part::kGpmf, bytes_.Sub(begin + kGoPro.size(), end));
    } else if (marker != kApp2 || !text.starts_with(kIcc)) {
      Append(others_, begin, end);
    }
  }

  void Append(std::vector<Range>& pieces, uint64_t begin, uint64_t end) {
    if (pieces.size() >= kMaxPieces) bytes_.walk().Refuse();
    if (bytes_.walk().stopped()) return;
    if (begin < end) pieces.push_back({begin, end});
  }

  Bytes Whole(const std::vector<Range>& pieces) const {
    std::vector<Range> all;
    for (const Range& piece : pieces) {
      for (const Range& range : bytes_.Locate(piece.begin, piece.end)) {
        all.push_back(range);
      }
    }
    return Bytes(bytes_.walk(), all);
  }

  // More Exif than a segment holds goes on in the next, without a header.
  void Exif(uint64_t begin, uint64_t end) {
    if (begin >= end) return;
    if (exif_.empty() || IsTiff(bytes_.Sub(begin, end), 0)) FinishExif();
    Append(exif_, begin, end);
  }

  void FinishExif() {
    if (exif_.empty()) return;
    bytes_.walk().Add(Part::kTiff, Whole(exif_));
    exif_.clear();
  }

  void FinishPhotoshop() {
    if (photoshop_.empty()) return;
    bytes_.walk().Add(Part::kPhotoshop, Whole(photoshop_));
    photoshop_.clear();
  }

  void Extension(std::string_view text, uint64_t begin, uint64_t end) {
    if (text.size() < kMoreXmpHeader) return;
    const std::string digest(text.substr(kMoreXmp.size(), kDigest));
    auto more =
        std::find_if(more_xmp_.begin(), more_xmp_.end(),
                     [&](const MoreXmp& one) { return one.digest == digest; });
    if (more == more_xmp_.end()) {
      if (more_xmp_.size() >= kMaxMoreXmp) bytes_.walk().Refuse();
      more = more_xmp_.insert(more_xmp_.end(), {.digest = digest});
      more->length = LoadBig(&text[kMoreXmpHeader - 8], 4);
    }
    if (++extensions_ > kMaxPieces) bytes_.walk().Refuse();
    if (bytes_.walk().stopped() || begin + kMoreXmpHeader >= end) return;
    more->pieces.push_back(
        {LoadBig(&text[kMoreXmpHeader - 4], 4), {begin + kMoreXmpHeader, end}});
  }

  void FinishExtension(MoreXmp& more) {
    std::sort(more.pieces.begin(), more.pieces.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    uint64_t at = 0;
    bool whole = true;
    std::vector<Range> pieces;
    for (const auto& [offset, range] : more.pieces) {
      whole = whole && offset == at;
      at += range.end - range.begin;
      pieces.push_back(range);
    }
    const Bytes packet = Whole(pieces);
    if (whole && at == more.length) {
      bytes_.walk().Add(Part::kXmp, packet);
    } else {
      packet.ZeroAll();
    }
  }

  void Finish() {
    FinishExif();
    FinishPhotoshop();
    for (MoreXmp& more : more_xmp_) FinishExtension(more);
    if (!flir_.empty()) bytes_.walk().Add(Part::kFlir, Whole(flir_));
    for (const Range& range : others_) {
      bytes_.walk().Add(Part::kUnknown, bytes_.Sub(range.begin, range.end));
    }
  }

  const Bytes& bytes_;
  const bool head_only_;
  std::vector<Range> exif_;
  std::vector<Range> photoshop_;
  std::vector<Range> flir_;
  std::vector<Range> others_;
  std::vector<MoreXmp> more_xmp_;
  size_t extensions_ = 0;
};

}  // namespace

bool RedactJpeg(const Bytes& bytes, bool head_only) {
  if (!bytes.StartsWith(0, std::string_view(kJpegStart, 3))) return false;
  return Jpeg(bytes, head_only).Run();
}

}  // namespace fused::policy::redaction
