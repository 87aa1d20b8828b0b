#include "policy/names.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "policy/types.h"

namespace fused::policy {
namespace {

constexpr size_t kMaxName = 255;

// What a case-folding ext4 or f2fs compares by (canonical decomposition,
// folding, no ignorables), and compatibility forms on top, which is coarser.
constexpr auto kFolding = static_cast<utf8proc_option_t>(
    UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
    UTF8PROC_IGNORE);

// More than a folded name of kMaxFolded bytes can come from: no character
// decomposes into more than two per byte once folded.
constexpr size_t kMaxDecomposed = 1024;

// Names are looked at eight bytes at a time: each request looks at one several
// times.
constexpr size_t kWord = sizeof(uint64_t);
constexpr uint64_t kEach = 0x0101010101010101;
constexpr uint64_t kHighBits = kEach * 0x80;

uint64_t LoadWord(const char* data) {
  uint64_t word;
  std::memcpy(&word, data, kWord);
  return word;
}

bool IsAscii(std::string_view text) {
  uint64_t any = 0;
  if (text.size() < kWord) {
    for (const char c : text) any |= static_cast<unsigned char>(c);
    return (any & 0x80) == 0;
  }
  // The last word overlaps the one before.
  for (size_t i = 0; i + kWord < text.size(); i += kWord) {
    any |= LoadWord(text.data() + i);
  }
  any |= LoadWord(text.data() + text.size() - kWord);
  return (any & kHighBits) == 0;
}

char Lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Of ASCII. No byte's sum reaches the next byte, and its high bit says whether
// it is at least 'A', or more than 'Z'.
uint64_t LowerWord(uint64_t word) {
  const uint64_t from_a = word + kEach * (0x80 - 'A');
  const uint64_t above_z = word + kEach * (0x80 - 'Z' - 1);
  return word | (from_a & ~above_z & kHighBits) >> 2;
}

void LowerAscii(std::string_view text, char* to) {
  if (text.size() < kWord) {
    std::transform(text.begin(), text.end(), to, Lower);
    return;
  }
  const auto lower = [&](size_t at) {
    const uint64_t word = LowerWord(LoadWord(text.data() + at));
    std::memcpy(to + at, &word, kWord);
  };
  for (size_t i = 0; i + kWord < text.size(); i += kWord) lower(i);
  lower(text.size() - kWord);
}

// Of what FAT takes in a name; beyond ASCII it depends on the bytes around.
constexpr std::array<bool, 256> kFatClean = [] {
  std::array<bool, 256> clean = {};
  for (size_t byte = 0x20; byte < clean.size(); ++byte) clean[byte] = true;
  clean[0x7f] = false;
  for (const char c : std::string_view("\"*/:<>?\\|")) {
    clean[static_cast<unsigned char>(c)] = false;
  }
  return clean;
}();

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Without the dots at its end, unless it has nothing else.
std::string_view WithoutFinalDots(std::string_view name) {
  const size_t last = name.find_last_not_of('.');
  return last == std::string_view::npos ? name : name.substr(0, last + 1);
}

const utf8proc_uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const utf8proc_uint8_t*>(text.data());
}

// Decomposes `name` into `buffer` and composes it again. The number of code
// points, or more than `size` where they do not fit; negative where `name` is
// not UTF-8.
utf8proc_ssize_t FoldCodePoints(std::string_view name, utf8proc_int32_t* buffer,
                                utf8proc_ssize_t size) {
  utf8proc_ssize_t length = utf8proc_decompose(
      Bytes(name), static_cast<utf8proc_ssize_t>(name.size()), buffer, size,
      kFolding);
  if (length < 0 || length > size) return length;
  return utf8proc_normalize_utf32(buffer, length, kFolding);
}

// After ".pending-" or ".trashed-": whether it is "<digits>-<name>".
bool IsStamped(std::string_view rest) {
  const size_t dash = rest.find('-');
  return dash != std::string_view::npos && dash > 0 && dash + 1 < rest.size() &&
         std::all_of(rest.begin(), rest.begin() + static_cast<ptrdiff_t>(dash),
                     IsDigit);
}

constexpr std::string_view kPendingPrefix = ".pending-";
constexpr std::string_view kTrashedPrefix = ".trashed-";

bool StartsWith(std::string_view name, std::string_view folded_prefix) {
  return name.size() >= folded_prefix.size() &&
         std::equal(folded_prefix.begin(), folded_prefix.end(), name.begin(),
                    [](char want, char c) { return want == Lower(c); });
}

uint32_t FoldedNameFacts(std::string_view name) {
  if (name.empty() || name[0] != '.') return 0;
  if (StartsWith(name, kPendingPrefix) &&
      IsStamped(name.substr(kPendingPrefix.size()))) {
    return kFactPending;
  }
  if (StartsWith(name, kTrashedPrefix) &&
      IsStamped(name.substr(kTrashedPrefix.size()))) {
    return kFactTrashed;
  }
  return kFactHidden;
}

}  // namespace

bool IsUtf8(std::string_view text) {
  while (true) {
    // Nearly all of nearly every text.
    size_t ascii = 0;
    while (ascii < text.size() &&
           static_cast<unsigned char>(text[ascii]) < 0x80) {
      ++ascii;
    }
    text.remove_prefix(ascii);
    if (text.empty()) return true;
    utf8proc_int32_t code_point;
    const utf8proc_ssize_t length = utf8proc_iterate(
        Bytes(text), static_cast<utf8proc_ssize_t>(text.size()), &code_point);
    if (length <= 0) return false;
    text.remove_prefix(static_cast<size_t>(length));
  }
}

bool FatClean(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || name == "." || name == "..") {
    return false;
  }
  if (name.back() == '.' || name.back() == ' ') return false;
  for (const char c : name) {
    if (!kFatClean[static_cast<unsigned char>(c)]) return false;
  }
  return IsAscii(name) || IsUtf8(name);
}

bool FoldsPlainly(std::string_view name) {
  if (name.empty() || name.back() == '.' || name.back() == ' ') return false;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                       c == '-' || c == ' ';
    if (!plain) return false;
  }
  return true;
}

bool IsNomedia(std::string_view name) {
  // Most names are rejected without folding.
  if (IsAscii(name) && (name.empty() || name.front() != '.')) return false;
  return FoldedName(name).view() == kNomedia;
}

uint32_t NameFacts(std::string_view name) {
  if (IsAscii(name)) {
    // Nearly every name.
    if (name.empty() || name[0] != '.') return 0;
    return FoldedNameFacts(WithoutFinalDots(name));
  }
  // An ignorable code point before the dot, or within the prefix, is not there
  // for a case-folding lower tree.
  const FoldedName folded(name);
  if (!folded.view().empty()) return FoldedNameFacts(folded.view());
  return FoldedNameFacts(Fold(name));
}

std::string_view Extension(std::string_view name) {
  name = WithoutFinalDots(name);
  const uint32_t state = NameFacts(name) & (kFactPending | kFactTrashed);
  if (state != 0) {
    // `<name>` starts behind the second dash.
    const size_t dash = name.find('-', name.find('-') + 1);
    if (dash != std::string_view::npos) name.remove_prefix(dash + 1);
  }
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return {};
  return name.substr(dot + 1);
}

std::string Fold(std::string_view name) {
  std::string folded;
  if (!IsAscii(name)) {
    std::vector<utf8proc_int32_t> points(kMaxDecomposed);
    utf8proc_ssize_t length = 0;
    while ((length =
                FoldCodePoints(name, points.data(),
                               static_cast<utf8proc_ssize_t>(points.size()))) >
           static_cast<utf8proc_ssize_t>(points.size())) {
      points.resize(static_cast<size_t>(length));
    }
    if (length >= 0) {
      for (utf8proc_ssize_t i = 0; i < length; ++i) {
        utf8proc_uint8_t bytes[4];
        const utf8proc_ssize_t n = utf8proc_encode_char(points[i], bytes);
        folded.append(reinterpret_cast<const char*>(bytes),
                      static_cast<size_t>(n));
      }
      return std::string(WithoutFinalDots(folded));
    }
  }
  name = WithoutFinalDots(name);
  folded.resize(name.size());
  std::transform(name.begin(), name.end(), folded.begin(), Lower);
  return folded;
}

FoldedName::FoldedName(std::string_view name) {
  if (!IsAscii(name)) {
    FoldUnicode(name);
    return;
  }
  name = WithoutFinalDots(name);
  if (name.size() > kMaxFolded) return;
  LowerAscii(name, buffer_);
  size_ = name.size();
}

void FoldedName::FoldUnicode(std::string_view name) {
  utf8proc_int32_t points[kMaxDecomposed];
  const utf8proc_ssize_t length = FoldCodePoints(name, points, kMaxDecomposed);
  if (length > static_cast<utf8proc_ssize_t>(kMaxDecomposed)) return;
  if (length < 0) {
    name = WithoutFinalDots(name);
    if (name.size() > kMaxFolded) return;
    std::transform(name.begin(), name.end(), buffer_, Lower);
    size_ = name.size();
    return;
  }
  // Dots at the end are dropped, so they need no room; those in between do.
  size_t size = 0;
  size_t pending_dots = 0;
  for (utf8proc_ssize_t i = 0; i < length; ++i) {
    if (points[i] == '.') {
      ++pending_dots;
      continue;
    }
    utf8proc_uint8_t bytes[4];
    const auto n = static_cast<size_t>(utf8proc_encode_char(points[i], bytes));
    if (size + pending_dots + n > kMaxFolded) return;
    std::fill_n(buffer_ + size, pending_dots, '.');
    size += pending_dots;
    pending_dots = 0;
    std::copy_n(reinterpret_cast<const char*>(bytes), n, buffer_ + size);
    size += n;
  }
  if (size == 0 && pending_dots <= kMaxFolded) {
    std::fill_n(buffer_, pending_dots, '.');
    size = pending_dots;
  }
  size_ = size;
}

}  // namespace fused::policy
