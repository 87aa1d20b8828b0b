// What a crash, a full disk and a rollback leave in force.
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fused/testing/policy_manager_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/status.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using control::v1::PushRequest;
using control::v1::PushResponse;
using ::testing::HasSubstr;

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

TEST_F(PolicyManagerTest, NothingPushedYetIsNoLoss) {
  for (int i = 0; i < 3; ++i) {
    Restart();
    EXPECT_EQ(Status().warnings_size(), 0) << Status().DebugString();
    EXPECT_EQ(PolicyVersion(), 0u);
  }
}

// Kills a process at each step of a push, as power would.
TEST_F(PolicyManagerTest, KilledAtAnyStepItIsTheOldOrTheNew) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(3)).accepted());
  constexpr int kAcked = 7;
  uint64_t version = 4;
  for (int step = 0;; ++step, ++version) {
    int status = 0;
    const auto push = [&] {
      const bool acked =
          Push(PushRequest::POLICY, PolicyText(version)).accepted() &&
          Push(PushRequest::APPS, AppsText(version)).accepted();
      return acked ? kAcked : 1;
    };
    ASSERT_NO_FATAL_FAILURE(KillAtStep(step, push, status));
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

// Truncated, taken away, or damaged so that it can be parsed still.
TEST_F(PolicyManagerTest, AnIndexThatIsLostTakesNothingWithIt) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(4)).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(5)).accepted());
  const std::string whole = **state_->Read(kHistoryFile);
  const std::vector<std::string> files = *state_->History();
  std::vector<std::optional<std::string>> damages = {"", std::nullopt};
  for (size_t at = 0; at < whole.size(); ++at) {
    damages.emplace_back(whole);
    (*damages.back())[at] ^= 1;
  }
  for (const std::optional<std::string>& damage : damages) {
    ASSERT_THAT(damage.has_value() ? state_->Write(kHistoryFile, *damage)
                                   : state_->Remove(kHistoryFile),
                IsOk());
    Restart();
    EXPECT_EQ(PolicyVersion(), 4u);
    EXPECT_EQ(AppsVersion(), 5u);
    EXPECT_EQ(Status().warnings_size(), 2);
    // So that it can be looked into.
    EXPECT_EQ(state_->History()->size(), files.size());
  }
  EXPECT_TRUE(Push(PushRequest::POLICY, PolicyText(5)).accepted());
  Restart();
  EXPECT_EQ(Status().warnings_size(), 0);
  EXPECT_EQ(PolicyVersion(), 5u);
}

TEST_F(PolicyManagerTest, WhatWasRefusedIsNotFoundInAnIndexMadeAnew) {
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(3)).accepted());
  for (const char* failing : {"write history.binpb", "rename history.binpb"}) {
    bool failed = false;
    state_->SetSteps([&](std::string_view step) {
      if (failed || step != failing) return absl::OkStatus();
      failed = true;
      return kernel::ErrnoStatus(EIO);
    });
    EXPECT_FALSE(Push(PushRequest::POLICY, PolicyText(4)).accepted());
    state_->SetSteps(nullptr);
    ASSERT_THAT(state_->Write(kHistoryFile, ""), IsOk());
    Restart();
    EXPECT_EQ(PolicyVersion(), 3u) << failing;
  }
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

}  // namespace
}  // namespace fused
