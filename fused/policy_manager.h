// Puts policies and app directories in force.
#ifndef FUSED_FUSED_POLICY_MANAGER_H_
#define FUSED_FUSED_POLICY_MANAGER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fused/rules.h"
#include "fused/state_dir.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "proto/control.pb.h"

namespace fused {

// Versions only grow, and what was acknowledged is on disk. Thread-safe: pushes
// come one at a time.
class PolicyManager {
 public:
  struct Start {
    // Files; empty: the last good one.
    std::string policy;
    std::string apps;
  };

  // Loads what is to be in force at start: a file that is named, if its version
  // is at least the last good one's; else the last good one; else the built-in
  // policy and no apps. `state` must outlive the manager. FAILED_PRECONDITION:
  // a file is refused, with every issue as a line of the message.
  // INVALID_ARGUMENT: one can't be read.
  static absl::StatusOr<std::unique_ptr<PolicyManager>> Create(
      const Start& start, StateDir* state);

  Rules& rules() { return rules_; }
  const Rules& rules() const { return rules_; }

  // Finds the files that a snapshot's directory grants access to; called before
  // the snapshot is put in force. What can't be granted is a warning; an error
  // refuses the push.
  using Binder = std::function<absl::StatusOr<std::shared_ptr<const Grants>>(
      const policy::Snapshot&, policy::Issues& warnings)>;
  // From now on; before, and after null, there are no grants. Binds what is in
  // force.
  absl::Status SetBinder(Binder binder);

  // Called after a snapshot was put in force and before it is acknowledged; no
  // lock is held that a request needs.
  void OnChange(std::function<void()> changed);

  // Ends what is decided by the rules that were in force, before the push that
  // replaced them is acknowledged; what it says goes into the answer. As
  // OnChange(), and before that.
  using Enforcer = std::function<control::v1::PushResponse(
      const std::shared_ptr<const policy::Snapshot>& before,
      const std::shared_ptr<const policy::Snapshot>& after,
      const Retired& former)>;
  void SetEnforcer(Enforcer enforcer);

  control::v1::PushResponse Push(const control::v1::PushRequest& request);

  // Fills the policy, apps and epoch of a status.
  void FillStatus(control::v1::Status& status) const;

  // Whether the files of a start would be taken; for --check. Issues as lines.
  static absl::Status Check(const Start& start);

 private:
  explicit PolicyManager(StateDir* state);

  absl::Status LoadPolicy(const std::string& file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LoadApps(const std::string& file)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes what the files of a start brought the last good ones.
  absl::Status KeepLoaded() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  control::v1::PushResponse PushPolicy(const control::v1::PushRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  control::v1::PushResponse PushApps(const control::v1::PushRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Persists, then puts in force.
  absl::Status Commit(const char* file,
                      const google::protobuf::Message& message,
                      std::shared_ptr<const policy::Snapshot> snapshot,
                      policy::Issues& warnings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  StateDir* const state_;
  // Serialises pushes; held over disk and compiler. No request takes it.
  absl::Mutex mutex_;
  std::shared_ptr<const policy::CompiledPolicy> policy_ ABSL_GUARDED_BY(mutex_);
  policy::Parsed<policy::v1::AppDirectory> apps_ ABSL_GUARDED_BY(mutex_);
  Binder binder_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> changed_ ABSL_GUARDED_BY(mutex_);
  Enforcer enforcer_ ABSL_GUARDED_BY(mutex_);
  // What the enforcer said of the last commit.
  control::v1::PushResponse enforced_ ABSL_GUARDED_BY(mutex_);
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  bool policy_is_new_ ABSL_GUARDED_BY(mutex_) = false;
  bool apps_are_new_ ABSL_GUARDED_BY(mutex_) = false;
  Rules rules_;
};

}  // namespace fused

#endif  // FUSED_FUSED_POLICY_MANAGER_H_
