#include "policy/conditions.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

constexpr int kFirstRole = kMaxPermissions;
constexpr int kRoles = 8;  // with ROLE_UNSPECIFIED
constexpr int kFirstTargetSdk = kFirstRole + kRoles;
static_assert(kFirstTargetSdk + kMaxTargetSdks <= 64);

constexpr uint64_t Bit(size_t n) { return uint64_t{1} << n; }

}  // namespace

uint64_t Vocabulary::AddPermission(std::string_view permission) {
  if (const uint64_t bit = PermissionBit(permission)) return bit;
  if (permission_names_.size() == kMaxPermissions) return 0;
  const uint64_t bit = Bit(permission_names_.size());
  permission_names_.emplace_back(permission);
  permissions_.emplace(permission, bit);
  return bit;
}

uint64_t Vocabulary::AddTargetSdk(int32_t version) {
  auto found = std::find(target_sdks_.begin(), target_sdks_.end(), version);
  if (found == target_sdks_.end()) {
    if (target_sdks_.size() == kMaxTargetSdks) return 0;
    found = target_sdks_.insert(found, version);
  }
  return Bit(kFirstTargetSdk +
             static_cast<size_t>(found - target_sdks_.begin()));
}

uint64_t Vocabulary::AddRole(v1::Role role) {
  roles_ |= Bit(kFirstRole + static_cast<size_t>(role));
  return RoleBit(role);
}

uint64_t Vocabulary::PermissionBit(std::string_view permission) const {
  const auto found = permissions_.find(permission);
  return found == permissions_.end() ? 0 : found->second;
}

uint64_t Vocabulary::RoleBit(v1::Role role) const {
  if (!v1::Role_IsValid(role)) return 0;
  return roles_ & Bit(kFirstRole + static_cast<size_t>(role));
}

uint64_t Vocabulary::TargetSdkBits(int32_t target_sdk) const {
  uint64_t bits = 0;
  for (size_t i = 0; i < target_sdks_.size(); ++i) {
    if (target_sdk >= target_sdks_[i]) bits |= Bit(kFirstTargetSdk + i);
  }
  return bits;
}

std::vector<std::string> Vocabulary::Words(uint64_t word) const {
  std::vector<std::string> words;
  for (size_t i = 0; i < permission_names_.size(); ++i) {
    if ((word & Bit(i)) != 0) {
      words.push_back(absl::StrCat("permission:", permission_names_[i]));
    }
  }
  for (int i = 1; i < kRoles; ++i) {
    if ((word & Bit(kFirstRole + static_cast<size_t>(i))) != 0) {
      words.push_back(
          absl::StrCat("role:", v1::Role_Name(static_cast<v1::Role>(i))));
    }
  }
  for (size_t i = 0; i < target_sdks_.size(); ++i) {
    if ((word & Bit(kFirstTargetSdk + i)) != 0) {
      words.push_back(absl::StrCat("min_target_sdk:", target_sdks_[i]));
    }
  }
  return words;
}

std::optional<Terms> ConditionCompiler::Compile(const v1::Condition& condition,
                                                const std::string& field,
                                                Issues& issues) {
  const size_t before = issues.size();
  too_complex_ = false;
  Terms terms = Visit(condition, field, /*negated=*/false, issues);
  if (too_complex_) {
    issues.push_back(source_.At(
        field, absl::StrCat("too complex: more than ", kMaxTerms,
                            " alternatives when written as any_of all_of")));
  }
  if (issues.size() != before) return std::nullopt;
  return terms;
}

Terms ConditionCompiler::Visit(const v1::Condition& condition,
                               const std::string& field, bool negated,
                               Issues& issues) {
  switch (condition.kind_case()) {
    case v1::Condition::kAllOf:
      return VisitList(condition.all_of(), absl::StrCat(field, ".all_of"),
                       /*all=*/true, negated, issues);
    case v1::Condition::kAnyOf:
      return VisitList(condition.any_of(), absl::StrCat(field, ".any_of"),
                       /*all=*/false, negated, issues);
    case v1::Condition::kNot:
      return Visit(condition.not_(), absl::StrCat(field, ".not"), !negated,
                   issues);
    case v1::Condition::KIND_NOT_SET:
      issues.push_back(
          source_.At(field,
                     "a condition sets exactly one field; leave out "
                     "`when` for a rule that always holds"));
      return {};
    default:
      break;
  }
  const auto [subject, object] = Atom(condition, field, issues);
  // `is_directory: false` holds for what is none.
  const bool wanted =
      (!condition.has_is_directory() || condition.is_directory()) &&
      (!condition.has_granted() || condition.granted());
  const bool set = wanted != negated;
  return {Term{subject, set ? subject : 0, object, set ? object : 0}};
}

Terms ConditionCompiler::VisitList(const v1::Condition::List& list,
                                   const std::string& field, bool all,
                                   bool negated, Issues& issues) {
  const bool product = all != negated;
  Terms terms;
  if (product) terms.push_back({});
  for (int i = 0; i < list.conditions_size(); ++i) {
    Terms next =
        Visit(list.conditions(i), absl::StrCat(field, ".conditions[", i, "]"),
              negated, issues);
    if (too_complex_) continue;
    if (product) {
      terms = Product(terms, next);
    } else {
      terms.insert(terms.end(), next.begin(), next.end());
      terms = Simplify(std::move(terms));
    }
  }
  return terms;
}

std::pair<uint64_t, uint64_t> ConditionCompiler::Atom(
    const v1::Condition& condition, const std::string& field, Issues& issues) {
  switch (condition.kind_case()) {
    case v1::Condition::kPermission: {
      const std::string at = absl::StrCat(field, ".permission");
      if (condition.permission().empty()) {
        issues.push_back(source_.At(at, "an empty permission"));
        return {0, 0};
      }
      const uint64_t bit = vocabulary_.AddPermission(condition.permission());
      if (bit == 0) {
        issues.push_back(
            source_.At(at, absl::StrCat("more than ", kMaxPermissions,
                                        " different permissions in a policy")));
      }
      return {bit, 0};
    }
    case v1::Condition::kMinTargetSdk: {
      const uint64_t bit = vocabulary_.AddTargetSdk(condition.min_target_sdk());
      if (bit == 0) {
        issues.push_back(
            source_.At(absl::StrCat(field, ".min_target_sdk"),
                       absl::StrCat("more than ", kMaxTargetSdks,
                                    " different versions in a policy")));
      }
      return {bit, 0};
    }
    case v1::Condition::kRole:
      return RoleAtom(condition, field, issues);
    default:
      return FactAtom(condition, field, issues);
  }
}

std::pair<uint64_t, uint64_t> ConditionCompiler::RoleAtom(
    const v1::Condition& condition, const std::string& field, Issues& issues) {
  const v1::Role role = condition.role();
  if (!v1::Role_IsValid(role) || role == v1::ROLE_UNSPECIFIED) {
    issues.push_back(source_.At(absl::StrCat(field, ".role"),
                                absl::StrCat("unknown role ", role)));
    return {0, 0};
  }
  return {vocabulary_.AddRole(role), 0};
}

std::pair<uint64_t, uint64_t> ConditionCompiler::FactAtom(
    const v1::Condition& condition, const std::string& field, Issues& issues) {
  switch (condition.kind_case()) {
    case v1::Condition::kIsDirectory:
      return {0, kFactDirectory};
    case v1::Condition::kGranted:
      return {0, kFactGranted};
    case v1::Condition::kMediaType: {
      const auto found = media_types_.find(condition.media_type());
      if (found != media_types_.end()) return {0, found->second};
      issues.push_back(
          source_.At(absl::StrCat(field, ".media_type"),
                     absl::StrCat("no media type \"", condition.media_type(),
                                  "\" is defined")));
      return {0, 0};
    }
    case v1::Condition::kRelation:
      switch (condition.relation()) {
        case v1::OWNS_PATH:
          return {0, kOwnsPathBit};
        case v1::OWNS_FILE:
          return {0, kOwnsFileBit};
        case v1::SAME_USER:
          return {0, kSameUserBit};
        default:
          issues.push_back(source_.At(
              absl::StrCat(field, ".relation"),
              absl::StrCat("unknown relation ", condition.relation())));
          return {0, 0};
      }
    case v1::Condition::kState:
      switch (condition.state()) {
        case v1::PENDING:
          return {0, kFactPending};
        case v1::TRASHED:
          return {0, kFactTrashed};
        case v1::HIDDEN:
          return {0, kFactHidden};
        default:
          issues.push_back(
              source_.At(absl::StrCat(field, ".state"),
                         absl::StrCat("unknown state ", condition.state())));
          return {0, 0};
      }
    default:
      issues.push_back(source_.At(field, "unknown condition"));
      return {0, 0};
  }
}

Terms ConditionCompiler::Product(const Terms& a, const Terms& b) {
  Terms product;
  if (a.size() * b.size() > work_) {
    too_complex_ = true;
    return {};
  }
  work_ -= a.size() * b.size();
  for (const Term& x : a) {
    for (const Term& y : b) {
      if (x.Contradicts(y)) continue;
      product.push_back(
          {x.subject_mask | y.subject_mask, x.subject_value | y.subject_value,
           x.object_mask | y.object_mask, x.object_value | y.object_value});
    }
  }
  return Simplify(std::move(product));
}

Terms ConditionCompiler::Simplify(Terms terms) {
  std::sort(terms.begin(), terms.end());
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  if (terms.size() * terms.size() > work_) {
    too_complex_ = true;
    return {};
  }
  work_ -= terms.size() * terms.size();
  Terms kept;
  for (const Term& term : terms) {
    const bool covered =
        std::any_of(terms.begin(), terms.end(), [&term](const Term& other) {
          return &other != &term && other.Covers(term);
        });
    if (!covered) kept.push_back(term);
  }
  if (kept.size() > kMaxTerms) {
    too_complex_ = true;
    return {};
  }
  return kept;
}

}  // namespace fused::policy
