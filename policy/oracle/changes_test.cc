// Who is not named as changed decides as before, and few are named.
#include "policy/changes.h"

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/engine.h"
#include "policy/oracle/compare.h"
#include "policy/oracle/draw.h"
#include "policy/oracle/interpreter.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy::oracle {
namespace {

std::shared_ptr<const Snapshot> Must(const v1::Policy& policy,
                                     const v1::AppDirectory& apps) {
  std::string why;
  std::shared_ptr<const Snapshot> snapshot = Compile(policy, apps, &why);
  EXPECT_NE(snapshot, nullptr) << why;
  return snapshot;
}

// A change as pushes make them: mostly a small one.
void Change(Dice& dice, Case& drawn) {
  v1::Policy& policy = drawn.policy;
  v1::AppDirectory& apps = drawn.apps;
  switch (dice.Below(8)) {
    case 0:
      policy = DrawPolicy(dice);
      return;
    case 1:
      apps = DrawApps(dice);
      return;
    case 2:
      if (policy.rules().empty()) return;
      policy.mutable_rules()->DeleteSubrange(
          static_cast<int>(dice.Below(policy.rules().size())), 1);
      return;
    case 3:
      if (policy.rules_size() < 2) return;
      policy.mutable_rules()->SwapElements(
          static_cast<int>(dice.Below(policy.rules().size())),
          static_cast<int>(dice.Below(policy.rules().size())));
      return;
    case 4:
      if (policy.path_classes_size() < 2) return;
      policy.mutable_path_classes()->SwapElements(0, 1);
      return;
    case 5:
      if (apps.apps().empty()) return;
      apps.mutable_apps()->DeleteSubrange(
          static_cast<int>(dice.Below(apps.apps().size())), 1);
      return;
    default:
      if (apps.apps().empty()) return;
      const v1::AppDirectory other = DrawApps(dice);
      if (other.apps().empty()) return;
      v1::App& app =
          *apps.mutable_apps(static_cast<int>(dice.Below(apps.apps().size())));
      const v1::App& like = dice.Pick(other.apps());
      *app.mutable_permissions() = like.permissions();
      if (dice.Chance(30)) *app.mutable_roles() = like.roles();
      if (dice.Chance(30)) app.set_target_sdk(like.target_sdk());
      return;
  }
}

Decision Decide(const Snapshot& snapshot, const Request& request) {
  Decision decision =
      snapshot.Decide(snapshot.SubjectOf(request.caller),
                      ObjectOf(snapshot, request), SetOf(request));
  // Which rule it was may change, and the mode of what is denied means nothing.
  decision.rule = kNoRule;
  if (!decision.allowed()) decision.io = IoMode::kDaemon;
  return decision;
}

TEST(ChangesTest, WhoIsNotNamedDecidesAsBefore) {
  Dice dice(20241121);
  int asked = 0;
  int unchanged = 0;
  for (int i = 0; i < 1500; ++i) {
    Case old;
    old.policy = DrawPolicy(dice);
    old.apps = DrawApps(dice);
    Case now = old;
    Change(dice, now);
    const auto before = Must(old.policy, old.apps);
    const auto after = Must(now.policy, now.apps);
    ASSERT_TRUE(before != nullptr && after != nullptr);
    const Changes changes(before, after);
    for (int k = 0; k < 60; ++k) {
      old.request =
          DrawRequest(dice, old.policy, dice.Chance(50) ? old.apps : now.apps);
      if (old.request.granted) continue;
      ++asked;
      if (changes.ForUid(old.request.caller)) continue;
      ++unchanged;
      ASSERT_EQ(Decide(*before, old.request), Decide(*after, old.request))
          << old.ToString() << "\nnow " << now.ToString();
    }
  }
  std::cout << unchanged << " of " << asked << " requests are unchanged\n";
  EXPECT_GT(unchanged, asked / 4);
}

TEST(ChangesTest, WhatTheSharedViewMayKeepIsAsBefore) {
  Dice dice(20241122);
  int kept = 0;
  for (int i = 0; i < 1500; ++i) {
    Case old;
    old.policy = DrawPolicy(dice);
    old.apps = DrawApps(dice);
    Case now = old;
    Change(dice, now);
    const auto before = Must(old.policy, old.apps);
    const auto after = Must(now.policy, now.apps);
    ASSERT_TRUE(before != nullptr && after != nullptr);
    if (Changes(before, after).ForShared()) continue;
    for (int k = 0; k < 60; ++k) {
      Request request = DrawRequest(dice, old.policy, old.apps);
      if (request.granted || request.caller / 100000 != request.tree ||
          !before->UniformLookup(Walk(*before, request))) {
        continue;
      }
      request.operations = {v1::LOOKUP};
      const bool was = Decide(*before, request).allowed();
      // Whoever asks.
      for (const v1::App& app : now.apps.apps()) {
        request.caller = request.tree * 100000 + app.uid();
        ASSERT_EQ(was, Decide(*after, request).allowed());
      }
      request.caller = request.tree * 100000 + 77;
      ASSERT_EQ(was, Decide(*after, request).allowed());
      ++kept;
    }
  }
  EXPECT_GT(kept, 1000);
}

v1::AppDirectory ManyApps(int count) {
  v1::AppDirectory apps;
  for (int i = 0; i < count; ++i) {
    v1::App& app = *apps.add_apps();
    app.set_package(absl::StrCat("com.app", i));
    app.set_uid(10000 + static_cast<uint32_t>(i));
    app.set_target_sdk(34);
    if (i % 3 == 0) app.add_permissions("READ_MEDIA_AUDIO");
  }
  return apps;
}

TEST(ChangesTest, APermissionConcernsOneAppAlone) {
  const v1::Policy& policy = CompiledPolicy::BuiltIn()->source();
  v1::AppDirectory apps = ManyApps(10'000);
  const auto before = Must(policy, apps);
  apps.mutable_apps(77)->add_permissions("READ_MEDIA_IMAGES");
  const auto after = Must(policy, apps);
  const Changes changes(before, after);
  int concerned = 0;
  for (const v1::App& app : apps.apps()) {
    concerned += changes.ForPackage(app.package(), app.uid());
  }
  EXPECT_EQ(concerned, 1);
  EXPECT_TRUE(changes.ForPackage("com.app77", 10077));
  EXPECT_TRUE(changes.ForPackage("com.app77", 1010077));
  EXPECT_FALSE(changes.ForShared());
}

TEST(ChangesTest, WhatNoRuleAsksForConcernsNobody) {
  const v1::Policy& policy = CompiledPolicy::BuiltIn()->source();
  v1::AppDirectory apps = ManyApps(10);
  const auto before = Must(policy, apps);
  apps.mutable_apps(1)->add_permissions("CAMERA");
  apps.mutable_apps(2)->set_target_sdk(35);
  v1::Policy renamed = policy;
  renamed.set_version(9);
  renamed.set_name("another");
  renamed.mutable_rules(0)->set_name("renamed");
  const auto after = Must(renamed, apps);
  const Changes changes(before, after);
  for (const v1::App& app : apps.apps()) {
    EXPECT_FALSE(changes.ForPackage(app.package(), app.uid()));
  }
  EXPECT_FALSE(changes.ForUid(0));
  EXPECT_FALSE(changes.ForUid(77));
}

TEST(ChangesTest, ARuleConcernsThoseWhomItSpeaksOf) {
  v1::Policy policy = CompiledPolicy::BuiltIn()->source();
  const v1::AppDirectory apps = ManyApps(10);
  const auto before = Must(policy, apps);
  for (int i = policy.rules_size(); i-- > 0;) {
    if (policy.rules(i).ShortDebugString().find("READ_MEDIA_AUDIO") !=
        std::string::npos) {
      policy.mutable_rules()->DeleteSubrange(i, 1);
    }
  }
  const auto after = Must(policy, apps);
  const Changes changes(before, after);
  EXPECT_TRUE(changes.ForPackage("com.app0", 10000));
  EXPECT_FALSE(changes.ForPackage("com.app1", 10001));
  EXPECT_TRUE(changes.ForShared());
}

TEST(ChangesTest, PackagesThatComeAndGo) {
  const v1::Policy& policy = CompiledPolicy::BuiltIn()->source();
  v1::AppDirectory apps = ManyApps(3);
  const auto before = Must(policy, apps);
  v1::App& shares = *apps.add_apps();
  shares.set_package("com.shares");
  shares.set_uid(10001);
  shares.set_target_sdk(34);
  const auto after = Must(policy, apps);
  const Changes changes(before, after);
  EXPECT_TRUE(changes.ForPackage("com.shares", 10001));
  EXPECT_TRUE(changes.ForPackage("com.app1", 10001))
      << "another package's files are its own now";
  EXPECT_FALSE(changes.ForPackage("com.app2", 10002));
  EXPECT_FALSE(changes.ForPackage("com.none", 10009));
  EXPECT_FALSE(Changes(before, before).ForPackage("com.app1", 10001));
}

TEST(ChangesTest, GrantsConcernThePackage) {
  const v1::Policy& policy = CompiledPolicy::BuiltIn()->source();
  v1::AppDirectory apps = ManyApps(3);
  const auto before = Must(policy, apps);
  v1::Grant& grant = *apps.add_grants();
  grant.set_package("com.app1");
  grant.set_path("DCIM/a.jpg");
  grant.set_access(v1::Grant::GRANT_READ);
  const auto after = Must(policy, apps);
  const Changes changes(before, after);
  EXPECT_TRUE(changes.ForPackage("com.app1", 10001));
  EXPECT_FALSE(changes.ForPackage("com.app2", 10002));
  EXPECT_TRUE(changes.ForUid(10002)) << "it may be one of its packages";
  EXPECT_TRUE(changes.ForShared());
}

TEST(ChangesTest, GrantsConcernAllPackagesOfTheUid) {
  const v1::Policy& policy = CompiledPolicy::BuiltIn()->source();
  v1::AppDirectory apps = ManyApps(3);
  v1::App& shares = *apps.add_apps();
  shares.set_package("com.shares");
  shares.set_uid(10001);
  shares.set_target_sdk(34);
  const auto without = Must(policy, apps);
  v1::Grant& grant = *apps.add_grants();
  grant.set_package("com.app1");
  grant.set_path("DCIM/a.jpg");
  grant.set_access(v1::Grant::GRANT_READ);
  const auto with = Must(policy, apps);
  // Given, and taken back.
  for (const Changes& changes :
       {Changes(without, with), Changes(with, without)}) {
    EXPECT_TRUE(changes.ForPackage("com.app1", 10001));
    EXPECT_TRUE(changes.ForPackage("com.shares", 10001));
    EXPECT_FALSE(changes.ForPackage("com.app2", 10002));
  }
}

}  // namespace
}  // namespace fused::policy::oracle
