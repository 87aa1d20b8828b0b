#include "policy/rules.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

// The enumerators' own names are macros of <cerrno>.
constexpr auto kErrorNoEntry = static_cast<v1::Error>(1);
constexpr auto kErrorNotPermitted = static_cast<v1::Error>(3);

Error ErrorOf(v1::Error error) {
  switch (error) {
    case kErrorNoEntry:
      return Error::kNoEntry;
    case kErrorNotPermitted:
      return Error::kNotPermitted;
    default:
      return Error::kAccess;
  }
}

using Fail = absl::FunctionRef<void(std::string_view, std::string)>;

void CheckName(const v1::Rule& rule,
               absl::flat_hash_set<std::string_view>& seen, Fail fail) {
  if (rule.name().empty()) {
    fail(".name", "a rule needs a name");
  } else if (rule.name().size() > kMaxNameSize) {
    fail(".name", absl::StrCat("longer than ", kMaxNameSize, " bytes"));
  } else if (!seen.insert(rule.name()).second) {
    fail(".name", absl::StrCat("\"", rule.name(), "\" is there twice"));
  }
}

void CheckOperations(const v1::Rule& rule, Fail fail) {
  if (rule.operations().empty()) {
    fail(".operations", "a rule names an operation, or ANY");
  }
  for (int i = 0; i < rule.operations_size(); ++i) {
    const int operation = rule.operations(i);
    if (!v1::Operation_IsValid(operation) ||
        operation == v1::OPERATION_UNSPECIFIED) {
      fail(absl::StrCat(".operations[", i, "]"),
           absl::StrCat("unknown operation ", operation));
    }
  }
}

void CheckEffect(const v1::Effect& effect, Fail fail) {
  switch (effect.kind_case()) {
    case v1::Effect::kAllow:
      if (!v1::IoMode_IsValid(effect.allow().io())) {
        fail(".effect.allow.io",
             absl::StrCat("unknown value ", effect.allow().io()));
      }
      if (!v1::Redaction_IsValid(effect.allow().redact())) {
        fail(".effect.allow.redact",
             absl::StrCat("unknown value ", effect.allow().redact()));
      }
      break;
    case v1::Effect::kDeny:
      if (!v1::Error_IsValid(effect.deny().error())) {
        fail(".effect.deny.error",
             absl::StrCat("unknown value ", effect.deny().error()));
      }
      break;
    case v1::Effect::KIND_NOT_SET:
      fail(".effect", "a rule has an effect: allow or deny");
      break;
  }
}

// Indexes of the classes that a rule names.
std::vector<size_t> ClassesOf(
    const v1::Rule& rule,
    const absl::flat_hash_map<std::string, size_t>& class_of, Fail fail) {
  std::vector<size_t> classes;
  for (int i = 0; i < rule.path_classes_size(); ++i) {
    const auto found = class_of.find(rule.path_classes(i));
    if (found == class_of.end()) {
      fail(absl::StrCat(".path_classes[", i, "]"),
           absl::StrCat("no path class \"", rule.path_classes(i),
                        "\" is defined"));
      continue;
    }
    classes.push_back(found->second);
  }
  if (rule.path_classes().empty()) {
    for (size_t i = 0; i < class_of.size(); ++i) classes.push_back(i);
  }
  return classes;
}

}  // namespace

uint32_t OperationBits(const v1::Rule& rule) {
  uint32_t bits = 0;
  for (const int operation : rule.operations()) {
    if (operation == v1::ANY) {
      bits = (1u << kOperations) - 1;
    } else if (operation >= v1::LOOKUP && operation <= v1::MKNOD) {
      bits |= 1u << (operation - v1::LOOKUP);
    }
  }
  return bits;
}

std::optional<RuleSet> RuleSet::Compile(
    const google::protobuf::RepeatedPtrField<v1::Rule>& rules,
    std::string_view field, const std::vector<std::string_view>& class_names,
    ConditionCompiler& conditions, const SourceMap& source, Issues& issues) {
  const size_t before = issues.size();
  if (static_cast<size_t>(rules.size()) > kMaxRules) {
    issues.push_back(
        source.At(absl::StrCat(field, "[", kMaxRules, "]"),
                  absl::StrCat("more than ", kMaxRules, " rules")));
    return std::nullopt;
  }
  absl::flat_hash_map<std::string, size_t> class_of = {
      {"other", class_names.size()}};
  for (size_t i = 0; i < class_names.size(); ++i) {
    class_of.emplace(class_names[i], i);
  }

  RuleSet set;
  set.classes_ = class_names.size() + 1;
  set.words_ = (static_cast<size_t>(rules.size()) + 63) / 64;
  set.applicable_.resize(set.classes_ * kOperations * set.words_);
  absl::flat_hash_set<std::string_view> names;
  for (int i = 0; i < rules.size(); ++i) {
    const v1::Rule& rule = rules[i];
    const std::string at = absl::StrCat(field, "[", i, "]");
    const auto fail = [&](std::string_view where, std::string reason) {
      issues.push_back(source.At(absl::StrCat(at, where), std::move(reason)));
    };
    CheckName(rule, names, fail);
    CheckOperations(rule, fail);
    CheckEffect(rule.effect(), fail);
    const uint64_t bit = uint64_t{1} << (i % 64);
    const uint32_t operations = OperationBits(rule);
    for (const size_t path_class : ClassesOf(rule, class_of, fail)) {
      for (size_t op = 0; op < kOperations; ++op) {
        if ((operations >> op & 1) == 0) continue;
        set.applicable_[(path_class * kOperations + op) * set.words_ +
                        static_cast<size_t>(i) / 64] |= bit;
      }
    }
    std::optional<Terms> terms =
        rule.has_when()
            ? conditions.Compile(rule.when(), absl::StrCat(at, ".when"), issues)
            : Terms{Term{}};
    if (!terms) continue;
    if (set.terms_.size() + terms->size() > kMaxAllTerms) {
      fail(".when", "the policy's conditions are too complex in sum");
      break;
    }
    Rule compiled;
    compiled.first_term = static_cast<uint32_t>(set.terms_.size());
    compiled.terms = static_cast<uint32_t>(terms->size());
    set.terms_.insert(set.terms_.end(), terms->begin(), terms->end());
    if (rule.effect().has_deny()) {
      compiled.error = ErrorOf(rule.effect().deny().error());
    } else {
      const v1::Effect::Allow& allow = rule.effect().allow();
      compiled.write =
          allow.io() == v1::DAEMON ? IoMode::kDaemon : IoMode::kPassthrough;
      compiled.read =
          allow.redact() == v1::LOCATION ? IoMode::kRedacted : compiled.write;
    }
    set.rules_.push_back(compiled);
  }
  if (issues.size() != before) return std::nullopt;
  return set;
}

Decision RuleSet::DecisionOf(size_t rule, Operation operation) const {
  const Rule& compiled = rules_[rule];
  const auto id = static_cast<RuleId>(rule);
  if (compiled.error != Error::kNone) {
    return {operation == Operation::kLookup ? Error::kNoEntry : compiled.error,
            IoMode::kDaemon, id};
  }
  IoMode io = IoMode::kPassthrough;
  if (operation == Operation::kRead) io = compiled.read;
  if (operation == Operation::kWrite) io = compiled.write;
  return {Error::kNone, io, id};
}

}  // namespace fused::policy
