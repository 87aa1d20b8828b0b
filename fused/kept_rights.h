// What a caller may do with a file, kept with the node that shows it.
#ifndef FUSED_FUSED_KEPT_RIGHTS_H_
#define FUSED_FUSED_KEPT_RIGHTS_H_

#include <atomic>
#include <cstdint>

#include "policy/types.h"

namespace fused {

// What the rules allow one caller of a file. Of what they deny it is not known
// why: that is asked when it is to be told.
struct FileRights {
  bool seen = false;  // by LOOKUP
  policy::Decision read;
  policy::Decision write;

  // On READ, WRITE or both: what Snapshot::Decide() makes of the decisions on
  // each. Not allowed, nor is anything else: that is to be asked there.
  policy::Decision On(policy::OperationSet operations) const {
    constexpr policy::OperationSet kKnown =
        policy::OperationSet(policy::Operation::kRead) |
        policy::Operation::kWrite;
    if (!operations.Without(kKnown).empty()) return {};
    const bool reads = operations.Has(policy::Operation::kRead);
    const bool writes = operations.Has(policy::Operation::kWrite);
    if (reads == writes) {
      if (!reads || !read.allowed() || !write.allowed()) return {};
      return write.io > read.io ? write : read;
    }
    return reads ? read : write;
  }
};

// Of one caller. Thread-safe, without a lock: 16 bytes.
//
// `judge` names the caller and the rules, and no other pair of them, ever; of
// two the greater's are kept. `changes` counts what befalls the file that rules
// look at, and never goes back. Rights are kept under both, whole: a word with
// the upper bits of `changes` below the judge, its owner, and one with the
// lower bits below the rights.
class KeptRights {
 public:
  bool Get(uint64_t judge, uint64_t changes, FileRights* rights) const {
    const uint64_t owner = OwnerOf(judge, changes);
    if (owner_.load(std::memory_order_acquire) != owner) return false;
    const uint64_t value = value_.load(std::memory_order_acquire);
    // Another owner's is written only after the first word is another's, and
    // never goes back to a former one's: what was read is this owner's.
    if (owner_.load(std::memory_order_relaxed) != owner || owner == kNobody ||
        (value & kChanges) != (changes & kChanges)) {
      return false;
    }
    *rights = Unpack(value >> kChangeBits);
    return true;
  }

  // Whether Set() would.
  bool Takes(uint64_t judge, uint64_t changes) const {
    return MayFollow(owner_.load(std::memory_order_relaxed),
                     OwnerOf(judge, changes));
  }

  void Set(uint64_t judge, uint64_t changes, const FileRights& rights) {
    const uint64_t owner = OwnerOf(judge, changes);
    uint64_t former = owner_.load(std::memory_order_relaxed);
    if (!MayFollow(former, owner) ||
        !owner_.compare_exchange_strong(former, kBusy,
                                        std::memory_order_relaxed)) {
      return;
    }
    value_.store(Pack(rights) << kChangeBits | (changes & kChanges),
                 std::memory_order_release);
    owner_.store(owner, std::memory_order_release);
  }

 private:
  static constexpr int kChangeBits = 24;
  static constexpr uint64_t kChanges = (uint64_t{1} << kChangeBits) - 1;
  static constexpr uint64_t kNobody = 0;
  static constexpr uint64_t kBusy = 1;

  // One that is being written is left to who writes it.
  static bool MayFollow(uint64_t former, uint64_t owner) {
    return former != kBusy && former <= owner && owner != kNobody;
  }

  // Judges from 1 on have all words above kBusy; beyond what fits nothing is
  // kept.
  static uint64_t OwnerOf(uint64_t judge, uint64_t changes) {
    if (judge >> (64 - kChangeBits) != 0 || changes >> (2 * kChangeBits) != 0) {
      return kNobody;
    }
    return judge == 0 ? kNobody : judge << kChangeBits | changes >> kChangeBits;
  }

  // 0 where it is not allowed, else the I/O mode and 1, and the rule.
  static constexpr int kDecisionBits = 18;
  static uint64_t Pack(const policy::Decision& decision) {
    if (!decision.allowed()) return 0;
    return (static_cast<uint64_t>(decision.io) + 1) << 16 | decision.rule;
  }
  static uint64_t Pack(const FileRights& rights) {
    return Pack(rights.read) | Pack(rights.write) << kDecisionBits |
           static_cast<uint64_t>(rights.seen) << (2 * kDecisionBits);
  }
  static policy::Decision UnpackDecision(uint64_t bits) {
    const uint64_t mode = bits >> 16 & 3;
    if (mode == 0) return {};
    return {policy::Error::kNone, static_cast<policy::IoMode>(mode - 1),
            static_cast<policy::RuleId>(bits)};
  }
  static FileRights Unpack(uint64_t bits) {
    return {(bits >> (2 * kDecisionBits) & 1) != 0, UnpackDecision(bits),
            UnpackDecision(bits >> kDecisionBits)};
  }

  std::atomic<uint64_t> owner_{kNobody};
  std::atomic<uint64_t> value_{0};
};

}  // namespace fused

#endif  // FUSED_FUSED_KEPT_RIGHTS_H_
