#include "fused/metrics/requests.h"

#include <linux/fuse.h>

#include <cerrno>
#include <cmath>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "fused/metrics/registry.h"
#include "gtest/gtest.h"

namespace fused::metrics {
namespace {

TEST(RequestsTest, EachTimeHasItsBucket) {
  EXPECT_EQ(BucketOf(0), 0u);
  EXPECT_EQ(BucketOf(1023), 0u);
  EXPECT_EQ(BucketOf(1024), 1u);
  EXPECT_EQ(BucketOf(2047), 1u);
  EXPECT_EQ(BucketOf(2048), 2u);
  EXPECT_EQ(BucketOf(UINT64_MAX), kBuckets - 1);
  for (size_t bucket = 0; bucket + 1 < kBuckets; ++bucket) {
    const auto bound =
        static_cast<uint64_t>(std::llround(BucketBound(bucket) * 1e9));
    EXPECT_EQ(BucketOf(bound - 1), bucket);
    EXPECT_EQ(BucketOf(bound), bucket + 1);
  }
}

TEST(RequestsTest, ResultsHaveNames) {
  EXPECT_EQ(ResultName(ResultOf(0)), "OK");
  EXPECT_EQ(ResultName(ResultOf(ENOENT)), "ENOENT");
  EXPECT_EQ(ResultName(ResultOf(EHOSTDOWN)), "other");
  EXPECT_EQ(ResultName(ResultOf(std::nullopt)), "later");
  std::set<std::string_view> names;
  for (size_t i = 0; i < kResults; ++i) names.insert(ResultName(i));
  EXPECT_EQ(names.size(), kResults);
}

TEST(RequestsTest, NoneIsLostAmongThreads) {
  Requests requests;
  Registry registry;
  constexpr uint64_t kEach = 20000;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < kEach; ++i) {
        requests.Count(FUSE_LOOKUP, i % 2 == 0 ? 0 : ENOENT, 1000);
        registry.CountRequest(10000 + static_cast<uid_t>(i % 700), FUSE_LOOKUP,
                              t);
        registry.CountVerdict(t, "rule", Verdict::kDenied);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<OpcodeCounts> read = requests.Read();
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].opcode, static_cast<uint32_t>(FUSE_LOOKUP));
  EXPECT_EQ(read[0].count(), 6 * kEach);
  EXPECT_EQ(read[0].results[ResultOf(ENOENT)], 3 * kEach);
  EXPECT_EQ(read[0].buckets[0], 6 * kEach);
  EXPECT_EQ(read[0].nanoseconds, 6000 * kEach);

  uint64_t counted = 0;
  uint64_t others = 0;
  size_t apps = 0;
  for (const Registry::Apps::Entry& app : registry.apps().All()) {
    const uint64_t count = app.value->operations[FUSE_LOOKUP].count;
    counted += count;
    apps += app.key != 0;
    if (app.key == 0) others = count;
  }
  EXPECT_EQ(counted, 6 * kEach);
  EXPECT_LE(apps, 512u);
  EXPECT_GT(others, 0u);
  uint64_t denied = 0;
  for (const Registry::Rules::Entry& rule : registry.rules().All()) {
    denied += (*rule.value)[0];
    EXPECT_EQ(rule.name, rule.key == 0 ? "" : "rule");
  }
  EXPECT_EQ(denied, 6 * kEach);
}

}  // namespace
}  // namespace fused::metrics
