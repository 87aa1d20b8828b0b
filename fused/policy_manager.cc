#include "fused/policy_manager.h"

#include <cerrno>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fused/control/convert.h"
#include "fused/grants.h"
#include "kernel/status.h"
#include "policy/diff.h"

namespace fused {
namespace {

using policy::CompiledPolicy;
using policy::Issues;
using policy::Parsed;
using policy::Snapshot;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string content(std::istreambuf_iterator<char>(in), {});
  if (!in) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": can't be read: ",
        kernel::Describe(kernel::ErrnoStatus(errno == 0 ? EIO : errno))));
  }
  return content;
}

absl::Status Refused(const Issues& issues) {
  return absl::FailedPreconditionError(absl::StrJoin(
      issues, "\n", [](std::string* out, const policy::Issue& issue) {
        absl::StrAppend(out, issue.ToString());
      }));
}

void AddIssues(const Issues& issues, control::v1::PushResponse& response) {
  for (const policy::Issue& issue : issues) {
    *response.add_issues() = control::ToMessage(issue);
  }
}

struct LoadedPolicy {
  Parsed<policy::v1::Policy> parsed;
  std::shared_ptr<const CompiledPolicy> compiled;
};

// Parses and compiles; nothing with issues.
std::optional<LoadedPolicy> Load(std::string_view content,
                                 std::string_view file, Issues& issues) {
  std::optional<Parsed<policy::v1::Policy>> parsed =
      policy::ParsePolicy(content, file, issues);
  if (!parsed.has_value()) return std::nullopt;
  std::shared_ptr<const CompiledPolicy> compiled =
      CompiledPolicy::Compile(*parsed, issues);
  if (compiled == nullptr) return std::nullopt;
  return LoadedPolicy{*std::move(parsed), std::move(compiled)};
}

// Why `version` can't follow the one in force; empty where it can.
std::string VersionProblem(uint64_t version, uint64_t in_force) {
  if (version > in_force) return "";
  return absl::StrCat("version ", version, " does not follow version ",
                      in_force, ", which is in force",
                      version == in_force ? " with other content" : "");
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

PolicyManager::PolicyManager(StateDir* state)
    : state_(state), policy_(CompiledPolicy::BuiltIn()), rules_(nullptr) {}

absl::Status PolicyManager::LoadPolicy(const std::string& file) {
  absl::StatusOr<std::optional<std::string>> kept = state_->Read(kPolicyFile);
  if (!kept.ok()) return kept.status();
  uint64_t last = 0;
  if (kept->has_value()) {
    Issues issues;
    std::optional<LoadedPolicy> loaded = Load(**kept, kPolicyFile, issues);
    if (loaded.has_value()) {
      policy_ = loaded->compiled;
      last = policy_->source().version();
    } else {
      LOG(ERROR) << "the last good policy can't be used, the built-in one "
                    "stands in: "
                 << Refused(issues).message();
    }
  }
  if (file.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> content = ReadFile(file);
  if (!content.ok()) return content.status();
  Issues issues;
  std::optional<LoadedPolicy> loaded = Load(*content, file, issues);
  if (!loaded.has_value()) return Refused(issues);
  const uint64_t version = loaded->compiled->source().version();
  if (version < last) {
    LOG(WARNING) << file << ": version " << version
                 << " is older than the last good one, version " << last
                 << ", which stays in force";
    return absl::OkStatus();
  }
  policy_ = loaded->compiled;
  policy_is_new_ = true;
  return absl::OkStatus();
}

absl::Status PolicyManager::LoadApps(const std::string& file) {
  absl::StatusOr<std::optional<std::string>> kept = state_->Read(kAppsFile);
  if (!kept.ok()) return kept.status();
  uint64_t last = 0;
  if (kept->has_value()) {
    Issues issues;
    auto parsed = policy::ParseApps(**kept, kAppsFile, issues);
    if (parsed.has_value() &&
        Snapshot::Build(1, policy_, *parsed, issues) != nullptr) {
      apps_ = *std::move(parsed);
      last = apps_.message.version();
    } else {
      LOG(ERROR) << "the last good app directory can't be used, no app is "
                    "known: "
                 << Refused(issues).message();
    }
  }
  if (file.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> content = ReadFile(file);
  if (!content.ok()) return content.status();
  Issues issues;
  auto parsed = policy::ParseApps(*content, file, issues);
  if (!parsed.has_value() ||
      Snapshot::Build(1, policy_, *parsed, issues) == nullptr) {
    return Refused(issues);
  }
  if (parsed->message.version() < last) {
    LOG(WARNING) << file << ": version " << parsed->message.version()
                 << " is older than the last good one, version " << last
                 << ", which stays in force";
    return absl::OkStatus();
  }
  apps_ = *std::move(parsed);
  apps_are_new_ = true;
  return absl::OkStatus();
}

absl::Status PolicyManager::KeepLoaded() {
  if (policy_is_new_) {
    absl::Status status =
        state_->Write(kPolicyFile, policy_->source().SerializeAsString());
    if (!status.ok()) return status;
  }
  if (apps_are_new_) {
    return state_->Write(kAppsFile, apps_.message.SerializeAsString());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<PolicyManager>> PolicyManager::Create(
    const Start& start, StateDir* state) {
  auto manager = std::unique_ptr<PolicyManager>(new PolicyManager(state));
  absl::MutexLock lock(&manager->mutex_);
  absl::Status status = manager->LoadPolicy(start.policy);
  if (!status.ok()) return status;
  status = manager->LoadApps(start.apps);
  if (!status.ok()) return status;
  Issues issues;
  std::shared_ptr<const Snapshot> snapshot = Snapshot::Build(
      ++manager->epoch_, manager->policy_, manager->apps_, issues);
  if (snapshot == nullptr) return Refused(issues);
  // Not before all is well: a start that is refused leaves the last good ones.
  status = manager->KeepLoaded();
  if (!status.ok()) return status;
  manager->rules_.Set(std::move(snapshot));
  return manager;
}

absl::Status PolicyManager::Check(const Start& start) {
  Issues issues;
  std::shared_ptr<const CompiledPolicy> compiled = CompiledPolicy::BuiltIn();
  if (!start.policy.empty()) {
    absl::StatusOr<std::string> content = ReadFile(start.policy);
    if (!content.ok()) return content.status();
    std::optional<LoadedPolicy> loaded = Load(*content, start.policy, issues);
    if (!loaded.has_value()) return Refused(issues);
    compiled = loaded->compiled;
  }
  if (start.apps.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> content = ReadFile(start.apps);
  if (!content.ok()) return content.status();
  auto parsed = policy::ParseApps(*content, start.apps, issues);
  if (!parsed.has_value() ||
      Snapshot::Build(1, compiled, *parsed, issues) == nullptr) {
    return Refused(issues);
  }
  return absl::OkStatus();
}

absl::Status PolicyManager::SetBinder(Binder binder) {
  absl::MutexLock lock(&mutex_);
  binder_ = std::move(binder);
  std::shared_ptr<const Snapshot> snapshot = rules_.snapshot();
  std::shared_ptr<const Grants> grants;
  if (binder_) {
    Issues warnings;
    absl::StatusOr<std::shared_ptr<const Grants>> bound =
        binder_(*snapshot, warnings);
    if (!bound.ok()) return bound.status();
    for (const policy::Issue& issue : warnings) {
      LOG(WARNING) << kAppsFile << ": " << issue.ToString();
    }
    grants = *std::move(bound);
  }
  rules_.Set(std::move(snapshot), std::move(grants));
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

absl::Status PolicyManager::Commit(const char* file,
                                   const google::protobuf::Message& message,
                                   std::shared_ptr<const Snapshot> snapshot,
                                   Issues& warnings) {
  std::shared_ptr<const Grants> grants;
  if (binder_) {
    absl::StatusOr<std::shared_ptr<const Grants>> bound =
        binder_(*snapshot, warnings);
    if (!bound.ok()) return bound.status();
    grants = *std::move(bound);
  }
  // On disk first: what was acknowledged is in force after any crash.
  absl::Status status = state_->Write(file, message.SerializeAsString());
  if (!status.ok()) return status;
  const std::shared_ptr<const Snapshot> before = rules_.snapshot();
  const Retired former = rules_.Set(snapshot, std::move(grants));
  if (enforcer_) enforced_ = enforcer_(before, snapshot, former);
  if (changed_) changed_();
  return absl::OkStatus();
}

control::v1::PushResponse PolicyManager::PushPolicy(
    const control::v1::PushRequest& request) {
  control::v1::PushResponse response;
  response.set_version(policy_->source().version());
  response.set_sha256(policy_->sha256());
  Issues issues;
  std::optional<LoadedPolicy> loaded =
      Load(request.content(), request.file_name(), issues);
  if (!loaded.has_value()) {
    AddIssues(issues, response);
    return response;
  }
  const uint64_t version = loaded->compiled->source().version();
  if (version == policy_->source().version() &&
      loaded->compiled->sha256() == policy_->sha256()) {
    response.set_accepted(true);
    return response;
  }
  const std::string problem =
      VersionProblem(version, policy_->source().version());
  if (!problem.empty()) {
    issues.push_back(loaded->parsed.source.At("version", problem));
  }
  std::shared_ptr<const Snapshot> snapshot;
  if (!policy::HasErrors(issues)) {
    snapshot = Snapshot::Build(epoch_ + 1, loaded->compiled, apps_, issues);
  }
  AddDiff(request, *rules_.snapshot(), snapshot.get(), response);
  if (snapshot != nullptr && !request.dry_run()) {
    const absl::Status status =
        Commit(kPolicyFile, loaded->compiled->source(), snapshot, issues);
    if (status.ok()) {
      policy_ = loaded->compiled;
      ++epoch_;
    } else {
      issues.push_back(loaded->parsed.source.At("", kernel::Describe(status)));
      snapshot = nullptr;
    }
  }
  AddIssues(issues, response);
  response.set_accepted(snapshot != nullptr);
  response.set_changed(snapshot != nullptr);
  if (snapshot != nullptr && !request.dry_run()) {
    response.set_version(version);
    response.set_sha256(policy_->sha256());
  }
  return response;
}

control::v1::PushResponse PolicyManager::PushApps(
    const control::v1::PushRequest& request) {
  control::v1::PushResponse response;
  const std::shared_ptr<const Snapshot> now = rules_.snapshot();
  response.set_version(apps_.message.version());
  response.set_sha256(now->apps_sha256());
  Issues issues;
  auto parsed =
      policy::ParseApps(request.content(), request.file_name(), issues);
  if (!parsed.has_value()) {
    AddIssues(issues, response);
    return response;
  }
  std::shared_ptr<const Snapshot> snapshot =
      Snapshot::Build(epoch_ + 1, policy_, *parsed, issues);
  const uint64_t version = parsed->message.version();
  if (snapshot != nullptr && version == apps_.message.version() &&
      snapshot->apps_sha256() == now->apps_sha256()) {
    response.set_accepted(true);
    return response;
  }
  const std::string problem = VersionProblem(version, apps_.message.version());
  if (!problem.empty()) {
    issues.push_back(parsed->source.At("version", problem));
    snapshot = nullptr;
  }
  AddDiff(request, *now, snapshot.get(), response);
  if (snapshot != nullptr && !request.dry_run()) {
    const absl::Status status =
        Commit(kAppsFile, parsed->message, snapshot, issues);
    if (status.ok()) {
      response.set_version(version);
      response.set_sha256(snapshot->apps_sha256());
      apps_ = *std::move(parsed);
      ++epoch_;
    } else {
      issues.push_back(parsed->source.At("", kernel::Describe(status)));
      snapshot = nullptr;
    }
  }
  AddIssues(issues, response);
  response.set_accepted(snapshot != nullptr);
  response.set_changed(snapshot != nullptr);
  return response;
}

control::v1::PushResponse PolicyManager::Push(
    const control::v1::PushRequest& request) {
  absl::MutexLock lock(&mutex_);
  control::v1::PushResponse response =
      request.kind() == control::v1::PushRequest::APPS ? PushApps(request)
                                                       : PushPolicy(request);
  response.set_epoch(epoch_);
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
  status.mutable_apps()->set_version(snapshot->apps().version());
  status.mutable_apps()->set_count(
      static_cast<uint64_t>(snapshot->apps().apps_size()));
}

}  // namespace fused
