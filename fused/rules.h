// The snapshot in force.
#ifndef FUSED_FUSED_RULES_H_
#define FUSED_FUSED_RULES_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "fused/grants.h"
#include "policy/engine.h"

namespace fused {

// What one request is decided by, from start to end.
struct InForce {
  std::shared_ptr<const policy::Snapshot> snapshot;
  // Of this snapshot; null: there are none.
  std::shared_ptr<const Grants> grants;
};

// Thread-safe. A request takes what is in force once.
class Rules {
 public:
  explicit Rules(std::shared_ptr<const policy::Snapshot> snapshot)
      : now_{std::move(snapshot), nullptr} {}

  std::shared_ptr<const policy::Snapshot> snapshot() const {
    absl::ReaderMutexLock lock(&mutex_);
    return now_.snapshot;
  }
  InForce in_force() const {
    absl::ReaderMutexLock lock(&mutex_);
    return now_;
  }

  // `grants` without an entry are none.
  void Set(std::shared_ptr<const policy::Snapshot> snapshot,
           std::shared_ptr<const Grants> grants = nullptr) {
    if (grants != nullptr && grants->empty()) grants = nullptr;
    // The old ones are let go of after the lock.
    InForce next = {std::move(snapshot), std::move(grants)};
    absl::MutexLock lock(&mutex_);
    std::swap(now_, next);
  }

 private:
  // Not std::atomic<std::shared_ptr>: libstdc++ 12's load() gives its own lock
  // back without release order, so that a store may overtake it.
  mutable absl::Mutex mutex_;
  InForce now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fused

#endif  // FUSED_FUSED_RULES_H_
