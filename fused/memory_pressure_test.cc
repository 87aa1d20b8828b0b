#include "fused/memory_pressure.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"

namespace fused {
namespace {

TEST(MemoryPressureTest, EachTimeItIsTold) {
  // Urgent data is POLLPRI too.
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  kernel::Fd kernel_end(ends[0]);
  const int source = ends[1];
  std::atomic<int> calls{0};
  absl::Notification first;
  absl::Notification second;
  const MemoryPressure pressure(kernel::Fd(source), [&] {
    char urgent = 0;
    EXPECT_EQ(recv(source, &urgent, 1, MSG_OOB), 1);
    (++calls == 1 ? first : second).Notify();
  });
  ASSERT_EQ(send(kernel_end.get(), "!", 1, MSG_OOB), 1);
  EXPECT_TRUE(first.WaitForNotificationWithTimeout(absl::Seconds(30)));
  ASSERT_EQ(send(kernel_end.get(), "!", 1, MSG_OOB), 1);
  EXPECT_TRUE(second.WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST(MemoryPressureTest, EndsWhileNothingIsTold) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  kernel::Fd kernel_end(ends[0]);
  bool called = false;
  {
    const MemoryPressure pressure(kernel::Fd(ends[1]), [&] { called = true; });
  }
  EXPECT_FALSE(called);
}

TEST(MemoryPressureTest, TheKernelTakesTheTriggerWhereItTells) {
  const bool tells =
      geteuid() == 0 && access("/proc/pressure/memory", W_OK) == 0;
  EXPECT_EQ(MemoryPressure::Watch([] {}) != nullptr, tells);
}

}  // namespace
}  // namespace fused
