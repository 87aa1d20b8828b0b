#include "policy/engine.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::string_view kPolicy = R"(
name: "test" version: 7
media_types { name: "IMAGE" extensions: "jpg" extensions: "PNG" }
media_types { name: "VIDEO" extensions: "mp4" }
path_classes { name: "root" patterns: "/" names: FAT }
path_classes { name: "private" patterns: "Android/data/{package}/**" }
path_classes { name: "photos" patterns: "DCIM/**" patterns: "Pictures/**"
               names: FAT }
rules { name: "shell_all" operations: ANY when { role: SHELL }
        effect { allow {} } }
rules { name: "private_owner" path_classes: "private" operations: ANY
        when { relation: OWNS_PATH } effect { allow {} } }
rules { name: "private_rest" path_classes: "private" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "see" operations: [LOOKUP, LIST] effect { allow {} } }
rules { name: "own" path_classes: "photos" operations: [READ, WRITE]
        when { relation: OWNS_FILE } effect { allow {} } }
rules { name: "trashed" path_classes: "photos" operations: READ
        when { any_of { conditions { state: PENDING }
                        conditions { state: TRASHED } } }
        effect { deny {} } }
rules { name: "new_api" path_classes: "photos" operations: READ
        when { all_of { conditions { min_target_sdk: 33 }
                        conditions { permission: "NEW" }
                        conditions { media_type: "IMAGE" }
                        conditions { not { state: HIDDEN } } } }
        effect { allow { redact: LOCATION } } }
rules { name: "old_api" path_classes: "photos" operations: [READ, WRITE]
        when { all_of { conditions { not { min_target_sdk: 33 } }
                        conditions { permission: "OLD" } } }
        effect { allow { io: DAEMON } } }
rules { name: "no_links" operations: [LINK, SYMLINK]
        effect { deny { error: EPERM } } }
rules { name: "make_dirs" path_classes: "photos" operations: MKDIR
        when { is_directory: true } effect { allow {} } }
)";

constexpr std::string_view kApps = R"(
version: 3
apps { package: "com.new" uid: 10001 permissions: "NEW" target_sdk: 34 }
apps { package: "com.old" uid: 10002 permissions: "OLD" target_sdk: 30 }
apps { package: "com.twin.a" uid: 10003 permissions: "NEW" target_sdk: 30 }
apps { package: "com.twin.b" uid: 10003 target_sdk: 35 roles: MANAGER }
)";

std::shared_ptr<const CompiledPolicy> Compiled(std::string_view text) {
  Issues issues;
  const auto parsed = ParsePolicy(text, "p", issues);
  auto compiled = parsed ? CompiledPolicy::Compile(*parsed, issues) : nullptr;
  for (const Issue& issue : issues) ADD_FAILURE() << issue.ToString();
  return compiled;
}

std::shared_ptr<const Snapshot> MakeSnapshot(std::string_view policy,
                                             std::string_view apps) {
  Issues issues;
  const auto parsed = ParseApps(apps, "a", issues);
  auto snapshot =
      parsed ? Snapshot::Build(1, Compiled(policy), *parsed, issues) : nullptr;
  for (const Issue& issue : issues) ADD_FAILURE() << issue.ToString();
  return snapshot;
}

// The issues of a policy that does not compile.
std::vector<std::string> PolicyIssues(std::string_view text) {
  Issues issues;
  const auto parsed = ParsePolicy(text, "p", issues);
  if (parsed) {
    const bool refused = CompiledPolicy::Compile(*parsed, issues) == nullptr;
    EXPECT_EQ(refused, HasErrors(issues));
  }
  std::vector<std::string> texts;
  for (const Issue& issue : issues) texts.push_back(issue.ToString());
  return texts;
}

std::vector<std::string> AppsIssues(std::string_view text) {
  Issues issues;
  const auto parsed = ParseApps(text, "a", issues);
  if (parsed) {
    const bool refused =
        Snapshot::Build(1, Compiled(kPolicy), *parsed, issues) == nullptr;
    EXPECT_EQ(refused, HasErrors(issues));
  }
  std::vector<std::string> texts;
  for (const Issue& issue : issues) texts.push_back(issue.ToString());
  return texts;
}

class EngineTest : public testing::Test {
 protected:
  Location At(std::string_view path, uint32_t user = 0) const {
    Location location = snapshot_->Root(user);
    if (path == "/") return location;
    for (const std::string_view name : absl::StrSplit(path, '/')) {
      location = snapshot_->Child(location, name);
    }
    return location;
  }

  Object ObjectOf(std::string_view path, bool directory = false,
                  AppIndex owner = kNoApp, uint32_t user = 0) const {
    const std::string_view name =
        path == "/" ? "" : path.substr(path.rfind('/') + 1);
    return snapshot_->ObjectAt(At(path, user), name, directory, owner);
  }

  Decision Decide(uint32_t uid, std::string_view path,
                  OperationSet operations) const {
    return snapshot_->Decide(snapshot_->SubjectOf(uid),
                             ObjectOf(path, false, kNoApp, uid / 100000),
                             operations);
  }

  std::string Rule(const Decision& decision) const {
    return std::string(snapshot_->policy().RuleName(decision.rule));
  }

  std::shared_ptr<const Snapshot> snapshot_ = MakeSnapshot(kPolicy, kApps);
};

TEST_F(EngineTest, KeepsWhatItWasMadeOf) {
  EXPECT_EQ(snapshot_->epoch(), 1);
  EXPECT_EQ(snapshot_->policy().source().version(), 7);
  EXPECT_EQ(snapshot_->shared_policy().get(), &snapshot_->policy());
  EXPECT_EQ(snapshot_->apps().version(), 3);
  EXPECT_EQ(snapshot_->policy().sha256(), Sha256(snapshot_->policy().source()));
  EXPECT_EQ(snapshot_->apps_sha256(), Sha256(snapshot_->apps()));
  EXPECT_EQ(snapshot_->policy().RuleName(3), "see");
  EXPECT_EQ(snapshot_->policy().RuleName(kUnlistedRule), "unlisted");
  EXPECT_EQ(snapshot_->policy().RuleName(kNameRule), "name");
  EXPECT_EQ(snapshot_->policy().RuleName(kNoRule), "");
}

TEST_F(EngineTest, ClassesGoByComponentsWithoutCase) {
  const auto name_of = [&](std::string_view path) {
    return snapshot_->policy().ClassName(snapshot_->ClassOf(At(path)));
  };
  EXPECT_EQ(name_of("/"), "root");
  EXPECT_EQ(name_of("DCIM"), "photos");
  EXPECT_EQ(name_of("dcim/Camera/x.jpg"), "photos");
  EXPECT_EQ(name_of("DCIMx"), "other");
  EXPECT_EQ(name_of("x/DCIM"), "other");
  EXPECT_EQ(name_of("Android/data"), "other");
  EXPECT_EQ(name_of("ANDROID/Data/com.new"), "private");
  // A long s is an s where case is folded.
  EXPECT_EQ(name_of("Picture\u017f/x"), "photos");
  // FAT does not see the dot, and ext4 not the joiner.
  EXPECT_EQ(name_of("DCIM./x"), "photos");
  EXPECT_EQ(name_of("Android/da\u200dta/com.new/x"), "private");
}

TEST_F(EngineTest, PathBelongsToThePackagesUid) {
  const AppIndex twins = snapshot_->SubjectOf(10003).app;
  EXPECT_EQ(snapshot_->PathOwnerOf(At("Android/data/com.twin.b/x/y")), twins);
  EXPECT_EQ(snapshot_->PathOwnerOf(At("Android/data/COM.TWIN.A")), twins);
  EXPECT_EQ(snapshot_->PathOwnerOf(At("Android/data/com.nobody")), kNoApp);
  EXPECT_EQ(snapshot_->PathOwnerOf(At("DCIM/com.twin.a/x")), kNoApp);
}

TEST_F(EngineTest, SubjectsGoByAppIdAndUser) {
  const Subject app = snapshot_->SubjectOf(1010001);
  EXPECT_TRUE(app.listed);
  EXPECT_EQ(app.user, 10);
  EXPECT_EQ(app.app, snapshot_->SubjectOf(10001).app);
  EXPECT_EQ(snapshot_->SubjectOfPackage("com.new", 10)->row, app.row);
  EXPECT_EQ(snapshot_->SubjectOfPackage("com.none", 0), std::nullopt);
  EXPECT_EQ(snapshot_->AppIdOf("com.twin.b"), 10003);
  EXPECT_EQ(snapshot_->AppIdOf("com.none"), std::nullopt);
  EXPECT_EQ(snapshot_->AppOf("com.new", 10001), app.app);
  EXPECT_EQ(snapshot_->AppOf("com.new", 10002), kNoApp);
  EXPECT_EQ(snapshot_->PackageOf(snapshot_->SubjectOf(10003).app),
            "com.twin.a");
  EXPECT_EQ(snapshot_->PackageOf(kNoApp), "");
}

TEST_F(EngineTest, OnlyTheAbsoluteUidsAreRootAndShell) {
  EXPECT_TRUE(snapshot_->SubjectOf(0).listed);
  EXPECT_TRUE(snapshot_->SubjectOf(2000).listed);
  for (const uint32_t uid : {100000u, 102000u, 1000u, 99999u, 4294967295u}) {
    EXPECT_FALSE(snapshot_->SubjectOf(uid).listed) << uid;
  }
  EXPECT_TRUE(Decide(2000, "x", Operation::kMknod).allowed());
  EXPECT_FALSE(Decide(0, "x", Operation::kMknod).allowed());
}

TEST_F(EngineTest, FirstRuleThatMatchesWins) {
  const Decision decision = Decide(10001, "DCIM/a.jpg", Operation::kRead);
  EXPECT_EQ(decision.error, Error::kNone);
  EXPECT_EQ(decision.io, IoMode::kRedacted);
  EXPECT_EQ(Rule(decision), "new_api");

  EXPECT_EQ(Rule(Decide(10001, "DCIM/.trashed-1-a.jpg", Operation::kRead)),
            "trashed");
  EXPECT_EQ(Rule(Decide(10002, "DCIM/a.jpg", Operation::kRead)), "old_api");
  EXPECT_EQ(Decide(10001, "DCIM/a.mp4", Operation::kRead),
            (Decision{Error::kAccess, IoMode::kDaemon, kNoRule}));
  EXPECT_FALSE(Decide(10001, "DCIM/.h/a.jpg", Operation::kRead).allowed());
  EXPECT_EQ(Decide(10001, "DCIM/a", Operation::kLink).error,
            Error::kNotPermitted);
}

TEST_F(EngineTest, TwinsHaveAllPermissionsAndTheNewestPlatform) {
  EXPECT_EQ(Rule(Decide(10003, "DCIM/a.jpg", Operation::kRead)), "new_api");
}

TEST_F(EngineTest, DeniedLookupIsNoEntryForAll) {
  for (int op = 0; op < kOperations; ++op) {
    const Decision decision =
        Decide(10001, "Android/data/com.old/x", static_cast<Operation>(op));
    EXPECT_EQ(decision.error, Error::kNoEntry) << op;
    EXPECT_EQ(Rule(decision), "private_rest") << op;
  }
  EXPECT_TRUE(
      Decide(10001, "Android/data/com.new/x", Operation::kWrite).allowed());
}

TEST_F(EngineTest, UnlistedSeesAndListsByTheRules) {
  EXPECT_TRUE(Decide(10099, "DCIM/a.jpg", Operation::kLookup).allowed());
  EXPECT_TRUE(Decide(10099, "DCIM", Operation::kList).allowed());
  EXPECT_EQ(Decide(10099, "DCIM/a.jpg", Operation::kRead),
            (Decision{Error::kAccess, IoMode::kDaemon, kUnlistedRule}));
  EXPECT_EQ(Decide(10099, "Android/data/com.new", Operation::kRead).error,
            Error::kNoEntry);
}

TEST_F(EngineTest, SetsTakeTheFirstDenialAndTheStrictestMode) {
  const OperationSet both = OperationSet(Operation::kRead) | Operation::kWrite;
  // com.new may read, not write.
  EXPECT_EQ(Decide(10001, "DCIM/a.jpg", both).error, Error::kAccess);
  EXPECT_EQ(Decide(10001, "DCIM/a.jpg", both | Operation::kLink).error,
            Error::kAccess);
  EXPECT_EQ(Decide(10002, "DCIM/a.jpg", both).io, IoMode::kDaemon);
  const Decision seen = Decide(
      10001, "DCIM/a.jpg", OperationSet(Operation::kLookup) | Operation::kRead);
  EXPECT_EQ(Rule(seen), "new_api");
  EXPECT_EQ(Rule(Decide(10001, "DCIM/a.jpg",
                        OperationSet(Operation::kLookup) | Operation::kList)),
            "see");
}

TEST_F(EngineTest, OwnFileIsTheOwners) {
  const Subject app = snapshot_->SubjectOf(10002);
  EXPECT_EQ(Rule(snapshot_->Decide(
                app, ObjectOf("DCIM/.trashed-1-a.jpg", false, app.app),
                Operation::kRead)),
            "own");
}

TEST_F(EngineTest, OtherUsersTreeIsNotThere) {
  const Object theirs = ObjectOf("DCIM/a.jpg", false, kNoApp, 10);
  const Subject app = snapshot_->SubjectOf(10001);
  EXPECT_EQ(snapshot_->Decide(app, theirs, Operation::kLookup),
            (Decision{Error::kNoEntry, IoMode::kDaemon, kNoRule}));
  EXPECT_TRUE(
      snapshot_->Decide(snapshot_->SubjectOf(2000), theirs, Operation::kRead)
          .allowed());
  EXPECT_TRUE(
      snapshot_->Decide(snapshot_->SubjectOf(1010001), theirs, Operation::kRead)
          .allowed());
}

TEST_F(EngineTest, NamesMustBeCleanWhereTheClassSaysSo) {
  const Subject shell = snapshot_->SubjectOf(2000);
  const auto decide = [&](std::string_view path, std::string_view name) {
    return snapshot_->DecideName(shell, ObjectOf(path), Operation::kCreate,
                                 name);
  };
  EXPECT_TRUE(decide("DCIM/a.jpg", "a.jpg").allowed());
  EXPECT_EQ(decide("DCIM/a?.jpg", "a?.jpg"),
            (Decision{Error::kNotPermitted, IoMode::kDaemon, kNameRule}));
  EXPECT_TRUE(decide("x/a?", "a?").allowed());
}

TEST_F(EngineTest, KnowsWhereAllSubjectsSeeTheSame) {
  // SHELL may look everything up, as all may in DCIM.
  EXPECT_TRUE(snapshot_->UniformLookup(At("DCIM/a.jpg")));
  EXPECT_TRUE(snapshot_->UniformLookup(At("x")));
  EXPECT_FALSE(snapshot_->UniformLookup(At("Android/data/com.new")));
  EXPECT_TRUE(snapshot_->UniformIo(At("Android/data/com.new/x")));
  EXPECT_FALSE(snapshot_->UniformIo(At("DCIM/a.jpg")));
}

TEST(UniformTest, KnowsWhereAllMayList) {
  const auto snapshot = MakeSnapshot(
      R"(path_classes { name: "some" patterns: "some" }
         path_classes { name: "none" patterns: "none" }
         path_classes { name: "served" patterns: "served" }
         rules { name: "some" path_classes: "some" operations: LIST
                 when { permission: "LIST" } effect { allow {} } }
         rules { name: "no" path_classes: "some" path_classes: "none"
                 operations: LIST effect { deny { error: EACCES } } }
         rules { name: "served" path_classes: "served" operations: LIST
                 when { permission: "LIST" } effect { allow { io: DAEMON } } }
         rules { name: "rest" operations: ANY effect { allow {} } })",
      R"(apps { package: "x" uid: 10001 permissions: "LIST" }
         apps { package: "y" uid: 10002 })");
  const auto uniform = [&](std::string_view name) {
    return snapshot->UniformList(snapshot->Child(snapshot->Root(0), name));
  };
  EXPECT_FALSE(uniform("some"));
  EXPECT_TRUE(uniform("none"));
  // By whatever rule.
  EXPECT_TRUE(uniform("served"));
  EXPECT_TRUE(uniform("other"));
}

TEST_F(EngineTest, ExplainsEveryMatch) {
  const Explanation explanation =
      snapshot_->Explain(snapshot_->SubjectOf(10001),
                         ObjectOf("DCIM/.trashed-1-a.jpg"), Operation::kRead);
  EXPECT_EQ(Rule(explanation.decision), "trashed");
  ASSERT_EQ(explanation.matches.size(), 2);
  EXPECT_EQ(explanation.matches[0].decision, explanation.decision);
  EXPECT_EQ(Rule(explanation.matches[1].decision), "new_api");
  EXPECT_THAT(
      explanation.facts,
      ElementsAre("permission:NEW", "min_target_sdk:33", "media_type:IMAGE",
                  "state:TRASHED", "relation:SAME_USER"));
}

TEST_F(EngineTest, NoShadowWithoutShadowRules) {
  EXPECT_EQ(snapshot_->DecideShadow(snapshot_->SubjectOf(2000),
                                    ObjectOf("DCIM"), Operation::kList),
            std::nullopt);
}

TEST(ShadowTest, DecidesBesideTheRules) {
  const auto snapshot = MakeSnapshot(
      R"(rules { name: "a" operations: ANY effect { allow {} } }
         shadow_rules { name: "a" operations: READ effect { deny {} } }
         shadow_rules { name: "b" operations: ANY effect { allow {} } })",
      R"(apps { package: "x" uid: 10001 })");
  const Subject app = snapshot->SubjectOf(10001);
  const Object root = snapshot->ObjectAt(snapshot->Root(0), "", true, kNoApp);
  EXPECT_TRUE(snapshot->Decide(app, root, Operation::kRead).allowed());
  const std::optional<Decision> shadow =
      snapshot->DecideShadow(app, root, Operation::kRead);
  ASSERT_TRUE(shadow.has_value());
  EXPECT_EQ(shadow->error, Error::kAccess);
}

TEST(EmptyPolicyTest, DeniesAll) {
  const auto snapshot = MakeSnapshot("", "");
  const Object root = snapshot->ObjectAt(snapshot->Root(0), "", true, kNoApp);
  EXPECT_EQ(snapshot->Decide(snapshot->SubjectOf(0), root, Operation::kLookup),
            (Decision{Error::kNoEntry, IoMode::kDaemon, kNoRule}));
  EXPECT_TRUE(snapshot->UniformLookup(snapshot->Root(0)));
}

TEST(CompileTest, FindsEveryIssueWithItsPlace) {
  EXPECT_THAT(
      PolicyIssues("media_types { name: \"A\" extensions: \".jpg\" }\n"
                   "path_classes { name: \"other\" patterns: \"a//b\" }\n"
                   "rules {\n"
                   "  name: \"r\"\n"
                   "  path_classes: \"gone\"\n"
                   "  when { not { media_type: \"B\" } }\n"
                   "}\n"),
      ElementsAre(
          "p:1:25: media_types[0].extensions[0]: an extension is what stands "
          "after the last dot",
          "p:2:16: path_classes[0].name: `other` is the class of what no "
          "pattern matches",
          "p:2:30: path_classes[0].patterns[0]: an empty component",
          "p:3:1: rules[0].operations: a rule names an operation, or ANY",
          "p:3:1: rules[0].effect: a rule has an effect: allow or deny",
          "p:5:3: rules[0].path_classes[0]: no path class \"gone\" is defined",
          "p:6:16: rules[0].when.not.media_type: no media type \"B\" is "
          "defined"));
}

TEST(CompileTest, RefusesWhatConditionsCannotBe) {
  const auto with_when = [](std::string_view when) {
    return PolicyIssues(
        "rules { name: \"r\" operations: ANY effect { allow {} "
        "} when { " +
        std::string(when) + " } }");
  };
  EXPECT_THAT(with_when("all_of {}"), IsEmpty());
  EXPECT_THAT(with_when(""), Contains(HasSubstr("sets exactly one field")));
  EXPECT_THAT(with_when("any_of { conditions {} }"),
              Contains(HasSubstr("rules[0].when.any_of.conditions[0]: ")));
  EXPECT_THAT(with_when("role: ROLE_UNSPECIFIED"),
              Contains(HasSubstr("unknown role")));
  EXPECT_THAT(with_when("state: 77"), Contains(HasSubstr("unknown state 77")));
  EXPECT_THAT(with_when("permission: ''"), Contains(HasSubstr("empty")));
  std::string permissions = "any_of {";
  for (int i = 0; i < 41; ++i) {
    permissions += " conditions { permission: 'p" + std::to_string(i) + "' }";
  }
  EXPECT_THAT(with_when(permissions + "}"),
              ElementsAre(HasSubstr("conditions[40].permission: more than")));
  std::string complex = "all_of {";
  for (int i = 0; i < 20; ++i) {
    complex += " conditions { any_of { conditions { permission: 'p" +
               std::to_string(i) + "' } conditions { permission: 'p" +
               std::to_string(i + 20) + "' } } }";
  }
  EXPECT_THAT(with_when(complex + "}"),
              ElementsAre(HasSubstr("rules[0].when: too complex")));
}

TEST(CompileTest, RefusesPatternsThatMultiply) {
  std::string policy = "path_classes { name: 'c'";
  for (char c = 'a'; c < 'p'; ++c) {
    policy += std::string(" patterns: '**/") + c + "/*/*/*/*/*/*/*/*/*/*'";
  }
  EXPECT_THAT(PolicyIssues(policy + "}"),
              ElementsAre(HasSubstr("path_classes: patterns with several")));
}

TEST(CompileTest, RefusesThirdCaptureDepth) {
  EXPECT_THAT(
      PolicyIssues("path_classes { name: 'c' patterns: '{package}' patterns: "
                   "'a/{package}' patterns: 'b/{package}' patterns: "
                   "'a/b/{package}' }"),
      ElementsAre(HasSubstr("patterns[3]: {package} stands at more than 2")));
}

TEST(AppsTest, RefusesWhatAppsCannotBe) {
  EXPECT_THAT(
      AppsIssues("apps { package: 'a' uid: 0 }\n"
                 "apps { package: 'b' uid: 2000 }\n"
                 "apps { package: 'c' uid: 110001 }\n"
                 "apps { uid: 10001 }\n"
                 "apps { package: 'd' uid: 10002 roles: ROOT }\n"
                 "apps { package: 'D' uid: 10003 roles: 55 }\n"
                 "apps { package: 'd' uid: 10004 }\n"
                 "grants { package: 'd' path: '../x' access: GRANT_READ }\n"),
      ElementsAre(
          HasSubstr("a:1:21: apps[0].uid: 0 is root's"),
          HasSubstr("a:2:21: apps[1].uid: 2000 is the shell's"),
          HasSubstr("a:3:21: apps[2].uid: 110001 is no app id"),
          HasSubstr("a:4:1: apps[3].package: an app needs a package"),
          HasSubstr("a:5:32: apps[4].roles[0]: ROOT is one absolute uid"),
          HasSubstr("a:6:8: apps[5].package: \"D\" and \"d\" are one"),
          HasSubstr("a:6:32: apps[5].roles[0]: unknown role 55"),
          HasSubstr("a:7:8: apps[6].package: \"d\" is there twice"),
          HasSubstr("a:8:23: grants[0].path: a path is relative")));
}

TEST(BuiltInTest, IsVersionZero) {
  EXPECT_EQ(CompiledPolicy::BuiltIn()->source().name(), "scoped_storage");
  EXPECT_EQ(CompiledPolicy::BuiltIn()->source().version(), 0);
}

}  // namespace
}  // namespace fused::policy
