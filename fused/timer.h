// Does something now and then.
#ifndef FUSED_FUSED_TIMER_H_
#define FUSED_FUSED_TIMER_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace fused {

// Calls `work` on a thread of its own, `interval` after it is made and then as
// long after each end. Thread-safe.
class Timer {
 public:
  Timer(absl::Duration interval, std::function<void()> work)
      : thread_([this, interval, work = std::move(work)] {
          while (!StoppedWithin(interval)) work();
        }) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  // Waits for a call that is under way.
  ~Timer() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    thread_.join();
  }

 private:
  bool StoppedWithin(absl::Duration interval) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&stopping_), interval);
  }

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace fused

#endif  // FUSED_FUSED_TIMER_H_
