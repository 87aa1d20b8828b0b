// How large tables are split, so that threads don't wait for each other.
#ifndef FUSED_FUSED_SHARDS_H_
#define FUSED_FUSED_SHARDS_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace fused {

inline constexpr size_t kShards = 32;

namespace shards_internal {

inline constexpr size_t kSteps = 256;

// The share of shard i is 2^(i/32) of the smallest one's.
constexpr std::array<uint8_t, kSteps> MakeShares() {
  constexpr double kRatio = 1.0218971486541166;  // 2^(1/32)
  std::array<uint8_t, kSteps> shares = {};
  double end = kRatio;
  uint8_t shard = 0;
  for (size_t step = 0; step < kSteps; ++step) {
    while (1 + (static_cast<double>(step) + 0.5) / kSteps > end &&
           shard + 1u < kShards) {
      end *= kRatio;
      ++shard;
    }
    shares[step] = shard;
  }
  return shares;
}

inline constexpr std::array<uint8_t, kSteps> kShares = MakeShares();

}  // namespace shards_internal

// Where an entry lies, by its absl::HashOf(). A hash table that is full
// doubles. Shards of equal shares would all do so at about the same number of
// entries, and be half empty after; the shares of these span one doubling, so
// that at any time the shards together are two thirds full. Goes by the highest
// bits: the tables themselves use the others.
inline size_t ShardOfHash(size_t hash) {
  static_assert(sizeof(hash) == 8 && shards_internal::kSteps == 256);
  return shards_internal::kShares[hash >> 56];
}

}  // namespace fused

#endif  // FUSED_FUSED_SHARDS_H_
