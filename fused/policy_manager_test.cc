// Which policy and which apps are in force, and what refuses to be.
#include "fused/policy_manager.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using ::absl_testing::StatusIs;
using control::v1::PushRequest;
using control::v1::PushResponse;
using ::testing::HasSubstr;

std::string PolicyText(uint64_t version, std::string_view name = "test") {
  return absl::StrFormat(R"(name: "%s"
version: %d
rules { name: "all" operations: ANY effect { allow {} } }
)",
                         name, version);
}

std::string AppsText(uint64_t version,
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
    ASSERT_THAT(state, IsOk());
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
    ASSERT_THAT(TryStart(start), IsOk());
  }
  // As the daemon that comes after a crash.
  void Restart(const PolicyManager::Start& start = {}) {
    manager_ = nullptr;
    OpenState();
    Start(start);
  }

  PushResponse Push(PushRequest::Kind kind, const std::string& content,
                    bool dry_run = false) {
    PushRequest request;
    request.set_kind(kind);
    request.set_content(content);
    request.set_file_name("pushed");
    request.set_dry_run(dry_run);
    return manager_->Push(request);
  }

  PushResponse Rollback(std::optional<uint64_t> version = std::nullopt,
                        bool apps = false) {
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
  PushResponse Change(const std::vector<policy::v1::AppChange>& changes,
                      uint64_t base = 0, bool dry_run = false) {
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
    ASSERT_THAT(files, IsOk());
    const std::string start =
        absl::StrCat(kHistoryDirectory, NameOf(line), "-", version, "-");
    for (const std::string& file : *files) {
      if (file.compare(0, start.size(), start) == 0) {
        ASSERT_THAT(state_->Write(file, content), IsOk());
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

TEST_F(PolicyManagerTest, StartsWithTheBuiltInPolicyAndNoApps) {
  EXPECT_EQ(PolicyName(), "scoped_storage");
  EXPECT_EQ(PolicyVersion(), 0u);
  EXPECT_EQ(AppsVersion(), 0u);
  EXPECT_EQ(Status().apps().count(), 0u);
  EXPECT_EQ(Status().epoch(), 1u);
  EXPECT_EQ(Status().policy().sha256().size(), 64u);
}

TEST_F(PolicyManagerTest, ANewVersionIsInForceAtOnce) {
  const auto before = manager_->rules().snapshot();
  const PushResponse response = Push(PushRequest::POLICY, PolicyText(3));
  EXPECT_TRUE(response.accepted());
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.version(), 3u);
  EXPECT_EQ(response.epoch(), 2u);
  EXPECT_EQ(response.issues_size(), 0);
  EXPECT_EQ(response.sha256(), Status().policy().sha256());
  EXPECT_EQ(PolicyVersion(), 3u);
  EXPECT_EQ(manager_->rules().snapshot()->epoch(), 2u);
  // Who began with the old one may end with it.
  EXPECT_EQ(before->policy().source().name(), "scoped_storage");
}

TEST_F(PolicyManagerTest, NewAppsAreInForceAtOnce) {
  const PushResponse response = Push(PushRequest::APPS, AppsText(7));
  EXPECT_TRUE(response.accepted());
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.version(), 7u);
  EXPECT_EQ(response.epoch(), 2u);
  EXPECT_EQ(AppsVersion(), 7u);
  EXPECT_EQ(Status().apps().count(), 1u);
  EXPECT_EQ(manager_->rules().snapshot()->AppIdOf("com.example"), 10001u);
  EXPECT_EQ(response.sha256(), manager_->rules().snapshot()->apps_sha256());
}

TEST_F(PolicyManagerTest, TheSameOnceMoreIsAcknowledgedWithoutWork) {
  int changes = 0;
  manager_->OnChange([&changes] { ++changes; });
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).changed());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(3)).changed());
  EXPECT_EQ(changes, 2);
  const auto before = manager_->rules().snapshot();
  // Written otherwise, it is still the same.
  for (const std::string& policy :
       {PolicyText(3), absl::StrCat("# A comment.\n", PolicyText(3)),
        before->policy().source().SerializeAsString()}) {
    const PushResponse response = Push(PushRequest::POLICY, policy);
    EXPECT_TRUE(response.accepted());
    EXPECT_FALSE(response.changed());
    EXPECT_EQ(response.version(), 3u);
    EXPECT_EQ(response.epoch(), 3u);
  }
  const PushResponse response = Push(PushRequest::APPS, AppsText(3));
  EXPECT_TRUE(response.accepted());
  EXPECT_FALSE(response.changed());
  EXPECT_EQ(response.version(), 3u);
  EXPECT_EQ(manager_->rules().snapshot(), before);
  EXPECT_EQ(changes, 2);
}

TEST_F(PolicyManagerTest, TheSameVersionWithOtherContentIsRefused) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(3)).accepted());
  const auto before = manager_->rules().snapshot();
  PushResponse response = Push(PushRequest::POLICY, PolicyText(3, "other"));
  EXPECT_FALSE(response.accepted());
  EXPECT_FALSE(response.changed());
  EXPECT_EQ(response.version(), 3u);
  EXPECT_EQ(response.sha256(), before->policy().sha256());
  ASSERT_EQ(response.issues_size(), 1);
  EXPECT_EQ(response.issues(0).file(), "pushed");
  EXPECT_EQ(response.issues(0).line(), 2u);
  EXPECT_GT(response.issues(0).column(), 0u);
  EXPECT_EQ(response.issues(0).field(), "version");
  EXPECT_THAT(response.issues(0).reason(), HasSubstr("other content"));

  response = Push(PushRequest::APPS, AppsText(3, "com.other"));
  EXPECT_FALSE(response.accepted());
  ASSERT_EQ(response.issues_size(), 1);
  EXPECT_EQ(response.issues(0).line(), 1u);
  EXPECT_EQ(response.issues(0).field(), "version");
  EXPECT_EQ(manager_->rules().snapshot(), before);
}

TEST_F(PolicyManagerTest, AnOlderVersionIsRefused) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(3)).accepted());
  const auto before = manager_->rules().snapshot();
  for (const uint64_t version : {uint64_t{0}, uint64_t{1}, uint64_t{2}}) {
    EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(version)).accepted());
    EXPECT_FALSE(Push(PushRequest::APPS, AppsText(version)).accepted());
  }
  EXPECT_EQ(manager_->rules().snapshot(), before);
  EXPECT_TRUE(Push(PushRequest::POLICY, PolicyText(4)).accepted());
}

TEST_F(PolicyManagerTest, WhatDoesNotCompileChangesNothing) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  const auto before = manager_->rules().snapshot();
  // Every issue, each with its place.
  PushResponse response = Push(PushRequest::POLICY, R"(name: "broken"
version: 4
rules { name: "a" path_classes: "absent"
        operations: ANY effect { allow {} } }
rules { name: "b" operations: READ
        when { media_type: "NONE" } effect { allow {} } }
)");
  EXPECT_FALSE(response.accepted());
  EXPECT_FALSE(response.changed());
  EXPECT_EQ(response.version(), 3u);
  ASSERT_EQ(response.issues_size(), 2);
  EXPECT_EQ(response.issues(0).file(), "pushed");
  EXPECT_EQ(response.issues(0).line(), 3u);
  EXPECT_GT(response.issues(0).column(), 0u);
  EXPECT_FALSE(response.issues(0).field().empty());
  EXPECT_FALSE(response.issues(0).reason().empty());
  EXPECT_EQ(response.issues(1).line(), 6u);

  for (const std::string& text :
       {std::string("rules {"), std::string("\xff\xff\xff"),
        std::string("no_such_field: 1")}) {
    response = Push(PushRequest::POLICY, text);
    EXPECT_FALSE(response.accepted()) << text;
    EXPECT_GE(response.issues_size(), 1) << text;
    response = Push(PushRequest::APPS, text);
    EXPECT_FALSE(response.accepted()) << text;
    EXPECT_GE(response.issues_size(), 1) << text;
  }
  EXPECT_EQ(manager_->rules().snapshot(), before);
  EXPECT_EQ(Status().epoch(), 2u);
}

TEST_F(PolicyManagerTest, ADryRunSaysWhatWouldBe) {
  int changes = 0;
  manager_->OnChange([&changes] { ++changes; });
  const auto before = manager_->rules().snapshot();
  for (const PushRequest::Kind kind :
       {PushRequest::POLICY, PushRequest::APPS}) {
    const bool policy = kind == PushRequest::POLICY;
    const PushResponse response =
        Push(kind, policy ? PolicyText(3) : AppsText(3), true);
    EXPECT_TRUE(response.accepted());
    EXPECT_TRUE(response.changed());
    // What is in force.
    EXPECT_EQ(response.version(), 0u);
    EXPECT_EQ(response.epoch(), 1u);
  }
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(0), true).accepted());
  EXPECT_EQ(manager_->rules().snapshot(), before);
  EXPECT_EQ(changes, 0);
  Restart();
  EXPECT_EQ(PolicyVersion(), 0u);
  EXPECT_EQ(AppsVersion(), 0u);
}

TEST_F(PolicyManagerTest, WhatWasAcknowledgedSurvivesARestart) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(5)).accepted());
  const control::v1::Status before = Status();
  Restart();
  EXPECT_EQ(Status().policy().sha256(), before.policy().sha256());
  EXPECT_EQ(AppsVersion(), 5u);
  EXPECT_EQ(Status().apps().count(), 1u);
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(2)).accepted());
  EXPECT_FALSE(Push(PushRequest::APPS, AppsText(5, "com.other")).accepted());
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(3)).changed());
}

TEST_F(PolicyManagerTest, WhatCannotBeKeptIsNotInForce) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(3)).accepted());
  const control::v1::Status before = Status();
  // Whatever step it is at which the disk fails, and with whatever.
  for (const PushRequest::Kind kind :
       {PushRequest::POLICY, PushRequest::APPS}) {
    const bool policy = kind == PushRequest::POLICY;
    int failing = 0;
    for (bool failed = true; failed; ++failing) {
      SCOPED_TRACE(absl::StrCat("step ", failing, " of ", policy));
      int left = failing;
      failed = false;
      state_->SetSteps([&](std::string_view step) {
        // What is left over is no reason.
        if (step.substr(0, 6) == "remove" || left-- != 0) {
          return absl::OkStatus();
        }
        failed = true;
        return kernel::ErrnoStatus(failing % 2 == 0 ? ENOSPC : EIO);
      });
      const PushResponse response =
          Push(kind, policy ? PolicyText(4) : AppsText(4));
      state_->SetSteps(nullptr);
      ASSERT_EQ(response.accepted(), !failed);
      if (!failed) continue;
      EXPECT_FALSE(response.changed());
      EXPECT_EQ(response.version(), 3u);
      EXPECT_EQ(response.issues_size(), 1);
      const control::v1::Status after = Status();
      Restart();
      for (const control::v1::Status& status : {after, Status()}) {
        EXPECT_EQ(status.warnings_size(), 0);
        EXPECT_EQ(status.apps().version(), 3u);
        if (policy) {
          EXPECT_EQ(status.policy().sha256(), before.policy().sha256());
        }
      }
    }
    EXPECT_GE(failing, 10);
  }
  EXPECT_EQ(PolicyVersion(), 4u);
  EXPECT_EQ(AppsVersion(), 4u);
}

TEST_F(PolicyManagerTest, WhatFailedAtTheLastStepLeavesNoDecision) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  const uint64_t epoch = Status().epoch();
  int changes = 0;
  manager_->OnChange([&changes] { ++changes; });
  state_->SetSteps([](std::string_view step) {
    return step == "rename history.binpb" ? kernel::ErrnoStatus(EIO)
                                          : absl::OkStatus();
  });
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(4)).accepted());
  // Put in force and taken back: an epoch for each, which kernels heard of.
  EXPECT_EQ(Status().epoch(), epoch + 2);
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(PolicyVersion(), 3u);
  manager_->OnChange(nullptr);
}

// Kills a process at each step of a push, as power would.
TEST_F(PolicyManagerTest, KilledAtAnyStepItIsTheOldOrTheNew) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(3)).accepted());
  constexpr int kAcked = 7;
  uint64_t version = 4;
  for (int step = 0;; ++step, ++version) {
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
      const bool acked =
          Push(PushRequest::POLICY, PolicyText(version)).accepted() &&
          Push(PushRequest::APPS, AppsText(version)).accepted();
      _exit(acked ? kAcked : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    OpenState();
    Start();
    EXPECT_EQ(Status().warnings_size(), 0) << step;
    EXPECT_LE(AppsVersion(), PolicyVersion()) << step;
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), kAcked);
      EXPECT_EQ(PolicyVersion(), version);
      EXPECT_EQ(AppsVersion(), version);
      EXPECT_GE(step, 16);
      break;
    }
    EXPECT_TRUE(PolicyVersion() == version || PolicyVersion() == version - 1)
        << step;
    // So that there is one version from which to go on.
    Push(PushRequest::POLICY, PolicyText(version));
    Push(PushRequest::APPS, AppsText(version));
    ASSERT_EQ(PolicyVersion(), version);
    ASSERT_EQ(AppsVersion(), version);
  }
}

TEST_F(PolicyManagerTest, ABrokenLastGoodOneFallsBackToTheOneBefore) {
  for (uint64_t version = 3; version <= 5; ++version) {
    ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(version)).accepted());
    ASSERT_TRUE(Push(PushRequest::APPS, AppsText(version)).accepted());
  }
  Break(History::Line::kPolicy, 5);
  Break(History::Line::kApps, 5);
  Restart();
  EXPECT_EQ(PolicyVersion(), 4u);
  EXPECT_EQ(AppsVersion(), 4u);
  // Loudly.
  ASSERT_EQ(Status().warnings_size(), 4);
  EXPECT_THAT(Status().warnings(0), HasSubstr("version 5 can't be used"));
  EXPECT_THAT(Status().warnings(1), HasSubstr("version 4 stands in"));
  // What was seen stays seen.
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(5)).accepted());

  Break(History::Line::kPolicy, 3);
  Break(History::Line::kPolicy, 4);
  Break(History::Line::kApps, 3);
  Break(History::Line::kApps, 4);
  Restart();
  EXPECT_EQ(PolicyName(), "scoped_storage");
  EXPECT_EQ(AppsVersion(), 0u);
  EXPECT_EQ(Status().apps().count(), 0u);
  EXPECT_GE(Status().warnings_size(), 8);
  // Something new ends the warning.
  EXPECT_TRUE(Push(PushRequest::POLICY, PolicyText(6)).accepted());
  EXPECT_EQ(Status().warnings_size(), 4);
  EXPECT_TRUE(Push(PushRequest::APPS, AppsText(6)).accepted());
  EXPECT_EQ(Status().warnings_size(), 0);
}

TEST_F(PolicyManagerTest, ContentThatIsNotWhatWasPushedIsNotTaken) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(4)).accepted());
  // It compiles, and somebody has changed it.
  Break(History::Line::kPolicy, 4, PolicyText(4, "changed"));
  Restart();
  EXPECT_EQ(PolicyVersion(), 3u);
  EXPECT_EQ(PolicyName(), "test");
}

TEST_F(PolicyManagerTest, ABrokenIndexIsMadeAnew) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(12)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(5)).accepted());
  ASSERT_THAT(state_->Write(kHistoryFile, "\xff\xff broken"), IsOk());
  Restart();
  EXPECT_EQ(PolicyVersion(), 12u);
  EXPECT_EQ(AppsVersion(), 5u);
  EXPECT_EQ(Status().warnings_size(), 2);
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(11)).accepted());
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(12)).changed());
  EXPECT_TRUE(Push(PushRequest::POLICY, PolicyText(13)).accepted());
  Restart();
  EXPECT_EQ(PolicyVersion(), 13u);
  EXPECT_EQ(Rollback(3).version(), 3u);
}

TEST_F(PolicyManagerTest, ARollbackPutsAnOldVersionInForce) {
  for (uint64_t version = 1; version <= 4; ++version) {
    ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(version)).accepted());
    ASSERT_TRUE(Push(PushRequest::APPS, AppsText(version)).accepted());
  }
  const uint64_t epoch = Status().epoch();
  PushResponse response = Rollback(2);
  EXPECT_TRUE(response.accepted());
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.version(), 2u);
  EXPECT_EQ(response.epoch(), epoch + 1);
  EXPECT_EQ(PolicyVersion(), 2u);
  EXPECT_EQ(AppsVersion(), 4u);
  // Again: there is nothing to do.
  response = Rollback(2);
  EXPECT_TRUE(response.accepted());
  EXPECT_FALSE(response.changed());
  // To the one before, and back.
  EXPECT_EQ(Rollback().version(), 4u);
  EXPECT_EQ(Rollback().version(), 2u);
  Restart();
  EXPECT_EQ(PolicyVersion(), 2u);
  // The next one must exceed the highest that ever was.
  response = Push(PushRequest::POLICY, PolicyText(3, "other"));
  EXPECT_FALSE(response.accepted());
  EXPECT_THAT(response.issues(0).reason(), HasSubstr("version 4"));
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(4)).accepted());
  EXPECT_TRUE(Push(PushRequest::POLICY, PolicyText(5)).accepted());
  EXPECT_EQ(Rollback(3, true).version(), 3u);
  EXPECT_EQ(AppsVersion(), 3u);
  response = Rollback(77);
  EXPECT_FALSE(response.accepted());
  EXPECT_EQ(response.version(), 5u);
  EXPECT_THAT(response.issues(0).reason(), HasSubstr("not in the history"));
}

TEST_F(PolicyManagerTest, ARollbackEndsAtWhatIsBuiltIn) {
  EXPECT_FALSE(Rollback().accepted());
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  EXPECT_TRUE(Rollback().accepted());
  EXPECT_EQ(PolicyName(), "scoped_storage");
  Restart();
  EXPECT_EQ(PolicyName(), "scoped_storage");
  EXPECT_EQ(Status().warnings_size(), 0);
  EXPECT_EQ(Rollback().version(), 3u);
  EXPECT_EQ(Rollback(0).version(), 0u);
  EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(3, "other")).accepted());
}

TEST_F(PolicyManagerTest, WhatWasRolledBackDoesNotComeBackByARestart) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  const std::string bad = scratch_.MakeFile("bad", PolicyText(4, "bad"));
  Restart({.policy = bad});
  EXPECT_EQ(PolicyName(), "bad");
  ASSERT_EQ(Rollback().version(), 3u);
  Restart({.policy = bad});
  EXPECT_EQ(PolicyVersion(), 3u);
  EXPECT_EQ(Status().warnings_size(), 1);
  const std::string good = scratch_.MakeFile("good", PolicyText(5, "good"));
  Restart({.policy = good});
  EXPECT_EQ(PolicyName(), "good");
}

TEST_F(PolicyManagerTest, ADeltaIsInForceAtOnceAndAfterARestart) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(7)).accepted());
  const uint64_t epoch = Status().epoch();
  PushResponse response = Change({Grant("com.example", "READ_MEDIA_IMAGES")});
  EXPECT_TRUE(response.accepted());
  EXPECT_TRUE(response.changed());
  EXPECT_EQ(response.version(), 8u);
  EXPECT_EQ(response.epoch(), epoch + 1);
  response = Change({Install("com.second", 10002)});
  EXPECT_EQ(response.version(), 9u);
  // Nothing to do.
  response = Change({Install("com.second", 10002)});
  EXPECT_TRUE(response.accepted());
  EXPECT_FALSE(response.changed());
  EXPECT_EQ(response.version(), 9u);
  const std::string apps =
      manager_->rules().snapshot()->apps().SerializeAsString();
  const std::string sha256 = manager_->rules().snapshot()->apps_sha256();
  Restart();
  EXPECT_EQ(AppsVersion(), 9u);
  EXPECT_EQ(Status().apps().count(), 2u);
  EXPECT_EQ(manager_->rules().snapshot()->apps().SerializeAsString(), apps);
  EXPECT_EQ(manager_->rules().snapshot()->apps_sha256(), sha256);
  EXPECT_EQ(Status().warnings_size(), 0);
  // A push must exceed them; the same as what they made is nothing new.
  EXPECT_FALSE(Push(PushRequest::APPS, AppsText(9)).accepted());
  response = Push(PushRequest::APPS, apps);
  EXPECT_TRUE(response.accepted());
  EXPECT_FALSE(response.changed());
  EXPECT_TRUE(Push(PushRequest::APPS, AppsText(10)).accepted());
  EXPECT_EQ(Change({Install("com.second", 10002)}).version(), 11u);
  Restart();
  EXPECT_EQ(AppsVersion(), 11u);
}

TEST_F(PolicyManagerTest, ADeltaThatIsRefusedChangesNothing) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(7)).accepted());
  const auto before = manager_->rules().snapshot();
  PushResponse response =
      Change({Install("com.second", 10002), Grant("com.absent", "X")});
  EXPECT_FALSE(response.accepted());
  EXPECT_EQ(response.version(), 7u);
  ASSERT_EQ(response.issues_size(), 1);
  EXPECT_EQ(response.issues(0).field(), "changes[1].grant.package");
  response = Change({Install("com.second", 10002)}, 6);
  EXPECT_FALSE(response.accepted());
  EXPECT_EQ(response.issues(0).field(), "base_version");
  EXPECT_TRUE(Change({Install("com.second", 10002)}, 7, true).changed());
  for (const char* failing : {"create", "append", "fdatasync"}) {
    state_->SetSteps([failing](std::string_view step) {
      return absl::StartsWith(step, failing) ? kernel::ErrnoStatus(ENOSPC)
                                             : absl::OkStatus();
    });
    response = Change({Install("com.second", 10002)});
    EXPECT_FALSE(response.accepted()) << failing;
    EXPECT_EQ(response.version(), 7u);
    EXPECT_EQ(response.issues_size(), 1);
  }
  EXPECT_EQ(manager_->rules().snapshot(), before);
  state_->SetSteps(nullptr);
  Restart();
  EXPECT_EQ(AppsVersion(), 7u);
  EXPECT_EQ(Change({Install("com.second", 10002)}, 7).version(), 8u);
}

TEST_F(PolicyManagerTest, WhatCannotBeTakenBackIsFollowedByNothing) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(7)).accepted());
  ASSERT_TRUE(Change({Install("com.second", 10002)}).accepted());
  state_->SetSteps([](std::string_view step) {
    return absl::StartsWith(step, "fdatasync") ||
                   absl::StartsWith(step, "truncate")
               ? kernel::ErrnoStatus(EIO)
               : absl::OkStatus();
  });
  EXPECT_FALSE(Change({Install("com.third", 10003)}).accepted());
  state_->SetSteps(nullptr);
  // The record that was refused may be there: the next goes without it.
  EXPECT_EQ(Change({Install("com.fourth", 10004)}).version(), 9u);
  Restart();
  EXPECT_EQ(AppsVersion(), 9u);
  EXPECT_FALSE(manager_->rules().snapshot()->AppIdOf("com.third").has_value());
  EXPECT_TRUE(manager_->rules().snapshot()->AppIdOf("com.fourth").has_value());
}

TEST_F(PolicyManagerTest, KilledAtAnyStepADeltaIsWholeOrNotThere) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(1)).accepted());
  for (int step = 0; step < 6; ++step) {
    const uint64_t before = AppsVersion();
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
      // More than the first makes the journal.
      const bool acked =
          Change({Install(absl::StrCat("com.x", step), 10002)}).accepted();
      _exit(acked ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    OpenState();
    Start();
    EXPECT_EQ(Status().warnings_size(), 0);
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_EQ(AppsVersion(), before + 1);
    } else {
      EXPECT_LE(AppsVersion(), before + 1);
    }
    EXPECT_EQ(manager_->rules()
                  .snapshot()
                  ->AppIdOf(absl::StrCat("com.x", step))
                  .has_value(),
              AppsVersion() == before + 1);
  }
}

TEST_F(PolicyManagerTest, ATornDeltaIsDropped) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(1)).accepted());
  ASSERT_TRUE(Change({Install("com.second", 10002)}).accepted());
  const absl::StatusOr<std::vector<std::string>> files = state_->History();
  ASSERT_THAT(files, IsOk());
  std::string journal;
  for (const std::string& file : *files) {
    if (absl::EndsWith(file, ".journal")) journal = file;
  }
  const std::string whole = **state_->Read(journal);
  ASSERT_TRUE(Change({Install("com.third", 10003)}).accepted());
  const std::string both = **state_->Read(journal);
  manager_ = nullptr;
  for (size_t size = 0; size <= both.size(); ++size) {
    ASSERT_THAT(state_->Write(journal, both.substr(0, size)), IsOk());
    Start();
    EXPECT_EQ(AppsVersion(), 1u + (size >= whole.size() ? 1 : 0) +
                                 (size == both.size() ? 1 : 0))
        << size;
    manager_ = nullptr;
  }
  // Bits that fall over end it too; what follows is where it ended.
  std::string broken = both;
  broken[whole.size() + 9] ^= 1;
  ASSERT_THAT(state_->Write(journal, broken), IsOk());
  Start();
  EXPECT_EQ(AppsVersion(), 2u);
  EXPECT_EQ(Change({Install("com.fourth", 10004)}).version(), 3u);
  Restart();
  EXPECT_EQ(AppsVersion(), 3u);
  EXPECT_TRUE(manager_->rules().snapshot()->AppIdOf("com.fourth").has_value());
}

TEST_F(PolicyManagerTest, ARollbackKnowsWhatDeltasMade) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(5)).accepted());
  ASSERT_TRUE(Change({Install("com.second", 10002)}).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(9, "com.other")).accepted());
  // To the directory with its delta, and from there to the one without.
  EXPECT_EQ(Rollback(std::nullopt, true).version(), 6u);
  EXPECT_EQ(Status().apps().count(), 2u);
  EXPECT_EQ(Rollback(5, true).version(), 5u);
  // The version after all.
  EXPECT_EQ(Change({Install("com.third", 10003)}).version(), 10u);
  EXPECT_EQ(Rollback(std::nullopt, true).version(), 5u);
  Restart();
  EXPECT_EQ(AppsVersion(), 5u);
  EXPECT_EQ(Rollback(std::nullopt, true).version(), 10u);
  EXPECT_TRUE(manager_->rules().snapshot()->AppIdOf("com.third").has_value());
}

TEST_F(PolicyManagerTest, ManyDeltasArePutTogether) {
  uint64_t version = 0;
  for (size_t i = 0; i < AppsJournal::kMostRecords + 10; ++i) {
    const PushResponse response =
        Change({Install(absl::StrCat("com.x", i % 40), 10000 + i)});
    ASSERT_TRUE(response.changed());
    ASSERT_EQ(response.version(), ++version);
  }
  const control::v1::HistoryRequest request = [] {
    control::v1::HistoryRequest apps;
    apps.set_apps(true);
    return apps;
  }();
  const control::v1::HistoryResponse history = manager_->ListHistory(request);
  ASSERT_EQ(history.entries_size(), 1);
  EXPECT_EQ(history.entries(0).origin(), "DELTAS");
  const std::string sha256 = manager_->rules().snapshot()->apps_sha256();
  Restart();
  EXPECT_EQ(AppsVersion(), version);
  EXPECT_EQ(manager_->rules().snapshot()->apps_sha256(), sha256);
}

TEST_F(PolicyManagerTest, DeltasAreNotOfWhatStandsIn) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(5)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(6)).accepted());
  ASSERT_TRUE(Change({Install("com.second", 10002)}).accepted());
  Break(History::Line::kApps, 6);
  Restart();
  EXPECT_EQ(AppsVersion(), 5u);
  EXPECT_EQ(Status().apps().count(), 1u);
  EXPECT_EQ(Status().warnings_size(), 2);
  ASSERT_TRUE(Change({Install("com.third", 10003)}).accepted());
  EXPECT_EQ(Status().warnings_size(), 0);
  Restart();
  EXPECT_EQ(Status().apps().count(), 2u);
  EXPECT_TRUE(manager_->rules().snapshot()->AppIdOf("com.third").has_value());
}

TEST_F(PolicyManagerTest, TheHistorySaysWhatWasInForceAndWhose) {
  PushRequest request;
  request.set_kind(PushRequest::POLICY);
  request.set_content(PolicyText(3));
  request.set_file_name("rules.textproto");
  request.set_peer_uid(1234);
  ASSERT_TRUE(manager_->Push(request).accepted());
  for (uint64_t version = 4; version <= 40; ++version) {
    ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(version)).accepted());
    if (version == 5) {
      const control::v1::HistoryResponse early = manager_->ListHistory({});
      ASSERT_EQ(early.entries_size(), 3);
      const control::v1::HistoryEntry& first = early.entries(2);
      EXPECT_EQ(first.version(), 3u);
      EXPECT_EQ(first.origin(), "PUSH");
      EXPECT_EQ(first.uid(), 1234u);
      EXPECT_EQ(first.file(), "rules.textproto");
      EXPECT_EQ(first.name(), "test");
      EXPECT_EQ(first.sha256().size(), 64u);
      EXPECT_GT(first.time().seconds(), 1600000000);
    }
  }
  ASSERT_TRUE(Rollback(30).accepted());
  const control::v1::HistoryResponse history = manager_->ListHistory({});
  EXPECT_EQ(history.highest_version(), 40u);
  ASSERT_EQ(history.entries_size(), History::kMostEntries);
  EXPECT_EQ(history.entries(0).version(), 30u);
  EXPECT_EQ(history.entries(0).origin(), "ROLLBACK");
  EXPECT_TRUE(history.entries(0).in_force());
  EXPECT_EQ(history.entries(1).version(), 40u);
  EXPECT_FALSE(history.entries(1).in_force());
  // The oldest are gone, their files too.
  EXPECT_FALSE(Rollback(3).accepted());
  const absl::StatusOr<std::vector<std::string>> files = state_->History();
  ASSERT_THAT(files, IsOk());
  EXPECT_EQ(files->size(), size_t{History::kMostEntries - 1});
  EXPECT_EQ(manager_->ListHistory({}).entries_size(), History::kMostEntries);
}

TEST_F(PolicyManagerTest, FilesOfAStartAreTakenIfTheyAreNotOlder) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(3)).accepted());
  const std::string older = scratch_.MakeFile("older", PolicyText(2, "older"));
  const std::string newer = scratch_.MakeFile("newer", PolicyText(4, "newer"));
  const std::string older_apps =
      scratch_.MakeFile("older_apps", AppsText(2, "com.older"));
  const std::string newer_apps =
      scratch_.MakeFile("newer_apps", AppsText(4, "com.newer"));
  Restart({.policy = older, .apps = older_apps});
  EXPECT_EQ(PolicyName(), "test");
  EXPECT_EQ(AppsVersion(), 3u);
  Restart({.policy = newer, .apps = newer_apps});
  EXPECT_EQ(PolicyName(), "newer");
  EXPECT_EQ(AppsVersion(), 4u);
  EXPECT_EQ(manager_->rules().snapshot()->AppIdOf("com.newer"), 10001u);
  // They are the last good ones now.
  Restart({.policy = older});
  EXPECT_EQ(PolicyName(), "newer");
  EXPECT_EQ(AppsVersion(), 4u);
}

TEST_F(PolicyManagerTest, ABrokenFileRefusesTheStart) {
  const std::string good = scratch_.MakeFile("good", PolicyText(1));
  const std::string good_apps = scratch_.MakeFile("good_apps", AppsText(1));
  const std::string bad = scratch_.MakeFile("bad", "name: \"x\"\nrules {");
  for (const PolicyManager::Start& start :
       {PolicyManager::Start{.policy = bad}, PolicyManager::Start{.apps = bad},
        PolicyManager::Start{.policy = good, .apps = bad}}) {
    EXPECT_THAT(TryStart(start),
                StatusIs(absl::StatusCode::kFailedPrecondition));
    EXPECT_THAT(PolicyManager::Check(start),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  // A file that can't be read is another matter.
  for (const PolicyManager::Start& start :
       {PolicyManager::Start{.policy = scratch_.Path("absent")},
        PolicyManager::Start{.apps = scratch_.Path("absent")}}) {
    EXPECT_THAT(TryStart(start), StatusIs(absl::StatusCode::kInvalidArgument));
    EXPECT_THAT(PolicyManager::Check(start),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(TryStart({.policy = bad}).message(),
              HasSubstr(absl::StrCat(bad, ":2:")));
  EXPECT_THAT(PolicyManager::Check({.policy = good, .apps = good_apps}),
              IsOk());
  EXPECT_THAT(PolicyManager::Check({}), IsOk());
}

TEST_F(PolicyManagerTest, AStartThatIsRefusedLeavesNothingBehind) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  const std::string policy = scratch_.MakeFile("policy", PolicyText(9));
  const std::string bad = scratch_.MakeFile("bad", "rules {");
  EXPECT_FALSE(TryStart({.policy = policy, .apps = bad}).ok());
  Restart();
  EXPECT_EQ(PolicyVersion(), 3u);
}

TEST_F(PolicyManagerTest, PushesComeOneAtATime) {
  constexpr int kThreads = 4;
  constexpr int kVersions = 20;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (uint64_t version = 1; version <= kVersions; ++version) {
        Push(t % 2 == 0 ? PushRequest::POLICY : PushRequest::APPS,
             t % 2 == 0 ? PolicyText(version) : AppsText(version));
      }
    });
  }
  uint64_t last = 0;
  while (last < 1 + 2 * kVersions) {
    const uint64_t epoch = manager_->rules().snapshot()->epoch();
    ASSERT_GE(epoch, last);
    last = epoch;
    if (PolicyVersion() == kVersions && AppsVersion() == kVersions) break;
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(PolicyVersion(), uint64_t{kVersions});
  EXPECT_EQ(AppsVersion(), uint64_t{kVersions});
  Restart();
  EXPECT_EQ(PolicyVersion(), uint64_t{kVersions});
}

}  // namespace
}  // namespace fused
