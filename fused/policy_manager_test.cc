// Which policy and which apps are in force, and what refuses to be.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fused/testing/policy_manager_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

using ::absl_testing::StatusIs;
using control::v1::PushRequest;
using control::v1::PushResponse;
using ::testing::HasSubstr;

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
  const std::string bad = scratch_.MakeFile("bad", "name: \"x\"\nrules {");
  for (const PolicyManager::Start& start :
       {PolicyManager::Start{.policy = bad}, PolicyManager::Start{.apps = bad},
        PolicyManager::Start{.policy = good, .apps = bad}}) {
    EXPECT_THAT(TryStart(start),
                StatusIs(absl::StatusCode::kFailedPrecondition));
  }
  // A file that can't be read is another matter.
  for (const PolicyManager::Start& start :
       {PolicyManager::Start{.policy = scratch_.Path("absent")},
        PolicyManager::Start{.apps = scratch_.Path("absent")}}) {
    EXPECT_THAT(TryStart(start), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(TryStart({.policy = bad}).message(),
              HasSubstr(absl::StrCat(bad, ":2:")));
}

// As --check says it.
TEST_F(PolicyManagerTest, WhatLintCallsAnErrorIsRefused) {
  const std::string told = R"(name: "x" version: 9
rules {
  name: "tells" operations: LOOKUP effect { deny { error: EACCES } }
})";
  const PushResponse response = Push(PushRequest::POLICY, told);
  EXPECT_FALSE(response.accepted());
  ASSERT_EQ(response.issues_size(), 1);
  EXPECT_EQ(response.issues(0).field(), "rules[0].effect.deny.error");
  EXPECT_EQ(response.issues(0).line(), 3u);
  EXPECT_THAT(TryStart({.policy = scratch_.MakeFile("told", told)}),
              StatusIs(absl::StatusCode::kFailedPrecondition));
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
