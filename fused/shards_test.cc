// How large tables are split.
#include "fused/shards.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

TEST(ShardsTest, EachHasAShareAndTheLargestIsTwiceTheSmallest) {
  std::vector<int> shares(kShards);
  for (size_t top = 0; top < 256; ++top) {
    const size_t shard = ShardOfHash(top << 56);
    ASSERT_LT(shard, kShards);
    EXPECT_EQ(ShardOfHash(top << 56 | 0xffffffffffffff), shard);
    ++shares[shard];
  }
  EXPECT_GE(*std::min_element(shares.begin(), shares.end()), 5);
  EXPECT_LE(*std::max_element(shares.begin(), shares.end()), 12);
}

// A table at its worst is half empty, and somewhat more.
TEST(ShardsTest, TheyAreNeverAllHalfEmpty) {
  std::vector<absl::flat_hash_set<size_t>> shards(kShards);
  size_t entries = 0;
  double worst = 0;
  for (size_t i = 0; i < 300'000; ++i) {
    shards[ShardOfHash(absl::HashOf(i))].insert(i);
    if (++entries < 100'000 || entries % 1000 != 0) continue;
    size_t places = 0;
    for (const auto& shard : shards) places += shard.capacity();
    worst = std::max(
        worst, static_cast<double>(places) / static_cast<double>(entries));
  }
  EXPECT_LT(worst, 1.8);
}

}  // namespace
}  // namespace fused
