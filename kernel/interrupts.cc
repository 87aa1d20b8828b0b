#include "kernel/interrupts.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/synchronization/mutex.h"

namespace fused::kernel {

void Interrupts::Register(uint64_t unique, std::function<void()> interrupted) {
  {
    absl::MutexLock lock(&mu_);
    if (!early_.contains(unique)) {
      waiting_[unique] = std::move(interrupted);
      return;
    }
  }
  interrupted();
}

void Interrupts::Remove(uint64_t unique) {
  // Destroyed without the lock: it may own what locks again.
  std::function<void()> removed;
  absl::MutexLock lock(&mu_);
  auto found = waiting_.find(unique);
  if (found == waiting_.end()) return;
  removed = std::move(found->second);
  waiting_.erase(found);
}

void Interrupts::Interrupt(uint64_t unique) {
  std::function<void()> interrupted;
  {
    absl::MutexLock lock(&mu_);
    auto found = waiting_.find(unique);
    if (found == waiting_.end()) {
      if (early_.insert(unique).second) early_order_.push_back(unique);
      if (early_order_.size() > kRemembered) {
        early_.erase(early_order_.front());
        early_order_.pop_front();
      }
      return;
    }
    interrupted = std::move(found->second);
    waiting_.erase(found);
  }
  interrupted();
}

size_t Interrupts::registered() const {
  absl::MutexLock lock(&mu_);
  return waiting_.size();
}

}  // namespace fused::kernel
