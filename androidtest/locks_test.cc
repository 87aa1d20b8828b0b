// Locks are the file's, in whichever views they are taken.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::AnyOf;

using Views = std::tuple<View, View>;

// So that a signal interrupts a call rather than ending the agent.
APP_PROGRAM(CatchSignals) {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  return sigaction(SIGUSR1, &action, nullptr) == 0 ? Done()
                                                   : Failed("sigaction");
}

class LocksTest : public testing::TestWithParam<Views> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(device_.Start());
    ASSERT_THAT(First().Create("a", "0123456789"), Succeeds());
  }

  App First() { return device_.Launch(kCamera, std::get<0>(GetParam())); }
  App Second() { return device_.Launch(kGallery, std::get<1>(GetParam())); }

  // Until `count` lock requests that wait have reached the daemon.
  testing::AssertionResult AwaitWaiters(int64_t count) {
    return Eventually(
               [&] { return device_.Count().Requests("SETLKW") >= count; })
               ? testing::AssertionSuccess()
               : testing::AssertionFailure() << "nobody waits";
  }

  Device device_{{.policy = AllowAllPolicy(), .packages = StandardPackages()}};
};

TEST_P(LocksTest, ARangeIsLockedForTheOthers) {
  const App first = First();
  const App second = Second();
  const File mine = first.Open("a", O_RDWR);
  const File theirs = second.Open("a", O_RDWR);
  ASSERT_THAT(mine, Opens());
  ASSERT_THAT(theirs, Opens());
  EXPECT_THAT(mine.Lock(F_SETLK, F_WRLCK, 0, 5), Succeeds());
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK, 4, 2),
              AnyOf(FailsWith(EAGAIN), FailsWith(EACCES)));
  EXPECT_THAT(theirs.Lock(F_SETLK, F_RDLCK, 0, 1), FailsWith(EAGAIN));
  EXPECT_THAT(theirs.Lock(F_GETLK, F_WRLCK, 4, 2), Returns(F_WRLCK));
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK, 5, 5), Succeeds());
  EXPECT_THAT(mine.Lock(F_GETLK, F_RDLCK, 5, 1), Returns(F_WRLCK));
  EXPECT_THAT(mine.Lock(F_SETLK, F_WRLCK, 0, 0), FailsWith(EAGAIN));
  // To readers only.
  EXPECT_THAT(mine.Lock(F_SETLK, F_RDLCK, 0, 5), Succeeds());
  EXPECT_THAT(theirs.Lock(F_SETLK, F_RDLCK, 0, 5), Succeeds());
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK, 0, 5), FailsWith(EAGAIN));
  EXPECT_THAT(mine.Lock(F_SETLK, F_UNLCK, 0, 0), Succeeds());
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK, 0, 0), Succeeds());
  EXPECT_THAT(mine.Lock(F_GETLK, F_RDLCK, 0, 0), Returns(F_WRLCK));
}

TEST_P(LocksTest, WhoWaitsGetsItsTurn) {
  const App first = First();
  const App second = Second();
  const File mine = first.Open("a", O_RDWR);
  const File theirs = second.Open("a", O_RDWR);
  ASSERT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
  theirs.BeginLock(F_WRLCK);
  ASSERT_TRUE(AwaitWaiters(1));
  EXPECT_FALSE(second.Answered());
  // Who waits stops nobody else.
  EXPECT_THAT(first.Stat("a"), HasSize(10));
  EXPECT_THAT(mine.ReadAt(0, 3), Reads("012"));
  EXPECT_THAT(mine.Lock(F_SETLK, F_UNLCK), Succeeds());
  EXPECT_THAT(second.Finish(), Succeeds());
  EXPECT_THAT(mine.Lock(F_SETLK, F_RDLCK), FailsWith(EAGAIN));
}

TEST_P(LocksTest, MoreWaitThanThereAreThreads) {
  const App first = First();
  const File mine = first.Open("a", O_RDWR);
  ASSERT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
  std::vector<App> apps;
  std::vector<File> files;
  constexpr int kWaiters = 24;
  for (int i = 0; i < kWaiters; ++i) {
    apps.push_back(Second());
    files.push_back(apps.back().Open("a", O_RDWR));
    files.back().BeginLock(F_WRLCK);
  }
  ASSERT_TRUE(AwaitWaiters(kWaiters));
  EXPECT_THAT(first.Create("b", "still served"), Succeeds());
  EXPECT_THAT(mine.Lock(F_SETLK, F_UNLCK), Succeeds());
  // In whichever order; the one that has it gives it on.
  int served = 0;
  EXPECT_TRUE(Eventually([&] {
    for (int i = 0; i < kWaiters; ++i) {
      if (!files[i].ok() || !apps[i].Answered()) continue;
      EXPECT_THAT(apps[i].Finish(), Succeeds());
      EXPECT_THAT(files[i].Close(), Succeeds());
      ++served;
    }
    return served == kWaiters;
  }));
}

TEST_P(LocksTest, ASignalEndsTheWait) {
  const App first = First();
  const App second = Second();
  ASSERT_THAT(second.Run("CatchSignals", {}), Succeeds());
  const File mine = first.Open("a", O_RDWR);
  const File theirs = second.Open("a", O_RDWR);
  ASSERT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
  theirs.BeginLock(F_WRLCK);
  ASSERT_TRUE(AwaitWaiters(1));
  second.Signal(SIGUSR1);
  EXPECT_THAT(second.Finish(), FailsWith(EINTR));
  EXPECT_THAT(mine.Lock(F_SETLK, F_UNLCK), Succeeds());
  // It does not have it.
  EXPECT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
}

TEST_P(LocksTest, AWaiterThatIsKilledIsForgotten) {
  const App first = First();
  const File mine = first.Open("a", O_RDWR);
  ASSERT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
  {
    const App second = Second();
    File theirs = second.Open("a", O_RDWR);
    theirs.BeginLock(F_WRLCK);
    ASSERT_TRUE(AwaitWaiters(1));
    second.Kill();
  }
  EXPECT_THAT(mine.Lock(F_SETLK, F_UNLCK), Succeeds());
  EXPECT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
}

// By POSIX, any close of the file drops all that the process has locked.
TEST_P(LocksTest, AnotherDescriptorsCloseDropsThem) {
  const App first = First();
  const App second = Second();
  const File theirs = second.Open("a", O_RDWR);
  const File mine = first.Open("a", O_RDWR);
  ASSERT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK), FailsWith(EAGAIN));
  File again = first.Open("a", O_RDWR);
  ASSERT_THAT(again, Opens());
  EXPECT_THAT(again.Close(), Succeeds());
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK), Succeeds());
}

// Those of a handle that the kernel does not flush go when it is released.
TEST_P(LocksTest, AReadersLockGoesWithItsDescriptor) {
  const App first = First();
  const App second = Second();
  const File theirs = second.Open("a", O_RDWR);
  File mine = first.Open("a", O_RDONLY);
  ASSERT_THAT(mine.Lock(F_SETLK, F_RDLCK), Succeeds());
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK), FailsWith(EAGAIN));
  EXPECT_THAT(mine.Close(), Succeeds());
  theirs.BeginLock(F_WRLCK);
  EXPECT_THAT(second.Finish(), Succeeds());
}

TEST_P(LocksTest, AKilledAppsLocksGo) {
  const App second = Second();
  const File theirs = second.Open("a", O_RDWR);
  {
    const App first = First();
    const File mine = first.Open("a", O_RDWR);
    ASSERT_THAT(mine.Lock(F_SETLK, F_WRLCK), Succeeds());
    const File flocked = first.Open("a", O_RDWR);
    ASSERT_THAT(flocked.Flock(LOCK_EX), Succeeds());
    EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK), FailsWith(EAGAIN));
    first.Kill();
  }
  theirs.BeginLock(F_WRLCK);
  EXPECT_THAT(second.Finish(), Succeeds());
  theirs.BeginFlock(LOCK_EX);
  EXPECT_THAT(second.Finish(), Succeeds());
}

TEST_P(LocksTest, WhoWaitsForEachOtherIsToldSo) {
  const App first = First();
  const App second = Second();
  const File mine = first.Open("a", O_RDWR);
  const File theirs = second.Open("a", O_RDWR);
  ASSERT_THAT(mine.Lock(F_SETLK, F_WRLCK, 0, 1), Succeeds());
  ASSERT_THAT(theirs.Lock(F_SETLK, F_WRLCK, 1, 1), Succeeds());
  mine.BeginLock(F_WRLCK, 1, 1);
  ASSERT_TRUE(AwaitWaiters(1));
  EXPECT_THAT(theirs.Lock(F_SETLKW, F_WRLCK, 0, 1), FailsWith(EDEADLK));
  EXPECT_THAT(theirs.Lock(F_SETLK, F_UNLCK), Succeeds());
  EXPECT_THAT(first.Finish(), Succeeds());
}

TEST_P(LocksTest, FlockIsTheFilesToo) {
  const App first = First();
  const App second = Second();
  File mine = first.Open("a", O_RDONLY);
  const File theirs = second.Open("a", O_RDWR);
  EXPECT_THAT(mine.Flock(LOCK_SH), Succeeds());
  EXPECT_THAT(theirs.Flock(LOCK_SH | LOCK_NB), Succeeds());
  EXPECT_THAT(theirs.Flock(LOCK_EX | LOCK_NB), FailsWith(EWOULDBLOCK));
  // A conversion that fails may lose what it had.
  EXPECT_THAT(theirs.Flock(LOCK_UN), Succeeds());
  EXPECT_THAT(mine.Flock(LOCK_EX | LOCK_NB), Succeeds());
  EXPECT_THAT(theirs.Flock(LOCK_SH | LOCK_NB), FailsWith(EWOULDBLOCK));
  // It does not meet ranges.
  EXPECT_THAT(theirs.Lock(F_SETLK, F_WRLCK), Succeeds());
  // It belongs to the open file: another one's close leaves it.
  EXPECT_THAT(first.Open("a", O_RDWR), Opens());
  EXPECT_THAT(theirs.Flock(LOCK_SH | LOCK_NB), FailsWith(EWOULDBLOCK));
  theirs.BeginFlock(LOCK_EX);
  EXPECT_THAT(mine.Close(), Succeeds());
  EXPECT_THAT(second.Finish(), Succeeds());
}

std::string ViewsName(const testing::TestParamInfo<Views>& info) {
  return Name(std::get<0>(info.param)) + "And" + Name(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(, LocksTest,
                         testing::Values(Views(View::kApp, View::kApp),
                                         Views(View::kApp, View::kShared),
                                         Views(View::kShared, View::kShared)),
                         ViewsName);

}  // namespace
}  // namespace fused::androidtest
