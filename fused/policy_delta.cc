// Changes of the app directory in force.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fused/control/convert.h"
#include "fused/policy_manager.h"
#include "kernel/status.h"

namespace fused {
namespace {

using control::v1::AppsDeltaRequest;
using control::v1::PushResponse;
using policy::Issues;
using policy::Snapshot;
using state::v1::Origin;

// Whether what grants are bound to may be another's now.
bool TouchesGrants(const AppsDeltaRequest& request) {
  return std::any_of(request.changes().begin(), request.changes().end(),
                     [](const policy::v1::AppChange& change) {
                       return !change.has_grant() && !change.has_revoke();
                     });
}

}  // namespace

absl::Status PolicyManager::Checkpoint() {
  if (journal_.records() == 0) return absl::OkStatus();
  const std::shared_ptr<const Snapshot> now = rules_.snapshot();
  state::v1::HistoryEntry entry;
  entry.set_version(now->apps_version());
  entry.set_sha256(now->apps_sha256());
  entry.mutable_origin()->set_kind(Origin::DELTAS);
  absl::Status status = history_->Prepare(Line::kApps, std::move(entry),
                                          now->apps().SerializeAsString());
  if (status.ok()) status = CommitHistory();
  if (status.ok()) journal_ = AppsJournal(state_, history_->JournalName());
  return status;
}

absl::Status PolicyManager::CommitDelta(
    const AppsDeltaRequest& request, std::shared_ptr<const Snapshot> snapshot,
    Issues& warnings) {
  state::v1::AppsJournalRecord record;
  record.set_version(snapshot->apps_version());
  *record.mutable_changes() = request.changes();
  record.mutable_time()->set_seconds(absl::ToUnixSeconds(absl::Now()));
  record.mutable_origin()->set_kind(Origin::PUSH);
  record.mutable_origin()->set_uid(request.peer_uid());
  if (!journal_.CanTake(record.ByteSizeLong())) {
    Candidate candidate;
    candidate.line = Line::kApps;
    candidate.entry.set_version(snapshot->apps_version());
    candidate.entry.set_sha256(snapshot->apps_sha256());
    *candidate.entry.mutable_origin() = record.origin();
    candidate.entry.mutable_origin()->set_kind(Origin::DELTAS);
    candidate.content = snapshot->apps().SerializeAsString();
    candidate.snapshot = std::move(snapshot);
    return Commit(std::move(candidate), warnings);
  }
  // Not kept as what is in force: who ends it would wait for this.
  std::shared_ptr<const Grants> grants = rules_.in_force().grants;
  const bool any = !snapshot->grants().empty() || grants != nullptr;
  if (any && (TouchesGrants(request) ||
              !snapshot->SharesIndices(*rules_.snapshot()))) {
    absl::StatusOr<std::shared_ptr<const Grants>> bound =
        Bind(*snapshot, *rules_.snapshot(), warnings);
    if (!bound.ok()) return bound.status();
    grants = *std::move(bound);
  }
  // On disk first: it is one write, which cannot be half in force.
  absl::Status status = journal_.Append(record);
  if (status.ok()) {
    PutInForce({.snapshot = std::move(snapshot), .grants = std::move(grants)});
  }
  return status;
}

PushResponse PolicyManager::ChangeApps(const AppsDeltaRequest& request) {
  absl::MutexLock lock(&mutex_);
  PushResponse response;
  const std::shared_ptr<const Snapshot> now = rules_.snapshot();
  Issues issues;
  const auto refuse = [&issues](std::string field, std::string reason) {
    policy::Issue issue;
    issue.field = std::move(field);
    issue.reason = std::move(reason);
    issues.push_back(std::move(issue));
  };
  bool accepted = true;
  bool changed = false;
  if (request.base_version() != 0 &&
      request.base_version() != now->apps_version()) {
    accepted = false;
    refuse("base_version",
           absl::StrCat("version ", now->apps_version(), " is in force, not ",
                        request.base_version()));
  } else {
    std::shared_ptr<const Snapshot> next = now->WithChanges(
        epoch_ + 1, HighestOf(Line::kApps) + 1,
        {request.changes().begin(), request.changes().end()}, issues);
    accepted = next != nullptr || issues.empty();
    changed = next != nullptr;
    if (changed && !request.dry_run()) {
      const absl::Status status = CommitDelta(request, std::move(next), issues);
      if (!status.ok()) {
        accepted = changed = false;
        refuse("", kernel::Describe(status));
      }
    }
  }
  control::AddIssues(issues, response);
  response.set_accepted(accepted);
  response.set_changed(changed);
  response.set_version(VersionOf(Line::kApps));
  response.set_epoch(epoch_);
  response.MergeFrom(std::exchange(enforced_, {}));
  return response;
}

}  // namespace fused
