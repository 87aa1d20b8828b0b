#include "policy/redaction/boxes.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "policy/redaction/endian.h"

namespace fused::policy::redaction {
namespace {

constexpr std::array<std::string_view, 9> kLocationBoxes = {
    "loci", "\xa9xyz", "@xyz", "gps ",   "gps0",
    "GPS ", "gpsa",    "udat", "\xa9gps"};

constexpr uint64_t kHead = 8;
constexpr uint64_t kLargeHead = 16;
constexpr uint64_t kMaxPadding = 4096;

}  // namespace

std::optional<Box> ReadBox(const Bytes& bytes, uint64_t at, uint64_t limit) {
  limit = std::min(limit, bytes.size());
  if (at >= limit || limit - at < kHead) return std::nullopt;
  const std::string head = bytes.Text(at, kHead);
  if (head.size() < kHead) return std::nullopt;
  Box box{.type = head.substr(4), .begin = at, .payload = at + kHead};
  uint64_t size = LoadBig(head.data(), 4);
  if (size == 1) {
    const std::optional<uint64_t> large = bytes.Big(at + kHead, 8);
    if (!large || *large < kLargeHead) return std::nullopt;
    box.payload = at + kLargeHead;
    size = *large;
  } else if (size == 0) {
    // To the end; a list that ends so has zeros for a type too.
    if (LoadBig(box.type.data(), 4) == 0) return std::nullopt;
    size = limit - at;
  } else if (size < kHead) {
    return std::nullopt;
  }
  box.torn = size > limit - at;
  box.end = box.torn ? limit : at + size;
  if (box.payload > box.end) return std::nullopt;
  return box;
}

bool IsLocationBox(const std::string& type) {
  return std::find(kLocationBoxes.begin(), kLocationBoxes.end(), type) !=
         kLocationBoxes.end();
}

void ZeroBox(const Bytes& bytes, const Box& box) {
  bytes.Zero(box.begin + 4, box.begin + kHead);
  bytes.Zero(box.payload, box.end);
}

bool IsPadding(const Bytes& bytes, uint64_t begin, uint64_t end) {
  end = std::min(end, bytes.size());
  if (begin >= end || end - begin < kHead) return true;
  if (end - begin > kMaxPadding) return false;
  const std::string text = bytes.Text(begin, end - begin);
  return text.find_first_not_of('\0') == text.npos;
}

}  // namespace fused::policy::redaction
