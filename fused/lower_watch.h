// Learns of what others change in a volume's lower trees, and tells the views.
#ifndef FUSED_FUSED_LOWER_WATCH_H_
#define FUSED_FUSED_LOWER_WATCH_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/telling.h"
#include "fused/user_trees.h"
#include "kernel/fd.h"
#include "kernel/lower_events.h"

namespace fused {

// What is told is the same as of a change that came through another view: names
// and listings, and attributes. What this process changes it has told itself.
// Thread-safe.
class LowerWatch {
 public:
  struct Stats {
    // Changes that others made, and times that some were lost.
    uint64_t changes = 0;
    uint64_t overflows = 0;
  };

  // Both outlive it. The trees are taken to lie in one file system. Errors say
  // why there is no telling.
  static absl::StatusOr<std::unique_ptr<LowerWatch>> Start(
      UserTrees& trees, const Telling& telling);
  LowerWatch(const LowerWatch&) = delete;
  LowerWatch& operator=(const LowerWatch&) = delete;
  ~LowerWatch();

  // Waits until all that was changed before the call has been posted. False:
  // `timeout` ran out.
  bool Sync(absl::Duration timeout);

  Stats stats() const;

 private:
  LowerWatch(UserTrees& trees, const Telling& telling,
             std::unique_ptr<kernel::LowerEvents> events, kernel::Fd wake);

  void Run();
  // Has the kernel leave out what is written through the trees' own mounts,
  // which nobody else has.
  void LeaveOutOwnWrites();
  // Takes what there is.
  void Drain();
  void Handle(const kernel::LowerEvent& event);
  void HandleName(LowerTree& tree, const Ref<LowerNode>& directory,
                  const kernel::LowerEvent& event);

  UserTrees& trees_;
  const Telling telling_;
  const std::unique_ptr<kernel::LowerEvents> events_;
  // Written to when somebody waits, or it is to end.
  const kernel::Fd wake_;
  const pid_t self_;
  // Trees that it is done for; the thread's own.
  size_t left_out_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> changes_{0};
  std::atomic<uint64_t> overflows_{0};
  absl::Mutex mutex_;
  uint64_t asked_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t drained_ ABSL_GUARDED_BY(mutex_) = 0;
  std::thread thread_;
};

}  // namespace fused

#endif  // FUSED_FUSED_LOWER_WATCH_H_
