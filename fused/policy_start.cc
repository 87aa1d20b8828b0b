// What is in force at start.
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "fused/policy_load.h"
#include "fused/policy_manager.h"
#include "fused/rules_file.h"
#include "kernel/status.h"

namespace fused {
namespace {

using policy::CompiledPolicy;
using policy::Issues;
using policy::Snapshot;
using state::v1::HistoryEntry;
using state::v1::Origin;

// Changes may have made it somewhat larger than what is taken from others.
std::shared_ptr<const Snapshot> LargeApps(
    const std::string& content,
    const std::shared_ptr<const CompiledPolicy>& policy, uint64_t epoch,
    Issues& issues) {
  policy::Parsed<policy::v1::AppDirectory> parsed;
  if (parsed.message.ParseFromString(content)) {
    return Snapshot::Build(epoch, policy, parsed, issues);
  }
  issues.push_back({});
  issues.back().reason = "no app directory";
  return nullptr;
}

absl::Status CheckSum(const HistoryEntry& entry, const std::string& sha256) {
  return IsOf(entry, sha256)
             ? absl::OkStatus()
             : absl::DataLossError("it is not what was in force");
}

absl::StatusOr<std::shared_ptr<const CompiledPolicy>> PolicyOf(
    const History& history, const HistoryEntry& entry) {
  if (entry.built_in()) return CompiledPolicy::BuiltIn();
  constexpr auto kLine = History::Line::kPolicy;
  absl::StatusOr<std::string> content = history.Read(kLine, entry);
  if (!content.ok()) return content.status();
  Issues issues;
  std::optional<LoadedPolicy> loaded =
      LoadPolicy(*content, ContentName(kLine, entry), issues);
  if (!loaded.has_value()) return Refused(issues);
  absl::Status status = CheckSum(entry, loaded->compiled->sha256());
  if (!status.ok()) return status;
  return std::move(loaded->compiled);
}

// With the directory of an entry.
absl::StatusOr<std::shared_ptr<const Snapshot>> AppsOf(
    const History& history, const HistoryEntry& entry,
    const std::shared_ptr<const CompiledPolicy>& policy, uint64_t epoch) {
  Issues issues;
  if (entry.built_in()) return Snapshot::Build(epoch, policy, {}, issues);
  constexpr auto kLine = History::Line::kApps;
  absl::StatusOr<std::string> content = history.Read(kLine, entry);
  if (!content.ok()) return content.status();
  std::shared_ptr<const Snapshot> snapshot =
      content->size() <= policy::kMaxInput
          ? LoadApps(*content, ContentName(kLine, entry), policy, epoch, issues)
          : LargeApps(*content, policy, epoch, issues);
  if (snapshot == nullptr) return Refused(issues);
  absl::Status status = CheckSum(entry, snapshot->apps_sha256());
  if (!status.ok()) return status;
  return snapshot;
}

std::string CantUse(History::Line line, const HistoryEntry& entry,
                    const absl::Status& status) {
  return absl::StrCat(
      line == History::Line::kPolicy ? "the policy of version "
                                     : "the app directory of version ",
      entry.version(), " can't be used: ", kernel::Describe(status));
}

}  // namespace

PolicyManager::PolicyManager(StateDir* state, std::unique_ptr<History> history)
    : state_(state), history_(std::move(history)), rules_(nullptr) {}

void PolicyManager::Warn(Line line, std::string text) {
  LOG(ERROR) << text;
  absl::MutexLock lock(&warnings_mutex_);
  warnings_.push_back({line, std::move(text)});
}

bool PolicyManager::warned() const {
  absl::MutexLock lock(&warnings_mutex_);
  return !warnings_.empty();
}

void PolicyManager::LoadLastPolicy(Found& found) {
  found.policy = CompiledPolicy::BuiltIn();
  const auto& entries = history_->line(Line::kPolicy).entries();
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    auto policy = PolicyOf(*history_, *entry);
    if (policy.ok()) {
      found.policy = *std::move(policy);
      if (entry == entries.rbegin()) return;
      Warn(Line::kPolicy, absl::StrCat("the policy of version ",
                                       entry->version(), " stands in"));
      return;
    }
    Warn(Line::kPolicy, CantUse(Line::kPolicy, *entry, policy.status()));
  }
  if (!entries.empty()) Warn(Line::kPolicy, "the built-in policy stands in");
}

absl::Status PolicyManager::LoadLastApps(Found& found) {
  journal_ = AppsJournal(state_, history_->JournalName());
  const auto& entries = history_->line(Line::kApps).entries();
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    auto apps = AppsOf(*history_, *entry, found.policy, epoch_);
    if (apps.ok()) {
      found.apps = *std::move(apps);
      if (entry == entries.rbegin()) return Replay(found);
      Warn(Line::kApps, absl::StrCat("the app directory of version ",
                                     entry->version(), " stands in"));
      break;
    }
    Warn(Line::kApps, CantUse(Line::kApps, *entry, apps.status()));
  }
  if (found.apps == nullptr) {
    Issues none;
    found.apps = Snapshot::Build(epoch_, found.policy, {}, none);
    if (entries.empty()) return Replay(found);
    Warn(Line::kApps, "no app is known");
  }
  // Its deltas are not of what stands in.
  journal_.SetBroken();
  return absl::OkStatus();
}

absl::Status PolicyManager::Replay(Found& found) {
  absl::StatusOr<std::vector<state::v1::AppsJournalRecord>> records =
      journal_.Load();
  if (!records.ok()) return records.status();
  if (!journal_.damage().empty()) Warn(Line::kApps, journal_.damage());
  for (const state::v1::AppsJournalRecord& record : *records) {
    Issues issues;
    std::shared_ptr<const Snapshot> next = found.apps->WithChanges(
        epoch_, record.version(),
        {record.changes().begin(), record.changes().end()}, issues);
    if (next == nullptr) {
      Warn(Line::kApps,
           absl::StrCat("the change of the app directory to version ",
                        record.version(), " can't be used, version ",
                        found.apps->apps_version(),
                        " stands in: ", Refused(issues).message()));
      journal_.SetBroken();
      break;
    }
    found.apps = std::move(next);
  }
  return absl::OkStatus();
}

bool PolicyManager::MayFollow(Line line, const std::string& file,
                              uint64_t version, const std::string& sha256,
                              uint64_t last) {
  const state::v1::HistoryLine& history = history_->line(line);
  const auto& entries = history.entries();
  const bool rolled_back =
      !entries.empty() && entries.rbegin()->origin().kind() == Origin::ROLLBACK;
  if (!entries.empty() && version == last && IsOf(*entries.rbegin(), sha256)) {
    return false;  // it is the one
  }
  // What was rolled back does not come back by a restart.
  if (rolled_back ? version > history.highest_version() : version >= last) {
    return true;
  }
  Warn(line,
       absl::StrCat(file, ": version ", version, " does not follow version ",
                    rolled_back ? history.highest_version() : last, ", the ",
                    rolled_back ? "highest seen" : "last good one",
                    "; version ", last, " stays in force"));
  return false;
}

absl::Status PolicyManager::LoadPolicy(const std::string& file, Found& found) {
  LoadLastPolicy(found);
  if (file.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> content = ReadRulesFile(file);
  if (!content.ok()) return content.status();
  Issues issues;
  std::optional<LoadedPolicy> loaded =
      fused::LoadPolicy(*content, file, issues);
  if (!loaded.has_value()) return Refused(issues);
  const CompiledPolicy& policy = *loaded->compiled;
  if (!MayFollow(Line::kPolicy, file, policy.source().version(),
                 policy.sha256(), found.policy->source().version())) {
    return absl::OkStatus();
  }
  found.policy = loaded->compiled;
  found.new_policy = true;
  return absl::OkStatus();
}

absl::Status PolicyManager::LoadApps(const std::string& file, Found& found) {
  absl::Status status = LoadLastApps(found);
  if (!status.ok() || file.empty()) return status;
  absl::StatusOr<std::string> content = ReadRulesFile(file);
  if (!content.ok()) return content.status();
  Issues issues;
  std::shared_ptr<const Snapshot> loaded =
      fused::LoadApps(*content, file, found.policy, epoch_, issues);
  if (loaded == nullptr) return Refused(issues);
  if (MayFollow(Line::kApps, file, loaded->apps_version(),
                loaded->apps_sha256(), found.apps->apps_version())) {
    found.apps = std::move(loaded);
    found.new_apps = true;
  }
  return absl::OkStatus();
}

absl::Status PolicyManager::KeepLoaded(const Start& start, const Found& found) {
  HistoryEntry entry;
  entry.mutable_origin()->set_kind(Origin::START);
  if (found.new_policy) {
    const policy::v1::Policy& source = found.policy->source();
    entry.mutable_origin()->set_file(start.policy);
    entry.set_version(source.version());
    entry.set_sha256(found.policy->sha256());
    entry.set_name(source.name());
    absl::Status status =
        history_->Prepare(Line::kPolicy, entry, source.SerializeAsString());
    if (status.ok()) status = history_->Commit();
    if (!status.ok()) return status;
  }
  if (!found.new_apps) return absl::OkStatus();
  entry.mutable_origin()->set_file(start.apps);
  entry.set_version(found.apps->apps_version());
  entry.set_sha256(found.apps->apps_sha256());
  entry.clear_name();
  absl::Status status = history_->Prepare(
      Line::kApps, entry, found.apps->apps().SerializeAsString());
  if (status.ok()) status = history_->Commit();
  journal_ = AppsJournal(state_, history_->JournalName());
  return status;
}

absl::StatusOr<std::unique_ptr<PolicyManager>> PolicyManager::Create(
    const Start& start, StateDir* state) {
  absl::StatusOr<std::unique_ptr<History>> history = History::Load(state);
  if (!history.ok()) return history.status();
  auto manager = std::unique_ptr<PolicyManager>(
      new PolicyManager(state, *std::move(history)));
  absl::MutexLock lock(&manager->mutex_);
  const std::string& broken = manager->history_->warning();
  if (!broken.empty()) {
    manager->Warn(Line::kPolicy, broken);
    manager->Warn(Line::kApps, broken);
  }
  manager->epoch_ = 1;
  Found found;
  absl::Status status = manager->LoadPolicy(start.policy, found);
  if (!status.ok()) return status;
  status = manager->LoadApps(start.apps, found);
  if (!status.ok()) return status;
  // Not before all is well: a start that is refused leaves the last good ones.
  status = manager->KeepLoaded(start, found);
  if (!status.ok()) return status;
  manager->started_ = {found.new_policy, found.new_apps};
  // What may be of use in finding what is lost stays until something new comes.
  if (!manager->warned()) manager->history_->Prune();
  manager->rules_.Set(std::move(found.apps));
  return manager;
}

std::shared_ptr<const Snapshot> PolicyManager::SnapshotOf(
    Line line, const HistoryEntry& entry, Issues& issues) const {
  const std::shared_ptr<const Snapshot> now = rules_.snapshot();
  absl::Status problem;
  if (line == Line::kPolicy) {
    auto policy = PolicyOf(*history_, entry);
    if (policy.ok()) {
      return Snapshot::Build(epoch_ + 1, *policy, {now->apps(), {}}, issues);
    }
    problem = policy.status();
  } else {
    auto apps = AppsOf(*history_, entry, now->shared_policy(), epoch_ + 1);
    if (apps.ok()) return *std::move(apps);
    problem = apps.status();
  }
  policy::Issue issue;
  issue.reason = CantUse(line, entry, problem);
  issues.push_back(std::move(issue));
  return nullptr;
}

}  // namespace fused
