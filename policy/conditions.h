// Conditions, compiled to bit tests over a subject word and an object word.
#ifndef FUSED_POLICY_CONDITIONS_H_
#define FUSED_POLICY_CONDITIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "proto/policy.pb.h"

namespace fused::policy {

inline constexpr size_t kMaxPermissions = 40;
inline constexpr size_t kMaxTargetSdks = 8;
inline constexpr size_t kMaxMediaTypes = 16;
// Of one condition, in disjunctive normal form.
inline constexpr size_t kMaxTerms = 256;

// The object word has Object::facts below, and these above.
inline constexpr uint64_t kOwnsPathBit = uint64_t{1} << 32;
inline constexpr uint64_t kOwnsFileBit = uint64_t{1} << 33;
inline constexpr uint64_t kSameUserBit = uint64_t{1} << 34;

// Holds where the words have these values at these bits.
struct Term {
  uint64_t subject_mask = 0;
  uint64_t subject_value = 0;
  uint64_t object_mask = 0;
  uint64_t object_value = 0;

  bool HoldsForSubject(uint64_t word) const {
    return (word & subject_mask) == subject_value;
  }
  bool Holds(uint64_t subject, uint64_t object) const {
    return HoldsForSubject(subject) && (object & object_mask) == object_value;
  }
  // Whether it holds wherever `other` does.
  bool Covers(const Term& other) const {
    return (other.subject_mask & subject_mask) == subject_mask &&
           (other.subject_value & subject_mask) == subject_value &&
           (other.object_mask & object_mask) == object_mask &&
           (other.object_value & object_mask) == object_value;
  }
  // Whether the two exclude each other.
  bool Contradicts(const Term& other) const {
    return ((subject_value ^ other.subject_value) & subject_mask &
            other.subject_mask) != 0 ||
           ((object_value ^ other.object_value) & object_mask &
            other.object_mask) != 0;
  }
  friend auto operator<=>(const Term&, const Term&) = default;
};

// Holds where one of them does: none never, one without masks always.
using Terms = std::vector<Term>;

// What the bits of a policy's subject words mean. Bits for roles are fixed;
// permissions and target versions get theirs as the policy's conditions name
// them.
class Vocabulary {
 public:
  // 0 where there is no bit left.
  uint64_t AddPermission(std::string_view permission);
  uint64_t AddTargetSdk(int32_t version);
  uint64_t AddRole(v1::Role role);

  // 0 for one that no condition names.
  uint64_t PermissionBit(std::string_view permission) const;
  uint64_t RoleBit(v1::Role role) const;
  // The bits of every version asked for that `target_sdk` reaches.
  uint64_t TargetSdkBits(int32_t target_sdk) const;

  // "permission:...", "role:...", "min_target_sdk:..." for each bit of `word`.
  std::vector<std::string> Words(uint64_t word) const;

 private:
  absl::flat_hash_map<std::string, uint64_t> permissions_;
  std::vector<std::string> permission_names_;
  std::vector<int32_t> target_sdks_;
  uint64_t roles_ = 0;  // that conditions name
};

// Compiles the conditions of one policy.
class ConditionCompiler {
 public:
  // Keeps references to all three. `media_types` has each one's bit by name.
  ConditionCompiler(
      const absl::flat_hash_map<std::string, uint32_t>& media_types,
      const SourceMap& source, Vocabulary& vocabulary)
      : media_types_(media_types), source_(source), vocabulary_(vocabulary) {}

  // Nothing where it adds an error. `field` is where the condition stands.
  std::optional<Terms> Compile(const v1::Condition& condition,
                               const std::string& field, Issues& issues);

 private:
  Terms Visit(const v1::Condition& condition, const std::string& field,
              bool negated, Issues& issues);
  Terms VisitList(const v1::Condition::List& list, const std::string& field,
                  bool all, bool negated, Issues& issues);
  // The bits of a condition that asks for one thing: in the subject's word or
  // in the object's.
  std::pair<uint64_t, uint64_t> Atom(const v1::Condition& condition,
                                     const std::string& field, Issues& issues);
  std::pair<uint64_t, uint64_t> RoleAtom(const v1::Condition& condition,
                                         const std::string& field,
                                         Issues& issues);
  std::pair<uint64_t, uint64_t> FactAtom(const v1::Condition& condition,
                                         const std::string& field,
                                         Issues& issues);

  // Drops terms that others cover. What it leaves is at most kMaxTerms, or
  // too_complex_ is set.
  Terms Simplify(Terms terms);
  Terms Product(const Terms& a, const Terms& b);

  const absl::flat_hash_map<std::string, uint32_t>& media_types_;
  const SourceMap& source_;
  Vocabulary& vocabulary_;
  bool too_complex_ = false;
  // Comparisons left for all conditions of the policy.
  size_t work_ = 20'000'000;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_CONDITIONS_H_
