#include "fused/policy_manager.h"

#include <algorithm>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "fused/control/convert.h"
#include "fused/grants.h"
#include "fused/policy_load.h"
#include "fused/shadow.h"
#include "kernel/status.h"
#include "policy/diff.h"

namespace fused {
namespace {

using control::v1::PushRequest;
using control::v1::PushResponse;
using policy::Issues;
using policy::Snapshot;
using state::v1::HistoryEntry;
using state::v1::Origin;

HistoryEntry EntryOf(uint64_t version, const std::string& sha256,
                     const Origin& origin) {
  HistoryEntry entry;
  entry.set_version(version);
  entry.set_sha256(sha256);
  *entry.mutable_origin() = origin;
  return entry;
}

// Which decisions change, where that is asked; `after` may be null.
void AddDiff(const control::v1::PushRequest& request, const Snapshot& before,
             const Snapshot* after, control::v1::PushResponse& response) {
  if (!request.diff() || after == nullptr) return;
  // Other pushes wait meanwhile.
  constexpr policy::DiffLimits kLimits = {.decisions = 5'000'000,
                                          .callers = 64};
  *response.mutable_diff() =
      control::ToMessage(policy::Diff(before, *after, kLimits));
}

}  // namespace

absl::Status PolicyManager::SetBinder(Binder binder) {
  absl::MutexLock lock(&mutex_);
  binder_ = std::move(binder);
  std::shared_ptr<const Snapshot> snapshot = rules_.snapshot();
  Issues warnings;
  absl::StatusOr<std::shared_ptr<const Grants>> grants =
      Bind(*snapshot, *snapshot, warnings);
  if (!grants.ok()) return grants.status();
  for (const policy::Issue& issue : warnings) {
    LOG(WARNING) << "apps: " << issue.ToString();
  }
  rules_.Set(std::move(snapshot), *std::move(grants));
  return absl::OkStatus();
}

void PolicyManager::OnChange(std::function<void()> changed) {
  absl::MutexLock lock(&mutex_);
  changed_ = std::move(changed);
}

void PolicyManager::SetEnforcer(Enforcer enforcer) {
  absl::MutexLock lock(&mutex_);
  enforcer_ = std::move(enforcer);
}

absl::StatusOr<std::shared_ptr<const Grants>> PolicyManager::Bind(
    const Snapshot& snapshot, const Snapshot& in_force, Issues& warnings) {
  if (!binder_) return std::shared_ptr<const Grants>();
  return binder_(snapshot, in_force, warnings);
}

void PolicyManager::PutInForce(InForce next) {
  epoch_ = next.snapshot->epoch();
  const std::shared_ptr<const Snapshot> before = rules_.snapshot();
  const Retired former = rules_.Set(next.snapshot, std::move(next.grants));
  if (enforcer_) enforced_ = enforcer_(before, next.snapshot, former);
  if (changed_) changed_();
}

absl::Status PolicyManager::CommitHistory() {
  absl::Status status = history_->Commit();
  if (history_->uncertain()) journal_.SetBroken();
  return status;
}

absl::Status PolicyManager::Commit(Candidate candidate, Issues& warnings) {
  absl::StatusOr<std::shared_ptr<const Grants>> grants =
      Bind(*candidate.snapshot, *rules_.snapshot(), warnings);
  if (!grants.ok()) return grants.status();
  absl::Status status =
      history_->Prepare(candidate.line, candidate.entry, candidate.content);
  if (!status.ok()) {
    history_->Drop(candidate.line, candidate.entry);
    return status;
  }
  const std::shared_ptr<const Snapshot> before = rules_.snapshot();
  PutInForce({.snapshot = candidate.snapshot, .grants = *std::move(grants)});
  status = CommitHistory();
  if (status.ok()) {
    if (candidate.line == Line::kApps) {
      journal_ = AppsJournal(state_, history_->JournalName());
    }
    history_->Prune();
    absl::MutexLock lock(&warnings_mutex_);
    std::erase_if(warnings_, [&candidate](const Warning& warning) {
      return warning.line == candidate.line;
    });
    return status;
  }
  history_->Drop(candidate.line, candidate.entry);
  // Back, in an epoch that was not there yet: what was decided meanwhile is of
  // another.
  Issues none;
  std::shared_ptr<const Snapshot> back = before->WithEpoch(epoch_ + 1);
  // Without its grants it is no less strict.
  absl::StatusOr<std::shared_ptr<const Grants>> bound =
      Bind(*back, *before, none);
  PutInForce({.snapshot = std::move(back),
              .grants = bound.ok() ? *std::move(bound) : nullptr});
  return status;
}

uint64_t PolicyManager::VersionOf(Line line) const {
  const std::shared_ptr<const Snapshot> now = rules_.snapshot();
  return line == Line::kPolicy ? now->policy().source().version()
                               : now->apps_version();
}

const std::string& PolicyManager::ShaOf(Line line) const {
  // What is in force stays while the lock is held.
  const std::shared_ptr<const Snapshot> now = rules_.snapshot();
  return line == Line::kPolicy ? now->policy().sha256() : now->apps_sha256();
}

PushResponse PolicyManager::InForceOf(Line line) const {
  PushResponse response;
  response.set_version(VersionOf(line));
  response.set_sha256(ShaOf(line));
  response.set_epoch(epoch_);
  return response;
}

uint64_t PolicyManager::HighestOf(Line line) const {
  return std::max(VersionOf(line), history_->line(line).highest_version());
}

std::string PolicyManager::VersionProblem(Line line, uint64_t version) const {
  const uint64_t in_force = VersionOf(line);
  const uint64_t highest = HighestOf(line);
  if (version > highest) return "";
  return absl::StrCat("version ", version, " does not follow version ", highest,
                      highest == in_force
                          ? ", which is in force"
                          : ", the highest that ever was in force",
                      version == in_force ? " with other content" : "");
}

PushResponse PolicyManager::PushPolicy(const PushRequest& request,
                                       const Origin& origin) {
  Issues issues;
  std::optional<LoadedPolicy> loaded =
      fused::LoadPolicy(request.content(), request.file_name(), issues);
  PushResponse response = InForceOf(Line::kPolicy);
  if (!loaded.has_value()) {
    control::AddIssues(issues, response);
    return response;
  }
  const policy::v1::Policy& source = loaded->compiled->source();
  if (source.version() == response.version() &&
      loaded->compiled->sha256() == response.sha256()) {
    response.set_accepted(true);
    return response;
  }
  const std::string problem = VersionProblem(Line::kPolicy, source.version());
  if (!problem.empty()) {
    issues.push_back(loaded->parsed.source.At("version", problem));
  }
  Candidate candidate;
  if (!policy::HasErrors(issues)) {
    candidate.snapshot = Snapshot::Build(
        epoch_ + 1, loaded->compiled, {rules_.snapshot()->apps(), {}}, issues);
  }
  PushResponse more;
  AddDiff(request, *rules_.snapshot(), candidate.snapshot.get(), more);
  bool accepted = candidate.snapshot != nullptr;
  if (accepted && !request.dry_run()) {
    candidate.line = Line::kPolicy;
    candidate.entry =
        EntryOf(source.version(), loaded->compiled->sha256(), origin);
    candidate.entry.set_name(source.name());
    candidate.content = source.SerializeAsString();
    const absl::Status status = Commit(std::move(candidate), issues);
    if (!status.ok()) {
      accepted = false;
      issues.push_back(loaded->parsed.source.At("", kernel::Describe(status)));
    }
    response = InForceOf(Line::kPolicy);
  }
  control::AddIssues(issues, response);
  response.set_accepted(accepted);
  response.set_changed(accepted);
  response.MergeFrom(more);
  return response;
}

PushResponse PolicyManager::PushApps(const PushRequest& request,
                                     const Origin& origin) {
  Issues issues;
  auto parsed =
      policy::ParseApps(request.content(), request.file_name(), issues);
  PushResponse response = InForceOf(Line::kApps);
  if (!parsed.has_value()) {
    control::AddIssues(issues, response);
    return response;
  }
  Candidate candidate;
  candidate.snapshot = Snapshot::Build(
      epoch_ + 1, rules_.snapshot()->shared_policy(), *parsed, issues);
  const uint64_t version = parsed->message.version();
  if (candidate.snapshot != nullptr && version == response.version() &&
      candidate.snapshot->apps_sha256() == response.sha256()) {
    response.set_accepted(true);
    return response;
  }
  const std::string problem = VersionProblem(Line::kApps, version);
  if (!problem.empty()) issues.push_back(parsed->source.At("version", problem));
  PushResponse more;
  AddDiff(request, *rules_.snapshot(), candidate.snapshot.get(), more);
  bool accepted = candidate.snapshot != nullptr && problem.empty();
  if (accepted && !request.dry_run()) {
    candidate.line = Line::kApps;
    candidate.entry =
        EntryOf(version, candidate.snapshot->apps_sha256(), origin);
    candidate.content = parsed->message.SerializeAsString();
    absl::Status status = Checkpoint();
    if (status.ok()) status = Commit(std::move(candidate), issues);
    if (!status.ok()) {
      accepted = false;
      issues.push_back(parsed->source.At("", kernel::Describe(status)));
    }
    response = InForceOf(Line::kApps);
  }
  control::AddIssues(issues, response);
  response.set_accepted(accepted);
  response.set_changed(accepted);
  response.MergeFrom(more);
  return response;
}

PushResponse PolicyManager::Push(const PushRequest& request) {
  return Push(request, Origin::PUSH);
}

PushResponse PolicyManager::Push(const PushRequest& request,
                                 Origin::Kind origin_kind) {
  Origin origin;
  origin.set_kind(origin_kind);
  origin.set_uid(request.peer_uid());
  origin.set_file(request.file_name());
  absl::MutexLock lock(&mutex_);
  PushResponse response = request.kind() == PushRequest::APPS
                              ? PushApps(request, origin)
                              : PushPolicy(request, origin);
  response.MergeFrom(std::exchange(enforced_, {}));
  return response;
}

void PolicyManager::FillStatus(control::v1::Status& status) const {
  const std::shared_ptr<const Snapshot> snapshot = rules_.snapshot();
  status.set_epoch(snapshot->epoch());
  control::v1::PolicyStatus& policy = *status.mutable_policy();
  policy.set_name(snapshot->policy().source().name());
  policy.set_version(snapshot->policy().source().version());
  policy.set_sha256(snapshot->policy().sha256());
  status.mutable_apps()->set_version(snapshot->apps_version());
  status.mutable_apps()->set_count(snapshot->app_count());
  const std::shared_ptr<ShadowCounts> shadow = rules_.in_force().shadow;
  FillShadow(snapshot->policy(), shadow.get(), status);
  absl::MutexLock lock(&warnings_mutex_);
  for (const Warning& warning : warnings_) status.add_warnings(warning.text);
}

}  // namespace fused
