// A policy's rules, compiled.
#ifndef FUSED_POLICY_RULES_H_
#define FUSED_POLICY_RULES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/repeated_ptr_field.h"
#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {

inline constexpr size_t kMaxRules = 4096;
// Of all conditions in a policy.
inline constexpr size_t kMaxAllTerms = 1 << 16;
inline constexpr size_t kMaxNameSize = 255;

// The operations that a rule names, ANY resolved. Values that are none are left
// out.
uint32_t OperationBits(const v1::Rule& rule);

// Immutable. Rules go by their place in the policy; path classes by index, with
// `other` behind the last.
class RuleSet {
 public:
  // Checks every field of the rules. Nothing where it adds an error. `field` is
  // "rules" or "shadow_rules".
  static std::optional<RuleSet> Compile(
      const google::protobuf::RepeatedPtrField<v1::Rule>& rules,
      std::string_view field, const std::vector<std::string_view>& class_names,
      ConditionCompiler& conditions, const SourceMap& source, Issues& issues);

  size_t size() const { return rules_.size(); }
  size_t classes() const { return classes_; }
  // 64-bit words in a set of rules.
  size_t words() const { return words_; }

  size_t ClassIndex(ClassId path_class) const {
    return path_class < classes_ - 1 ? path_class : classes_ - 1;
  }

  // The set of rules that name this class and operation.
  const uint64_t* Applicable(size_t class_index, Operation operation) const {
    return applicable_.data() +
           (class_index * kOperations + static_cast<size_t>(operation)) *
               words_;
  }

  std::span<const Term> TermsOf(size_t rule) const {
    return {terms_.data() + rules_[rule].first_term, rules_[rule].terms};
  }
  bool Holds(size_t rule, uint64_t subject, uint64_t object) const {
    for (const Term& term : TermsOf(rule)) {
      if (term.Holds(subject, object)) return true;
    }
    return false;
  }

  // What a rule that holds says on an operation.
  Decision DecisionOf(size_t rule, Operation operation) const;

 private:
  struct Rule {
    uint32_t first_term = 0;
    uint32_t terms = 0;
    Error error = Error::kNone;
    IoMode read = IoMode::kPassthrough;
    IoMode write = IoMode::kPassthrough;
  };

  RuleSet() = default;

  std::vector<Rule> rules_;
  std::vector<Term> terms_;
  std::vector<uint64_t> applicable_;
  size_t classes_ = 1;
  size_t words_ = 0;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_RULES_H_
