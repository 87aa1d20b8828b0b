#include "policy/decision_table.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "policy/conditions.h"
#include "policy/rules.h"
#include "policy/types.h"

namespace fused::policy {
namespace {

// What there is where no rule holds.
Decision NoRule(Operation operation) {
  return {operation == Operation::kLookup ? Error::kNoEntry : Error::kAccess,
          IoMode::kDaemon, kNoRule};
}

bool AtMostOneBit(uint32_t bits) { return (bits & (bits - 1)) == 0; }

}  // namespace

DecisionTable::DecisionTable(const RuleSet& rules,
                             const std::vector<SubjectRow>& rows)
    : rules_(rules),
      cells_(rows.size() * rules.classes()),
      candidates_(rows.size() * rules.words()),
      settled_(rows.size() * rules.words()) {
  FindCandidates(rows);
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t path_class = 0; path_class < rules.classes(); ++path_class) {
      Cell& cell = cells_[row * rules.classes() + path_class];
      for (size_t op = 0; op < kOperations; ++op) {
        cell.entries[op] = EntryOf(row, path_class, static_cast<Operation>(op));
      }
    }
  }
  FindOutcomes(rows);
}

void DecisionTable::FindCandidates(const std::vector<SubjectRow>& rows) {
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      bool may = false;
      bool settled = false;
      for (const Term& term : rules_.TermsOf(rule)) {
        if (!term.HoldsForSubject(rows[row].word)) continue;
        may = true;
        settled |= term.object_mask == 0;
      }
      const size_t at = row * rules_.words() + rule / 64;
      candidates_[at] |= static_cast<uint64_t>(may) << (rule % 64);
      settled_[at] |= static_cast<uint64_t>(settled) << (rule % 64);
    }
  }
}

size_t DecisionTable::NextCandidate(size_t row, size_t class_index,
                                    Operation operation, size_t first) const {
  const uint64_t* const candidates = candidates_.data() + row * rules_.words();
  const uint64_t* const applicable = rules_.Applicable(class_index, operation);
  uint64_t mask = ~uint64_t{0} << (first % 64);
  for (size_t word = first / 64; word < rules_.words(); ++word) {
    const uint64_t both = candidates[word] & applicable[word] & mask;
    if (both != 0) {
      return word * 64 + static_cast<size_t>(std::countr_zero(both));
    }
    mask = ~uint64_t{0};
  }
  return rules_.size();
}

uint32_t DecisionTable::EntryOf(size_t row, size_t class_index,
                                Operation operation) const {
  const size_t rule = NextCandidate(row, class_index, operation, 0);
  if (rule == rules_.size()) return Pack(NoRule(operation));
  if (IsSettled(row, rule)) return Pack(rules_.DecisionOf(rule, operation));
  return kOpen | static_cast<uint32_t>(rule);
}

Decision DecisionTable::Search(uint32_t row, uint64_t subject,
                               size_t class_index, Operation operation,
                               uint64_t object, uint32_t first) const {
  for (size_t rule = first; rule < rules_.size();
       rule = NextCandidate(row, class_index, operation, rule + 1)) {
    if (rules_.Holds(rule, subject, object)) {
      return rules_.DecisionOf(rule, operation);
    }
  }
  return NoRule(operation);
}

uint32_t DecisionTable::Outcomes(size_t row, size_t class_index,
                                 Operation operation) const {
  uint32_t outcomes = 0;
  for (size_t rule = NextCandidate(row, class_index, operation, 0);
       rule < rules_.size();
       rule = NextCandidate(row, class_index, operation, rule + 1)) {
    const Decision decision = rules_.DecisionOf(rule, operation);
    outcomes |=
        decision.allowed() ? 2u << static_cast<uint32_t>(decision.io) : 1u;
    if (IsSettled(row, rule)) return outcomes;
  }
  return outcomes | 1u;
}

void DecisionTable::FindOutcomes(const std::vector<SubjectRow>& rows) {
  lookup_outcomes_.resize(rules_.classes());
  io_outcomes_.resize(rules_.classes());
  list_outcomes_.resize(rules_.classes());
  for (size_t path_class = 0; path_class < rules_.classes(); ++path_class) {
    uint32_t lookup = 0;
    uint32_t io = 0;
    uint32_t list = 0;
    for (size_t row = 0; row < rows.size(); ++row) {
      lookup |= Outcomes(row, path_class, Operation::kLookup);
      list |= Outcomes(row, path_class, Operation::kList);
      // A uid in no entry reads and writes nothing.
      if (rows[row].listed) {
        io |= Outcomes(row, path_class, Operation::kRead) |
              Outcomes(row, path_class, Operation::kWrite);
      }
      if (!AtMostOneBit(lookup) && !AtMostOneBit(io & ~1u) &&
          (list & 1u) != 0 && list != 1u) {
        break;
      }
    }
    lookup_outcomes_[path_class] = lookup;
    io_outcomes_[path_class] = io & ~1u;
    list_outcomes_[path_class] = static_cast<uint8_t>((list & 1u) != 0) |
                                 static_cast<uint8_t>((list & ~1u) != 0) << 1;
  }
}

}  // namespace fused::policy
