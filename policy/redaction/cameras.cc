#include "policy/redaction/cameras.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "policy/redaction/endian.h"

namespace fused::policy::redaction {
namespace {

constexpr uint64_t kGpmfHead = 8;

bool IsGpmfLocation(std::string_view key) {
  return key.starts_with("GPS") || key == "GPRI" || key == "GLPI" ||
         key == "GPRU";
}

constexpr uint64_t kFlirHeader = 0x40;
constexpr uint64_t kFlirEntry = 32;
constexpr uint64_t kFlirGps = 0x2b;
constexpr uint64_t kMaxFlirVersion = 200;

constexpr std::string_view kInsta360Magic = "8db42d694ccc418790edff439fe026bf";
constexpr uint64_t kInsta360End = 78;
constexpr uint64_t kInsta360Gps = 0x700;
constexpr uint64_t kInsta360Head = 6;

}  // namespace

bool RedactGpmf(const Bytes& bytes) {
  uint64_t at = 0;
  while (at + kGpmfHead <= bytes.size()) {
    const std::string head = bytes.Text(at, kGpmfHead);
    if (head.size() < kGpmfHead || !bytes.walk().Step()) return false;
    if (head.substr(0, 4) == std::string_view("\0\0\0\0", 4)) return true;
    const uint64_t length =
        uint64_t{static_cast<uint8_t>(head[5])} * LoadBig(&head[6], 2);
    const uint64_t begin = at + kGpmfHead;
    if (length > bytes.size() - begin) return false;
    const uint64_t padded = (length + 3) / 4 * 4;
    if (IsGpmfLocation(std::string_view(head).substr(0, 4))) {
      // A key of which something is left: one of zeros would end the list.
      bytes.Zero(at, at + 3);
      bytes.Zero(begin, begin + length);
      at = begin + padded;
    } else {
      // What is in a container comes behind its head.
      at = head[4] == 0 ? begin : begin + padded;
    }
  }
  return true;
}

bool RedactFlir(const Bytes& bytes) {
  const std::string head = bytes.Text(0, kFlirHeader);
  if (head.size() < kFlirHeader ||
      head.substr(1, 3) != std::string("FF\0", 3)) {
    return false;
  }
  const bool big = LoadBig(&head[0x14], 4) <= kMaxFlirVersion;
  const auto load = [big](const std::string& text, size_t at, size_t width) {
    return big ? LoadBig(&text[at], width) : LoadLittle(&text[at], width);
  };
  uint64_t at = load(head, 0x18, 4);
  for (uint64_t left = load(head, 0x1c, 4); left > 0; --left) {
    const std::string entry = bytes.Text(at, kFlirEntry);
    if (entry.size() < kFlirEntry || !bytes.walk().Step()) return false;
    if (load(entry, 0, 2) == kFlirGps) {
      const uint64_t begin = load(entry, 12, 4);
      bytes.Zero(begin, begin + load(entry, 16, 4));
    }
    at += kFlirEntry;
  }
  return true;
}

bool RedactNikonTags(const Bytes& bytes) {
  // Tag, type, count; a GPS directory's tags have a page of their own.
  uint64_t at = 0;
  while (at + 8 <= bytes.size()) {
    const std::string head = bytes.Text(at, 8);
    if (head.size() < 8 || !bytes.walk().Step()) return false;
    constexpr uint64_t kWidths[] = {1, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};
    const uint64_t type = LoadBig(&head[4], 2);
    if (type >= std::size(kWidths)) return false;
    const uint64_t length = kWidths[type] * LoadBig(&head[6], 2);
    if (length > bytes.size() - at - 8) return false;
    if (LoadBig(head.data(), 4) >> 16 == 0x120) {
      bytes.Zero(at, at + 4);
      bytes.Zero(at + 8, at + 8 + length);
    }
    at += 8 + length;
  }
  return true;
}

bool RedactInsta360(const Bytes& bytes) {
  if (bytes.size() < kInsta360End ||
      !bytes.StartsWith(bytes.size() - kInsta360Magic.size(), kInsta360Magic)) {
    return false;
  }
  // Records, each with its head behind it, from the last to the first.
  const std::string end = bytes.Text(bytes.size() - kInsta360End, 42);
  if (end.size() < 42) return false;
  const uint64_t whole = std::min(LoadLittle(&end[38], 4), bytes.size());
  const uint64_t first = bytes.size() - whole;
  uint64_t head = bytes.size() - kInsta360End;
  while (bytes.walk().Step()) {
    const std::optional<uint64_t> id = bytes.Little(head, 2);
    const std::optional<uint64_t> length = bytes.Little(head + 2, 4);
    if (!id || !length || *length > head || head - *length < first) break;
    const uint64_t begin = head - *length;
    if (*id == kInsta360Gps) bytes.Zero(begin, head);
    if (begin < first + kInsta360Head) break;
    head = begin - kInsta360Head;
  }
  return true;
}

}  // namespace fused::policy::redaction
