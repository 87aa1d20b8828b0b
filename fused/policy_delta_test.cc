// Changes of the app directory, and what a crash leaves of them.
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
#include "absl/strings/match.h"
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
    int status = 0;
    // More than the first makes the journal.
    const auto install = [&] {
      return Change({Install(absl::StrCat("com.x", step), 10002)}).accepted()
                 ? 0
                 : 1;
    };
    ASSERT_NO_FATAL_FAILURE(KillAtStep(step, install, status));
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

std::string JournalIn(StateDir& state) {
  const absl::StatusOr<std::vector<std::string>> files = state.History();
  for (const std::string& file : files.value_or(std::vector<std::string>())) {
    if (absl::EndsWith(file, ".journal")) return file;
  }
  return "";
}

// Deltas that were acknowledged are not dropped without a word.
TEST_F(PolicyManagerTest, ABrokenDeltaBeforeWholeOnesIsToldOf) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(1)).accepted());
  std::vector<size_t> ends;
  for (const char* package : {"com.second", "com.third", "com.fourth"}) {
    ASSERT_TRUE(Change({Install(package, 10002)}).accepted());
    ends.push_back((**state_->Read(JournalIn(*state_))).size());
  }
  const std::string journal = JournalIn(*state_);
  const std::string whole = **state_->Read(journal);
  manager_ = nullptr;
  // In a length, a sum, a body; of one in the middle, and of the last.
  for (const size_t at : {ends[0] + 1, ends[0] + 5, ends[0] + 9, ends[1] + 9}) {
    std::string broken = whole;
    broken[at] ^= 1;
    ASSERT_THAT(state_->Write(journal, broken), IsOk());
    Start();
    EXPECT_EQ(AppsVersion(), at < ends[1] ? 2u : 3u) << at;
    ASSERT_EQ(Status().warnings_size(), 1) << at;
    EXPECT_THAT(Status().warnings(0), testing::HasSubstr("are lost"));
    EXPECT_EQ(**state_->Read(kDamagedJournal), broken);
    manager_ = nullptr;
  }
  // What a disk may make of an append that did not end.
  for (const std::string& rest :
       {std::string(100, 0), std::string("\x0b\0\0\0xxxxyyy", 11)}) {
    ASSERT_THAT(state_->Write(journal, whole + rest), IsOk());
    Start();
    EXPECT_EQ(AppsVersion(), 4u);
    EXPECT_EQ(Status().warnings_size(), 0);
    manager_ = nullptr;
  }
}

// The index may name the deltas put together, or not: neither way is one lost
// that was acknowledged.
TEST_F(PolicyManagerTest, ADiskThatFailsTwiceLosesNoDelta) {
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(1)).accepted());
  ASSERT_TRUE(Change({Install("com.second", 10002)}).accepted());
  int renamed = 0;
  state_->SetSteps([&renamed](std::string_view step) {
    if (step == "rename history.binpb") ++renamed;
    return step == "fsync the directory of history.binpb" ||
                   (renamed != 0 && step == "create history.binpb")
               ? kernel::ErrnoStatus(EIO)
               : absl::OkStatus();
  });
  EXPECT_FALSE(Push(PushRequest::APPS, AppsText(9)).accepted());
  EXPECT_EQ(AppsVersion(), 2u);
  EXPECT_FALSE(Change({Install("com.never", 10009)}).accepted());
  state_->SetSteps(nullptr);
  EXPECT_TRUE(Change({Install("com.third", 10003)}).accepted());
  Restart();
  EXPECT_EQ(Status().warnings_size(), 0);
  EXPECT_EQ(Status().apps().count(), 3u);
  EXPECT_TRUE(manager_->rules().snapshot()->AppIdOf("com.third").has_value());
  EXPECT_FALSE(manager_->rules().snapshot()->AppIdOf("com.never").has_value());
}

// An index that is made anew counts anew: a journal is its own base's alone.
TEST_F(PolicyManagerTest, AJournalIsNotJoinedWithAnothersBase) {
  for (uint64_t version = 1; version <= 3; ++version) {
    ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(version)).accepted());
  }
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(1, "com.one")).accepted());
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(2, "com.two")).accepted());
  ASSERT_TRUE(Push(PushRequest::POLICY, PolicyText(4)).accepted());
  ASSERT_EQ(Rollback(1, true).version(), 1u);
  ASSERT_TRUE(Change({Install("com.second", 10002)}).accepted());
  for (const char* index : {"", "\xff\xff broken"}) {
    ASSERT_THAT(state_->Write(kHistoryFile, index), IsOk());
    Restart();
    EXPECT_EQ(AppsVersion(), 2u);
    EXPECT_FALSE(
        manager_->rules().snapshot()->AppIdOf("com.second").has_value());
    ASSERT_EQ(Status().warnings_size(), 2);
    EXPECT_THAT(Status().warnings(1),
                testing::HasSubstr("without the changes"));
  }
  // With its own base it is what was in force.
  ASSERT_TRUE(Push(PushRequest::APPS, AppsText(5, "com.five")).accepted());
  ASSERT_TRUE(Change({Install("com.third", 10003)}).accepted());
  ASSERT_THAT(state_->Write(kHistoryFile, ""), IsOk());
  Restart();
  EXPECT_EQ(AppsVersion(), 6u);
  EXPECT_TRUE(manager_->rules().snapshot()->AppIdOf("com.third").has_value());
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
  // What was put together, and what came since.
  ASSERT_EQ(history.entries_size(), 2);
  EXPECT_EQ(history.entries(1).origin(), "DELTAS");
  EXPECT_FALSE(history.entries(1).in_force());
  EXPECT_EQ(history.entries(0).origin(), "DELTAS");
  EXPECT_EQ(history.entries(0).version(), version);
  EXPECT_TRUE(history.entries(0).in_force());
  EXPECT_GT(history.entries(0).time().seconds(), 1600000000);
  EXPECT_EQ(history.highest_version(), version);
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

}  // namespace
}  // namespace fused
