#include "policy/string_table.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace fused::policy {
namespace {

using Entries = std::vector<std::pair<std::string, uint32_t>>;

TEST(StringTableTest, EmptyHasNothing) {
  EXPECT_EQ(StringTable().Find(""), StringTable::kNone);
  EXPECT_EQ(StringTable(Entries()).Find("a"), StringTable::kNone);
}

TEST(StringTableTest, FindsWhatIsThere) {
  Entries entries = {{"", 7}};
  for (uint32_t i = 0; i < 5000; ++i) {
    entries.emplace_back(std::string(i % 20, 'x') + std::to_string(i), i);
  }
  const StringTable table(entries);
  for (const auto& [key, value] : entries) EXPECT_EQ(table.Find(key), value);
  EXPECT_EQ(table.Find("y"), StringTable::kNone);
  EXPECT_EQ(table.Find("5000"), StringTable::kNone);
}

TEST(StringTableTest, FirstOfTwoCounts) {
  EXPECT_EQ(StringTable(Entries{{"a", 1}, {"a", 2}}).Find("a"), 1);
}

}  // namespace
}  // namespace fused::policy
