// What was in force, and may be again.
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fused/control/convert.h"
#include "fused/policy_manager.h"
#include "kernel/status.h"

namespace fused {

using control::v1::PushResponse;
using policy::Issues;
using state::v1::HistoryEntry;
using state::v1::Origin;

std::optional<HistoryEntry> PolicyManager::RollbackTarget(
    const control::v1::RollbackRequest& request, Line line,
    Issues& issues) const {
  const auto& entries = history_->line(line).entries();
  const std::string& now = ShaOf(line);
  if (request.has_version()) {
    const HistoryEntry* const found = history_->Find(line, request.version());
    if (found != nullptr) return *found;
  } else {
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
      if (!IsOf(*entry, now)) return *entry;
    }
  }
  // Before all there was what is built in.
  policy::Parsed<policy::v1::AppDirectory> nothing;
  HistoryEntry built_in;
  built_in.set_built_in(true);
  built_in.set_sha256(line == Line::kPolicy
                          ? policy::CompiledPolicy::BuiltIn()->sha256()
                          : policy::Sha256(nothing.message));
  if (line == Line::kPolicy) {
    built_in.set_name(policy::CompiledPolicy::BuiltIn()->source().name());
  }
  const bool wanted =
      request.has_version() ? request.version() == 0 : now != built_in.sha256();
  if (wanted) return built_in;
  policy::Issue issue;
  issue.reason = request.has_version()
                     ? absl::StrCat("version ", request.version(),
                                    " is not in the history")
                     : "nothing was in force before";
  issues.push_back(std::move(issue));
  return std::nullopt;
}

PushResponse PolicyManager::Rollback(
    const control::v1::RollbackRequest& request) {
  absl::MutexLock lock(&mutex_);
  const Line line = request.apps() ? Line::kApps : Line::kPolicy;
  PushResponse response = InForceOf(line);
  Issues issues;
  std::optional<HistoryEntry> target = RollbackTarget(request, line, issues);
  bool accepted = false;
  if (target.has_value() && IsOf(*target, response.sha256())) {
    response.set_accepted(true);
    return response;
  }
  if (target.has_value()) {
    Candidate candidate;
    candidate.line = line;
    candidate.snapshot = SnapshotOf(line, *target, issues);
    candidate.entry = *target;
    candidate.entry.clear_origin();
    candidate.entry.mutable_origin()->set_kind(Origin::ROLLBACK);
    candidate.entry.mutable_origin()->set_uid(request.peer_uid());
    if (candidate.snapshot != nullptr) {
      absl::Status status = request.apps() ? Checkpoint() : absl::OkStatus();
      if (status.ok()) status = Commit(std::move(candidate), issues);
      accepted = status.ok();
      if (!accepted) {
        policy::Issue issue;
        issue.reason = kernel::Describe(status);
        issues.push_back(std::move(issue));
      }
      response = InForceOf(line);
    }
  }
  control::AddIssues(issues, response);
  response.set_accepted(accepted);
  response.set_changed(accepted);
  response.MergeFrom(std::exchange(enforced_, {}));
  return response;
}

control::v1::HistoryResponse PolicyManager::ListHistory(
    const control::v1::HistoryRequest& request) {
  absl::MutexLock lock(&mutex_);
  const Line line = request.apps() ? Line::kApps : Line::kPolicy;
  control::v1::HistoryResponse response;
  response.set_highest_version(HighestOf(line));
  const auto& entries = history_->line(line).entries();
  bool found = false;
  if (line == Line::kApps && journal_.records() != 0) {
    control::v1::HistoryEntry& deltas = *response.add_entries();
    deltas.set_version(VersionOf(line));
    deltas.set_sha256(ShaOf(line));
    *deltas.mutable_time() = journal_.time();
    deltas.set_origin(Origin::Kind_Name(Origin::DELTAS));
    deltas.set_uid(journal_.origin().uid());
    deltas.set_in_force(true);
    found = true;
  }
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    control::v1::HistoryEntry& out = *response.add_entries();
    out.set_version(entry->version());
    out.set_sha256(entry->sha256());
    *out.mutable_time() = entry->time();
    out.set_origin(Origin::Kind_Name(entry->origin().kind()));
    out.set_uid(entry->origin().uid());
    out.set_file(entry->origin().file());
    out.set_name(entry->name());
    // A start may have had to do with an older one.
    out.set_in_force(!found && IsOf(*entry, ShaOf(line)));
    found |= out.in_force();
  }
  return response;
}

}  // namespace fused
