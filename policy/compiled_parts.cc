#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "policy/compiled_parts.h"
#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/names.h"
#include "policy/parse.h"
#include "policy/path_classes.h"
#include "policy/rules.h"
#include "policy/string_table.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

constexpr size_t kMaxExtensions = 4096;

// What is wrong with an extension; empty where nothing is.
std::string_view ExtensionFault(std::string_view extension) {
  if (extension.empty()) return "an empty extension";
  if (extension.find('.') != std::string_view::npos) {
    return "an extension is what stands after the last dot";
  }
  if (extension.find('/') != std::string_view::npos || !IsUtf8(extension)) {
    return "an extension that no name has";
  }
  if (const size_t size = Fold(extension).size();
      size == 0 || size > kMaxFolded) {
    return "an extension has 1 to 255 bytes";
  }
  return {};
}

// The policy's media types: a bit for each name, and bits for each extension.
class MediaTypes {
 public:
  MediaTypes(const v1::Policy& policy, const SourceMap& source,
             Issues& issues) {
    if (static_cast<size_t>(policy.media_types_size()) > kMaxMediaTypes) {
      issues.push_back(source.At(
          absl::StrCat("media_types[", kMaxMediaTypes, "]"),
          absl::StrCat("more than ", kMaxMediaTypes, " media types")));
    }
    for (int i = 0; i < policy.media_types_size(); ++i) {
      Add(policy.media_types(i), i, source, issues);
    }
  }

  const absl::flat_hash_map<std::string, uint32_t>& bits() const {
    return bits_;
  }
  StringTable Extensions() const {
    return StringTable({extensions_.begin(), extensions_.end()});
  }

 private:
  void Add(const v1::MediaType& type, int index, const SourceMap& source,
           Issues& issues) {
    const std::string at = absl::StrCat("media_types[", index, "]");
    // Of one too many the name is kept, so that rules that use it are not
    // reported too.
    const uint32_t bit =
        static_cast<size_t>(index) < kMaxMediaTypes ? 1u << index : 0;
    if (type.name().empty()) {
      issues.push_back(
          source.At(absl::StrCat(at, ".name"), "a media type needs a name"));
    } else if (!bits_.emplace(type.name(), bit).second) {
      issues.push_back(
          source.At(absl::StrCat(at, ".name"),
                    absl::StrCat("\"", type.name(), "\" is there twice")));
    }
    for (int i = 0; i < type.extensions_size(); ++i) {
      const std::string field = absl::StrCat(at, ".extensions[", i, "]");
      if (const std::string_view fault = ExtensionFault(type.extensions(i));
          !fault.empty()) {
        issues.push_back(source.At(field, std::string(fault)));
        continue;
      }
      extensions_[Fold(type.extensions(i))] |= bit;
      if (extensions_.size() > kMaxExtensions) {
        issues.push_back(source.At(
            field, absl::StrCat("more than ", kMaxExtensions, " extensions")));
        return;
      }
    }
  }

  absl::flat_hash_map<std::string, uint32_t> bits_;
  absl::flat_hash_map<std::string, uint32_t> extensions_;
};

}  // namespace

std::optional<CompiledParts> CompileParts(const Parsed<v1::Policy>& policy,
                                          Issues& issues) {
  const size_t before = issues.size();
  const v1::Policy& message = policy.message;
  if (message.name().size() > kMaxNameSize) {
    issues.push_back(policy.source.At(
        "name", absl::StrCat("longer than ", kMaxNameSize, " bytes")));
  }
  const MediaTypes media_types(message, policy.source, issues);
  std::optional<PathClasses> classes =
      PathClasses::Compile(message, policy.source, issues);
  std::vector<std::string_view> class_names;
  for (const v1::PathClass& path_class : message.path_classes()) {
    class_names.push_back(path_class.name());
  }
  if (class_names.size() > kMaxPathClasses) return std::nullopt;
  Vocabulary vocabulary;
  ConditionCompiler conditions(media_types.bits(), policy.source, vocabulary);
  std::optional<RuleSet> rules = RuleSet::Compile(
      message.rules(), "rules", class_names, conditions, policy.source, issues);
  std::optional<RuleSet> shadow =
      RuleSet::Compile(message.shadow_rules(), "shadow_rules", class_names,
                       conditions, policy.source, issues);
  if (issues.size() != before) return std::nullopt;
  if (message.shadow_rules().empty()) shadow.reset();
  return CompiledParts{*std::move(classes), media_types.Extensions(),
                       std::move(vocabulary), *std::move(rules),
                       std::move(shadow)};
}

}  // namespace fused::policy
