#include "fused/audit/gate.h"

#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"

namespace fused::audit {
namespace {

using enum Gate::Answer;

Key Of(uint32_t uid, uint32_t rule = 0) {
  return {.kind = v1::Record::DENY, .uid = uid, .rule = rule};
}

TEST(GateTest, CountsTheSameAsOne) {
  Gate gate({});
  const Gate::Admission first = gate.Admit(Of(1));
  ASSERT_EQ(first.answer, kNew);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(gate.Admit(Of(1)).answer, kCounted);
  EXPECT_EQ(gate.Release(first.slot), 100u);
  EXPECT_EQ(gate.Admit(Of(1)).answer, kNew);
}

TEST(GateTest, EveryPartOfAKeyTellsApart) {
  Gate gate({});
  const Key base = {.kind = v1::Record::DENY,
                    .uid = 1,
                    .operation = 2,
                    .rule = 3,
                    .path_class = 4,
                    .error = 5,
                    .volume = 6};
  std::vector<Key> keys(8, base);
  keys[1].kind = v1::Record::CONTROL;
  keys[2].uid = 9;
  keys[3].operation = 9;
  keys[4].rule = 9;
  keys[5].path_class = 9;
  keys[6].error = 9;
  keys[7].volume = 9;
  for (const Key& key : keys) EXPECT_EQ(gate.Admit(key).answer, kNew);
}

TEST(GateTest, OneUidTakesNothingFromAnother) {
  Gate gate({.burst = 10, .per_second = 2});
  int taken = 0;
  for (uint32_t rule = 0; rule < 1000; ++rule) {
    const Gate::Answer answer = gate.Admit(Of(1, rule)).answer;
    taken += answer == kNew;
    if (rule >= 10) {
      EXPECT_EQ(answer, kLimited);
    }
  }
  EXPECT_EQ(taken, 10);
  EXPECT_EQ(gate.Admit(Of(2)).answer, kNew);
  // What is counted already goes on being counted.
  EXPECT_EQ(gate.Admit(Of(1, 0)).answer, kCounted);
}

TEST(GateTest, TimeGivesBack) {
  Gate gate({.burst = 10, .per_second = 2});
  auto taken = [&gate, rule = 0u]() mutable {
    int count = 0;
    while (gate.Admit(Of(1, ++rule)).answer == kNew) ++count;
    return count;
  };
  EXPECT_EQ(taken(), 10);
  gate.Refill(0.25);
  EXPECT_EQ(taken(), 0);
  gate.Refill(0.25);
  EXPECT_EQ(taken(), 1);
  gate.Refill(2);
  EXPECT_EQ(taken(), 4);
  gate.Refill(1000);
  EXPECT_EQ(taken(), 10);
  gate.Refill(0.1);
  EXPECT_EQ(taken(), 0);
}

TEST(GateTest, IsBounded) {
  Gate gate({.burst = 1, .per_second = 1});
  int taken = 0;
  for (uint32_t uid = 0; uid < 20 * Gate::kSlots; ++uid) {
    const Gate::Answer answer = gate.Admit(Of(uid)).answer;
    taken += answer == kNew;
  }
  EXPECT_LE(taken, static_cast<int>(Gate::kSlots));
  EXPECT_GT(taken, 500);
}

TEST(GateTest, LosesNoCountAmongThreads) {
  Gate gate({.burst = 1000, .per_second = 1000});
  constexpr int kThreads = 4;
  constexpr int kEach = 50000;
  std::atomic<uint64_t> counted{0};
  absl::Mutex refilling;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach; ++i) {
        const Gate::Admission admission = gate.Admit(Of(1));
        if (admission.answer != kNew) continue;
        // Released at once, so that slots change hands all the time.
        counted += 1 + gate.Release(admission.slot);
        absl::MutexLock lock(&refilling);
        gate.Refill(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t left = 0;
  for (uint32_t slot = 0; slot < Gate::kSlots; ++slot) {
    left += gate.Release(slot);
  }
  EXPECT_EQ(counted + left, uint64_t{kThreads} * kEach);
}

}  // namespace
}  // namespace fused::audit
