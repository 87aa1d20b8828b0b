// The snapshot in force.
#ifndef FUSED_FUSED_RULES_H_
#define FUSED_FUSED_RULES_H_

#include <array>
#include <atomic>
#include <cstddef>
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
// is over with it. Threads have parts of their own to take it from: they share
// neither a lock nor a count of uses.
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
  // For a request; never null.
  std::shared_ptr<const InForce> Lease() const {
    const Part& part = parts_[PartOfThread()];
    absl::MutexLock lock(&part.mutex);
    return part.now;
  }
  InForce in_force() const { return *Lease(); }
  // Of the snapshot in force; 0: there is none.
  uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }

  // `grants` without an entry are none. Says when requests are over with what
  // was in force.
  Retired Set(std::shared_ptr<const policy::Snapshot> snapshot,
              std::shared_ptr<const Grants> grants = nullptr) {
    if (grants != nullptr && grants->empty()) grants = nullptr;
    auto over = std::make_shared<absl::Notification>();
    std::array<std::shared_ptr<const InForce>, kParts> next;
    absl::MutexLock lock(&mutex_);
    const std::shared_ptr<ShadowCounts> shadow = ShadowFor(snapshot.get());
    const auto last = std::make_shared<const Last>(snapshot, over);
    for (std::shared_ptr<const InForce>& one : next) {
      // A count of uses for each part.
      const auto lease = std::make_shared<const Lent>(last);
      InForce now;
      if (snapshot != nullptr) now.snapshot = {lease, snapshot.get()};
      now.grants = grants;
      now.shadow = shadow;
      one = std::make_shared<const InForce>(std::move(now));
    }
    Swap(next, snapshot == nullptr ? 0 : snapshot->epoch());
    shadow_ = shadow;
    snapshot_ = std::move(snapshot);
    std::swap(over_, over);
    return Retired(std::move(over));
  }

 private:
  // Counts go on while the policy stays.
  std::shared_ptr<ShadowCounts> ShadowFor(const policy::Snapshot* next) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    if (next == nullptr || next->policy().source().shadow_rules().empty()) {
      return nullptr;
    }
    const bool stays = shadow_ != nullptr && snapshot_ != nullptr &&
                       &snapshot_->policy() == &next->policy();
    return stays ? shadow_ : std::make_shared<ShadowCounts>();
  }

  static constexpr size_t kParts = 16;

  static size_t PartOfThread() {
    static std::atomic<size_t> threads{0};
    thread_local const size_t mine =
        threads.fetch_add(1, std::memory_order_relaxed);
    return mine % kParts;
  }

  // When it goes, nobody uses the snapshot any more.
  struct Last {
    Last(std::shared_ptr<const policy::Snapshot> snapshot,
         std::shared_ptr<absl::Notification> over)
        : snapshot(std::move(snapshot)), over(std::move(over)) {}
    Last(const Last&) = delete;
    Last& operator=(const Last&) = delete;
    ~Last() { over->Notify(); }

    const std::shared_ptr<const policy::Snapshot> snapshot;
    const std::shared_ptr<absl::Notification> over;
  };
  // One part's use of it.
  struct Lent {
    explicit Lent(std::shared_ptr<const Last> last) : last(std::move(last)) {}
    const std::shared_ptr<const Last> last;
  };

  struct alignas(64) Part {
    // Not std::atomic<std::shared_ptr>: libstdc++ 12's load() gives its own
    // lock back without release order, so that a store may overtake it.
    mutable absl::Mutex mutex;
    std::shared_ptr<const InForce> now ABSL_GUARDED_BY(mutex);
  };

  // All parts at once: no request is decided by what was in force after one was
  // decided by what is. Leaves the former in `next`.
  void Swap(std::array<std::shared_ptr<const InForce>, kParts>& next,
            uint64_t epoch) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (Part& part : parts_) part.mutex.Lock();
    for (size_t i = 0; i < kParts; ++i) parts_[i].now.swap(next[i]);
    epoch_.store(epoch, std::memory_order_release);
    for (Part& part : parts_) part.mutex.Unlock();
  }

  // Serialises Set(); locked before those of the parts.
  mutable absl::Mutex mutex_;
  std::shared_ptr<const policy::Snapshot> snapshot_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<ShadowCounts> shadow_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<absl::Notification> over_ ABSL_GUARDED_BY(mutex_);
  std::array<Part, kParts> parts_;
  std::atomic<uint64_t> epoch_{0};
};

}  // namespace fused

#endif  // FUSED_FUSED_RULES_H_
