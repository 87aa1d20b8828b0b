#include "fused/metrics/requests.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <numeric>

namespace fused::metrics {
namespace {

struct Result {
  int error;
  std::string_view name;
};

constexpr size_t kOther = kResults - 2;
constexpr size_t kLater = kResults - 1;

constexpr Result kNames[kResults] = {
    {0, "OK"},
    {ENOENT, "ENOENT"},
    {EACCES, "EACCES"},
    {EPERM, "EPERM"},
    {EEXIST, "EEXIST"},
    {ENOTEMPTY, "ENOTEMPTY"},
    {ENOTDIR, "ENOTDIR"},
    {EISDIR, "EISDIR"},
    {EINVAL, "EINVAL"},
    {ESTALE, "ESTALE"},
    {EXDEV, "EXDEV"},
    {ENOSYS, "ENOSYS"},
    {EAGAIN, "EAGAIN"},
    {EBUSY, "EBUSY"},
    {ENOSPC, "ENOSPC"},
    {EIO, "EIO"},
    {ETIMEDOUT, "ETIMEDOUT"},
    {EINTR, "EINTR"},
    {-1, "other"},
    {-1, "later"},
};

size_t ShardOfThread(size_t shards) {
  static std::atomic<size_t> next{0};
  thread_local const size_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine % shards;
}

}  // namespace

std::string_view ResultName(size_t result) { return kNames[result].name; }

size_t ResultOf(std::optional<int> error) {
  if (!error.has_value()) return kLater;
  for (size_t i = 0; i < kOther; ++i) {
    if (kNames[i].error == *error) return i;
  }
  return kOther;
}

size_t BucketOf(uint64_t nanoseconds) {
  const auto bits = static_cast<int>(std::bit_width(nanoseconds));
  return static_cast<size_t>(
      std::clamp(bits - kFirstBucketBits, 0, static_cast<int>(kBuckets) - 1));
}

double BucketBound(size_t bucket) {
  return static_cast<double>(uint64_t{1} << (bucket + kFirstBucketBits)) / 1e9;
}

uint64_t OpcodeCounts::count() const {
  return std::accumulate(results.begin(), results.end(), uint64_t{0});
}

Requests::Requests()
    : shards_(std::make_unique<std::array<Shard, kShards>>()) {}

void Requests::Count(uint32_t opcode, std::optional<int> error,
                     uint64_t nanoseconds) {
  Cell& cell = (*shards_)[ShardOfThread(kShards)]
                   .cells[opcode < kernel::kOpcodes ? opcode : 0];
  cell.results[ResultOf(error)].fetch_add(1, std::memory_order_relaxed);
  cell.buckets[BucketOf(nanoseconds)].fetch_add(1, std::memory_order_relaxed);
  cell.nanoseconds.fetch_add(nanoseconds, std::memory_order_relaxed);
}

std::vector<OpcodeCounts> Requests::Read() const {
  std::vector<OpcodeCounts> all;
  for (uint32_t opcode = 0; opcode < kernel::kOpcodes; ++opcode) {
    OpcodeCounts counts;
    counts.opcode = opcode;
    for (const Shard& shard : *shards_) {
      const Cell& cell = shard.cells[opcode];
      for (size_t i = 0; i < kResults; ++i) {
        counts.results[i] += cell.results[i];
      }
      for (size_t i = 0; i < kBuckets; ++i) {
        counts.buckets[i] += cell.buckets[i];
      }
      counts.nanoseconds += cell.nanoseconds;
    }
    if (counts.count() != 0) all.push_back(counts);
  }
  return all;
}

}  // namespace fused::metrics
