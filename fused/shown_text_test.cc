#include "fused/shown_text.h"

#include <string>

#include "gtest/gtest.h"
#include "policy/names.h"

namespace fused {
namespace {

TEST(ShownTextTest, WhatIsGoodStaysAsItIs) {
  EXPECT_EQ(ShownText(""), "");
  EXPECT_EQ(ShownText("DCIM/\xc3\xa4.jpg"), "DCIM/\xc3\xa4.jpg");
  const std::string most(kMostShown, 'x');
  EXPECT_EQ(ShownText(most), most);
}

TEST(ShownTextTest, WhatIsNoUtf8IsEscaped) {
  EXPECT_EQ(ShownText("a/\xff"), "a/\\xff");
  EXPECT_EQ(ShownText("\xc3"), "\\xc3");
}

// A cut goes through no character.
TEST(ShownTextTest, WhatIsLongIsCut) {
  for (const char* part :
       {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff", "x\xff"}) {
    for (size_t before = 0; before < 8; ++before) {
      std::string text(before, '-');
      while (text.size() < 3 * kMostShown) text += part;
      const std::string shown = ShownText(text);
      EXPECT_LE(shown.size(), kMostShown);
      EXPECT_GE(shown.size(), kMostShown - 8);
      EXPECT_TRUE(policy::IsUtf8(shown));
      EXPECT_EQ(shown.substr(shown.size() - 3), "...");
    }
  }
}

}  // namespace
}  // namespace fused
