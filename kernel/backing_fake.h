// A kernel that registers backing files, and fails on demand. For tests.
#ifndef FUSED_KERNEL_BACKING_FAKE_H_
#define FUSED_KERNEL_BACKING_FAKE_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernel/backing.h"
#include "kernel/status.h"

namespace fused::kernel {

// Thread-safe.
class FakeBackingDevice final : public BackingDevice {
 public:
  absl::StatusOr<int32_t> Open(int fd) override {
    std::function<void(int)> opening;
    {
      absl::MutexLock lock(&mu_);
      opening = opening_;
    }
    if (opening) opening(fd);
    absl::MutexLock lock(&mu_);
    ++opens_;
    if (refusal_ != 0) return ErrnoStatus(refusal_);
    if (ids_.size() >= capacity_) return ErrnoStatus(ENOSPC);
    ids_.insert(++last_id_);
    return last_id_;
  }

  void Close(int32_t id) override {
    absl::MutexLock lock(&mu_);
    if (ids_.erase(id) == 0) ++wrong_closes_;
  }

  // From now on every Open() fails with `error`; 0 ends it.
  void Refuse(int error) {
    absl::MutexLock lock(&mu_);
    refusal_ = error;
  }
  // The most ids at a time.
  void SetCapacity(size_t capacity) {
    absl::MutexLock lock(&mu_);
    capacity_ = capacity;
  }
  // Is called within each Open(), without a lock: may wait.
  void OnOpen(std::function<void(int fd)> opening) {
    absl::MutexLock lock(&mu_);
    opening_ = std::move(opening);
  }

  std::set<int32_t> ids() const {
    absl::MutexLock lock(&mu_);
    return ids_;
  }
  int opens() const {
    absl::MutexLock lock(&mu_);
    return opens_;
  }
  // Closes of what was not open.
  int wrong_closes() const {
    absl::MutexLock lock(&mu_);
    return wrong_closes_;
  }

 private:
  mutable absl::Mutex mu_;
  std::function<void(int)> opening_ ABSL_GUARDED_BY(mu_);
  std::set<int32_t> ids_ ABSL_GUARDED_BY(mu_);
  int32_t last_id_ ABSL_GUARDED_BY(mu_) = 0;
  size_t capacity_ ABSL_GUARDED_BY(mu_) = SIZE_MAX;
  int refusal_ ABSL_GUARDED_BY(mu_) = 0;
  int opens_ ABSL_GUARDED_BY(mu_) = 0;
  int wrong_closes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_BACKING_FAKE_H_
