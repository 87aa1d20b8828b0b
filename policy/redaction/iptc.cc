#include "policy/redaction/iptc.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/redaction/endian.h"

namespace fused::policy::redaction {
namespace {

constexpr char kDataSet = 0x1c;
constexpr char kApplicationRecord = 2;

// Of the application record.
constexpr std::array<uint8_t, 7> kLocationSets = {
    26,   // content location, code
    27,   // content location, name
    90,   // city
    92,   // sub-location
    95,   // province or state
    100,  // country, code
    101,  // country, name
};

// Whether nothing but zeros follows.
bool OnlyPadding(const Bytes& bytes, uint64_t at) {
  for (std::string_view some; at < bytes.size(); at += some.size()) {
    some = bytes.Peek(at);
    if (some.empty() || some.find_first_not_of('\0') != some.npos) return false;
  }
  return true;
}

enum Resource : uint16_t {
  kIptcSets = 0x0404,
  kThumbnailOld = 0x0409,
  kThumbnail = 0x040c,
  kExif = 0x0422,
  kExif3 = 0x0423,
  kXmpPacket = 0x0424,
  kIptcDigest = 0x0425,
};

// Before the JPEG data of a thumbnail.
constexpr uint64_t kThumbnailHeader = 28;

}  // namespace

bool RedactIptc(const Bytes& bytes) {
  uint64_t at = 0;
  while (at < bytes.size()) {
    const std::string header = bytes.Text(at, 5);
    if (header.size() < 5 || header[0] != kDataSet) {
      return OnlyPadding(bytes, at);
    }
    if (!bytes.walk().Step()) return false;
    uint64_t length = LoadBig(&header[3], 2);
    uint64_t value = at + 5;
    if ((length & 0x8000) != 0) {
      // The length's own length.
      const size_t width = length & 0x7fff;
      if (width == 0 || width > 4) return false;
      const std::optional<uint64_t> extended = bytes.Big(value, width);
      if (!extended) return false;
      value += width;
      length = *extended;
    }
    if (length > bytes.size() - value) return false;
    if (header[1] == kApplicationRecord &&
        std::find(kLocationSets.begin(), kLocationSets.end(),
                  static_cast<uint8_t>(header[2])) != kLocationSets.end()) {
      bytes.Zero(value, value + length);
    }
    at = value + length;
  }
  return true;
}

bool RedactPhotoshop(const Bytes& bytes) {
  std::vector<Range> iptc;
  std::optional<Range> digest;
  uint64_t at = 0;
  while (at < bytes.size()) {
    // Signature, id, a name with its length, padded; the data's length.
    const std::string header = bytes.Text(at, 7);
    if (header.size() < 7 || header[0] == 0) {
      if (!OnlyPadding(bytes, at)) return false;
      break;
    }
    if (!bytes.walk().Step()) return false;
    const uint64_t id = LoadBig(&header[4], 2);
    const uint64_t name = static_cast<uint8_t>(header[6]) + uint64_t{1};
    const uint64_t sized = at + 6 + name + name % 2;
    const std::optional<uint64_t> length = bytes.Big(sized, 4);
    const uint64_t data = sized + 4;
    if (!length || *length > bytes.size() - data) return false;
    const Bytes content = bytes.Sub(data, data + *length);
    Walk& walk = bytes.walk();
    switch (id) {
      case kIptcSets: {
        walk.Add(Part::kIptc, content);
        const std::vector<Range> where = content.Locate(0, content.size());
        iptc.insert(iptc.end(), where.begin(), where.end());
        break;
      }
      case kIptcDigest:
        if (content.pieces() == 1) digest = content.Locate(0, 16).front();
        break;
      case kExif:
      case kExif3:
        walk.Add(Part::kTiff, content);
        break;
      case kXmpPacket:
        walk.Add(Part::kXmp, content);
        break;
      case kThumbnail:
      case kThumbnailOld:
        walk.Add(Part::kJpegHead,
                 content.Sub(kThumbnailHeader, content.size()));
        break;
      default:
        break;
    }
    at = data + *length + *length % 2;
  }
  if (digest) bytes.walk().ZeroAlso(iptc, *digest);
  return true;
}

}  // namespace fused::policy::redaction
