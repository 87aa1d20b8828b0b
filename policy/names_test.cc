#include "policy/names.h"

#include <cstdint>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "policy/types.h"

namespace fused::policy {
namespace {

TEST(FatCleanTest, TakesWhatFatHolds) {
  for (const std::string_view name :
       {"a", "a.b", ".a", "a b", "\xc3\xa9", "\xf0\x9f\x98\x80.jpg", "..a"}) {
    EXPECT_TRUE(FatClean(name)) << name;
  }
  EXPECT_TRUE(FatClean(std::string(255, 'a')));
}

TEST(FatCleanTest, RefusesWhatFatDoesNotHold) {
  for (const std::string_view name :
       {"",    ".",     "..",       "a.",           "a ",
        "a\n", "a\x7f", "a*",       "a/b",          "a:b",
        "<",   ">",     "?",        "\\",           "|",
        "\"",  "\xff",  "\xc0\xaf", "\xed\xa0\x80", "a\xc3"}) {
    EXPECT_FALSE(FatClean(name)) << name;
  }
  EXPECT_FALSE(FatClean(std::string_view("a\0b", 3)));
  EXPECT_FALSE(FatClean(std::string(256, 'a')));
}

TEST(NameFactsTest, TellsStates) {
  EXPECT_EQ(NameFacts("a"), 0);
  EXPECT_EQ(NameFacts(""), 0);
  EXPECT_EQ(NameFacts(".a"), kFactHidden);
  EXPECT_EQ(NameFacts(".pending-1-a"), kFactPending);
  EXPECT_EQ(NameFacts(".PENDING-1700000000-a.jpg"), kFactPending);
  EXPECT_EQ(NameFacts(".trashed-1-a-b"), kFactTrashed);
  // Not quite.
  for (const char* name :
       {".pending-a", ".pending--a", ".pending-1-", ".pending-1",
        ".trashed-1x-a", ".trashed", ".pending-1-.."}) {
    EXPECT_EQ(NameFacts(name), kFactHidden) << name;
  }
  EXPECT_EQ(NameFacts("pending-1-a"), 0);
}

TEST(NameFactsTest, SeesThroughWhatALowerTreeDoesNotSee) {
  EXPECT_EQ(NameFacts("\u200d.a"), kFactHidden);
  EXPECT_EQ(NameFacts(".pend\u200ding-1-a"), kFactPending);
  // Even where it folds to more than fits.
  std::string name = "\u200d.";
  while (name.size() < 250) name += "\ufdfa";
  EXPECT_EQ(NameFacts(name), kFactHidden);
}

TEST(ExtensionTest, IsWhatFollowsTheLastDot) {
  EXPECT_EQ(Extension("a.jpg"), "jpg");
  EXPECT_EQ(Extension("a.b.JPG"), "JPG");
  EXPECT_EQ(Extension("a"), "");
  EXPECT_EQ(Extension(".jpg"), "");
  EXPECT_EQ(Extension(".a.jpg"), "jpg");
  EXPECT_EQ(Extension("a.jpg.."), "jpg");
  EXPECT_EQ(Extension(".pending-1-a.jpg"), "jpg");
  EXPECT_EQ(Extension(".pending-1-a"), "");
  EXPECT_EQ(Extension(".trashed-1-.jpg"), "");
  EXPECT_EQ(Extension("..."), "");
  EXPECT_EQ(Extension(""), "");
}

std::string Utf8(uint32_t point) {
  const auto tail = [point](int shift) {
    return static_cast<char>(0x80 | (point >> shift & 0x3f));
  };
  if (point < 0x80) return {static_cast<char>(point)};
  if (point < 0x800) return {static_cast<char>(0xc0 | point >> 6), tail(0)};
  if (point < 0x10000) {
    return {static_cast<char>(0xe0 | point >> 12), tail(6), tail(0)};
  }
  return {static_cast<char>(0xf0 | point >> 18), tail(12), tail(6), tail(0)};
}

void ExpectFolds(std::string_view name, std::string_view folded) {
  EXPECT_EQ(Fold(name), folded) << name;
  EXPECT_EQ(FoldedName(name).view(), folded) << name;
  EXPECT_EQ(Fold(folded), folded) << name;
}

TEST(FoldTest, MakesOneOfAllSpellings) {
  ExpectFolds("AbC_1", "abc_1");
  ExpectFolds("\u00c9", "\u00e9");
  ExpectFolds("E\u0301", "\u00e9");
  ExpectFolds("stra\u00dfe", "strasse");
  ExpectFolds("\u212a", "k");  // Kelvin sign
  ExpectFolds("\uff21", "a");  // full width
  ExpectFolds("da\u200dta", "data");
  ExpectFolds("\u1e9b\u0323", "\u1e69");
}

// Eight bytes at a time and one by one are the same.
TEST(FoldTest, EveryByteAtEveryPlace) {
  for (size_t length = 1; length <= 20; ++length) {
    for (size_t at = 0; at < length; ++at) {
      for (int byte = 1; byte < 256; ++byte) {
        std::string name(length, 'Q');
        name[at] = static_cast<char>(byte);
        ASSERT_EQ(FoldedName(name).view(), Fold(name))
            << length << " " << at << " " << byte;
        const bool ascii = byte < 0x80;
        ASSERT_EQ(FatClean(name),
                  ascii && byte >= 0x20 && byte != 0x7f &&
                      std::string_view("\"*/:<>?\\|").find(name[at]) ==
                          std::string_view::npos &&
                      name.back() != '.' && name.back() != ' ')
            << length << " " << at << " " << byte;
        ASSERT_EQ(NameFacts(name), byte == '.' && at == 0 ? kFactHidden : 0u);
      }
    }
  }
}

TEST(FoldTest, OfAFoldedNameIsTheSame) {
  for (uint32_t point = 1; point < 0x110000; ++point) {
    if (point >= 0xd800 && point < 0xe000) continue;
    const std::string name = "a" + Utf8(point) + "\u0301\u0345";
    const std::string folded = Fold(name);
    ASSERT_EQ(Fold(folded), folded) << std::hex << point;
    ASSERT_EQ(FoldedName(name).view(), folded) << std::hex << point;
  }
}

TEST(FoldTest, DropsDotsAtTheEnd) {
  ExpectFolds("a..", "a");
  ExpectFolds("A\u00c9.", "a\u00e9");
  ExpectFolds("a.b", "a.b");
  ExpectFolds("..", "..");
  ExpectFolds("\u200d..", "..");
}

TEST(FoldTest, LeavesWhatIsNotUtf8) {
  ExpectFolds("A\xff", "a\xff");
  ExpectFolds("\xc3\x89\xff", "\xc3\x89\xff");
}

TEST(FoldTest, NothingThatIsTooLongEqualsAnything) {
  const std::string longest(255, 'a');
  EXPECT_EQ(FoldedName(longest).view(), longest);
  EXPECT_EQ(FoldedName(longest + "...").view(), longest);
  EXPECT_EQ(FoldedName(longest + "a").view(), "");
  EXPECT_EQ(FoldedName(longest + "\u00e9").view(), "");
  EXPECT_EQ(Fold(longest + "\u00c9"), longest + "\u00e9");
  // What is not there takes no room.
  std::string padded = "A";
  for (int i = 0; i < 2000; ++i) padded += "\u200d";
  EXPECT_EQ(FoldedName(padded).view(), "a");
}

TEST(IsUtf8Test, RefusesOtherEncodings) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("a\u00e9\u20ac\U0001f600"));
  for (const std::string_view text :
       {"\x80", "\xc3", "\xc1\x81", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(text));
  }
}

TEST(NamesTest, Nomedia) {
  for (const char* name : {".nomedia", ".NoMedia", ".nomedia.", "．nomedia"}) {
    EXPECT_TRUE(IsNomedia(name)) << name;
  }
  for (const char* name : {"", ".", "nomedia", ".nomedia2", "a.nomedia"}) {
    EXPECT_FALSE(IsNomedia(name)) << name;
  }
}

}  // namespace
}  // namespace fused::policy
