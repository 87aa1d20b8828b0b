#include "policy/conditions.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/cover.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using ::testing::ElementsAre;

v1::Condition RandomCondition(std::mt19937& random, int depth) {
  v1::Condition condition;
  switch (random() % (depth > 0 ? 9 : 6)) {
    case 0:
      condition.set_permission(absl::StrCat(random() % 4));
      break;
    case 1:
      condition.set_media_type(random() % 2 == 0 ? "I" : "V");
      break;
    case 2:
      condition.set_is_directory(random() % 2 == 0);
      break;
    case 3:
      condition.set_granted(random() % 2 == 0);
      break;
    case 4:
      condition.set_role(v1::MTP);
      break;
    case 5:
      condition.set_state(v1::HIDDEN);
      break;
    case 6:
      *condition.mutable_not_() = RandomCondition(random, depth - 1);
      break;
    default: {
      v1::Condition::List* const list = random() % 2 == 0
                                            ? condition.mutable_all_of()
                                            : condition.mutable_any_of();
      for (uint32_t i = random() % 4; i > 0; --i) {
        *list->add_conditions() = RandomCondition(random, depth - 1);
      }
    }
  }
  return condition;
}

bool Naive(const v1::Condition& condition, const Vocabulary& vocabulary,
           uint64_t subject, uint64_t object) {
  const auto holds = [&](const v1::Condition& inner) {
    return Naive(inner, vocabulary, subject, object);
  };
  switch (condition.kind_case()) {
    case v1::Condition::kAllOf:
      return std::all_of(condition.all_of().conditions().begin(),
                         condition.all_of().conditions().end(), holds);
    case v1::Condition::kAnyOf:
      return std::any_of(condition.any_of().conditions().begin(),
                         condition.any_of().conditions().end(), holds);
    case v1::Condition::kNot:
      return !holds(condition.not_());
    case v1::Condition::kPermission:
      return (subject & vocabulary.PermissionBit(condition.permission())) != 0;
    case v1::Condition::kRole:
      return (subject & vocabulary.RoleBit(condition.role())) != 0;
    case v1::Condition::kMediaType:
      return (object & (condition.media_type() == "I" ? 1 : 2)) != 0;
    case v1::Condition::kIsDirectory:
      return ((object & kFactDirectory) != 0) == condition.is_directory();
    case v1::Condition::kGranted:
      return ((object & kFactGranted) != 0) == condition.granted();
    default:
      return (object & kFactHidden) != 0;
  }
}

bool Holds(const Terms& terms, uint64_t subject, uint64_t object) {
  return std::any_of(terms.begin(), terms.end(), [&](const Term& term) {
    return term.Holds(subject, object);
  });
}

class ConditionsTest : public testing::Test {
 protected:
  ConditionsTest() : compiler_(types_, source_, vocabulary_) {
    for (int i = 0; i < 4; ++i) vocabulary_.AddPermission(absl::StrCat(i));
    vocabulary_.AddRole(v1::MTP);
  }

  uint64_t RandomSubject() {
    uint64_t word = 0;
    for (int i = 0; i < 4; ++i) {
      if (random_() % 2 == 0) {
        word |= vocabulary_.PermissionBit(absl::StrCat(i));
      }
    }
    return random_() % 2 == 0 ? word : word | vocabulary_.RoleBit(v1::MTP);
  }
  uint64_t RandomObject() {
    return random_() & (3 | kFactDirectory | kFactGranted | kFactHidden);
  }
  Terms RandomTerms(v1::Condition& condition) {
    condition = RandomCondition(random_, 4);
    Issues issues;
    auto terms = compiler_.Compile(condition, "when", issues);
    EXPECT_TRUE(terms.has_value()) << issues[0].ToString();
    return terms.value_or(Terms());
  }

  std::mt19937 random_{1};
  const absl::flat_hash_map<std::string, uint32_t> types_ = {{"I", 1},
                                                             {"V", 2}};
  const SourceMap source_;
  Vocabulary vocabulary_;
  ConditionCompiler compiler_;
};

TEST_F(ConditionsTest, TermsHoldWhereTheConditionDoes) {
  for (int round = 0; round < 200; ++round) {
    v1::Condition condition;
    const Terms terms = RandomTerms(condition);
    for (int i = 0; i < 30; ++i) {
      const uint64_t subject = RandomSubject();
      const uint64_t object = RandomObject();
      ASSERT_EQ(Holds(terms, subject, object),
                Naive(condition, vocabulary_, subject, object))
          << condition.DebugString();
    }
  }
}

TEST_F(ConditionsTest, CoveredIsWhereverTheOthersHold) {
  int covered = 0;
  for (int round = 0; round < 200; ++round) {
    v1::Condition condition;
    const Terms some = RandomTerms(condition);
    const Terms cover = RandomTerms(condition);
    std::vector<const Term*> pointers;
    for (const Term& term : cover) pointers.push_back(&term);
    for (const Term& term : some) {
      // All the words that the term leaves open.
      bool always = true;
      for (uint32_t bits = 0; bits < 1u << 10; ++bits) {
        uint64_t subject = 0;
        for (int i = 0; i < 4; ++i) {
          if ((bits >> i & 1) != 0) {
            subject |= vocabulary_.PermissionBit(absl::StrCat(i));
          }
        }
        if ((bits >> 4 & 1) != 0) subject |= vocabulary_.RoleBit(v1::MTP);
        uint64_t object = bits >> 5 & 3;
        if ((bits >> 7 & 1) != 0) object |= kFactDirectory;
        if ((bits >> 8 & 1) != 0) object |= kFactGranted;
        if ((bits >> 9 & 1) != 0) object |= kFactHidden;
        if (term.Holds(subject, object)) {
          always &= Holds(cover, subject, object);
        }
      }
      size_t budget = 100000;
      ASSERT_EQ(IsCovered(term, pointers, budget), always);
      covered += always ? 1 : 0;
    }
  }
  EXPECT_GT(covered, 20);
}

TEST_F(ConditionsTest, WithoutBudgetNothingIsCovered) {
  const Term any;
  size_t budget = 0;
  EXPECT_FALSE(IsCovered(any, {&any}, budget));
  budget = 1;
  EXPECT_TRUE(IsCovered(any, {&any}, budget));
}

TEST(VocabularyTest, NamesItsBits) {
  Vocabulary vocabulary;
  const uint64_t word = vocabulary.AddPermission("P") |
                        vocabulary.AddRole(v1::MTP) |
                        vocabulary.AddTargetSdk(30);
  EXPECT_EQ(vocabulary.AddPermission("P"), vocabulary.PermissionBit("P"));
  EXPECT_EQ(vocabulary.PermissionBit("Q"), 0);
  EXPECT_EQ(vocabulary.RoleBit(v1::ROOT), 0);
  EXPECT_EQ(vocabulary.TargetSdkBits(29), 0);
  EXPECT_EQ(vocabulary.TargetSdkBits(30), vocabulary.TargetSdkBits(31));
  EXPECT_THAT(vocabulary.Words(word),
              ElementsAre("permission:P", "role:MTP", "min_target_sdk:30"));
}

}  // namespace
}  // namespace fused::policy
