#include "policy/lint.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"

namespace fused::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> LintText(std::string_view text) {
  Issues issues;
  const auto policy = ParsePolicy(text, "p", issues);
  if (policy) Lint(*policy, issues);
  std::vector<std::string> texts;
  for (const Issue& issue : issues) texts.push_back(issue.ToString());
  return texts;
}

TEST(LintTest, BuiltInPolicyIsClean) {
  Issues issues;
  Lint({CompiledPolicy::BuiltIn()->source(), SourceMap()}, issues);
  for (const Issue& issue : issues) ADD_FAILURE() << issue.ToString();
}

TEST(LintTest, ReportsWhatDoesNotCompile) {
  EXPECT_THAT(LintText("rules { name: 'a' operations: READ path_classes: 'x' "
                       "effect { allow {} } }"),
              ElementsAre("p:1:36: rules[0].path_classes[0]: no path class "
                          "\"x\" is defined"));
}

TEST(LintTest, RefusesErrorsThatTellOfAName) {
  EXPECT_THAT(
      LintText("rules { name: 'a' operations: LOOKUP\n"
               "effect { deny { error: EACCES } } }"),
      ElementsAre(HasSubstr("p:2:17: rules[0].effect.deny.error: a denied")));
  EXPECT_THAT(LintText("rules { name: 'a' operations: ANY\n"
                       "effect { deny { error: EPERM } } }"),
              ElementsAre(HasSubstr("effect.deny.error: a denied LOOKUP")));
  EXPECT_THAT(LintText("rules { name: 'a' operations: ANY\n"
                       "effect { deny {} } }"),
              IsEmpty());
  EXPECT_THAT(LintText("rules { name: 'a' operations: READ\n"
                       "effect { deny { error: EPERM } } }"),
              IsEmpty());
}

TEST(LintTest, FindsRulesThatEarlierOnesCover) {
  EXPECT_THAT(
      LintText("rules { name: 'a' operations: READ effect { allow {} } }\n"
               "rules { name: 'b' operations: READ when { role: MTP } "
               "effect { deny {} } }\n"),
      ElementsAre("p:2:1: rules[1]: warning: unreachable: earlier rules (a) "
                  "decide wherever it matches",
                  "p:2:43: rules[1].when.role: warning: the role MTP decides "
                  "nothing in any rule"));
  // Together, though neither alone.
  EXPECT_THAT(
      LintText("rules { name: 'a' operations: READ when { role: MTP } "
               "effect { allow {} } }\n"
               "rules { name: 'b' operations: READ when { not { role: MTP } } "
               "effect { allow {} } }\n"
               "rules { name: 'c' operations: READ effect { deny {} } }\n"),
      ElementsAre(HasSubstr("rules[2]: warning: unreachable: earlier rules "
                            "(a, b)")));
  // Another operation is left, or another class.
  EXPECT_THAT(
      LintText("rules { name: 'a' operations: READ effect { allow {} } }\n"
               "rules { name: 'b' operations: [READ, WRITE] "
               "effect { deny {} } }\n"),
      IsEmpty());
  EXPECT_THAT(
      LintText("path_classes { name: 'x' patterns: 'x' }\n"
               "rules { name: 'a' operations: READ path_classes: 'x' "
               "effect { allow {} } }\n"
               "rules { name: 'b' operations: READ effect { deny {} } }\n"),
      IsEmpty());
}

TEST(LintTest, FindsConditionsThatNothingMeets) {
  EXPECT_THAT(
      LintText("rules { name: 'a' operations: READ when { all_of { conditions "
               "{ role: MTP } conditions { not { role: MTP } } } } effect { "
               "allow {} } }"),
      ElementsAre(HasSubstr("rules[0].when: warning: can match nothing"),
                  HasSubstr("the role MTP decides nothing")));
  EXPECT_THAT(
      LintText("path_classes { name: 'x' patterns: 'x/**' }\n"
               "rules { name: 'a' operations: READ path_classes: 'x' when { "
               "relation: OWNS_PATH } effect { allow {} } }"),
      ElementsAre(HasSubstr("rules[0].when: warning: can match nothing")));
}

TEST(LintTest, FindsClassesThatNothingMatches) {
  EXPECT_THAT(
      LintText("path_classes { name: 'x' patterns: 'x/**' }\n"
               "path_classes { name: 'y' patterns: 'X/y' patterns: 'x/*/*' }\n"
               "path_classes { name: 'z' patterns: '**/y' }\n"
               "path_classes { name: 'empty' }\n"),
      ElementsAre(HasSubstr("p:2:1: path_classes[1]: warning: nothing can "
                            "match: earlier classes"),
                  HasSubstr("path_classes[3]: warning: nothing can match: it "
                            "has no patterns")));
}

TEST(LintTest, FindsRulesThatTakePassthroughFromAClass) {
  EXPECT_THAT(
      LintText("path_classes { name: 'x' patterns: 'x/**' }\n"
               "rules { name: 'a' operations: READ path_classes: 'x'\n"
               "  effect { allow { io: DAEMON } } }"),
      ElementsAre(HasSubstr("p:3:20: rules[0].effect.allow.io: warning: takes "
                            "passthrough from every file of x")));
  EXPECT_THAT(LintText("rules { name: 'a' operations: ANY effect { allow { "
                       "redact: LOCATION } } }"),
              ElementsAre(HasSubstr("from every file of any class")));
  EXPECT_THAT(LintText("media_types { name: 'I' extensions: 'jpg' }\n"
                       "rules { name: 'a' operations: READ when { media_type: "
                       "'I' } effect { allow { redact: LOCATION } } }"),
              IsEmpty());
  EXPECT_THAT(LintText("rules { name: 'a' operations: LIST effect { allow { "
                       "io: DAEMON } } }"),
              IsEmpty());
}

TEST(LintTest, FindsMediaTypesWithoutUse) {
  EXPECT_THAT(
      LintText("media_types { name: 'I' extensions: 'a' extensions: 'a' }\n"
               "media_types { name: 'J' }\n"
               "rules { name: 'a' operations: READ when { media_type: 'J' } "
               "effect { allow {} } }"),
      ElementsAre(HasSubstr("media_types[0].extensions[1]: warning: \"a\" is"),
                  HasSubstr("media_types[0]: warning: no rule uses"),
                  HasSubstr("media_types[1]: warning: no file is of")));
}

TEST(LintTest, ChecksShadowRulesToo) {
  EXPECT_THAT(LintText("shadow_rules { name: 'a' operations: LOOKUP "
                       "effect { deny { error: EACCES } } }"),
              ElementsAre(HasSubstr("shadow_rules[0].effect.deny.error")));
}

}  // namespace
}  // namespace fused::policy
