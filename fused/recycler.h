// Memory for what comes and goes all the time.
#ifndef FUSED_FUSED_RECYCLER_H_
#define FUSED_FUSED_RECYCLER_H_

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace fused {

// Memory of one size, kept for the next use: what comes and goes all the time
// costs the heap nothing. Thread-safe.
class Recycler {
 public:
  Recycler() = default;
  Recycler(const Recycler&) = delete;
  Recycler& operator=(const Recycler&) = delete;
  ~Recycler() {
    for (void* const block : free_) ::operator delete(block);
  }

  void* Take(size_t size) {
    {
      absl::MutexLock lock(&mutex_);
      if (size == size_ && !free_.empty()) {
        void* const block = free_.back();
        free_.pop_back();
        return block;
      }
    }
    return ::operator new(size);
  }

  void Give(void* block, size_t size) {
    {
      absl::MutexLock lock(&mutex_);
      if (size_ == 0) {
        size_ = size;
        free_.reserve(kMost);
      }
      if (size == size_ && free_.size() < kMost) {
        free_.push_back(block);
        return;
      }
    }
    ::operator delete(block);
  }

 private:
  static constexpr size_t kMost = 64;
  absl::Mutex mutex_;
  size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<void*> free_ ABSL_GUARDED_BY(mutex_);
};

// For std::allocate_shared(). What it made may outlive whoever has it.
template <typename T>
class RecyclingAllocator {
 public:
  using value_type = T;
  explicit RecyclingAllocator(std::shared_ptr<Recycler> recycler)
      : recycler_(std::move(recycler)) {}
  template <typename U>
  // NOLINTNEXTLINE(google-explicit-constructor): as allocators are converted.
  RecyclingAllocator(const RecyclingAllocator<U>& other)
      : recycler_(other.recycler()) {}

  T* allocate(size_t count) {
    return static_cast<T*>(recycler_->Take(count * sizeof(T)));
  }
  void deallocate(T* block, size_t count) {
    recycler_->Give(block, count * sizeof(T));
  }
  const std::shared_ptr<Recycler>& recycler() const { return recycler_; }

  template <typename U>
  friend bool operator==(const RecyclingAllocator& a,
                         const RecyclingAllocator<U>& b) {
    return a.recycler() == b.recycler();
  }

 private:
  std::shared_ptr<Recycler> recycler_;
};

}  // namespace fused

#endif  // FUSED_FUSED_RECYCLER_H_
