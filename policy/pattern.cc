#include "policy/pattern.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "policy/names.h"

namespace fused::policy {
namespace {

absl::StatusOr<PatternPart> ParsePart(std::string_view text) {
  using Kind = PatternPart::Kind;
  if (text == "*") return PatternPart{Kind::kOne, ""};
  if (text == "**") return PatternPart{Kind::kAny, ""};
  if (text == "{package}") return PatternPart{Kind::kPackage, ""};
  if (text.empty()) return absl::InvalidArgumentError("an empty component");
  if (text == "." || text == "..") {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\" is no component of a path"));
  }
  if (text.find_first_of("*{}") != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", text,
        "\": a component is a literal, `*`, `**` or `{package}` as a whole"));
  }
  if (!IsUtf8(text) || text.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("a component that no name can be");
  }
  std::string folded = Fold(text);
  if (folded.empty() || folded.size() > kMaxFolded) {
    return absl::InvalidArgumentError(
        absl::StrCat("a component has 1 to ", kMaxFolded, " bytes"));
  }
  return PatternPart{Kind::kLiteral, std::move(folded)};
}

}  // namespace

absl::StatusOr<std::vector<PatternPart>> ParsePattern(std::string_view text) {
  std::vector<PatternPart> parts;
  if (text == "/") return parts;
  if (text.empty()) return absl::InvalidArgumentError("an empty pattern");
  if (text.front() == '/' || text.back() == '/') {
    return absl::InvalidArgumentError(
        "relative to the volume's root: no slash at the start or the end");
  }
  bool package = false;
  bool any = false;
  for (const std::string_view component : absl::StrSplit(text, '/')) {
    absl::StatusOr<PatternPart> part = ParsePart(component);
    if (!part.ok()) return part.status();
    if (part->kind == PatternPart::Kind::kPackage) {
      if (package) return absl::InvalidArgumentError("{package} stands twice");
      if (any) return absl::InvalidArgumentError("{package} after a `**`");
      package = true;
    }
    any |= part->kind == PatternPart::Kind::kAny;
    parts.push_back(*std::move(part));
  }
  if (parts.size() > kMaxComponents) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMaxComponents, " components"));
  }
  return parts;
}

}  // namespace fused::policy
