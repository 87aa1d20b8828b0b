// Puts policies and app directories in force.
#ifndef FUSED_FUSED_POLICY_MANAGER_H_
#define FUSED_FUSED_POLICY_MANAGER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fused/apps_journal.h"
#include "fused/history.h"
#include "fused/rules.h"
#include "fused/state_dir.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "proto/control.pb.h"

namespace fused {

// Versions only grow, and what was acknowledged is on disk. A push becomes a
// candidate on disk, is put in force, is made the last good one, and is then
// acknowledged: killed at any moment, the daemon comes back with the old one or
// the new one. Thread-safe: pushes come one at a time. Locks: mutex_, then
// warnings_mutex_.
class PolicyManager {
 public:
  struct Start {
    // Files; empty: the last good one.
    std::string policy;
    std::string apps;
  };

  // Loads what is to be in force at start: a file that is named, if its version
  // is at least the last good one's (after a rollback: if it is newer than any
  // before); else the last good one, or the newest before it that can be used;
  // else the built-in policy and no apps. `state` must outlive the manager.
  // FAILED_PRECONDITION: a file is refused, with every issue as a line of the
  // message. INVALID_ARGUMENT: one can't be read.
  static absl::StatusOr<std::unique_ptr<PolicyManager>> Create(
      const Start& start, StateDir* state);

  Rules& rules() { return rules_; }
  const Rules& rules() const { return rules_; }

  // Finds the files that a snapshot's directory grants access to; called before
  // the snapshot is put in the place of the one that is in force. What can't be
  // granted is a warning; an error refuses the push.
  using Binder = std::function<absl::StatusOr<std::shared_ptr<const Grants>>(
      const policy::Snapshot& snapshot, const policy::Snapshot& in_force,
      policy::Issues& warnings)>;
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
  // The same, from elsewhere than the control socket.
  control::v1::PushResponse Push(const control::v1::PushRequest& request,
                                 state::v1::Origin::Kind origin);
  // Installs, uninstalls, grants and revokes. The response has no sum: it would
  // cost more than the change.
  control::v1::PushResponse ChangeApps(
      const control::v1::AppsDeltaRequest& request);
  control::v1::PushResponse Rollback(
      const control::v1::RollbackRequest& request);
  control::v1::HistoryResponse ListHistory(
      const control::v1::HistoryRequest& request);

  // What the files that were named at start brought; the version and the sum
  // are in the status.
  struct Started {
    bool policy = false;
    bool apps = false;
  };
  Started started() const { return started_; }

  // Fills the policy, apps, epoch and warnings of a status.
  void FillStatus(control::v1::Status& status) const;

 private:
  using Line = History::Line;

  // What a start finds; `new_policy` and `new_apps` where a file brought it.
  struct Found {
    std::shared_ptr<const policy::CompiledPolicy> policy;
    // With that policy.
    std::shared_ptr<const policy::Snapshot> apps;
    bool new_policy = false;
    bool new_apps = false;
  };

  // What is to be put in force, and how it is kept.
  struct Candidate {
    Line line = Line::kPolicy;
    state::v1::HistoryEntry entry;
    // Not for what is there already.
    std::optional<std::string> content;
    std::shared_ptr<const policy::Snapshot> snapshot;
  };

  PolicyManager(StateDir* state, std::unique_ptr<History> history);

  void LoadLastPolicy(Found& found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LoadLastApps(Found& found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The deltas since.
  absl::Status Replay(Found& found) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LoadPolicy(const std::string& file, Found& found)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LoadApps(const std::string& file, Found& found)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether a file of a start may take the place of the last good one.
  bool MayFollow(Line line, const std::string& file, uint64_t version,
                 const std::string& sha256, uint64_t last)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes what the files of a start brought the last good ones.
  absl::Status KeepLoaded(const Start& start, const Found& found)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  control::v1::PushResponse PushPolicy(const control::v1::PushRequest& request,
                                       const state::v1::Origin& origin)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  control::v1::PushResponse PushApps(const control::v1::PushRequest& request,
                                     const state::v1::Origin& origin)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // A response that says what is in force.
  control::v1::PushResponse InForceOf(Line line) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t VersionOf(Line line) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const std::string& ShaOf(Line line) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Why `version` can't follow; empty where it can.
  std::string VersionProblem(Line line, uint64_t version) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<state::v1::HistoryEntry> RollbackTarget(
      const control::v1::RollbackRequest& request, Line line,
      policy::Issues& issues) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The snapshot with an entry of the history; null, and issues, where it can't
  // be used.
  std::shared_ptr<const policy::Snapshot> SnapshotOf(
      Line line, const state::v1::HistoryEntry& entry,
      policy::Issues& issues) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Puts a delta in force; on disk it is one record, if it can be.
  absl::Status CommitDelta(const control::v1::AppsDeltaRequest& request,
                           std::shared_ptr<const policy::Snapshot> snapshot,
                           policy::Issues& warnings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Puts deltas together, as an entry of the history of their own.
  absl::Status Checkpoint() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t HighestOf(Line line) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Candidate, in force, last good; ends with what was where it can't.
  absl::Status Commit(Candidate candidate, policy::Issues& warnings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // History::Commit(). Where it is not known what it has left, no delta goes to
  // the journal: it might be another's.
  absl::Status CommitHistory() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PutInForce(InForce next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::shared_ptr<const Grants>> Bind(
      const policy::Snapshot& snapshot, const policy::Snapshot& in_force,
      policy::Issues& warnings) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Warn(Line line, std::string text);
  bool warned() const;

  StateDir* const state_;
  // Serialises pushes; held over disk and compiler. No request takes it.
  mutable absl::Mutex mutex_;
  const std::unique_ptr<History> history_ ABSL_PT_GUARDED_BY(mutex_);
  // Of the newest entry of the app directories.
  AppsJournal journal_ ABSL_GUARDED_BY(mutex_);
  Binder binder_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> changed_ ABSL_GUARDED_BY(mutex_);
  Enforcer enforcer_ ABSL_GUARDED_BY(mutex_);
  // What the enforcer said of the last commit.
  control::v1::PushResponse enforced_ ABSL_GUARDED_BY(mutex_);
  uint64_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  Rules rules_;

  struct Warning {
    Line line;
    std::string text;
  };
  // Set before anybody else has the manager.
  Started started_;
  mutable absl::Mutex warnings_mutex_;
  // Until something new is in force in their line.
  std::vector<Warning> warnings_ ABSL_GUARDED_BY(warnings_mutex_);
};

}  // namespace fused

#endif  // FUSED_FUSED_POLICY_MANAGER_H_
