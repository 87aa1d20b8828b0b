// Who has been told to look a name up again, in the middle of an open.
#ifndef FUSED_FUSED_RETRIES_H_
#define FUSED_FUSED_RETRIES_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>

namespace fused {

// The kernel repeats an open that was answered ESTALE once, with a new LOOKUP;
// what it is answered then goes to the app. So the second time nothing may be
// in the way that the first answer did not know of. Tells by the thread; one
// that is forgotten, for another of the same slot, is served as any other. Used
// for no decision on access. Thread-safe, lock-free.
class Retries {
 public:
  void Add(pid_t thread) {
    if (thread != 0) Slot(thread).store(thread, std::memory_order_relaxed);
  }
  bool Has(pid_t thread) const {
    return thread != 0 &&
           slots_[Index(thread)].load(std::memory_order_relaxed) == thread;
  }
  // The open is over.
  void Remove(pid_t thread) {
    if (Has(thread)) Slot(thread).store(0, std::memory_order_relaxed);
  }

 private:
  static constexpr size_t kSlots = 256;

  static size_t Index(pid_t thread) {
    return static_cast<size_t>(thread) % kSlots;
  }
  std::atomic<pid_t>& Slot(pid_t thread) { return slots_[Index(thread)]; }

  std::array<std::atomic<pid_t>, kSlots> slots_{};
};

}  // namespace fused

#endif  // FUSED_FUSED_RETRIES_H_
