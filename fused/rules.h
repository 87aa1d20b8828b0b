// The snapshot in force.
#ifndef FUSED_FUSED_RULES_H_
#define FUSED_FUSED_RULES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "fused/grants.h"
#include "fused/shadow.h"
#include "policy/engine.h"

namespace fused {

// What one request is decided by, from start to end.
struct InForce {
  std::shared_ptr<const policy::Snapshot> snapshot;
  // Of this snapshot; null: there are none.
  std::shared_ptr<const Grants> grants;
  // Null: the policy has no shadow rules.
  std::shared_ptr<ShadowCounts> shadow;
};

// Tells when nobody is decided by a former snapshot any more.
class Retired {
 public:
  Retired() = default;
  explicit Retired(std::shared_ptr<absl::Notification> over)
      : over_(std::move(over)) {}

  // Waits until every request that took the former snapshot is done. False:
  // `timeout` ran out.
  bool Wait(absl::Duration timeout) const {
    return over_ == nullptr || over_->WaitForNotificationWithTimeout(timeout);
  }

 private:
  std::shared_ptr<absl::Notification> over_;
};

// Thread-safe. A request takes what is in force once, and keeps it until it is
// answered: so that the last one to let go of a former snapshot tells that it
// is over with it.
class Rules {
 public:
  explicit Rules(std::shared_ptr<const policy::Snapshot> snapshot) {
    Set(std::move(snapshot));
  }

  // For those who are no request, and may keep it.
  std::shared_ptr<const policy::Snapshot> snapshot() const {
    absl::ReaderMutexLock lock(&mutex_);
    return snapshot_;
  }
  // For a request.
  InForce in_force() const {
    absl::ReaderMutexLock lock(&mutex_);
    return now_;
  }
  // Of the snapshot in force; 0: there is none.
  uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }

  // `grants` without an entry are none. Says when requests are over with what
  // was in force.
  Retired Set(std::shared_ptr<const policy::Snapshot> snapshot,
              std::shared_ptr<const Grants> grants = nullptr) {
    if (grants != nullptr && grants->empty()) grants = nullptr;
    const uint64_t epoch = snapshot == nullptr ? 0 : snapshot->epoch();
    InForce next;
    next.grants = std::move(grants);
    auto over = std::make_shared<absl::Notification>();
    if (snapshot != nullptr) {
      const auto lease = std::make_shared<Lease>(snapshot, over);
      next.snapshot = {lease, snapshot.get()};
    } else {
      over->Notify();
    }
    Retired retired;
    {
      absl::MutexLock lock(&mutex_);
      next.shadow = ShadowFor(snapshot.get());
      std::swap(now_, next);
      std::swap(snapshot_, snapshot);
      std::swap(over_, over);
      epoch_.store(epoch, std::memory_order_release);
    }
    // The former ones are let go of after the lock.
    return Retired(std::move(over));
  }

 private:
  // Counts go on while the policy stays.
  std::shared_ptr<ShadowCounts> ShadowFor(const policy::Snapshot* next) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    if (next == nullptr || next->policy().source().shadow_rules().empty()) {
      return nullptr;
    }
    const bool stays = now_.shadow != nullptr && snapshot_ != nullptr &&
                       &snapshot_->policy() == &next->policy();
    return stays ? now_.shadow : std::make_shared<ShadowCounts>();
  }

  struct Lease {
    Lease(std::shared_ptr<const policy::Snapshot> snapshot,
          std::shared_ptr<absl::Notification> over)
        : snapshot(std::move(snapshot)), over(std::move(over)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { over->Notify(); }

    const std::shared_ptr<const policy::Snapshot> snapshot;
    const std::shared_ptr<absl::Notification> over;
  };

  // Not std::atomic<std::shared_ptr>: libstdc++ 12's load() gives its own lock
  // back without release order, so that a store may overtake it.
  mutable absl::Mutex mutex_;
  std::shared_ptr<const policy::Snapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
  // The same, leased to requests.
  InForce now_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<absl::Notification> over_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> epoch_{0};
};

}  // namespace fused

#endif  // FUSED_FUSED_RULES_H_
