// The decisions that subjects' words settle beforehand.
#ifndef FUSED_POLICY_DECISION_TABLE_H_
#define FUSED_POLICY_DECISION_TABLE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "policy/rules.h"
#include "policy/types.h"

namespace fused::policy {

// One kind of subject.
struct SubjectRow {
  uint64_t word = 0;
  // Whether some listed subject has this word.
  bool listed = false;
};

// Of one RuleSet and the subjects of one app directory. Immutable; keeps a
// reference to the rules.
class DecisionTable {
 public:
  // At most this many (row, class) pairs: 64 bytes each.
  static constexpr size_t kMaxCells = 1 << 20;

  DecisionTable(const RuleSet& rules, const std::vector<SubjectRow>& rows);

  // The first rule that holds. `row` is the one of `subject`.
  Decision Decide(uint32_t row, uint64_t subject, size_t class_index,
                  Operation operation, uint64_t object) const {
    const uint32_t entry = cells_[row * rules_.classes() + class_index]
                               .entries[static_cast<size_t>(operation)];
    if ((entry & kOpen) == 0) return Unpack(entry);
    return Search(row, subject, class_index, operation, object, entry & 0xffff);
  }

  // The results of LOOKUP that the rows may come to, and of READ and WRITE
  // where allowed, as bits; not all of them where there are several.
  uint32_t LookupOutcomes(size_t class_index) const {
    return lookup_outcomes_[class_index];
  }
  uint32_t IoOutcomes(size_t class_index) const {
    return io_outcomes_[class_index];
  }
  // Of LIST: 1 is denied, 2 allowed.
  uint32_t ListOutcomes(size_t class_index) const {
    return list_outcomes_[class_index];
  }

 private:
  // Set where the object decides too; the rule is then the first that may hold.
  static constexpr uint32_t kOpen = 1u << 31;

  struct alignas(64) Cell {
    uint32_t entries[kOperations];
  };

  // The results that a (row, class, operation) may come to, as bits: denied is
  // 1, allowed with an I/O mode is 2 << mode.
  uint32_t Outcomes(size_t row, size_t class_index, Operation operation) const;

  static uint32_t Pack(const Decision& decision) {
    return decision.rule | static_cast<uint32_t>(decision.error) << 16 |
           static_cast<uint32_t>(decision.io) << 20;
  }
  static Decision Unpack(uint32_t entry) {
    return {static_cast<Error>(entry >> 16 & 0xf),
            static_cast<IoMode>(entry >> 20 & 0xf),
            static_cast<RuleId>(entry & 0xffff)};
  }

  Decision Search(uint32_t row, uint64_t subject, size_t class_index,
                  Operation operation, uint64_t object, uint32_t first) const;
  // The first rule of `class_index` and `operation`, from `first` on, that may
  // hold for a row; rules_.size() where there is none.
  size_t NextCandidate(size_t row, size_t class_index, Operation operation,
                       size_t first) const;
  uint32_t EntryOf(size_t row, size_t class_index, Operation operation) const;
  bool IsSettled(size_t row, size_t rule) const {
    return (settled_[row * rules_.words() + rule / 64] >> (rule % 64) & 1) != 0;
  }
  void FindCandidates(const std::vector<SubjectRow>& rows);
  void FindOutcomes(const std::vector<SubjectRow>& rows);

  const RuleSet& rules_;
  std::vector<Cell> cells_;
  // For each row the set of rules that hold for some object, and for every.
  std::vector<uint64_t> candidates_;
  std::vector<uint64_t> settled_;
  std::vector<uint32_t> lookup_outcomes_;
  std::vector<uint32_t> io_outcomes_;
  std::vector<uint8_t> list_outcomes_;
};

// A table and, above it, one of the rows that came later.
class LayeredTable {
 public:
  LayeredTable() = default;
  // `later` is of the rows from `first` on; null where there are none.
  LayeredTable(std::shared_ptr<const DecisionTable> base,
               std::shared_ptr<const DecisionTable> later, uint32_t first)
      : base_(std::move(base)), later_(std::move(later)), first_(first) {}

  Decision Decide(uint32_t row, uint64_t subject, size_t class_index,
                  Operation operation, uint64_t object) const {
    return row < first_
               ? base_->Decide(row, subject, class_index, operation, object)
               : later_->Decide(row - first_, subject, class_index, operation,
                                object);
  }

  bool UniformLookup(size_t class_index) const {
    uint32_t outcomes = base_->LookupOutcomes(class_index);
    if (later_ != nullptr) outcomes |= later_->LookupOutcomes(class_index);
    return std::popcount(outcomes) <= 1;
  }
  bool UniformList(size_t class_index) const {
    uint32_t outcomes = base_->ListOutcomes(class_index);
    if (later_ != nullptr) outcomes |= later_->ListOutcomes(class_index);
    return std::popcount(outcomes) <= 1;
  }
  bool UniformIo(size_t class_index) const {
    uint32_t outcomes = base_->IoOutcomes(class_index);
    if (later_ != nullptr) outcomes |= later_->IoOutcomes(class_index);
    return std::popcount(outcomes) <= 1;
  }

  const std::shared_ptr<const DecisionTable>& base() const { return base_; }

 private:
  std::shared_ptr<const DecisionTable> base_;
  std::shared_ptr<const DecisionTable> later_;
  uint32_t first_ = 0;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_DECISION_TABLE_H_
