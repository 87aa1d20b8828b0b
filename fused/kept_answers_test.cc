#include "fused/kept_answers.h"

#include <string>

#include "gtest/gtest.h"

namespace fused {
namespace {

constexpr kernel::NodeId kDirectory = 7;
constexpr kernel::NodeId kOther = kDirectory + 16;

TEST(KeptAnswersTest, AttributesAreKeptUntilTaken) {
  KeptAnswers kept;
  EXPECT_FALSE(kept.HasAttributes(kDirectory));
  kept.NoteAttributes(kDirectory);
  EXPECT_TRUE(kept.HasAttributes(kDirectory));
  EXPECT_FALSE(kept.HasAttributes(kOther));
  kept.TakeAttributes(kOther);
  EXPECT_TRUE(kept.HasAttributes(kDirectory));
  kept.TakeAttributes(kDirectory);
  EXPECT_FALSE(kept.HasAttributes(kDirectory));
}

TEST(KeptAnswersTest, AbsencesAreOfOneName) {
  KeptAnswers kept;
  kept.NoteAbsence(kDirectory, "a");
  kept.NoteAbsence(kDirectory, "a");
  kept.NoteAbsence(kDirectory, "b");
  EXPECT_TRUE(kept.HasAbsence(kDirectory, "a"));
  EXPECT_TRUE(kept.HasAbsence(kDirectory, "b"));
  EXPECT_FALSE(kept.HasAbsence(kDirectory, "c"));
  EXPECT_FALSE(kept.HasAbsence(kOther, "a"));
  EXPECT_FALSE(kept.HasAttributes(kDirectory));
  kept.TakeAbsence(kDirectory, "a");
  EXPECT_FALSE(kept.HasAbsence(kDirectory, "a"));
  EXPECT_TRUE(kept.HasAbsence(kDirectory, "b"));
}

TEST(KeptAnswersTest, OfMoreThanCanBeToldApartAnyNameIsOne) {
  KeptAnswers kept;
  for (size_t i = 0; i <= KeptAnswers::kMostNames; ++i) {
    EXPECT_FALSE(kept.HasAbsence(kDirectory, "any"));
    kept.NoteAbsence(kDirectory, std::to_string(i));
  }
  EXPECT_TRUE(kept.HasAbsence(kDirectory, "any"));
  kept.TakeAbsence(kDirectory, "0");
  EXPECT_TRUE(kept.HasAbsence(kDirectory, "0"));
  EXPECT_FALSE(kept.HasAbsence(kOther, "any"));
}

TEST(KeptAnswersTest, OfAForgottenDirectoryNothingIsKept) {
  KeptAnswers kept;
  kept.NoteAttributes(kDirectory);
  kept.NoteAbsence(kDirectory, "a");
  kept.NoteAttributes(kOther);
  EXPECT_EQ(kept.size(), 2u);
  kept.Forget(kDirectory);
  EXPECT_EQ(kept.size(), 1u);
  EXPECT_FALSE(kept.HasAttributes(kDirectory));
  EXPECT_FALSE(kept.HasAbsence(kDirectory, "a"));
}

}  // namespace
}  // namespace fused
