#include "kernel/interrupts.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace fused::kernel {

void Interrupts::Register(uint64_t unique, std::function<void()> interrupted) {
  {
    // Destroyed without the lock: as in Remove().
    std::function<void()> replaced;
    absl::MutexLock lock(&mu_);
    if (closed_) {
      replaced = std::move(interrupted);
      return;
    }
    if (!early_.contains(unique)) {
      replaced = std::exchange(waiting_[unique], std::move(interrupted));
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

void Interrupts::Close() {
  absl::flat_hash_map<uint64_t, std::function<void()>> waiting;
  absl::MutexLock lock(&mu_);
  closed_ = true;
  waiting.swap(waiting_);
}

size_t Interrupts::registered() const {
  absl::MutexLock lock(&mu_);
  return waiting_.size();
}

}  // namespace fused::kernel
