#include "policy/redaction/matroska.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string>

#include "policy/redaction/location_names.h"

namespace fused::policy::redaction {
namespace {

enum Id : uint64_t {
  kHeader = 0x1a45dfa3,
  kSegment = 0x18538067,
  kCluster = 0x1f43b675,
  kTags = 0x1254c367,
  kTag = 0x7373,
  kSimpleTag = 0x67c8,
  kTagName = 0x45a3,
  kTagString = 0x4487,
  kTagBinary = 0x4485,
  kAttachments = 0x1941a469,
  kAttachedFile = 0x61a7,
  kFileData = 0x465c,
  kChecksum = 0xbf,
};

// What stands in a file, in a segment, and in an open cluster, beside those
// above. Anything else is other content behind it.
constexpr std::array<uint64_t, 13> kOthers = {
    0xec,                                      // nothing
    0x114d9b74, 0x1549a966, 0x1654ae6b,        // index, facts, tracks
    0x1c53bb6b, 0x1043a770,                    // cues, chapters
    0xa3,       0xa0,       0xe7,       0xab,  // blocks, times
    0xa7,       0x5854,     0xaf,              // the rest of a cluster
};

constexpr int kMaxDepth = 16;
constexpr size_t kMaxName = 256;

struct Element {
  uint64_t id = 0;
  uint64_t payload = 0;
  uint64_t end = 0;
  // It goes on until something follows that cannot be in it.
  bool open = false;
};

class Matroska {
 public:
  explicit Matroska(const Bytes& bytes) : bytes_(bytes) {}

  bool Run() {
    uint64_t at = 0;
    while (at < bytes_.size()) {
      const std::optional<Element> element = Read(at, bytes_.size());
      if (!element || !IsTop(element->id)) break;
      // What is open holds all that follows: segments and clusters, whose
      // insides are told by their ids wherever they stand.
      const bool inside = element->id == kSegment || element->open;
      if (!inside) Top(*element);
      at = inside ? element->payload : element->end;
    }
    if (at == 0) return false;
    if (at < bytes_.size()) {
      bytes_.walk().Add(Part::kTail, bytes_.Sub(at, bytes_.size()));
    }
    return true;
  }

 private:
  static bool IsTop(uint64_t id) {
    return id == kHeader || id == kSegment || id == kCluster || id == kTags ||
           id == kAttachments || id == kChecksum ||
           std::find(kOthers.begin(), kOthers.end(), id) != kOthers.end();
  }

  // A number with its own length before it; with its marker, as ids are.
  std::optional<uint64_t> Number(uint64_t& at, bool with_marker) {
    const std::optional<uint64_t> first = bytes_.Big(at, 1);
    if (!first || *first == 0) return std::nullopt;
    const int width = std::countl_zero(static_cast<uint8_t>(*first)) + 1;
    const std::optional<uint64_t> number = bytes_.Big(at, width);
    if (!number) return std::nullopt;
    at += width;
    return with_marker ? *number : *number & ~(uint64_t{1} << (7 * width));
  }

  std::optional<Element> Read(uint64_t at, uint64_t limit) {
    if (!bytes_.walk().Step()) return std::nullopt;
    Element element;
    const std::optional<uint64_t> id = Number(at, true);
    if (!id || *id > UINT32_MAX) return std::nullopt;
    const uint64_t size_at = at;
    const std::optional<uint64_t> size = Number(at, false);
    if (!size || at > limit) return std::nullopt;
    element.id = *id;
    element.payload = at;
    element.open = *size == (uint64_t{1} << (7 * (at - size_at))) - 1;
    element.end = at + std::min(element.open ? limit : *size, limit - at);
    return element;
  }

  void Top(const Element& element) {
    if (element.id == kTags || element.id == kAttachments) {
      if (!Inside(element, 0)) bytes_.Zero(element.payload, element.end);
    }
  }

  // False where it is not understood.
  bool Inside(const Element& parent, int depth) {
    if (depth >= kMaxDepth) return false;
    bool location = false;
    for (uint64_t at = parent.payload; at < parent.end;) {
      const std::optional<Element> element = Read(at, parent.end);
      if (!element || element->open) return false;
      at = element->end;
      switch (element->id) {
        case kTag:
        case kSimpleTag:
        case kAttachedFile:
          if (!Inside(*element, depth + 1)) return false;
          break;
        case kTagName:
          location =
              location || IsLocationName(bytes_.Text(
                              element->payload,
                              std::min<uint64_t>(
                                  kMaxName, element->end - element->payload)));
          break;
        case kFileData:
          bytes_.walk().Add(Part::kUnknown,
                            bytes_.Sub(element->payload, element->end));
          break;
        case kChecksum:
          Checksum(parent, *element);
          break;
        default:
          break;
      }
    }
    return !location || ZeroValues(parent);
  }

  // Of a tag that names a location, which has been read already.
  bool ZeroValues(const Element& parent) {
    for (uint64_t at = parent.payload; at < parent.end;) {
      const std::optional<Element> element = Read(at, parent.end);
      if (!element) return false;
      at = element->end;
      switch (element->id) {
        case kTag:
        case kSimpleTag:  // a location's parts are its own
        case kAttachedFile:
        case kTagString:
        case kTagBinary:
          bytes_.Zero(element->payload, element->end);
          break;
        default:
          break;
      }
    }
    return true;
  }

  void Checksum(const Element& parent, const Element& sum) {
    for (const Range& range : bytes_.Locate(sum.payload, sum.end)) {
      bytes_.walk().ZeroAlso(bytes_.Locate(sum.end, parent.end), range);
    }
  }

  const Bytes& bytes_;
};

}  // namespace

bool RedactMatroska(const Bytes& bytes) {
  return bytes.StartsWith(0, kMatroskaStart) && Matroska(bytes).Run();
}

}  // namespace fused::policy::redaction
