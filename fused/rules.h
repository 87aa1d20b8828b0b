// The snapshot in force.
#ifndef FUSED_FUSED_RULES_H_
#define FUSED_FUSED_RULES_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "policy/engine.h"

namespace fused {

// Thread-safe. A request takes the snapshot once and keeps it to its end.
class Rules {
 public:
  explicit Rules(std::shared_ptr<const policy::Snapshot> snapshot)
      : snapshot_(std::move(snapshot)) {}

  std::shared_ptr<const policy::Snapshot> snapshot() const {
    absl::ReaderMutexLock lock(&mutex_);
    return snapshot_;
  }

  void Set(std::shared_ptr<const policy::Snapshot> snapshot) {
    absl::MutexLock lock(&mutex_);
    // The old one is let go of after the lock.
    snapshot_.swap(snapshot);
  }

 private:
  // Not std::atomic<std::shared_ptr>: libstdc++ 12's load() gives its own lock
  // back without release order, so that a store may overtake it.
  mutable absl::Mutex mutex_;
  std::shared_ptr<const policy::Snapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fused

#endif  // FUSED_FUSED_RULES_H_
