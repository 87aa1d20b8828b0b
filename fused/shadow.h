// What shadow rules would have decided, beside what was decided.
#ifndef FUSED_FUSED_SHADOW_H_
#define FUSED_FUSED_SHADOW_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "policy/engine.h"
#include "policy/types.h"
#include "proto/control.pb.h"

namespace fused {

// Of one policy, as long as it is in force. Thread-safe.
class ShadowCounts {
 public:
  // Two decisions on one request that are not the same, with the rules that
  // made them.
  struct Difference {
    policy::Decision live;
    policy::Decision shadow;
    uint64_t count = 0;
  };
  struct Totals {
    uint64_t agreed = 0;
    // Most frequent first.
    std::vector<Difference> differences;
    // Differences that there was no place for.
    uint64_t uncounted = 0;
  };

  void Note(const policy::Decision& live, const policy::Decision& shadow);
  Totals totals() const;

 private:
  // Pairs of rules and decisions; there are seldom more than a few.
  static constexpr size_t kMostEntries = 1024;

  std::atomic<uint64_t> agreed_{0};
  std::atomic<uint64_t> uncounted_{0};
  mutable absl::Mutex mutex_;
  // By both decisions, packed.
  absl::flat_hash_map<uint64_t, uint64_t> counts_ ABSL_GUARDED_BY(mutex_);
};

// `counts` may be null.
void FillShadow(const policy::CompiledPolicy& policy,
                const ShadowCounts* counts, control::v1::Status& status);

}  // namespace fused

#endif  // FUSED_FUSED_SHADOW_H_
