// Which unanswered requests want to hear of a signal to their caller.
//
// Libfuse has a table of its own, but it takes one lock for every request and
// calls back with it held. Here only the few that wait for long are known.
#ifndef FUSED_KERNEL_INTERRUPTS_H_
#define FUSED_KERNEL_INTERRUPTS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"

namespace fused::kernel {

// Thread-safe. Callbacks are called without a lock.
class Interrupts {
 public:
  // `interrupted` is called at most once: by Interrupt(), or at once where
  // that has come before (a thread may still have been on its way here with
  // the request when another one read the interrupt).
  void Register(uint64_t unique, std::function<void()> interrupted);

  // The request was answered: nobody is to be called any more.
  void Remove(uint64_t unique);

  // One that nobody waits for is remembered for a while.
  void Interrupt(uint64_t unique);

  // Nothing will be interrupted any more: lets go of all callbacks, which may
  // own the replies that they are to answer, and takes no new ones.
  void Close();

  size_t registered() const;

 private:
  // More than can come between the reading of a request and its Register().
  static constexpr size_t kRemembered = 4096;

  mutable absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<uint64_t, std::function<void()>> waiting_
      ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<uint64_t> early_ ABSL_GUARDED_BY(mu_);
  std::deque<uint64_t> early_order_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_INTERRUPTS_H_
