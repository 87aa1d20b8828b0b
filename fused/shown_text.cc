#include "fused/shown_text.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "policy/names.h"

namespace fused {
namespace {

constexpr std::string_view kCut = "...";

// The most of `text` that is no longer than is shown and ends with a character.
std::string_view Cut(std::string_view text) {
  text = text.substr(0, kMostShown - kCut.size());
  size_t end = text.size();
  while (end > 0 && (text[end - 1] & 0xc0) == 0x80) --end;
  // The character that begins there is whole, or goes.
  if (end > 0 && (text[end - 1] & 0x80) != 0) --end;
  return text.substr(0, end);
}

}  // namespace

std::string ShownText(std::string_view text) {
  const bool utf8 = policy::IsUtf8(text);
  if (utf8 && text.size() <= kMostShown) return std::string(text);
  if (utf8) return absl::StrCat(Cut(text), kCut);
  std::string escaped = absl::CHexEscape(text.substr(0, kMostShown));
  if (text.size() <= kMostShown && escaped.size() <= kMostShown) return escaped;
  escaped.resize(kMostShown < escaped.size() + kCut.size()
                     ? kMostShown - kCut.size()
                     : escaped.size());
  return absl::StrCat(escaped, kCut);
}

}  // namespace fused
