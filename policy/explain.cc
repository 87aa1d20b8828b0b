#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "policy/conditions.h"
#include "policy/engine.h"
#include "policy/engine_impl.h"
#include "policy/rules.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

std::vector<std::string> ObjectWords(const v1::Policy& policy, uint64_t word) {
  std::vector<std::string> words;
  for (int i = 0; i < policy.media_types_size(); ++i) {
    if ((word >> i & 1) != 0) {
      words.push_back(
          absl::StrCat("media_type:", policy.media_types(i).name()));
    }
  }
  struct Named {
    uint64_t bit;
    const char* word;
  };
  constexpr Named kNamed[] = {
      {kFactPending, "state:PENDING"},
      {kFactTrashed, "state:TRASHED"},
      {kFactHidden, "state:HIDDEN"},
      {kFactDirectory, "directory"},
      {kFactGranted, "granted"},
      {kOwnsPathBit, "relation:OWNS_PATH"},
      {kOwnsFileBit, "relation:OWNS_FILE"},
      {kSameUserBit, "relation:SAME_USER"},
  };
  for (const Named& named : kNamed) {
    if ((word & named.bit) != 0) words.emplace_back(named.word);
  }
  return words;
}

}  // namespace

Explanation Snapshot::Explain(const Subject& subject, const Object& object,
                              Operation operation) const {
  Explanation explanation;
  explanation.decision = Decide(subject, object, operation);
  const RuleSet& rules = impl_->parts->rules;
  const uint64_t word = ObjectWord(subject, object);
  if (rules.size() != 0) {
    const uint64_t* const applicable =
        rules.Applicable(rules.ClassIndex(object.path_class), operation);
    for (size_t rule = 0; rule < rules.size(); ++rule) {
      if ((applicable[rule / 64] >> (rule % 64) & 1) == 0) continue;
      if (!rules.Holds(rule, subject.word, word)) continue;
      explanation.matches.push_back(
          {static_cast<RuleId>(rule), rules.DecisionOf(rule, operation)});
    }
  }
  explanation.facts = impl_->parts->vocabulary.Words(subject.word);
  for (std::string& fact : ObjectWords(impl_->policy->source(), word)) {
    explanation.facts.push_back(std::move(fact));
  }
  return explanation;
}

}  // namespace fused::policy
