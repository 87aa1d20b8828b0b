#include "fused/visibility.h"

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "fused/testing/snapshot.h"
#include "gtest/gtest.h"
#include "policy/engine.h"

namespace fused {
namespace {

constexpr char kPolicy[] = R"(
name: "test" version: 1
path_classes { name: "private" patterns: "Private/{package}/**" }
path_classes { name: "one" patterns: "d/secret/**" }
rules { name: "own" path_classes: "private" operations: ANY
        when { relation: OWNS_PATH } effect { allow {} } }
rules { name: "private" path_classes: "private" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "one" path_classes: "one" operations: LOOKUP
        when { not { permission: "SEE" } } effect { deny { error: ENOENT } } }
rules { name: "rest" operations: ANY effect { allow {} } }
)";
constexpr char kApps[] = R"(
version: 1
apps { package: "com.example" uid: 10001 }
apps { package: "com.other" uid: 10002 permissions: "SEE" }
)";

class VisibilityTest : public testing::Test {
 protected:
  policy::Location At(std::initializer_list<const char*> path) const {
    policy::Location location = snapshot_->Root(0);
    for (const char* name : path) location = snapshot_->Child(location, name);
    return location;
  }

  const std::shared_ptr<const policy::Snapshot> snapshot_ =
      MakeSnapshot(kPolicy, kApps);
  const policy::Subject app_ = snapshot_->SubjectOf(10001);
  const policy::Subject other_ = snapshot_->SubjectOf(10002);
};

TEST_F(VisibilityTest, NamesAreSeenOrNot) {
  const auto sees = [&](const policy::Subject& subject, const char* name) {
    return SeesName(*snapshot_, subject, At({"Private", name}), name,
                    std::nullopt);
  };
  EXPECT_EQ(sees(app_, "com.example"), Visibility::kAlways);
  EXPECT_EQ(sees(app_, "com.other"), Visibility::kNever);
  EXPECT_EQ(sees(NobodyOf(*snapshot_, 0), "com.example"), Visibility::kNever);
  for (const policy::Subject& subject :
       {app_, other_, NobodyOf(*snapshot_, 0)}) {
    for (const char* name : {"com.example", "com.other", "com.third", "a"}) {
      EXPECT_EQ(MaySeeName(*snapshot_, subject, At({"Private", name}), name),
                sees(subject, name) != Visibility::kNever);
    }
  }
}

TEST_F(VisibilityTest, WhatIsNotSeenIsToldWithItsRule) {
  AskedName asked;
  EXPECT_FALSE(MaySeeName(*snapshot_, app_, At({"Private", "com.other"}),
                          "com.other", &asked));
  EXPECT_FALSE(asked.decision.allowed());
  EXPECT_EQ(asked.object.file_owner, app_.app);
}

TEST_F(VisibilityTest, DirectoriesHideNames) {
  EXPECT_TRUE(HidesNamesBelow(*snapshot_, &app_, At({"Private"})));
  EXPECT_TRUE(HidesNamesBelow(*snapshot_, nullptr, At({"Private"})));
  EXPECT_FALSE(HidesNamesBelow(*snapshot_, &app_, At({"d"})));
}

TEST_F(VisibilityTest, ListingsAreAlikeWhereNoNameIsSpecial) {
  EXPECT_TRUE(ListsAlike(*snapshot_, At({"e"}), false));
  EXPECT_FALSE(ListsAlike(*snapshot_, At({"Private"}), false));
  // For one name alone.
  EXPECT_FALSE(ListsAlike(*snapshot_, At({"d"}), false));
  EXPECT_FALSE(ListsAlike(*snapshot_, At({}), false));
  EXPECT_TRUE(ListsAlike(*snapshot_, At({}), true));
  EXPECT_FALSE(ListsAlike(*snapshot_, At({"Private"}), true));
}

TEST_F(VisibilityTest, WhatIsBelowIsJudgedAlikeInPlacesOfOneKind) {
  EXPECT_TRUE(JudgedAlikeBelow(At({"e", "a"}), At({"e", "b"})));
  EXPECT_FALSE(JudgedAlikeBelow(At({"e", "a"}), At({"e", ".b"})));
  EXPECT_FALSE(JudgedAlikeBelow(At({"e", "a"}), At({"d", "secret"})));
  EXPECT_FALSE(JudgedAlikeBelow(At({"Private", "com.example"}),
                                At({"Private", "com.other"})));
}

TEST_F(VisibilityTest, RulesLookAtWhatIsHidden) {
  EXPECT_FALSE(HiddenIsUnseen(*snapshot_));
  EXPECT_FALSE(HiddenIsUnseen(*MakeSnapshot(R"(
        name: "test" version: 1
        rules { name: "read" operations: READ when { state: HIDDEN }
                effect { deny { error: EACCES } } }
        rules { name: "rest" operations: ANY effect { allow {} } })",
                                            kApps)));
  for (const char* condition :
       {"state: HIDDEN", "not { state: HIDDEN }",
        "all_of { conditions { is_directory: true } conditions { state: HIDDEN "
        "} }",
        "any_of { conditions { not { state: HIDDEN } } }"}) {
    const std::string text = absl::StrCat(
        "name: 'test' version: 1 rules { name: 'h' operations: LOOKUP when { ",
        condition, " } effect { allow {} } }");
    EXPECT_TRUE(HiddenIsUnseen(*MakeSnapshot(text, kApps))) << condition;
  }
}

}  // namespace
}  // namespace fused
