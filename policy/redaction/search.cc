#include "policy/redaction/search.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "policy/redaction/endian.h"
#include "policy/redaction/tiff.h"
#include "policy/redaction/xmp.h"

namespace fused::policy::redaction {
namespace {

constexpr size_t kStretch = 64 << 10;
// Exif found in other content: where it ends there is no telling.
constexpr uint64_t kMaxTiff = 1 << 20;
constexpr uint64_t kMaxBrokenTiff = 64 << 10;
constexpr uint64_t kMaxBox = 1 << 20;
constexpr uint64_t kMaxFirstBox = 4096;
constexpr uint64_t kMaxDirectory = 512;

enum class Sign : uint8_t {
  kExif,
  kTiff,
  kXmp,
  kResource,
  kBox,
  kBlock,
  kMovie,
};

struct Signature {
  std::string_view text;
  Sign sign;
};

using namespace std::string_view_literals;  // NOLINT(google-*): NULs in them

constexpr std::array kSignatures = {
    Signature{"Exif\0\0"sv, Sign::kExif},
    Signature{"II*\0"sv, Sign::kTiff},
    Signature{"MM\0*"sv, Sign::kTiff},
    Signature{"<?xpacket begin"sv, Sign::kXmp},
    Signature{"<x:xmpmeta"sv, Sign::kXmp},
    Signature{"<x:xapmeta"sv, Sign::kXmp},
    Signature{"<rdf:RDF"sv, Sign::kXmp},
    Signature{"8BIM\x04\x04"sv, Sign::kResource},
    Signature{"loci"sv, Sign::kBox},
    Signature{"\xa9xyz"sv, Sign::kBox},
    Signature{"@xyz"sv, Sign::kBox},
    Signature{"gps "sv, Sign::kBox},
    Signature{"GPS "sv, Sign::kBox},
    Signature{"gps0"sv, Sign::kBox},
    Signature{"freeGPS "sv, Sign::kBlock},
    Signature{"ftyp"sv, Sign::kMovie},
};
constexpr size_t kLongest = 15;

class Search {
 public:
  explicit Search(const Bytes& bytes) : bytes_(bytes) {
    for (const Signature& one : kSignatures) {
      starts_[static_cast<uint8_t>(one.text.front())] = true;
    }
  }

  void Run() {
    uint64_t at = 0;
    uint64_t next = 0;
    while (at < bytes_.size() && !bytes_.walk().stopped()) {
      const std::string stretch = bytes_.Text(at, kStretch + kLongest);
      if (stretch.empty()) return;
      const uint64_t end = at + std::min(stretch.size(), kStretch);
      for (next = std::max(next, at); next < end;) {
        const size_t i = next - at;
        next = starts_[static_cast<uint8_t>(stretch[i])]
                   ? At(std::string_view(stretch).substr(i), next)
                   : next + 1;
      }
      at = next;
    }
  }

 private:
  // Looks at what stands at `at`, which begins with `text`; gives where to go
  // on.
  uint64_t At(std::string_view text, uint64_t at) {
    for (const Signature& one : kSignatures) {
      if (!text.starts_with(one.text)) continue;
      if (!bytes_.walk().Step()) break;
      return std::max(Found(one.sign, at), at + 1);
    }
    return at + 1;
  }

  uint64_t Found(Sign sign, uint64_t at) {
    switch (sign) {
      case Sign::kExif:
        return Exif(at + 6);
      case Sign::kTiff:
        if (LooksLikeTiff(at)) {
          bytes_.walk().Add(Part::kTiff, bytes_.Sub(at, at + kMaxTiff));
        }
        return at + 4;
      case Sign::kXmp:
        return Xmp(at);
      case Sign::kResource:
        return Resource(at);
      case Sign::kBox:
        return Box(at);
      case Sign::kBlock:
        return Block(at);
      case Sign::kMovie:
        return Movie(at);
    }
    return at;
  }

  uint64_t Exif(uint64_t at) {
    if (LooksLikeTiff(at)) {
      bytes_.walk().Add(Part::kTiff, bytes_.Sub(at, at + kMaxTiff));
      return at + 4;
    }
    if (!IsTiff(bytes_.Sub(at, at + 16), 0)) return at;
    bytes_.Zero(at, at + kMaxBrokenTiff);
    return at + 4;
  }

  // Whether a header has a first directory with sensible entries behind it.
  bool LooksLikeTiff(uint64_t at) const {
    const Bytes tiff = bytes_.Sub(at, at + kMaxTiff);
    if (!IsTiff(tiff, 0)) return false;
    const bool big = tiff.StartsWith(0, "MM");
    const auto number = [&](uint64_t offset, size_t width) {
      return big ? tiff.Big(offset, width) : tiff.Little(offset, width);
    };
    const std::optional<uint64_t> first = number(4, 4);
    if (!first) return false;
    const std::optional<uint64_t> count = number(*first, 2);
    if (!count || *count == 0 || *count > kMaxDirectory) return false;
    for (uint64_t i = 0; i < *count; ++i) {
      const std::optional<uint64_t> type = number(*first + 2 + i * 12 + 2, 2);
      if (!type || *type == 0 || *type > 13 || !bytes_.walk().Step()) {
        return false;
      }
    }
    return true;
  }

  uint64_t Xmp(uint64_t at) {
    const Bytes rest = bytes_.Sub(at, bytes_.size());
    const std::optional<uint64_t> length = RedactXmpElement(rest);
    if (length) return at + *length;
    rest.ZeroAll();
    return bytes_.size();
  }

  uint64_t Resource(uint64_t at) {
    const std::optional<uint64_t> name = bytes_.Big(at + 6, 1);
    if (!name) return at;
    const uint64_t sized = at + 6 + (*name + 2) / 2 * 2;
    const std::optional<uint64_t> length = bytes_.Big(sized, 4);
    if (!length) return at;
    bytes_.walk().Add(Part::kIptc, bytes_.Sub(sized + 4, sized + 4 + *length));
    return sized + 4;
  }

  // The size before a box's type, or behind it; 0 where it is none.
  uint64_t BoxSize(uint64_t at) const {
    if (at < 4) return 0;
    uint64_t size = bytes_.Big(at - 4, 4).value_or(0);
    if (size == 1) size = bytes_.Big(at + 4, 8).value_or(0);
    const uint64_t most = std::min(kMaxBox, bytes_.size() - (at - 4));
    return size >= 8 && size <= most ? size : 0;
  }

  uint64_t Box(uint64_t at) const {
    const uint64_t size = BoxSize(at);
    if (size == 0) return at;
    bytes_.Zero(at, at - 4 + size);
    return at - 4 + size;
  }

  uint64_t Block(uint64_t at) const {
    const uint64_t size = BoxSize(at);
    const uint64_t end = size == 0 ? at + kMaxBrokenTiff : at - 4 + size;
    bytes_.Zero(at, end);
    return end;
  }

  uint64_t Movie(uint64_t at) const {
    const uint64_t size = BoxSize(at);
    if (size != 0 && size <= kMaxFirstBox) {
      bytes_.walk().Add(Part::kMovieInside, bytes_.Sub(at - 4, bytes_.size()));
    }
    return at;
  }

  const Bytes& bytes_;
  std::array<bool, 256> starts_ = {};
};

}  // namespace

void RedactUnknown(const Bytes& bytes) {
  if (!bytes.walk().Searching(bytes.size())) return;
  Search(bytes).Run();
}

}  // namespace fused::policy::redaction
