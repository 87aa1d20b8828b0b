// Changes of a directory, one by one, come to what a full build of the same
// directory is.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using ::testing::HasSubstr;

// What a change does to a directory, in the plainest way. False: nothing.
bool Apply(const v1::AppChange& change, v1::AppDirectory& apps) {
  const std::string before = apps.SerializeAsString();
  const auto app = [&apps](const std::string& package) -> v1::App* {
    for (v1::App& one : *apps.mutable_apps()) {
      if (one.package() == package) return &one;
    }
    return nullptr;
  };
  auto& grants = *apps.mutable_grants();
  const auto same = [](const v1::Grant& a, const v1::Grant& b) {
    return a.SerializeAsString() == b.SerializeAsString();
  };
  if (change.has_install()) {
    v1::App* const there = app(change.install().package());
    *(there != nullptr ? there : apps.add_apps()) = change.install();
  } else if (change.has_uninstall()) {
    const std::string& package = change.uninstall();
    auto& all = *apps.mutable_apps();
    if (app(package) != nullptr) {
      grants.erase(std::remove_if(grants.begin(), grants.end(),
                                  [&](const v1::Grant& grant) {
                                    return grant.package() == package;
                                  }),
                   grants.end());
    }
    all.erase(std::remove_if(
                  all.begin(), all.end(),
                  [&](const v1::App& one) { return one.package() == package; }),
              all.end());
  } else if (change.has_grant()) {
    auto& held = *app(change.grant().package())->mutable_permissions();
    if (std::count(held.begin(), held.end(), change.grant().permission()) ==
        0) {
      *held.Add() = change.grant().permission();
    }
  } else if (change.has_revoke()) {
    auto& held = *app(change.revoke().package())->mutable_permissions();
    held.erase(
        std::remove(held.begin(), held.end(), change.revoke().permission()),
        held.end());
  } else if (change.has_grant_file()) {
    if (std::none_of(grants.begin(), grants.end(), [&](const v1::Grant& one) {
          return same(one, change.grant_file());
        })) {
      *grants.Add() = change.grant_file();
    }
  } else {
    grants.erase(std::remove_if(grants.begin(), grants.end(),
                                [&](const v1::Grant& one) {
                                  return same(one, change.revoke_file());
                                }),
                 grants.end());
  }
  return apps.SerializeAsString() != before;
}

class Draw {
 public:
  explicit Draw(unsigned seed) : random_(seed) {}

  uint32_t Below(uint32_t bound) {
    return std::uniform_int_distribution<uint32_t>(0, bound - 1)(random_);
  }
  std::string Permission() {
    static const std::vector<std::string> kPermissions = {
        "READ_MEDIA_IMAGES",
        "READ_MEDIA_VIDEO",
        "READ_MEDIA_AUDIO",
        "READ_EXTERNAL_STORAGE",
        "WRITE_EXTERNAL_STORAGE",
        "ACCESS_MEDIA_LOCATION",
        "OF_NO_RULE"};
    return kPermissions[Below(static_cast<uint32_t>(kPermissions.size()))];
  }
  static std::string Package(uint32_t number) {
    return absl::StrCat("com.App", number);
  }
  v1::App App(uint32_t number) {
    v1::App app;
    app.set_package(Package(number));
    // Some share one.
    app.set_uid(10000 + Below(20));
    app.set_target_sdk(static_cast<int32_t>(28 + Below(8)));
    for (uint32_t i = Below(4); i > 0; --i) app.add_permissions(Permission());
    if (Below(4) == 0) {
      app.add_roles(static_cast<v1::Role>(1 + Below(5)));
    }
    return app;
  }
  v1::Grant Grant() {
    v1::Grant grant;
    grant.set_package(Package(Below(30)));
    grant.set_path(absl::StrCat("DCIM/", Below(5), ".jpg"));
    grant.set_access(v1::Grant::GRANT_READ);
    return grant;
  }
  v1::AppChange Change(const v1::AppDirectory& apps) {
    v1::AppChange change;
    const uint32_t kind = apps.apps().empty() ? 0 : Below(10);
    const auto existing = [&] {
      return apps
          .apps(
              static_cast<int>(Below(static_cast<uint32_t>(apps.apps_size()))))
          .package();
    };
    if (kind < 3) {
      *change.mutable_install() = App(Below(30));
    } else if (kind < 4) {
      change.set_uninstall(Package(Below(30)));
    } else if (kind < 8) {
      auto* const permission =
          kind < 6 ? change.mutable_grant() : change.mutable_revoke();
      permission->set_package(existing());
      permission->set_permission(Permission());
    } else if (kind < 9) {
      *change.mutable_grant_file() = Grant();
    } else {
      *change.mutable_revoke_file() =
          apps.grants().empty()
              ? Grant()
              : apps.grants(static_cast<int>(
                    Below(static_cast<uint32_t>(apps.grants_size()))));
    }
    return change;
  }

 private:
  std::mt19937 random_;
};

bool Equal(const Decision& a, const Decision& b) {
  return a.error == b.error && a.io == b.io && a.rule == b.rule;
}

// Every decision of every subject at places of every kind.
void ExpectAlike(const Snapshot& one, const Snapshot& other) {
  ASSERT_EQ(one.apps_version(), other.apps_version());
  ASSERT_EQ(one.app_count(), other.app_count());
  ASSERT_EQ(one.apps_sha256(), other.apps_sha256());
  ASSERT_EQ(one.apps().SerializeAsString(), other.apps().SerializeAsString());
  ASSERT_EQ(one.grants().size(), other.grants().size());
  const std::vector<std::vector<std::string>> places = {
      {"DCIM", "x.jpg"},
      {"Music", "x.mp3"},
      {"Movies", ".pending-1-x.mp4"},
      {"Download", "x.bin"},
      {"Android", "data", "com.app3", "x"},
      {"Android", "obb", "COM.APP7", "x"},
      {"Android", "media", "com.App11", "x.jpg"},
      {"Android", "data", "com.nobody"},
  };
  for (const auto& path : places) {
    Location at_one = one.Root(0);
    Location at_other = other.Root(0);
    for (const std::string& name : path) {
      at_one = one.Child(at_one, name);
      at_other = other.Child(at_other, name);
    }
    ASSERT_EQ(one.ClassOf(at_one), other.ClassOf(at_other));
    ASSERT_EQ(one.PackageOf(one.PathOwnerOf(at_one)),
              other.PackageOf(other.PathOwnerOf(at_other)));
    // What is cached for all may be less, never more, than can be.
    ASSERT_TRUE(!one.UniformLookup(at_one) || other.UniformLookup(at_other));
    ASSERT_TRUE(!one.UniformIo(at_one) || other.UniformIo(at_other));
    ASSERT_TRUE(!one.UniformList(at_one) || other.UniformList(at_other));
    for (uint32_t uid = 9999; uid < 10021; ++uid) {
      const Subject by_one = one.SubjectOf(uid);
      const Subject by_other = other.SubjectOf(uid);
      ASSERT_EQ(by_one.word, by_other.word) << uid;
      ASSERT_EQ(by_one.listed, by_other.listed) << uid;
      ASSERT_EQ(one.PackageOf(by_one.app), other.PackageOf(by_other.app));
      for (int owner = 0; owner < 2; ++owner) {
        const Object in_one =
            one.ObjectAt(at_one, path.back(), false,
                         owner == 0 ? kNoApp : one.SubjectOf(10003).app);
        const Object in_other =
            other.ObjectAt(at_other, path.back(), false,
                           owner == 0 ? kNoApp : other.SubjectOf(10003).app);
        for (int op = 0; op < kOperations; ++op) {
          const auto operation = static_cast<Operation>(op);
          ASSERT_TRUE(Equal(one.Decide(by_one, in_one, operation),
                            other.Decide(by_other, in_other, operation)))
              << uid << " " << path.back() << " " << op;
        }
      }
    }
  }
  for (uint32_t number = 0; number < 30; ++number) {
    const std::string package = Draw::Package(number);
    ASSERT_EQ(one.AppIdOf(package), other.AppIdOf(package));
  }
}

std::shared_ptr<const Snapshot> Build(uint64_t epoch,
                                      const v1::AppDirectory& apps) {
  Issues issues;
  auto snapshot =
      Snapshot::Build(epoch, CompiledPolicy::BuiltIn(), {apps, {}}, issues);
  EXPECT_TRUE(issues.empty());
  return snapshot;
}

class AppsChangeTest : public testing::Test {
 protected:
  AppsChangeTest() {
    v1::App& app = *apps_.add_apps();
    app.set_package("com.first");
    app.set_uid(10001);
    snapshot_ = Build(1, apps_);
  }

  std::string Refusal(const std::vector<v1::AppChange>& changes) {
    Issues issues;
    EXPECT_EQ(snapshot_->WithChanges(2, 2, changes, issues), nullptr);
    return issues.empty() ? "" : issues[0].ToString();
  }

  v1::AppDirectory apps_;
  std::shared_ptr<const Snapshot> snapshot_;
};

TEST(AppsChangePropertyTest, ChangesComeToAFullBuild) {
  const bool is_long = std::getenv("FUSED_LONG") != nullptr;
  for (unsigned seed = 0; seed < (is_long ? 200u : 8u); ++seed) {
    Draw draw(seed);
    v1::AppDirectory apps;
    for (uint32_t i = 0; i < 10; ++i) *apps.add_apps() = draw.App(i);
    std::shared_ptr<const Snapshot> snapshot = Build(1, apps);
    const std::shared_ptr<const Snapshot> first = snapshot;
    const v1::AppDirectory first_apps = apps;
    for (uint64_t epoch = 2; epoch < 400; ++epoch) {
      std::vector<v1::AppChange> changes;
      bool changed = false;
      for (uint32_t i = 1 + draw.Below(3); i > 0; --i) {
        changes.push_back(draw.Change(apps));
        changed |= Apply(changes.back(), apps);
      }
      Issues issues;
      std::shared_ptr<const Snapshot> next =
          snapshot->WithChanges(epoch, apps.version() + 1, changes, issues);
      ASSERT_TRUE(issues.empty()) << issues[0].ToString();
      // Several that end where they began may count as a change.
      if (next == nullptr) {
        ASSERT_FALSE(changed);
        continue;
      }
      apps.set_version(apps.version() + 1);
      ASSERT_EQ(next->epoch(), epoch);
      snapshot = next;
      if (epoch % 16 == 0 || epoch > 390) {
        ASSERT_NO_FATAL_FAILURE(ExpectAlike(*snapshot, *Build(epoch, apps)))
            << "seed " << seed << " epoch " << epoch;
      }
    }
    // What it all began with is as it was.
    ASSERT_NO_FATAL_FAILURE(ExpectAlike(*first, *Build(1, first_apps)));
  }
}

TEST_F(AppsChangeTest, WhatChangesNothingIsNothing) {
  v1::AppChange same;
  *same.mutable_install() = apps_.apps(0);
  v1::AppChange absent;
  absent.set_uninstall("com.absent");
  v1::AppChange revoke;
  revoke.mutable_revoke()->set_package("com.first");
  revoke.mutable_revoke()->set_permission("READ_MEDIA_IMAGES");
  EXPECT_EQ(Refusal({same, absent, revoke}), "");
  EXPECT_EQ(Refusal({}), "");
}

TEST_F(AppsChangeTest, WhatIsWrongChangesNothing) {
  v1::AppChange good;
  good.mutable_grant()->set_package("com.first");
  good.mutable_grant()->set_permission("READ_MEDIA_IMAGES");
  v1::AppChange change;
  EXPECT_THAT(Refusal({good, change}), HasSubstr("changes[1]"));
  change.mutable_grant()->set_package("com.absent");
  EXPECT_THAT(Refusal({change}), HasSubstr("no app is called"));
  *change.mutable_install() = apps_.apps(0);
  change.mutable_install()->set_uid(2000);
  EXPECT_THAT(Refusal({change}), HasSubstr("the shell's"));
  change.mutable_install()->set_uid(100000);
  EXPECT_THAT(Refusal({change}), HasSubstr("is no app id"));
  change.mutable_install()->set_uid(10002);
  change.mutable_install()->set_package("COM.First");
  EXPECT_THAT(Refusal({change}), HasSubstr("one directory"));
  change.mutable_install()->set_package("a/b");
  EXPECT_THAT(Refusal({change}), HasSubstr("changes[0].install.package"));
  change.mutable_install()->set_package("com.second");
  change.mutable_install()->add_roles(v1::ROOT);
  EXPECT_THAT(Refusal({change}), HasSubstr("changes[0].install.roles[0]"));
  change.mutable_grant_file()->set_path("../x");
  EXPECT_THAT(Refusal({change}), HasSubstr("changes[0].grant_file.package"));
}

// What a full build would refuse is refused as a change: else a start could not
// load what was acknowledged.
TEST_F(AppsChangeTest, NoLargerThanADirectoryCanBe) {
  v1::AppChange change;
  change.mutable_grant()->set_package("com.first");
  for (const char* name : {"a", "b", "c"}) {
    change.mutable_grant()->set_permission(std::string(kMaxInput / 4, *name));
    Issues issues;
    snapshot_ = snapshot_->WithChanges(2, 2, {change}, issues);
    ASSERT_NE(snapshot_, nullptr);
  }
  v1::AppChange revoke;
  *revoke.mutable_revoke() = change.grant();
  change.mutable_grant()->set_permission(std::string(kMaxInput / 4, 'd'));
  EXPECT_THAT(Refusal({change}), HasSubstr("larger than"));
  // What makes room goes, and is room.
  Issues issues;
  EXPECT_NE(snapshot_->WithChanges(2, 2, {revoke, change}, issues), nullptr);
}

TEST_F(AppsChangeTest, NoMoreSetsOfPermissionsThanADirectoryCanHave) {
  constexpr int kClasses = 255;
  constexpr uint32_t kRows = (1 << 20) / (kClasses + 1);
  v1::Policy policy;
  policy.set_version(1);
  policy.set_name("many");
  for (int i = 0; i < kClasses; ++i) {
    v1::PathClass& one = *policy.add_path_classes();
    one.set_name(absl::StrCat("c", i));
    one.add_patterns(absl::StrCat("c", i));
  }
  for (int i = 0; i < 13; ++i) {
    v1::Rule& rule = *policy.add_rules();
    rule.set_name(absl::StrCat("r", i));
    rule.add_operations(v1::ANY);
    rule.mutable_when()->set_permission(absl::StrCat("P", i));
    rule.mutable_effect()->mutable_allow();
  }
  const auto install = [](uint32_t number) {
    v1::App app;
    app.set_package(absl::StrCat("com.x", number));
    app.set_uid(10000 + number);
    for (int i = 0; i < 13; ++i) {
      if ((number >> i & 1) != 0) app.add_permissions(absl::StrCat("P", i));
    }
    return app;
  };
  Issues issues;
  const std::shared_ptr<const CompiledPolicy> compiled =
      CompiledPolicy::Compile({policy, {}}, issues);
  ASSERT_NE(compiled, nullptr) << issues[0].ToString();
  v1::AppDirectory apps;
  for (uint32_t i = 0; i < kRows - 20; ++i) *apps.add_apps() = install(i);
  snapshot_ = Snapshot::Build(1, compiled, {apps, {}}, issues);
  ASSERT_NE(snapshot_, nullptr) << issues[0].ToString();
  std::vector<v1::AppChange> changes(40);
  for (uint32_t i = 0; i < 40; ++i) {
    *changes[i].mutable_install() = install(kRows - 20 + i);
  }
  EXPECT_THAT(Refusal(changes), HasSubstr("different sets of permissions"));
  changes.resize(10);
  EXPECT_NE(snapshot_->WithChanges(2, 2, changes, issues), nullptr);
}

TEST_F(AppsChangeTest, AnotherEpochIsAllThatDiffers) {
  const std::shared_ptr<const Snapshot> again = snapshot_->WithEpoch(7);
  EXPECT_EQ(again->epoch(), 7u);
  EXPECT_EQ(snapshot_->epoch(), 1u);
  EXPECT_TRUE(again->SharesIndices(*snapshot_));
  ExpectAlike(*again, *snapshot_);
}

TEST_F(AppsChangeTest, TheOldOneStaysAsItWas) {
  v1::AppChange change;
  change.set_uninstall("com.first");
  Issues issues;
  const auto next = snapshot_->WithChanges(2, 1, {change}, issues);
  ASSERT_NE(next, nullptr);
  EXPECT_FALSE(next->SubjectOf(10001).listed);
  EXPECT_EQ(next->app_count(), 0u);
  EXPECT_TRUE(snapshot_->SubjectOf(10001).listed);
  EXPECT_EQ(snapshot_->AppIdOf("com.first"), 10001u);
  EXPECT_EQ(snapshot_->PackageOf(snapshot_->SubjectOf(10001).app), "com.first");
}

}  // namespace
}  // namespace fused::policy
