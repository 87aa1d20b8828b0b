// A policy manager and its state directory, for tests.
#ifndef FUSED_FUSED_TESTING_POLICY_MANAGER_FIXTURE_H_
#define FUSED_FUSED_TESTING_POLICY_MANAGER_FIXTURE_H_

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fused/history.h"
#include "fused/policy_manager.h"
#include "fused/state_dir.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"
#include "proto/control.pb.h"

namespace fused {

inline std::string PolicyText(uint64_t version,
                              std::string_view name = "test") {
  return absl::StrFormat(R"(name: "%s"
version: %d
rules { name: "all" operations: ANY effect { allow {} } }
)",
                         name, version);
}

inline std::string AppsText(uint64_t version,
                            std::string_view package = "com.example") {
  return absl::StrFormat(R"(version: %d
apps { package: "%s" uid: 10001 }
)",
                         version, package);
}

class PolicyManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    OpenState();
    Start();
  }

  void OpenState() {
    state_ = nullptr;
    absl::StatusOr<std::unique_ptr<StateDir>> state =
        StateDir::Open(scratch_.Path("state"));
    ASSERT_THAT(state, absl_testing::IsOk());
    state_ = *std::move(state);
  }

  absl::Status TryStart(const PolicyManager::Start& start = {}) {
    manager_ = nullptr;
    absl::StatusOr<std::unique_ptr<PolicyManager>> manager =
        PolicyManager::Create(start, state_.get());
    if (!manager.ok()) return manager.status();
    manager_ = *std::move(manager);
    return absl::OkStatus();
  }
  void Start(const PolicyManager::Start& start = {}) {
    ASSERT_THAT(TryStart(start), absl_testing::IsOk());
  }
  // As the daemon that comes after a crash.
  void Restart(const PolicyManager::Start& start = {}) {
    manager_ = nullptr;
    OpenState();
    Start(start);
  }

  control::v1::PushResponse Push(control::v1::PushRequest::Kind kind,
                                 const std::string& content,
                                 bool dry_run = false) {
    control::v1::PushRequest request;
    request.set_kind(kind);
    request.set_content(content);
    request.set_file_name("pushed");
    request.set_dry_run(dry_run);
    return manager_->Push(request);
  }

  // Has a process of its own do `change`, whose result is its exit code, and
  // kills it before the change's step of that number, as power would. Then
  // starts as the daemon does after it; gives the process's wait(2) status.
  void KillAtStep(int step, const std::function<int()>& change, int& status) {
    manager_ = nullptr;
    state_ = nullptr;
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      OpenState();
      if (!TryStart().ok()) _exit(1);
      int left = step;
      state_->SetSteps([&left](std::string_view) {
        if (left-- == 0) kill(getpid(), SIGKILL);
        return absl::OkStatus();
      });
      _exit(change());
    }
    ASSERT_EQ(waitpid(child, &status, 0), child);
    OpenState();
    Start();
  }

  control::v1::PushResponse Rollback(
      std::optional<uint64_t> version = std::nullopt, bool apps = false) {
    control::v1::RollbackRequest request;
    if (version.has_value()) request.set_version(*version);
    request.set_apps(apps);
    return manager_->Rollback(request);
  }

  static policy::v1::AppChange Install(std::string_view package, uint32_t uid) {
    policy::v1::AppChange change;
    change.mutable_install()->set_package(std::string(package));
    change.mutable_install()->set_uid(uid);
    return change;
  }
  static policy::v1::AppChange Grant(const char* package,
                                     const char* permission) {
    policy::v1::AppChange change;
    change.mutable_grant()->set_package(package);
    change.mutable_grant()->set_permission(permission);
    return change;
  }
  control::v1::PushResponse Change(
      const std::vector<policy::v1::AppChange>& changes, uint64_t base = 0,
      bool dry_run = false) {
    control::v1::AppsDeltaRequest request;
    request.set_base_version(base);
    request.set_dry_run(dry_run);
    for (const policy::v1::AppChange& change : changes) {
      *request.add_changes() = change;
    }
    return manager_->ChangeApps(request);
  }

  // Changes what is kept of a version.
  void Break(History::Line line, uint64_t version,
             const std::string& content = "\xff\xff broken") {
    const absl::StatusOr<std::vector<std::string>> files = state_->History();
    ASSERT_THAT(files, absl_testing::IsOk());
    const std::string start =
        absl::StrCat(kHistoryDirectory, NameOf(line), "-", version, "-");
    for (const std::string& file : *files) {
      if (file.compare(0, start.size(), start) == 0) {
        ASSERT_THAT(state_->Write(file, content), absl_testing::IsOk());
      }
    }
  }

  control::v1::Status Status() const {
    control::v1::Status status;
    manager_->FillStatus(status);
    return status;
  }
  uint64_t PolicyVersion() const { return Status().policy().version(); }
  std::string PolicyName() const { return Status().policy().name(); }
  uint64_t AppsVersion() const { return Status().apps().version(); }

  kernel::ScratchDirectory scratch_;
  std::unique_ptr<StateDir> state_;
  std::unique_ptr<PolicyManager> manager_;
};

}  // namespace fused

#endif  // FUSED_FUSED_TESTING_POLICY_MANAGER_FIXTURE_H_
