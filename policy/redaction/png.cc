#include "policy/redaction/png.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "policy/redaction/endian.h"
#include "policy/redaction/location_names.h"

namespace fused::policy::redaction {
namespace {

constexpr uint64_t kHead = 8;      // length and type
constexpr uint64_t kChecksum = 4;  // behind the data
constexpr size_t kMaxKey = 79;

constexpr std::string_view kXmpKey = "xml:com.adobe.xmp";
constexpr std::string_view kProfile = "raw profile type ";
// Profiles of colours stay.
constexpr std::array<std::string_view, 6> kProfiles = {"exif", "app1", "xmp",
                                                       "iptc", "8bim", "app13"};

struct Text {
  uint64_t begin = 0;  // of the text
  bool compressed = false;
  std::string key;  // in lower case
};

// The parts of a text chunk's data; begin is 0 where they are not.
Text ReadText(const Bytes& data, bool compressed, bool international) {
  Text text;
  const std::string start = data.Text(0, kMaxKey + 4);
  const size_t key = start.find('\0');
  if (key == start.npos) return text;
  text.key = absl::AsciiStrToLower(start.substr(0, key));
  uint64_t at = key + 1;
  text.compressed = compressed;
  if (international) {
    text.compressed = at < start.size() && start[at] != 0;
    at += 2;
    // A language and the key in it.
    for (int i = 0; i < 2; ++i) {
      while (true) {
        const std::string_view some = data.Peek(at);
        if (some.empty()) return text;
        const size_t end = some.find('\0');
        at += std::min(end, some.size());
        if (end != some.npos) break;
      }
      ++at;
    }
  } else if (compressed) {
    ++at;
  }
  text.begin = at;
  return text;
}

void RedactText(const Bytes& data, bool compressed, bool international) {
  const Text text = ReadText(data, compressed, international);
  if (text.begin == 0) {
    data.ZeroAll();
    return;
  }
  const std::string_view key = text.key;
  if (key == kXmpKey && !text.compressed) {
    data.walk().Add(Part::kXmp, data.Sub(text.begin, data.size()));
    return;
  }
  bool location = key == kXmpKey || IsLocationName(key);
  if (key.starts_with(kProfile)) {
    const std::string_view kind = key.substr(kProfile.size());
    location =
        std::find(kProfiles.begin(), kProfiles.end(), kind) != kProfiles.end();
  }
  if (location) data.Zero(text.begin, data.size());
}

void RedactChunk(std::string_view type, const Bytes& data) {
  if (type == "eXIf") {
    const bool headed = data.StartsWith(0, std::string_view("Exif\0\0", 6));
    data.walk().Add(Part::kTiff, data.Sub(headed ? 6 : 0, data.size()));
  } else if (type == "zxIf") {
    data.ZeroAll();
  } else if (type == "tEXt") {
    RedactText(data, false, false);
  } else if (type == "zTXt") {
    RedactText(data, true, false);
  } else if (type == "iTXt") {
    RedactText(data, false, true);
  }
}

}  // namespace

bool RedactPng(const Bytes& bytes) {
  if (!bytes.StartsWith(0, kPngStart)) return false;
  uint64_t at = kPngStart.size();
  while (true) {
    const std::string head = bytes.Text(at, kHead);
    // Cut off: there is no more of it.
    if (head.size() < kHead) return true;
    if (!bytes.walk().Step()) return false;
    const std::string_view type = std::string_view(head).substr(4);
    const uint64_t length = LoadBig(head.data(), 4);
    const uint64_t begin = at + kHead;
    const uint64_t end = std::min(begin + length, bytes.size());
    if (!std::all_of(type.begin(), type.end(), absl::ascii_isalpha)) {
      // From here on it may be anything.
      bytes.walk().Add(Part::kTail, bytes.Sub(at, bytes.size()));
      return true;
    }
    // The critical ones, which are not metadata, have a capital first.
    if (absl::ascii_islower(type[0]) && begin < end) {
      RedactChunk(type, bytes.Sub(begin, end));
      for (const Range& sum : bytes.Locate(end, end + kChecksum)) {
        bytes.walk().ZeroAlso(bytes.Locate(begin, end), sum);
      }
    }
    at = begin + length + kChecksum;
    if (type == "IEND") break;
  }
  if (at < bytes.size()) {
    bytes.walk().Add(Part::kTail, bytes.Sub(at, bytes.size()));
  }
  return true;
}

}  // namespace fused::policy::redaction
