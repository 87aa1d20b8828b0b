#include "kernel/backing.h"

#include <cerrno>
#include <cstdint>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/backing_fake.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

BackingRegistry::Options Limits(size_t warm, size_t limit) {
  BackingRegistry::Options options;
  options.warm = warm;
  options.limit = limit;
  return options;
}

BackingRef Must(absl::StatusOr<BackingRef> ref) {
  EXPECT_THAT(ref, IsOk());
  return ref.ok() ? *std::move(ref) : BackingRef();
}

TEST(BackingRegistryTest, OneIdForAllUsesOfANode) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(4, 100), &device);
  BackingRef a = Must(registry.Acquire(1, 0));
  BackingRef b = Must(registry.Acquire(1, 0));
  BackingRef c = registry.AcquireWarm(1);
  EXPECT_EQ(a.id(), b.id());
  EXPECT_EQ(a.id(), c.id());
  BackingRef other = Must(registry.Acquire(2, 0));
  EXPECT_NE(a.id(), other.id());
  EXPECT_EQ(device.opens(), 2);
  EXPECT_EQ(registry.stats().ids, 2u);
  EXPECT_EQ(registry.stats().reused, 2u);
}

TEST(BackingRegistryTest, KeepsTheLatestWarm) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(2, 100), &device);
  for (NodeId node = 1; node <= 3; ++node) Must(registry.Acquire(node, 0));
  EXPECT_EQ(registry.stats().warm, 2u);
  EXPECT_FALSE(registry.AcquireWarm(1).valid());
  EXPECT_TRUE(registry.AcquireWarm(2).valid());
  // Node 2 is the latest now.
  Must(registry.Acquire(4, 0));
  EXPECT_FALSE(registry.AcquireWarm(3).valid());
  EXPECT_TRUE(registry.AcquireWarm(2).valid());
  EXPECT_EQ(device.ids().size(), 2u);
  registry.Trim();
  EXPECT_THAT(device.ids(), IsEmpty());
  EXPECT_EQ(device.wrong_closes(), 0);
}

TEST(BackingRegistryTest, ADoomedIdInUseStaysTheNodesOnlyOne) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(4, 100), &device);
  BackingRef first = Must(registry.Acquire(1, 0));
  registry.Doom(1);
  EXPECT_EQ(device.ids().size(), 1u);
  BackingRef second = Must(registry.Acquire(1, 0));
  EXPECT_EQ(first.id(), second.id());
  const int32_t old = first.id();
  first.Reset();
  EXPECT_EQ(device.ids().size(), 1u);
  second.Reset();
  EXPECT_THAT(device.ids(), IsEmpty());
  EXPECT_FALSE(registry.AcquireWarm(1).valid());
  EXPECT_NE(Must(registry.Acquire(1, 0)).id(), old);
}

TEST(BackingRegistryTest, DoomClosesAWarmId) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(4, 100), &device);
  Must(registry.Acquire(1, 0));
  registry.Doom(1);
  registry.Doom(1);
  registry.Doom(99);
  EXPECT_THAT(device.ids(), IsEmpty());
  EXPECT_EQ(registry.stats().warm, 0u);
  EXPECT_EQ(registry.stats().closed, 1u);
}

TEST(BackingRegistryTest, RefusalsArePassedOnAndCounted) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(4, 100), &device);
  device.Refuse(ELOOP);
  EXPECT_TRUE(IsErrno(registry.Acquire(1, 0).status(), ELOOP));
  EXPECT_EQ(registry.stats().refused, 1u);
  EXPECT_EQ(registry.stats().ids, 0u);
  device.Refuse(0);
  EXPECT_TRUE(Must(registry.Acquire(1, 0)).valid());
}

TEST(BackingRegistryTest, AFullTableGivesUpWhatIsOnlyWarm) {
  FakeBackingDevice device;
  device.SetCapacity(2);
  BackingRegistry registry(Limits(10, 100), &device);
  Must(registry.Acquire(1, 0));
  Must(registry.Acquire(2, 0));
  BackingRef third = Must(registry.Acquire(3, 0));
  EXPECT_THAT(device.ids(), ElementsAre(third.id()));
  BackingRef fourth = Must(registry.Acquire(4, 0));
  EXPECT_TRUE(IsErrno(registry.Acquire(5, 0).status(), ENOSPC));
}

TEST(BackingRegistryTest, TheLimitHolds) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(10, 2), &device);
  BackingRef first = Must(registry.Acquire(1, 0));
  Must(registry.Acquire(2, 0));  // warm
  BackingRef third = Must(registry.Acquire(3, 0));
  EXPECT_TRUE(IsErrno(registry.Acquire(4, 0).status(), ENOSPC));
  EXPECT_EQ(registry.Acquire(1, 0)->id(), first.id());
  EXPECT_EQ(device.ids().size(), 2u);
}

TEST(BackingRegistryTest, RegisteringOneNodeHoldsUpNoOther) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(4, 100), &device);
  absl::Notification registering;
  absl::Notification proceed;
  device.OnOpen([&](int fd) {
    if (fd != 1) return;
    registering.Notify();
    proceed.WaitForNotification();
  });
  BackingRef slow_ref;
  std::thread slow([&] { slow_ref = Must(registry.Acquire(1, 1)); });
  registering.WaitForNotification();
  // Another node, and what only looks.
  EXPECT_TRUE(Must(registry.Acquire(2, 2)).valid());
  EXPECT_FALSE(registry.AcquireWarm(1).valid());
  registry.Doom(1);
  // The same node: waits for the one registration.
  BackingRef same_ref;
  std::thread same([&] { same_ref = Must(registry.Acquire(1, 3)); });
  proceed.Notify();
  slow.join();
  same.join();
  EXPECT_EQ(slow_ref.id(), same_ref.id());
  EXPECT_EQ(device.opens(), 2);
  // The doom holds.
  slow_ref.Reset();
  same_ref.Reset();
  EXPECT_FALSE(registry.AcquireWarm(1).valid());
}

// Large enough for many locks: still all its nodes, and no more than its warm
// ids.
TEST(BackingRegistryTest, ALargeTableKeepsWhatItMay) {
  constexpr NodeId kNodes = 4096;
  FakeBackingDevice device;
  BackingRegistry registry(Limits(2048, 1 << 20), &device);
  std::vector<BackingRef> refs;
  for (NodeId node = 1; node <= kNodes; ++node) {
    refs.push_back(Must(registry.Acquire(node, 0)));
  }
  EXPECT_EQ(registry.stats().ids, kNodes);
  refs.clear();
  EXPECT_EQ(registry.stats().warm, 2048u);
  EXPECT_EQ(device.ids().size(), 2048u);
  // The latest are left.
  EXPECT_TRUE(registry.AcquireWarm(kNodes).valid());
  EXPECT_FALSE(registry.AcquireWarm(1).valid());
  registry.Trim();
  EXPECT_THAT(device.ids(), IsEmpty());
}

TEST(BackingRegistryTest, AFullLargeTableGivesUpAWarmIdOfAnyNode) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(2048, 3), &device);
  Must(registry.Acquire(1, 0));
  Must(registry.Acquire(2, 0));
  std::vector<BackingRef> refs;
  for (NodeId node = 3; node <= 5; ++node) {
    refs.push_back(Must(registry.Acquire(node, 0)));
  }
  EXPECT_TRUE(IsErrno(registry.Acquire(6, 0).status(), ENOSPC));
  EXPECT_EQ(device.ids().size(), 3u);
}

TEST(BackingRegistryTest, RefsMove) {
  FakeBackingDevice device;
  BackingRegistry registry(Limits(0, 100), &device);
  BackingRef a = Must(registry.Acquire(1, 0));
  BackingRef b = std::move(a);
  EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move)
  EXPECT_TRUE(b.valid());
  b = Must(registry.Acquire(2, 0));
  EXPECT_EQ(device.ids().size(), 1u);
  b.Reset();
  b.Reset();
  EXPECT_THAT(device.ids(), IsEmpty());
}

// Never two ids of one node in use at once, whatever threads do.
TEST(BackingRegistryTest, ManyThreads) {
  constexpr int kNodes = 4;
  FakeBackingDevice device;
  BackingRegistry registry(Limits(2, 100), &device);
  absl::Mutex mu;
  std::vector<int32_t> current(kNodes, 0);
  std::vector<int> uses(kNodes, 0);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 3000; ++i) {
        const size_t node = random() % kNodes;
        if (random() % 8 == 0) registry.Doom(node + 1);
        BackingRef ref = Must(registry.Acquire(node + 1, 0));
        {
          absl::MutexLock lock(&mu);
          if (uses[node]++ == 0) current[node] = ref.id();
          EXPECT_EQ(current[node], ref.id());
        }
        {
          absl::MutexLock lock(&mu);
          --uses[node];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(device.wrong_closes(), 0);
  EXPECT_LE(registry.stats().warm, 2u);
  EXPECT_EQ(device.ids().size(), registry.stats().ids);
  registry.Trim();
  EXPECT_THAT(device.ids(), IsEmpty());
}

}  // namespace
}  // namespace fused::kernel
