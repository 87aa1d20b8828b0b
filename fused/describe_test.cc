#include "fused/describe.h"

#include <optional>

#include "gtest/gtest.h"

namespace fused {
namespace {

TEST(DescribeNameTest, TellsTypeAndState) {
  policy::v1::Policy policy;
  policy::v1::MediaType& image = *policy.add_media_types();
  image.set_name("IMAGE");
  image.add_extensions("jpg");
  const media::Described plain = DescribeName(policy, "a.JPG");
  EXPECT_EQ(plain.media_type, "IMAGE");
  EXPECT_EQ(plain.waiting, media::Waiting::kNo);
  EXPECT_FALSE(plain.hidden);
  EXPECT_EQ(plain.expires, 0);
  const media::Described trashed =
      DescribeName(policy, ".trashed-1900000000-a.jpg");
  EXPECT_EQ(trashed.media_type, "IMAGE");
  EXPECT_EQ(trashed.waiting, media::Waiting::kTrashed);
  EXPECT_EQ(trashed.expires, 1'900'000'000);
  EXPECT_TRUE(DescribeName(policy, ".a.jpg").hidden);
  EXPECT_EQ(DescribeName(policy, "a.txt").media_type, "");
  EXPECT_EQ(DescribeName(policy, "").media_type, "");
}

TEST(ExpiryOfTest, ReadsTheStamp) {
  EXPECT_EQ(ExpiryOf(".pending-12-a"), 12);
  EXPECT_EQ(ExpiryOf(".TRASHED-12-a-b"), 12);
  EXPECT_EQ(ExpiryOf(".pending-0012-a"), 12);
  // Beyond what a number holds; no name; other names.
  EXPECT_EQ(ExpiryOf(".pending-99999999999999999999-a"), std::nullopt);
  EXPECT_EQ(ExpiryOf(".pending-12-"), std::nullopt);
  EXPECT_EQ(ExpiryOf(".pending-1x-a"), std::nullopt);
  EXPECT_EQ(ExpiryOf("pending-12-a"), std::nullopt);
  // Where only a tree that folds sees the prefix, nothing is deleted.
  EXPECT_EQ(ExpiryOf(".pend\u200ding-12-a"), std::nullopt);
}

TEST(WithExpiryTest, ReplacesTheStampAlone) {
  EXPECT_EQ(WithExpiry(".pending-12-a-1.jpg", 345), ".pending-345-a-1.jpg");
  EXPECT_EQ(WithExpiry(".trashed-0012-a", 7), ".trashed-7-a");
}

}  // namespace
}  // namespace fused
