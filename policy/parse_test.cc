#include "policy/parse.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/issue.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> PolicyIssues(std::string_view content) {
  Issues issues;
  const auto parsed = ParsePolicy(content, "f", issues);
  EXPECT_EQ(parsed.has_value(), !HasErrors(issues));
  std::vector<std::string> texts;
  for (const Issue& issue : issues) texts.push_back(issue.ToString());
  return texts;
}

TEST(IssueTest, IsOneLine) {
  Issue issue{"f", 1, 2, "a.b", "why"};
  EXPECT_EQ(issue.ToString(), "f:1:2: a.b: why");
  EXPECT_TRUE(HasErrors({issue}));
  issue.warning = true;
  EXPECT_EQ(issue.ToString(), "f:1:2: a.b: warning: why");
  EXPECT_FALSE(HasErrors({issue}));
  EXPECT_EQ((Issue{"f", 0, 0, "", "why"}).ToString(), "f:0:0: why");
}

TEST(ParseTest, TellsTextFromBinary) {
  Issues issues;
  const auto text = ParsePolicy("name: 'a' version: 4", "f", issues);
  ASSERT_TRUE(text.has_value());
  const std::string bytes = text->message.SerializeAsString();
  const auto binary = ParsePolicy(bytes, "f", issues);
  ASSERT_TRUE(binary.has_value());
  EXPECT_EQ(binary->message.SerializeAsString(), bytes);
  EXPECT_EQ(binary->source.At("name", "why").ToString(), "f:0:0: name: why");
  EXPECT_EQ(text->source.At("version", "why").ToString(),
            "f:1:11: version: why");
  EXPECT_THAT(issues, IsEmpty());
}

TEST(ParseTest, TakesBinaryThatCouldBeText) {
  // A line feed, a blank, and as many letters as the blank counts.
  v1::Policy policy;
  policy.set_name(std::string(32, 'a'));
  Issues issues;
  const auto parsed = ParsePolicy(policy.SerializeAsString(), "f", issues);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->message.name(), policy.name());
  EXPECT_THAT(issues, IsEmpty());
}

TEST(ParseTest, EmptyIsTheEmptyMessage) {
  EXPECT_THAT(PolicyIssues(""), IsEmpty());
  EXPECT_THAT(PolicyIssues("\n# nothing\n"), IsEmpty());
}

TEST(ParseTest, TellsOfAnUnknownEnumeratorWhereItStands) {
  EXPECT_THAT(
      PolicyIssues("name: 'a'\n"
                   "rules {\n"
                   "  name: 'READ'\n"
                   "  operations: FLY\n"
                   "  effect { allow {} }\n"
                   "}\n"),
      ElementsAre(HasSubstr("f:4:15: rules[0].operations[0]: Unknown")));
  EXPECT_THAT(PolicyIssues("rules { operations: [READ,\n"
                           "  CRAWL, WRITE] }\n"),
              ElementsAre(HasSubstr("f:2:3: rules[0].operations[1]")));
}

TEST(ParseTest, NamesFieldOfATextError) {
  EXPECT_THAT(
      PolicyIssues("name: 'a'\n"
                   "rules { name: 'x' operations: [READ, WRITE] }\n"
                   "rules {\n"
                   "  when { all_of { conditions { role: MTP }\n"
                   "                  conditions { permision: 'X' } } }\n"
                   "}\n"),
      ElementsAre(HasSubstr("rules[1].when.all_of.conditions[1].permision: ")));
  EXPECT_THAT(PolicyIssues("rules { operations: [READ, REED] }"),
              ElementsAre(HasSubstr("rules[0].operations[1]: ")));
  EXPECT_THAT(PolicyIssues("# a { b: \"{\nname: \"{\"\nversion: 'x'"),
              ElementsAre(HasSubstr("f:3:10: version: ")));
  EXPECT_THAT(PolicyIssues("name: 'a' name: 'b'"),
              ElementsAre(HasSubstr("f:1:")));
  EXPECT_THAT(PolicyIssues("rules {"), ElementsAre(HasSubstr("f:1:8: rules")));
}

TEST(ParseTest, RefusesUnknownFieldsInBinary) {
  v1::Policy policy;
  policy.add_rules()
      ->GetReflection()
      ->MutableUnknownFields(policy.mutable_rules(0))
      ->AddVarint(99, 1);
  EXPECT_THAT(PolicyIssues(policy.SerializeAsString()),
              ElementsAre("f:0:0: rules[0]: unknown field 99 of "
                          "fused.policy.v1.Rule"));
}

TEST(ParseTest, RefusesWhatIsNeither) {
  EXPECT_THAT(PolicyIssues(std::string_view("\x01\x02\x00", 3)),
              ElementsAre(HasSubstr("f:0:0: neither text nor a binary")));
  EXPECT_THAT(PolicyIssues("\xff\xfe"), ElementsAre(HasSubstr("neither")));
}

TEST(ParseTest, RefusesTextThatIsNotUtf8) {
  EXPECT_THAT(PolicyIssues("rules {} rules { name: '\\377' }"),
              ElementsAre("f:1:18: rules[1].name: not UTF-8"));
}

TEST(ParseTest, RefusesDepthThatNobodyReads) {
  std::string text = "rules { when {";
  for (int i = 0; i < 100; ++i) text += "not {";
  for (int i = 0; i < 102; ++i) text += "}";
  EXPECT_THAT(PolicyIssues(text), ElementsAre(HasSubstr("recursion")));
}

TEST(ParseTest, RefusesWhatIsTooLarge) {
  EXPECT_THAT(PolicyIssues(std::string(kMaxInput + 1, ' ')),
              ElementsAre(HasSubstr("larger than")));
}

TEST(SourceMapTest, FindsTheNearest) {
  Issues issues;
  const auto parsed = ParsePolicy(
      "name: 'a'\n"
      "rules {\n"
      "  operations: [READ, WRITE]\n"
      "  when { any_of { conditions: [{ role: MTP }, { role: SHELL }] } }\n"
      "}\n",
      "f", issues);
  ASSERT_TRUE(parsed.has_value());
  const auto at = [&](std::string_view field) {
    const Issue issue = parsed->source.At(field, "");
    return std::pair(issue.line, issue.column);
  };
  EXPECT_EQ(at("rules[0].effect"), std::pair(2, 1));
  EXPECT_EQ(at("rules[0].operations[1]"), std::pair(3, 3));
  EXPECT_EQ(at("rules[0].when.any_of.conditions[1].role"), std::pair(4, 49));
  EXPECT_EQ(at("rules[1].name"), std::pair(2, 1));
  EXPECT_EQ(at("path_classes"), std::pair(1, 1));
  EXPECT_EQ(at("nonsense.x[].[3]"), std::pair(1, 1));
  EXPECT_EQ(at(""), std::pair(1, 1));
}

TEST(Sha256Test, IsOfTheBinaryForm) {
  EXPECT_EQ(Sha256(v1::Policy()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  v1::Policy policy;
  policy.set_version(1);
  EXPECT_NE(Sha256(policy), Sha256(v1::Policy()));
}

TEST(ParseAppsTest, ReadsApps) {
  Issues issues;
  const auto parsed = ParseApps(
      "apps { package: 'a.b' uid: 10061 permissions: 'X' roles: MANAGER "
      "target_sdk: 34 }",
      "f", issues);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->message.apps(0).uid(), 10061);
  EXPECT_FALSE(ParseApps("rules {}", "f", issues).has_value());
}

}  // namespace
}  // namespace fused::policy
