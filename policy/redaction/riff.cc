#include "policy/redaction/riff.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "policy/redaction/endian.h"

namespace fused::policy::redaction {
namespace {

constexpr uint64_t kHead = 8;   // type and length
constexpr uint64_t kList = 12;  // with the kind of list
constexpr size_t kMaxLists = 64;

// Pixels, frames and indices, which are large and nothing else.
constexpr std::array<std::string_view, 7> kMedia = {
    "VP8 ", "VP8L", "ALPH", "ANMF", "ICCP", "idx1", "indx"};

void RedactChunk(std::string_view type, const Bytes& data) {
  Walk& walk = data.walk();
  if (type == "EXIF") {
    const bool headed = data.StartsWith(0, std::string_view("Exif\0\0", 6));
    walk.Add(Part::kTiff, data.Sub(headed ? 6 : 0, data.size()));
  } else if (type == "XMP " || type == "_PMX") {
    walk.Add(Part::kXmp, data);
  } else if (type == "nctg") {
    walk.Add(Part::kNikonTags, data);
  } else if (std::find(kMedia.begin(), kMedia.end(), type) == kMedia.end()) {
    walk.Add(Part::kUnknown, data);
  }
}

}  // namespace

bool IsRiff(const Bytes& bytes) {
  const std::string head = bytes.Text(0, kList);
  return head.size() == kList && absl::StartsWith(head, "RIFF") &&
         (absl::EndsWith(head, "WEBP") || absl::EndsWith(head, "AVI "));
}

bool RedactRiff(const Bytes& bytes) {
  if (!IsRiff(bytes)) return false;
  // Lists, one within another; their ends.
  std::vector<uint64_t> ends;
  uint64_t at = 0;
  while (at < bytes.size()) {
    while (!ends.empty() && at >= ends.back()) ends.pop_back();
    const std::string head = bytes.Text(at, kList);
    if (head.size() < kHead) break;
    if (!bytes.walk().Step()) return false;
    const std::string_view type = std::string_view(head).substr(0, 4);
    const uint64_t length = LoadLittle(&head[4], 4);
    const uint64_t end = std::min(at + kHead + length, bytes.size());
    const bool list =
        (type == "RIFF" || type == "LIST") && head.size() == kList;
    if (ends.empty() && type != "RIFF") {
      // Behind the last of it.
      bytes.walk().Add(Part::kTail, bytes.Sub(at, bytes.size()));
      return true;
    }
    if (list && !absl::EndsWith(head, "movi")) {
      if (ends.size() >= kMaxLists) return false;
      ends.push_back(end);
      at += kList;
      continue;
    }
    if (!list) RedactChunk(type, bytes.Sub(at + kHead, end));
    at = end + length % 2;
  }
  return true;
}

}  // namespace fused::policy::redaction
