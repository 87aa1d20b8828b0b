#include "fused/kept_rights.h"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace fused {
namespace {

using policy::Decision;
using policy::Error;
using policy::IoMode;
using policy::Operation;
using policy::OperationSet;

Decision Allowed(IoMode io, policy::RuleId rule) {
  return {Error::kNone, io, rule};
}

FileRights Rights(policy::RuleId rule) {
  return {true, Allowed(IoMode::kRedacted, rule),
          Allowed(IoMode::kDaemon, static_cast<policy::RuleId>(~rule))};
}

TEST(FileRightsTest, AreWhatIsDecidedOnAllTogether) {
  const OperationSet both = OperationSet(Operation::kRead) | Operation::kWrite;
  FileRights rights = {true, Allowed(IoMode::kPassthrough, 1),
                       Allowed(IoMode::kDaemon, 2)};
  EXPECT_EQ(rights.On(Operation::kRead), rights.read);
  EXPECT_EQ(rights.On(Operation::kWrite), rights.write);
  // The stricter, and of two alike READ's.
  EXPECT_EQ(rights.On(both), rights.write);
  rights.read.io = IoMode::kDaemon;
  EXPECT_EQ(rights.On(both), rights.read);
  EXPECT_FALSE(rights.On({}).allowed());
  EXPECT_FALSE(rights.On(both | Operation::kCreate).allowed());
  rights.write = {};
  EXPECT_TRUE(rights.On(Operation::kRead).allowed());
  EXPECT_FALSE(rights.On(Operation::kWrite).allowed());
  EXPECT_FALSE(rights.On(both).allowed());
}

TEST(KeptRightsTest, AreGivenBackWhole) {
  for (const policy::RuleId rule : {0, 1, 0x7fff, 0xffff}) {
    for (const bool seen : {false, true}) {
      FileRights kept = Rights(rule);
      kept.seen = seen;
      if (!seen) kept.write = {};
      KeptRights rights;
      rights.Set(7, 9, kept);
      FileRights found;
      ASSERT_TRUE(rights.Get(7, 9, &found));
      EXPECT_EQ(found.seen, kept.seen);
      EXPECT_EQ(found.read, kept.read);
      EXPECT_EQ(found.write, kept.write);
    }
  }
}

TEST(KeptRightsTest, AreOfOneJudgeAndOneStateOfTheFile) {
  KeptRights rights;
  FileRights found;
  EXPECT_FALSE(rights.Get(0, 0, &found));
  EXPECT_FALSE(rights.Get(1, 0, &found));
  rights.Set(5, 1, Rights(3));
  EXPECT_TRUE(rights.Get(5, 1, &found));
  EXPECT_FALSE(rights.Get(5, 2, &found));
  EXPECT_FALSE(rights.Get(4, 1, &found));
  EXPECT_FALSE(rights.Get(6, 1, &found));
  // Also where the lower bits of it are the same.
  constexpr uint64_t kRound = uint64_t{1} << 24;
  EXPECT_FALSE(rights.Get(5, 1 + kRound, &found));
  rights.Set(5, 1 + kRound, Rights(4));
  EXPECT_FALSE(rights.Get(5, 1, &found));
  EXPECT_TRUE(rights.Get(5, 1 + kRound, &found));
}

TEST(KeptRightsTest, AreNotThoseOfAFormerJudge) {
  KeptRights rights;
  FileRights found;
  rights.Set(6, 1, Rights(3));
  EXPECT_FALSE(rights.Takes(5, 1));
  rights.Set(5, 1, Rights(4));
  EXPECT_FALSE(rights.Get(5, 1, &found));
  ASSERT_TRUE(rights.Get(6, 1, &found));
  EXPECT_EQ(found.read.rule, 3);
}

TEST(KeptRightsTest, WhatDoesNotFitIsNotKept) {
  constexpr uint64_t kTooMuch = uint64_t{1} << 48;
  KeptRights rights;
  FileRights found;
  rights.Set(1, kTooMuch, Rights(3));
  EXPECT_FALSE(rights.Get(1, kTooMuch, &found));
  rights.Set(uint64_t{1} << 40, 1, Rights(3));
  EXPECT_FALSE(rights.Get(uint64_t{1} << 40, 1, &found));
  EXPECT_FALSE(rights.Takes(0, 1));
}

// Whatever is found is what was set under just that judge and count.
TEST(KeptRightsTest, NoneAreMixedUpAmongThreads) {
  KeptRights rights;
  constexpr uint64_t kLast = 20000;
  std::atomic<uint64_t> now{1};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      while (now.load() < kLast) {
        const uint64_t judge = i == 0 ? now.fetch_add(1) : now.load();
        const uint64_t changes = judge % 3;
        const auto rule = static_cast<policy::RuleId>(judge * 3 + changes);
        rights.Set(judge, changes, Rights(rule));
        FileRights found;
        if (rights.Get(judge, changes, &found)) {
          ASSERT_EQ(found.read.rule, rule);
          ASSERT_EQ(found.write.rule, static_cast<policy::RuleId>(~rule));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace fused
