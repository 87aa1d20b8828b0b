#include "policy/lint.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "policy/compiled_parts.h"
#include "policy/conditions.h"
#include "policy/cover.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/rules.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using Rules = ::google::protobuf::RepeatedPtrField<v1::Rule>;

// The enumerators' own names are macros of <cerrno>.
constexpr auto kErrorNoEntry = static_cast<v1::Error>(1);

constexpr uint32_t BitOf(Operation operation) {
  return OperationSet(operation).bits();
}

// Steps for all rules; beyond, a rule counts as reachable.
constexpr size_t kBudget = 5'000'000;

// What conditions ask for by name.
struct Asked {
  uint64_t subject = 0;
  uint64_t object = 0;
};

class Linter {
 public:
  Linter(const Parsed<v1::Policy>& policy, const CompiledParts& parts,
         Issues& issues)
      : policy_(policy.message),
        source_(policy.source),
        parts_(parts),
        issues_(issues) {}

  void Run() {
    CheckRules(policy_.rules(), "rules", parts_.rules);
    if (parts_.shadow) {
      CheckRules(policy_.shadow_rules(), "shadow_rules", *parts_.shadow);
    }
    if (budget_ == 0) {
      Warn("rules", "too many to find all that are unreachable");
    }
    CheckClasses();
    CheckMediaTypes();
    CheckAsked(policy_.rules(), "rules");
    CheckAsked(policy_.shadow_rules(), "shadow_rules");
  }

 private:
  void Warn(std::string_view field, std::string reason) {
    issues_.push_back(source_.At(field, std::move(reason), /*warning=*/true));
  }

  void CheckRules(const Rules& rules, std::string_view list,
                  const RuleSet& set) {
    for (int i = 0; i < rules.size(); ++i) {
      const std::string at = absl::StrCat(list, "[", i, "]");
      CheckLookupError(rules[i], at);
      if (!CheckReachable(rules, i, at, set)) continue;
      CheckPassthrough(rules[i], i, at, set);
      for (const Term& term : set.TermsOf(static_cast<size_t>(i))) {
        asked_.subject |= term.subject_mask;
        asked_.object |= term.object_mask;
      }
    }
  }

  // An error that tells of a name that it is there is no secret kept.
  void CheckLookupError(const v1::Rule& rule, const std::string& at) {
    if ((OperationBits(rule) & BitOf(Operation::kLookup)) == 0) return;
    const v1::Error error = rule.effect().deny().error();
    if (rule.effect().has_deny() && error != kErrorNoEntry &&
        error != v1::ERROR_UNSPECIFIED) {
      issues_.push_back(
          source_.At(absl::StrCat(at, ".effect.deny.error"),
                     "a denied LOOKUP is ENOENT: take LOOKUP out, or leave the "
                     "error out (then it is EACCES for the other operations)"));
    }
  }

  // What can stand in a class at all.
  static Term Possible(const RuleSet& set, const CompiledParts& parts,
                       size_t class_index) {
    Term possible;
    const auto id = class_index + 1 == set.classes()
                        ? kOtherClass
                        : static_cast<ClassId>(class_index);
    if (!parts.classes.has_owner(id)) possible.object_mask = kOwnsPathBit;
    return possible;
  }

  bool CheckReachable(const Rules& rules, int index, const std::string& at,
                      const RuleSet& set) {
    const auto rule = static_cast<size_t>(index);
    // Places with the same earlier rules are one.
    std::set<std::pair<uint64_t, std::vector<uint64_t>>> done;
    std::set<size_t> earlier_rules;
    bool holds_somewhere = false;
    for (size_t path_class = 0; path_class < set.classes(); ++path_class) {
      const auto id = path_class + 1 == set.classes()
                          ? kOtherClass
                          : static_cast<ClassId>(path_class);
      if (!parts_.classes.reachable(id)) continue;
      const Term possible = Possible(set, parts_, path_class);
      for (int op = 0; op < kOperations; ++op) {
        const uint64_t* const applicable =
            set.Applicable(path_class, static_cast<Operation>(op));
        if ((applicable[rule / 64] >> (rule % 64) & 1) == 0) continue;
        std::vector<uint64_t> earlier(applicable, applicable + rule / 64 + 1);
        earlier.back() &= (uint64_t{1} << (rule % 64)) - 1;
        if (!done.emplace(possible.object_mask, earlier).second) continue;
        const Reach reach = ReachOf(set, rule, possible, earlier);
        if (reach == Reach::kReached) return true;
        if (reach == Reach::kNever) continue;
        holds_somewhere = true;
        for (size_t i = 0; i < rule; ++i) {
          if ((earlier[i / 64] >> (i % 64) & 1) != 0) earlier_rules.insert(i);
        }
      }
    }
    ReportUnreachable(rules, at, holds_somewhere, earlier_rules);
    return false;
  }

  void ReportUnreachable(const Rules& rules, const std::string& at,
                         bool holds_somewhere,
                         const std::set<size_t>& earlier) {
    if (!holds_somewhere) {
      Warn(absl::StrCat(at, ".when"),
           "can match nothing: no path of its classes can meet its condition");
      return;
    }
    constexpr size_t kNamed = 4;
    std::vector<std::string> names;
    for (const size_t rule : earlier) {
      if (names.size() == kNamed) {
        names.emplace_back("...");
        break;
      }
      names.push_back(rules[static_cast<int>(rule)].name());
    }
    Warn(at, absl::StrCat("unreachable: earlier rules (",
                          absl::StrJoin(names, ", "),
                          ") decide wherever it matches"));
  }

  enum class Reach : uint8_t { kNever, kCovered, kReached };

  // Whether a rule has something to say where `possible` holds and `earlier`
  // rules come first.
  Reach ReachOf(const RuleSet& set, size_t rule, const Term& possible,
                const std::vector<uint64_t>& earlier) {
    if (budget_ == 0) return Reach::kReached;
    std::vector<const Term*> cover;
    for (size_t word = 0; word < earlier.size(); ++word) {
      for (uint64_t left = earlier[word]; left != 0; left &= left - 1) {
        const size_t other =
            word * 64 + static_cast<size_t>(std::countr_zero(left));
        for (const Term& term : set.TermsOf(other)) cover.push_back(&term);
      }
    }
    budget_ -= std::min(budget_, cover.size());
    Reach reach = Reach::kNever;
    for (const Term& term : set.TermsOf(rule)) {
      if (term.Contradicts(possible)) continue;
      Term narrowed = term;
      narrowed.object_mask |= possible.object_mask;
      narrowed.object_value |= possible.object_value;
      if (!IsCovered(narrowed, cover, budget_)) return Reach::kReached;
      reach = Reach::kCovered;
    }
    return reach;
  }

  // A rule that gives up the kernel's speed for files of every kind.
  void CheckPassthrough(const v1::Rule& rule, int index, const std::string& at,
                        const RuleSet& set) {
    if (!rule.effect().has_allow()) return;
    const v1::Effect::Allow& allow = rule.effect().allow();
    const uint32_t operations = OperationBits(rule);
    const bool daemon =
        allow.io() == v1::DAEMON &&
        (operations & (BitOf(Operation::kRead) | BitOf(Operation::kWrite))) !=
            0;
    const bool redacted = allow.redact() == v1::LOCATION &&
                          (operations & BitOf(Operation::kRead)) != 0;
    if (!daemon && !redacted) return;
    const auto terms = set.TermsOf(static_cast<size_t>(index));
    const bool whole =
        std::any_of(terms.begin(), terms.end(),
                    [](const Term& term) { return term.object_mask == 0; });
    if (!whole) return;
    Warn(absl::StrCat(at, ".effect.allow.", daemon ? "io" : "redact"),
         absl::StrCat("takes passthrough from every file of ",
                      rule.path_classes().empty()
                          ? "any class"
                          : absl::StrJoin(rule.path_classes(), ", "),
                      "; narrow it to a media type or a state"));
  }

  void CheckClasses() {
    for (int i = 0; i < policy_.path_classes_size(); ++i) {
      const v1::PathClass& path_class = policy_.path_classes(i);
      const std::string at = absl::StrCat("path_classes[", i, "]");
      if (path_class.patterns().empty()) {
        Warn(at, "nothing can match: it has no patterns");
      } else if (!parts_.classes.reachable(static_cast<ClassId>(i))) {
        Warn(at,
             "nothing can match: earlier classes take all that its patterns "
             "say");
      }
    }
  }

  void CheckMediaTypes() {
    for (int i = 0; i < policy_.media_types_size(); ++i) {
      const v1::MediaType& type = policy_.media_types(i);
      const std::string at = absl::StrCat("media_types[", i, "]");
      if (type.extensions().empty()) {
        Warn(at, "no file is of this type: it has no extensions");
      }
      absl::flat_hash_set<std::string_view> seen;
      for (int j = 0; j < type.extensions_size(); ++j) {
        if (!seen.insert(type.extensions(j)).second) {
          Warn(absl::StrCat(at, ".extensions[", j, "]"),
               absl::StrCat("\"", type.extensions(j), "\" is there twice"));
        }
      }
      if ((asked_.object >> i & 1) == 0) {
        Warn(at,
             absl::StrCat("no rule uses the media type \"", type.name(), "\""));
      }
    }
  }

  // Permissions and roles that are named and change no decision.
  void CheckAsked(const Rules& rules, std::string_view list) {
    for (int i = 0; i < rules.size(); ++i) {
      if (!rules[i].has_when()) continue;
      Visit(rules[i].when(), absl::StrCat(list, "[", i, "].when"));
    }
  }

  void VisitList(const v1::Condition::List& list, const std::string& at) {
    for (int i = 0; i < list.conditions_size(); ++i) {
      Visit(list.conditions(i), absl::StrCat(at, ".conditions[", i, "]"));
    }
  }

  void Visit(const v1::Condition& condition, const std::string& at) {
    switch (condition.kind_case()) {
      case v1::Condition::kAllOf:
        VisitList(condition.all_of(), absl::StrCat(at, ".all_of"));
        break;
      case v1::Condition::kAnyOf:
        VisitList(condition.any_of(), absl::StrCat(at, ".any_of"));
        break;
      case v1::Condition::kNot:
        Visit(condition.not_(), absl::StrCat(at, ".not"));
        break;
      case v1::Condition::kPermission:
        CheckBit(
            parts_.vocabulary.PermissionBit(condition.permission()),
            absl::StrCat(at, ".permission"),
            absl::StrCat("the permission \"", condition.permission(), "\""));
        break;
      case v1::Condition::kRole:
        CheckBit(parts_.vocabulary.RoleBit(condition.role()),
                 absl::StrCat(at, ".role"),
                 absl::StrCat("the role ", v1::Role_Name(condition.role())));
        break;
      default:
        break;
    }
  }

  void CheckBit(uint64_t bit, const std::string& at, const std::string& what) {
    if ((asked_.subject & bit) != 0) return;
    asked_.subject |= bit;  // reported once
    Warn(at, absl::StrCat(what, " decides nothing in any rule"));
  }

  const v1::Policy& policy_;
  const SourceMap& source_;
  const CompiledParts& parts_;
  Issues& issues_;
  size_t budget_ = kBudget;
  Asked asked_;  // by rules that can be reached
};

}  // namespace

void Lint(const Parsed<v1::Policy>& policy, Issues& issues) {
  const std::optional<CompiledParts> parts = CompileParts(policy, issues);
  if (parts) Linter(policy, *parts, issues).Run();
}

}  // namespace fused::policy
