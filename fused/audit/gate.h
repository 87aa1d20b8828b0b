// Decides, on the request threads, which events become records.
#ifndef FUSED_FUSED_AUDIT_GATE_H_
#define FUSED_FUSED_AUDIT_GATE_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "fused/audit/event.h"

namespace fused::audit {

// Counts events of the same key as one while its place is held, and gives each
// uid so many places in a time, so that none takes them from the others. Of a
// fixed size. Thread-safe; Admit() takes no lock, makes no system call and no
// allocation.
class Gate {
 public:
  static constexpr uint32_t kSlots = 4096;

  struct Options {
    uint32_t burst = 64;
    uint32_t per_second = 4;
  };

  enum class Answer {
    kNew,      // the first: to be described, and its slot released later
    kCounted,  // the same as one before
    kLimited,  // the uid has used up what it may cause
    kFull,     // no place is free
  };
  struct Admission {
    Answer answer;
    uint32_t slot = 0;  // of kNew
  };

  explicit Gate(const Options& options);

  Admission Admit(const Key& key);

  // Frees the slot; returns how many have come since its first.
  uint64_t Release(uint32_t slot);

  // Gives each uid what it may cause in `seconds` more. From one thread at a
  // time.
  void Refill(double seconds);

 private:
  static constexpr uint32_t kBuckets = 1024;
  // Places where a key may be.
  static constexpr uint32_t kProbes = 8;
  // A slot is the key's tag above the count of those after the first.
  static constexpr int kCountBits = 24;
  static constexpr uint64_t kCountMask = (uint64_t{1} << kCountBits) - 1;

  uint64_t Mix(uint64_t value) const;
  bool Spend(uint32_t uid);
  void GiveBack(uint32_t uid);
  std::atomic<int32_t>& BucketOf(uint32_t uid);

  const Options options_;
  // So that nobody can choose a key to collide with another's.
  const uint64_t seed_;
  double owed_ = 0;  // of the refilling thread
  std::array<std::atomic<uint64_t>, kSlots> slots_{};
  std::array<std::atomic<int32_t>, kBuckets> buckets_;
};

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_GATE_H_
