// The snapshot in force.
#ifndef FUSED_FUSED_RULES_H_
#define FUSED_FUSED_RULES_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "policy/engine.h"

namespace fused {

// Thread-safe. A request takes the snapshot once and keeps it to its end.
class Rules {
 public:
  explicit Rules(std::shared_ptr<const policy::Snapshot> snapshot)
      : snapshot_(std::move(snapshot)) {}

  std::shared_ptr<const policy::Snapshot> snapshot() const {
    return snapshot_.load(std::memory_order_acquire);
  }

  void Set(std::shared_ptr<const policy::Snapshot> snapshot) {
    snapshot_.store(std::move(snapshot), std::memory_order_release);
  }

 private:
  std::atomic<std::shared_ptr<const policy::Snapshot>> snapshot_;
};

}  // namespace fused

#endif  // FUSED_FUSED_RULES_H_
