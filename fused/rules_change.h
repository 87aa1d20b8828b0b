// Ends what was decided by rules that are in force no more.
#ifndef FUSED_FUSED_RULES_CHANGE_H_
#define FUSED_FUSED_RULES_CHANGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "fused/rules.h"
#include "fused/volume.h"
#include "kernel/invalidation.h"
#include "policy/changes.h"
#include "policy/engine.h"
#include "proto/control.pb.h"

namespace fused {

// How long a push waits for requests that began under the former rules: one
// that hangs in the lower file system holds no push up for ever.
inline constexpr absl::Duration kDrainTimeout = absl::Seconds(2);

// What a push can't wait for is followed by a thread of its own: when the last
// of those requests is over, the caches are told again, for what it answered
// may have come to them after they were told. Thread-safe.
class RulesChange {
 public:
  using Volumes = std::vector<std::unique_ptr<Volume>>;

  // Both must outlive it.
  RulesChange(const Volumes* volumes,
              kernel::InvalidationWorker* invalidations);
  RulesChange(const RulesChange&) = delete;
  RulesChange& operator=(const RulesChange&) = delete;
  // Waits for nobody.
  ~RulesChange();

  // To be called after Rules::Set(), which returned `former`, and before the
  // push is acknowledged: when it returns, every lookup, open and create that
  // begins is decided by `after`, those of names in the kernels' caches too;
  // or it says in `draining` what is not. Fills the response's draining,
  // views_told, views_spared and stale_handles.
  //
  // Requests that took the former rules are awaited; what they answered may
  // have come to a cache before the caches were told, so those of the views
  // concerned are told when the requests are over. Takes no lock that a request
  // waits for.
  void EndFormer(const std::shared_ptr<const policy::Snapshot>& before,
                 const std::shared_ptr<const policy::Snapshot>& after,
                 const Retired& former, control::v1::PushResponse& response);

  // Why something may be decided by rules that are in force no more, of
  // whatever push; empty where nothing is.
  std::string draining() const;

 private:
  // What is waited for: requests; listings that the kernels may be entering;
  // names that the worker is to tell.
  enum class Stage { kRequests, kListings, kNames, kDone };
  // What a push did not wait for any longer.
  struct Left {
    Stage stage = Stage::kRequests;
    Retired requests;
  };

  // Tells the caches of the views that `changes` concerns, or of all. Whether
  // something was posted to the worker.
  bool Tell(const policy::Changes* changes);
  bool PostListings(const policy::Changes* changes, uint64_t epoch);
  void Leave(Left left) ABSL_LOCKS_EXCLUDED(mutex_);
  // The thread's: waits a moment for what is left.
  void Follow() ABSL_LOCKS_EXCLUDED(mutex_);
  void Look(std::vector<Left>& left);
  bool TellAgain();

  const Volumes& volumes_;
  kernel::InvalidationWorker& invalidations_;
  mutable absl::Mutex mutex_;
  // The oldest first.
  std::vector<Left> left_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread follower_;
};

// Adds who holds files that the kernel serves against the rules. With `kill`
// ends them, and says in stale_handles how many files are open all the same.
void RevokeStale(const RulesChange::Volumes& volumes, bool kill,
                 control::v1::PushResponse& response);

}  // namespace fused

#endif  // FUSED_FUSED_RULES_CHANGE_H_
