// What became of requests, and how long they took.
#ifndef FUSED_FUSED_METRICS_REQUESTS_H_
#define FUSED_FUSED_METRICS_REQUESTS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/packet.h"

namespace fused::metrics {

// Results that are told apart; another errno is "other", and a request that
// waits (for a lock, or for a deadline) is "later".
inline constexpr size_t kResults = 20;
std::string_view ResultName(size_t result);
size_t ResultOf(std::optional<int> error);

// Times by powers of two: bucket i holds what took less than 2^i microseconds
// and 24 thousandths, and not less than half of that; the last all the rest.
inline constexpr size_t kBuckets = 24;
inline constexpr int kFirstBucketBits = 10;  // of nanoseconds
size_t BucketOf(uint64_t nanoseconds);
// Above which no time of the bucket is, in seconds; of all but the last.
double BucketBound(size_t bucket);

// One opcode's counts at some moment.
struct OpcodeCounts {
  uint32_t opcode = 0;
  std::array<uint64_t, kResults> results{};
  std::array<uint64_t, kBuckets> buckets{};
  uint64_t nanoseconds = 0;

  uint64_t count() const;
};

// Of one volume. Thread-safe; Count() takes no lock and waits for nobody: each
// thread has one of a few tables, so that they seldom share a cache line.
class Requests {
 public:
  Requests();

  void Count(uint32_t opcode, std::optional<int> error, uint64_t nanoseconds);

  // Those that came, by opcode; not one moment's.
  std::vector<OpcodeCounts> Read() const;

 private:
  static constexpr size_t kShards = 4;

  struct Cell {
    std::array<std::atomic<uint64_t>, kResults> results{};
    std::array<std::atomic<uint64_t>, kBuckets> buckets{};
    std::atomic<uint64_t> nanoseconds{0};
  };
  struct alignas(64) Shard {
    std::array<Cell, kernel::kOpcodes> cells;
  };

  const std::unique_ptr<std::array<Shard, kShards>> shards_;
};

}  // namespace fused::metrics

#endif  // FUSED_FUSED_METRICS_REQUESTS_H_
