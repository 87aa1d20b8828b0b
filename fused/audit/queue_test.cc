#include "fused/audit/queue.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace fused::audit {
namespace {

TEST(QueueTest, FirstInFirstOut) {
  Queue<int> queue(4);
  int value = 0;
  EXPECT_FALSE(queue.Pop(value));
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(queue.Push(i));
    EXPECT_FALSE(queue.Push(4));
    EXPECT_EQ(queue.size(), 4u);
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(queue.Pop(value));
      EXPECT_EQ(value, i);
    }
    EXPECT_FALSE(queue.Pop(value));
  }
}

TEST(QueueTest, EachValueOnceAmongThreads) {
  Queue<uint64_t> queue(64);
  constexpr uint64_t kEach = 20000;
  constexpr int kProducers = 3;
  std::atomic<uint64_t> pushed{0};
  std::atomic<int> working{kProducers};
  std::vector<std::thread> threads;
  for (int t = 0; t < kProducers; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 1; i <= kEach; ++i) {
        if (queue.Push(i)) pushed += i;
      }
      --working;
    });
  }
  uint64_t popped = 0;
  uint64_t value = 0;
  while (working > 0 || queue.size() > 0) {
    if (queue.Pop(value)) popped += value;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(popped, pushed);
  EXPECT_GT(popped, 0u);
}

}  // namespace
}  // namespace fused::audit
