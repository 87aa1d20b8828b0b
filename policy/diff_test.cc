#include "policy/diff.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::string_view kPolicy = R"(
name: "test" version: 1
media_types { name: "IMAGE" extensions: "jpg" }
media_types { name: "AUDIO" extensions: "mp3" }
path_classes { name: "private" patterns: "Android/data/{package}/**" }
path_classes { name: "photos" patterns: "DCIM/**" }
path_classes { name: "songs" patterns: "Music/**" }
rules { name: "owner" path_classes: "private" operations: ANY
        when { relation: OWNS_PATH } effect { allow {} } }
rules { name: "private" path_classes: "private" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "see" operations: [LOOKUP, LIST] effect { allow {} } }
rules { name: "manager" operations: [READ, WRITE] when { role: MANAGER }
        effect { allow {} } }
rules { name: "images" path_classes: "photos" operations: READ
        when { all_of { conditions { permission: "IMAGES" }
                        conditions { media_type: "IMAGE" }
                        conditions { not { state: HIDDEN } } } }
        effect { allow {} } }
)";

std::shared_ptr<const Snapshot> Make(std::string_view policy,
                                     std::string_view apps = "") {
  Issues issues;
  const auto parsed = ParsePolicy(policy, "p", issues);
  const auto directory = ParseApps(apps, "a", issues);
  std::shared_ptr<const Snapshot> snapshot;
  if (parsed && directory) {
    const auto compiled = CompiledPolicy::Compile(*parsed, issues);
    if (compiled != nullptr) {
      snapshot = Snapshot::Build(1, compiled, *directory, issues);
    }
  }
  for (const Issue& issue : issues) ADD_FAILURE() << issue.ToString();
  return snapshot;
}

std::vector<std::string> Lines(const DiffResult& result) {
  std::vector<std::string> lines;
  for (const Difference& difference : result.differences) {
    lines.push_back(difference.ToString());
  }
  return lines;
}

std::vector<std::string> DiffTexts(std::string_view before,
                                   std::string_view after,
                                   std::string_view old_apps = "",
                                   std::string_view new_apps = "") {
  const DiffResult result =
      Diff(*Make(before, old_apps), *Make(after, new_apps));
  EXPECT_TRUE(result.complete);
  return Lines(result);
}

std::string With(std::string_view from, std::string_view to) {
  const std::string changed = absl::StrReplaceAll(kPolicy, {{from, to}});
  EXPECT_NE(changed, kPolicy);
  return changed;
}

TEST(DiffTest, NothingDiffersFromItself) {
  EXPECT_THAT(DiffTexts(kPolicy, kPolicy), IsEmpty());
}

TEST(DiffTest, NamesAndUnreachableRulesAreNoDifference) {
  EXPECT_THAT(DiffTexts(kPolicy, With("\"images\"", "\"pictures\"")),
              IsEmpty());
  EXPECT_THAT(
      DiffTexts(kPolicy, absl::StrCat(kPolicy,
                                      "rules { name: 'late' operations: LOOKUP "
                                      "effect { allow {} } }")),
      IsEmpty());
  EXPECT_THAT(DiffTexts(kPolicy, With("\"photos\"", "\"fotos\"")), IsEmpty());
}

TEST(DiffTest, SaysWhoMayDoWhatWhere) {
  EXPECT_THAT(
      DiffTexts(kPolicy,
                With("operations: READ\n", "operations: [READ, WRITE]\n")),
      ElementsAre("permission:IMAGES: WRITE in photos (dcim), not state:HIDDEN "
                  "and media_type:IMAGE: DENY EACCES -> ALLOW PASSTHROUGH"));
}

TEST(DiffTest, MergesClassesAndCallers) {
  EXPECT_THAT(
      DiffTexts(kPolicy, With("[LOOKUP, LIST]", "[LOOKUP, LIST, UNLINK]")),
      ElementsAre("any app, role:SHELL, role:SHELL (another user's tree): "
                  "UNLINK in other, photos, songs (/): DENY EACCES -> ALLOW"));
}

TEST(DiffTest, TellsOwnersApart) {
  const std::vector<std::string> lines = DiffTexts(
      kPolicy, With("relation: OWNS_PATH", "permission: \"EVERYTHING\""));
  EXPECT_THAT(
      lines,
      Contains(AllOf(HasSubstr("nobody special, permission:IMAGES"),
                     HasSubstr("in private"), HasSubstr("relation:OWNS_PATH"),
                     HasSubstr("-> DENY ENOENT"))));
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("permission:EVERYTHING"),
                                    HasSubstr("not relation:OWNS_PATH"),
                                    HasSubstr("DENY ENOENT -> ALLOW"))));
}

TEST(DiffTest, PathsThatChangeTheirClassAreCompared) {
  EXPECT_THAT(DiffTexts(kPolicy, With("\"DCIM/**\"",
                                      "\"DCIM/**\" patterns: \"Scans/**\"")),
              ElementsAre("permission:IMAGES: READ in other -> photos (scans), "
                          "not state:HIDDEN and media_type:IMAGE: DENY EACCES "
                          "-> ALLOW PASSTHROUGH"));
}

TEST(DiffTest, ExtensionsThatChangeTheirTypeAreCompared) {
  EXPECT_THAT(
      DiffTexts(kPolicy, With("\"jpg\"", "\"jpg\" extensions: \"raw\"")),
      ElementsAre(AllOf(HasSubstr("extension:raw (none -> IMAGE)"),
                        HasSubstr("DENY EACCES -> ALLOW PASSTHROUGH"))));
}

TEST(DiffTest, NewNamesAndNomedia) {
  const std::string makes = absl::StrCat(
      kPolicy, "rules { name: 'make' operations: CREATE effect { allow {} } }");
  EXPECT_THAT(
      DiffTexts(makes, absl::StrReplaceAll(
                           makes, {{"\"DCIM/**\"", "\"DCIM/**\" names: FAT"}})),
      ElementsAre(AllOf(HasSubstr("any app"), HasSubstr("CREATE in photos"),
                        HasSubstr("a name that FAT cannot hold"),
                        HasSubstr("ALLOW -> DENY EPERM"))));
  EXPECT_THAT(
      DiffTexts(kPolicy, With("\"DCIM/**\"", "\"DCIM/**\" nomedia: IGNORED")),
      ElementsAre(HasSubstr("hides what is beside it no more")));
}

TEST(DiffTest, IoModesAreDifferences) {
  EXPECT_THAT(
      DiffTexts(kPolicy, With("role: MANAGER }\n        effect { allow {} }",
                              "role: MANAGER }\n        effect { allow { io: "
                              "DAEMON } }")),
      ElementsAre(AllOf(HasSubstr("role:MANAGER: READ WRITE in"),
                        HasSubstr("ALLOW PASSTHROUGH -> ALLOW DAEMON"))));
}

TEST(DiffTest, AppsThatDifferAreNamed) {
  constexpr std::string_view kOld =
      "apps { package: 'a.one' uid: 10001 }"
      "apps { package: 'a.same' uid: 10002 permissions: 'IMAGES' }"
      "apps { package: 'a.two' uid: 10003 }";
  constexpr std::string_view kNew =
      "apps { package: 'a.one' uid: 10001 permissions: 'IMAGES' }"
      "apps { package: 'a.same' uid: 10002 permissions: 'IMAGES' }"
      "apps { package: 'a.two' uid: 10003 permissions: 'IMAGES' }";
  EXPECT_THAT(DiffTexts(kPolicy, kPolicy, kOld, kNew),
              ElementsAre("a.one and 1 like it: READ in photos (dcim), not "
                          "state:HIDDEN and media_type:IMAGE: DENY EACCES -> "
                          "ALLOW PASSTHROUGH"));
  EXPECT_THAT(DiffTexts(kPolicy, kPolicy, kOld, kOld), IsEmpty());
}

TEST(DiffTest, InstalledAppsComeToOwnTheirs) {
  EXPECT_THAT(
      DiffTexts(kPolicy, kPolicy, "", "apps { package: 'a.one' uid: 10001 }"),
      ElementsAre(AllOf(HasSubstr("a.one: ANY in private"),
                        HasSubstr("relation:OWNS_PATH"),
                        HasSubstr("DENY ENOENT -> ALLOW"))));
}

TEST(DiffTest, IsBoundedAndSaysSo) {
  DiffLimits limits;
  limits.decisions = 100;
  EXPECT_FALSE(
      Diff(*Make(kPolicy), *Make("name: 'n' version: 2"), limits).complete);
  limits = {};
  limits.differences = 1;
  const DiffResult result =
      Diff(*Make(kPolicy), *Make("name: 'n' version: 2"), limits);
  EXPECT_FALSE(result.complete);
  EXPECT_EQ(result.differences.size(), 1);
}

// 200 rules, 10,000 apps: the size that must stay bounded.
// Which sets of permissions rules ask for is no package's name.
TEST(DiffTest, WhoHoldsMuchTogetherIsCompared) {
  std::string when = "when { all_of { ";
  for (int i = 0; i < 6; ++i) {
    absl::StrAppend(&when, "conditions { permission: 'android.permission.",
                    std::string(50, static_cast<char>('A' + i)), "' } ");
  }
  // Two that differ in case alone, and one that is no file's name.
  absl::StrAppend(&when, "conditions { permission: 'a/b' } ",
                  "conditions { permission: 'A/B' } } }");
  const std::string before = absl::StrCat(
      kPolicy, "rules { name: 'n' operations: READ path_classes: ", "'songs' ",
      when, " effect { allow {} } }");
  const DiffResult result = Diff(*Make(before), *Make(kPolicy));
  EXPECT_TRUE(result.complete);
  EXPECT_THAT(Lines(result), Contains(HasSubstr("permission:A/B+")));
}

TEST(DiffTest, WhereNotAllKindsAreComparedItSaysSo) {
  std::string before(kPolicy);
  for (int i = 0; i < 12; ++i) {
    for (int k = 0; k < i; ++k) {
      absl::StrAppend(&before, "rules { name: 'n", i, "-", k,
                      "' operations: WRITE path_classes: 'songs' ",
                      "when { all_of { conditions { permission: 'P", i,
                      "' } conditions { permission: 'P", k,
                      "' } } } effect { allow {} } }\n");
    }
  }
  EXPECT_FALSE(Diff(*Make(before), *Make(kPolicy)).complete);
  // Apps are compared as they are.
  EXPECT_TRUE(Diff(*Make(before), *Make(before)).complete);
}

TEST(DiffTest, ALargePolicyAndDirectory) {
  std::string policy(kPolicy);
  for (int i = 0; i < 200; ++i) {
    absl::StrAppend(&policy, "rules { name: 'r", i, "' path_classes: '",
                    i % 2 == 0 ? "photos" : "songs",
                    "' operations: [READ, WRITE, UNLINK] when { all_of { "
                    "conditions { permission: 'P",
                    i % 30, "' } conditions { media_type: '",
                    i % 3 == 0 ? "IMAGE" : "AUDIO",
                    "' } conditions { min_target_sdk: ", 30 + i % 4,
                    " } } } effect { allow {} } }\n");
  }
  std::string apps;
  for (int i = 0; i < 10000; ++i) {
    absl::StrAppend(&apps, "apps { package: 'a.p", i, "' uid: ", 10000 + i,
                    " permissions: 'P", i % 30, "' permissions: 'P", i % 7,
                    "' }\n");
  }
  const std::shared_ptr<const Snapshot> before = Make(policy, apps);
  const std::string changed = absl::StrReplaceAll(policy, {{"'P3'", "'P4'"}});
  const std::shared_ptr<const Snapshot> after = Make(changed, apps);
  const DiffResult result = Diff(*before, *after);
  EXPECT_FALSE(result.differences.empty());
  EXPECT_EQ(Lines(result), Lines(Diff(*before, *after)));
}

TEST(DiffTest, TheBuiltInPolicyWithOnePermissionLess) {
  v1::Policy policy = CompiledPolicy::BuiltIn()->source();
  auto* const rules = policy.mutable_rules();
  int removed = 0;
  for (int i = rules->size(); i-- > 0;) {
    if (absl::StrContains(rules->Get(i).ShortDebugString(),
                          "READ_MEDIA_AUDIO")) {
      rules->DeleteSubrange(i, 1);
      ++removed;
    }
  }
  ASSERT_GT(removed, 0);
  Issues issues;
  const auto compiled = CompiledPolicy::Compile({policy, {}}, issues);
  ASSERT_NE(compiled, nullptr);
  const auto before = Snapshot::Build(1, CompiledPolicy::BuiltIn(), {}, issues);
  const auto after = Snapshot::Build(2, compiled, {}, issues);
  const DiffResult result = Diff(*before, *after);
  EXPECT_TRUE(result.complete);
  EXPECT_THAT(Lines(result),
              Contains(AllOf(HasSubstr("permission:READ_MEDIA_AUDIO"),
                             HasSubstr("READ"), HasSubstr("AUDIO"),
                             HasSubstr("-> DENY EACCES"))));
  EXPECT_THAT(Lines(result), Not(Contains(HasSubstr("role:MTP"))));
}

}  // namespace
}  // namespace fused::policy
