#include "fused/app_limits.h"

#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace fused {
namespace {

TEST(AppLimitsTest, EachAppHasItsOwn) {
  AppLimits limits({.handles = 2, .backing_ids = 1});
  std::vector<AppLimits::Share> shares;
  for (const uid_t uid : {10001u, 10002u, 110001u}) {
    for (int i = 0; i < 2; ++i) {
      std::optional<AppLimits::Share> share = limits.Open(uid);
      ASSERT_TRUE(share.has_value()) << uid;
      shares.push_back(*std::move(share));
    }
    EXPECT_FALSE(limits.Open(uid).has_value()) << uid;
  }
  EXPECT_EQ(limits.handles_refused(), 3u);
  // The first of 10001, then its second.
  EXPECT_TRUE(shares[0].TakeBacking(false));
  EXPECT_TRUE(shares[0].TakeBacking(false));
  EXPECT_FALSE(shares[1].TakeBacking(false));
  EXPECT_EQ(limits.backing_ids_refused(), 1u);
  EXPECT_TRUE(shares[2].TakeBacking(false));
  shares.erase(shares.begin());
  EXPECT_TRUE(shares[0].TakeBacking(false));
  EXPECT_TRUE(limits.Open(10001).has_value());
}

TEST(AppLimitsTest, WhatJoinsOthersIsCountedAndNotRefused) {
  AppLimits limits({.handles = 4, .backing_ids = 1});
  std::optional<AppLimits::Share> first = limits.Open(10001);
  std::optional<AppLimits::Share> second = limits.Open(10001);
  std::optional<AppLimits::Share> third = limits.Open(10001);
  EXPECT_TRUE(first->TakeBacking(false));
  EXPECT_TRUE(second->TakeBacking(true));
  first.reset();
  EXPECT_FALSE(third->TakeBacking(false));
  second.reset();
  EXPECT_TRUE(third->TakeBacking(false));
}

TEST(AppLimitsTest, TheSystemIsNotLimited) {
  AppLimits limits({.handles = 0, .backing_ids = 0});
  for (const uid_t uid : {0u, 2000u, 101023u}) {
    std::optional<AppLimits::Share> share = limits.Open(uid);
    ASSERT_TRUE(share.has_value()) << uid;
    EXPECT_TRUE(share->TakeBacking(false));
  }
  EXPECT_FALSE(limits.Open(10000).has_value());
}

TEST(AppLimitsTest, MoreAppsThanPlaces) {
  AppLimits limits({.handles = 1, .backing_ids = 1});
  std::vector<AppLimits::Share> shares;
  int refused = 0;
  for (uid_t user = 0; user < 8; ++user) {
    for (uid_t app = 10000; app < 19999; ++app) {
      std::optional<AppLimits::Share> share = limits.Open(user * 100000 + app);
      if (share.has_value()) {
        shares.push_back(*std::move(share));
      } else {
        ++refused;
      }
    }
  }
  // Those that share one place share its limit; never more is given.
  EXPECT_GT(refused, 0);
  EXPECT_GT(shares.size(), 16384u);
  shares.clear();
  EXPECT_TRUE(limits.Open(10000).has_value());
}

TEST(AppLimitsTest, ThreadsAtOnce) {
  AppLimits limits({.handles = 100, .backing_ids = 50});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20'000; ++i) {
        std::optional<AppLimits::Share> share =
            limits.Open(10000 + static_cast<uid_t>(i % 7));
        ASSERT_TRUE(share.has_value());
        ASSERT_TRUE(share->TakeBacking(false));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<AppLimits::Share> all;
  for (int i = 0; i < 100; ++i) all.push_back(*limits.Open(10000));
  EXPECT_FALSE(limits.Open(10000).has_value());
}

}  // namespace
}  // namespace fused
