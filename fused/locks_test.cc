#include "fused/locks.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <limits>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "kernel/status.h"

namespace fused {
namespace {

using Owner = LockTable::Owner;
using kernel::ErrnoOf;
using kernel::LockRange;

constexpr Owner kA{1, 10};
constexpr Owner kB{1, 20};
constexpr Owner kOtherView{2, 10};

LockRange Range(int type, uint64_t start, uint64_t length, pid_t pid = 7) {
  LockRange range;
  range.type = type;
  range.start = start;
  range.length = length;
  range.pid = pid;
  return range;
}

// Keeps one answer; -1 while there is none.
struct Answer {
  LockTable::Done Keep() {
    return [this](const absl::Status& status) {
      EXPECT_EQ(-1, error) << "answered twice";
      error = ErrnoOf(status);
    };
  }
  int error = -1;
};

int SetNow(LockTable& table, Owner owner, const LockRange& range) {
  Answer answer;
  EXPECT_EQ(0u, table.Set(owner, range, false, answer.Keep()));
  return answer.error;
}

int FlockNow(LockTable& table, Owner owner, int operation) {
  Answer answer;
  EXPECT_EQ(0u, table.Flock(owner, operation | LOCK_NB, answer.Keep()));
  return answer.error;
}

TEST(PosixLocksTest, ReadersShareAndWritersDoNot) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 0, 10)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_RDLCK, 5, 10)));
  EXPECT_EQ(EAGAIN, SetNow(table, kB, Range(F_WRLCK, 9, 1)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_WRLCK, 10, 1)));
  EXPECT_EQ(EAGAIN, SetNow(table, kA, Range(F_RDLCK, 0, 0)));
}

TEST(PosixLocksTest, OwnersOfTwoViewsWithOneIdAreTwo) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 1)));
  EXPECT_EQ(EAGAIN, SetNow(table, kOtherView, Range(F_WRLCK, 0, 1)));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 1)));
}

TEST(PosixLocksTest, UnlockingTheMiddleSplits) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 30)));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_UNLCK, 10, 10)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_WRLCK, 10, 10)));
  EXPECT_EQ(EAGAIN, SetNow(table, kB, Range(F_WRLCK, 9, 1)));
  EXPECT_EQ(EAGAIN, SetNow(table, kB, Range(F_WRLCK, 20, 1)));
}

TEST(PosixLocksTest, NeighboursBecomeOne) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 0, 10)));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 20, 10)));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 10, 10)));
  const LockRange seen = table.Test(kB, Range(F_WRLCK, 25, 1));
  EXPECT_EQ(F_RDLCK, seen.type);
  EXPECT_EQ(0u, seen.start);
  EXPECT_EQ(30u, seen.length);
}

TEST(PosixLocksTest, DowngradeInTheMiddle) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 30)));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 10, 10)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_RDLCK, 10, 10)));
  EXPECT_EQ(EAGAIN, SetNow(table, kB, Range(F_RDLCK, 9, 1)));
  EXPECT_EQ(EAGAIN, SetNow(table, kA, Range(F_WRLCK, 10, 1)));
}

TEST(PosixLocksTest, TestTellsTheFirstHolder) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 100, 0, 41)));
  EXPECT_EQ(0, SetNow(table, kOtherView, Range(F_WRLCK, 50, 10, 42)));
  LockRange seen = table.Test(kB, Range(F_RDLCK, 0, 0));
  EXPECT_EQ(F_WRLCK, seen.type);
  EXPECT_EQ(50u, seen.start);
  EXPECT_EQ(10u, seen.length);
  EXPECT_EQ(42, seen.pid);
  seen = table.Test(kB, Range(F_RDLCK, 60, 0));
  EXPECT_EQ(100u, seen.start);
  EXPECT_EQ(0u, seen.length);
  EXPECT_EQ(41, seen.pid);
  seen = table.Test(kB, Range(F_WRLCK, 0, 50));
  EXPECT_EQ(F_UNLCK, seen.type);
  EXPECT_EQ(50u, seen.length);
  EXPECT_EQ(F_UNLCK, table.Test(kA, Range(F_WRLCK, 100, 0)).type);
}

TEST(PosixLocksTest, TheLastByteAndWhatIsBeyond) {
  LockTable table;
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, kMax, 1)));
  EXPECT_EQ(EAGAIN, SetNow(table, kB, Range(F_WRLCK, 0, 0)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_WRLCK, 0, kMax)));
  EXPECT_EQ(EOVERFLOW, SetNow(table, kB, Range(F_WRLCK, kMax, 2)));
  EXPECT_EQ(EINVAL, SetNow(table, kB, Range(F_WRLCK, kMax + 1, 1)));
  EXPECT_EQ(EINVAL, SetNow(table, kB, Range(77, 0, 1)));
}

TEST(PosixLocksTest, WaitersGoInTheOrderOfArrival) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 10)));
  Answer first;
  Answer second;
  EXPECT_NE(0u, table.Set(kB, Range(F_WRLCK, 0, 5), true, first.Keep()));
  EXPECT_NE(0u,
            table.Set(kOtherView, Range(F_WRLCK, 0, 5), true, second.Keep()));
  EXPECT_EQ(-1, first.error);
  EXPECT_EQ(0, SetNow(table, kA, Range(F_UNLCK, 0, 5)));
  EXPECT_EQ(0, first.error);
  EXPECT_EQ(-1, second.error);
  table.ReleasePosix(kB);
  EXPECT_EQ(0, second.error);
}

TEST(PosixLocksTest, DowngradeLetsWaitersIn) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 0)));
  Answer reader;
  EXPECT_NE(0u, table.Set(kB, Range(F_RDLCK, 0, 0), true, reader.Keep()));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 0, 0)));
  EXPECT_EQ(0, reader.error);
}

TEST(PosixLocksTest, CancelAnswersOnce) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 0)));
  Answer waiting;
  const uint64_t ticket =
      table.Set(kB, Range(F_WRLCK, 0, 0), true, waiting.Keep());
  table.Cancel(ticket + 1);
  EXPECT_EQ(-1, waiting.error);
  table.Cancel(ticket);
  EXPECT_EQ(EINTR, waiting.error);
  table.Cancel(ticket);
  table.ReleasePosix(kA);
  EXPECT_TRUE(table.empty());
}

TEST(PosixLocksTest, DeadlockInOneFile) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 1)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_WRLCK, 1, 1)));
  Answer a;
  EXPECT_NE(0u, table.Set(kA, Range(F_WRLCK, 1, 1), true, a.Keep()));
  Answer b;
  EXPECT_EQ(0u, table.Set(kB, Range(F_WRLCK, 0, 1), true, b.Keep()));
  EXPECT_EQ(EDEADLK, b.error);
  table.ReleasePosix(kB);
  EXPECT_EQ(0, a.error);
}

TEST(PosixLocksTest, TwoThatUpgradeAreADeadlock) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 0, 1)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_RDLCK, 0, 1)));
  Answer a;
  EXPECT_NE(0u, table.Set(kA, Range(F_WRLCK, 0, 1), true, a.Keep()));
  Answer b;
  EXPECT_EQ(0u, table.Set(kB, Range(F_WRLCK, 0, 1), true, b.Keep()));
  EXPECT_EQ(EDEADLK, b.error);
  EXPECT_EQ(0, SetNow(table, kB, Range(F_UNLCK, 0, 1)));
  EXPECT_EQ(0, a.error);
}

TEST(PosixLocksTest, DeadlockOverThreeFiles) {
  LockTable one;
  LockTable two;
  LockTable three;
  EXPECT_EQ(0, SetNow(one, kA, Range(F_WRLCK, 0, 0)));
  EXPECT_EQ(0, SetNow(two, kB, Range(F_WRLCK, 0, 0)));
  EXPECT_EQ(0, SetNow(three, kOtherView, Range(F_WRLCK, 0, 0)));
  Answer a;
  EXPECT_NE(0u, two.Set(kA, Range(F_WRLCK, 0, 0), true, a.Keep()));
  Answer b;
  EXPECT_NE(0u, three.Set(kB, Range(F_WRLCK, 0, 0), true, b.Keep()));
  Answer other;
  EXPECT_EQ(0u, one.Set(kOtherView, Range(F_RDLCK, 0, 0), true, other.Keep()));
  EXPECT_EQ(EDEADLK, other.error);
  three.ReleasePosix(kOtherView);
  EXPECT_EQ(0, b.error);
  two.ReleasePosix(kB);
  EXPECT_EQ(0, a.error);
}

TEST(PosixLocksTest, ADeadlockThroughALaterHolderIsFound) {
  LockTable one;
  LockTable two;
  const Owner c{1, 30};
  EXPECT_EQ(0, SetNow(one, kB, Range(F_RDLCK, 0, 0)));
  EXPECT_EQ(0, SetNow(two, kA, Range(F_WRLCK, 0, 0)));
  Answer a;
  EXPECT_NE(0u, one.Set(kA, Range(F_WRLCK, 0, 0), true, a.Keep()));
  // Now A waits for C too.
  EXPECT_EQ(0, SetNow(one, c, Range(F_RDLCK, 0, 0)));
  Answer waits;
  EXPECT_EQ(0u, two.Set(c, Range(F_WRLCK, 0, 0), true, waits.Keep()));
  EXPECT_EQ(EDEADLK, waits.error);
  one.ReleaseView(1);
  EXPECT_EQ(EINTR, a.error);
}

TEST(PosixLocksTest, ACancelledWaitIsNoDeadlock) {
  LockTable one;
  LockTable two;
  EXPECT_EQ(0, SetNow(one, kA, Range(F_WRLCK, 0, 0)));
  EXPECT_EQ(0, SetNow(two, kB, Range(F_WRLCK, 0, 0)));
  Answer a;
  two.Cancel(two.Set(kA, Range(F_WRLCK, 0, 0), true, a.Keep()));
  EXPECT_EQ(EINTR, a.error);
  Answer b;
  EXPECT_NE(0u, one.Set(kB, Range(F_WRLCK, 0, 0), true, b.Keep()));
  one.ReleasePosix(kA);
  EXPECT_EQ(0, b.error);
}

TEST(PosixLocksTest, AViewThatGoesTakesItsLocksAndWaits) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kOtherView, Range(F_WRLCK, 0, 1)));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 1, 1)));
  EXPECT_EQ(0, FlockNow(table, kOtherView, LOCK_EX));
  Answer theirs;
  EXPECT_NE(0u,
            table.Set(kOtherView, Range(F_WRLCK, 1, 1), true, theirs.Keep()));
  Answer ours;
  EXPECT_NE(0u, table.Set(kB, Range(F_WRLCK, 0, 1), true, ours.Keep()));
  Answer flock;
  EXPECT_NE(0u, table.Flock(kB, LOCK_SH, flock.Keep()));
  table.ReleaseView(kOtherView.view);
  EXPECT_EQ(EINTR, theirs.error);
  EXPECT_EQ(0, ours.error);
  EXPECT_EQ(0, flock.error);
  table.ReleaseView(1);
  EXPECT_TRUE(table.empty());
}

TEST(PosixLocksTest, ATableThatGoesAnswersItsWaiters) {
  Answer waiting;
  {
    LockTable table;
    EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 0)));
    table.Set(kB, Range(F_WRLCK, 0, 0), true, waiting.Keep());
  }
  EXPECT_EQ(EINTR, waiting.error);
}

TEST(PosixLocksTest, SegmentsAreBounded) {
  LockTable table;
  for (size_t i = 0; i < LockTable::kMaxSegments; ++i) {
    ASSERT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 2 * i, 1)));
  }
  const uint64_t beyond = 2 * LockTable::kMaxSegments;
  EXPECT_EQ(ENOLCK, SetNow(table, kA, Range(F_RDLCK, beyond, 1)));
  EXPECT_EQ(ENOLCK, SetNow(table, kB, Range(F_RDLCK, beyond, 1)));
  // What makes no more of them is allowed.
  EXPECT_EQ(0, SetNow(table, kA, Range(F_RDLCK, 1, 1)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_RDLCK, beyond, 1)));
  EXPECT_EQ(0, SetNow(table, kA, Range(F_UNLCK, 0, 0)));
  EXPECT_EQ(0, SetNow(table, kB, Range(F_UNLCK, 0, 0)));
  EXPECT_TRUE(table.empty());
}

TEST(PosixLocksTest, ACallbackMayUseTheTable) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 0)));
  int error = -1;
  table.Set(kB, Range(F_WRLCK, 0, 0), true, [&](const absl::Status& status) {
    error = ErrnoOf(status);
    table.ReleasePosix(kB);
  });
  table.ReleasePosix(kA);
  EXPECT_EQ(0, error);
  EXPECT_TRUE(table.empty());
}

TEST(FlockTest, SharedAndExclusive) {
  LockTable table;
  EXPECT_EQ(0, FlockNow(table, kA, LOCK_SH));
  EXPECT_EQ(0, FlockNow(table, kB, LOCK_SH));
  EXPECT_EQ(EAGAIN, FlockNow(table, kOtherView, LOCK_EX));
  EXPECT_EQ(0, FlockNow(table, kA, LOCK_UN));
  EXPECT_EQ(0, FlockNow(table, kB, LOCK_UN));
  EXPECT_EQ(0, FlockNow(table, kOtherView, LOCK_EX));
  EXPECT_EQ(EAGAIN, FlockNow(table, kA, LOCK_SH));
  EXPECT_EQ(EINVAL, FlockNow(table, kA, 0));
}

TEST(FlockTest, DoesNotSeePosixLocks) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 0)));
  EXPECT_EQ(0, FlockNow(table, kB, LOCK_EX));
  EXPECT_EQ(F_UNLCK, table.Test(kA, Range(F_WRLCK, 0, 0)).type);
}

TEST(FlockTest, AConversionThatFailsLosesTheLock) {
  LockTable table;
  EXPECT_EQ(0, FlockNow(table, kA, LOCK_SH));
  EXPECT_EQ(0, FlockNow(table, kB, LOCK_SH));
  EXPECT_EQ(EAGAIN, FlockNow(table, kA, LOCK_EX));
  // A has nothing any more.
  EXPECT_EQ(0, FlockNow(table, kB, LOCK_EX));
}

TEST(FlockTest, TwoThatConvertDoNotDeadlock) {
  LockTable table;
  EXPECT_EQ(0, FlockNow(table, kA, LOCK_SH));
  EXPECT_EQ(0, FlockNow(table, kB, LOCK_SH));
  Answer a;
  EXPECT_NE(0u, table.Flock(kA, LOCK_EX, a.Keep()));
  Answer b;
  // A gave up what it had, so B's conversion meets nobody.
  EXPECT_EQ(0u, table.Flock(kB, LOCK_EX, b.Keep()));
  EXPECT_EQ(0, b.error);
  EXPECT_EQ(-1, a.error);
  table.ReleaseFlock(kB);
  EXPECT_EQ(0, a.error);
}

TEST(FlockTest, ADowngradeLetsReadersIn) {
  LockTable table;
  EXPECT_EQ(0, FlockNow(table, kA, LOCK_EX));
  Answer b;
  const uint64_t ticket = table.Flock(kB, LOCK_SH, b.Keep());
  EXPECT_NE(0u, ticket);
  EXPECT_EQ(0, FlockNow(table, kA, LOCK_SH));
  EXPECT_EQ(0, b.error);
  table.Cancel(ticket);
  EXPECT_EQ(0, b.error);
}

// Threads take a counter in turn, half by ranges and half by cancelling and
// trying again: a lost wakeup would hang, a lost exclusion would lose counts.
TEST(LockTableTest, ManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 200;
  LockTable table;
  int counter = 0;  // under the lock on byte 0
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const Owner owner{static_cast<uint64_t>(i % 3), 100u + i};
      for (int round = 0; round < kRounds; ++round) {
        for (bool held = false; !held;) {
          auto answered = std::make_shared<absl::Notification>();
          auto error = std::make_shared<int>(0);
          const uint64_t ticket =
              table.Set(owner, Range(F_WRLCK, 0, 1), true,
                        [answered, error](const absl::Status& status) {
                          *error = ErrnoOf(status);
                          answered->Notify();
                        });
          if (round % 7 == i % 7) table.Cancel(ticket);
          answered->WaitForNotification();
          held = *error == 0;
          EXPECT_EQ(held ? 0 : EINTR, *error);
        }
        ++counter;
        if (round % 2 == 0) {
          table.ReleasePosix(owner);
        } else {
          EXPECT_EQ(0, SetNow(table, owner, Range(F_UNLCK, 0, 0)));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(kThreads * kRounds, counter);
  EXPECT_TRUE(table.empty());
}

TEST(CancelAllTest, GrantsToNobody) {
  LockTable table;
  EXPECT_EQ(0, SetNow(table, kA, Range(F_WRLCK, 0, 0)));
  EXPECT_EQ(0, FlockNow(table, kA, LOCK_EX));
  Answer posix;
  Answer flock;
  EXPECT_NE(0u, table.Set(kB, Range(F_WRLCK, 0, 1), true, posix.Keep()));
  EXPECT_NE(0u, table.Flock(kB, LOCK_EX, flock.Keep()));
  table.CancelAll();
  table.ReleaseView(kA.view);
  EXPECT_EQ(EINTR, posix.error);
  EXPECT_EQ(EINTR, flock.error);
  EXPECT_TRUE(table.empty());
}

}  // namespace
}  // namespace fused
