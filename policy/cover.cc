#include "policy/cover.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "policy/conditions.h"

namespace fused::policy {
namespace {

uint64_t LowestBit(uint64_t word) { return word & (~word + 1); }

}  // namespace

bool IsCovered(const Term& term, const std::vector<const Term*>& cover,
               size_t& budget) {
  std::vector<const Term*> left;
  for (const Term* other : cover) {
    if (budget == 0) return false;
    --budget;
    if (other->Covers(term)) return true;
    if (!other->Contradicts(term)) left.push_back(other);
  }
  if (left.empty()) return false;
  // What is left asks for more than `term` says: try both answers to the first
  // such question.
  const uint64_t subject =
      LowestBit(left[0]->subject_mask & ~term.subject_mask);
  const uint64_t object =
      subject != 0 ? 0 : LowestBit(left[0]->object_mask & ~term.object_mask);
  Term half = term;
  half.subject_mask |= subject;
  half.object_mask |= object;
  if (!IsCovered(half, left, budget)) return false;
  half.subject_value |= subject;
  half.object_value |= object;
  return IsCovered(half, left, budget);
}

}  // namespace fused::policy
