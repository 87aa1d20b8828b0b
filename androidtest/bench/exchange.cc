#include "androidtest/bench/exchange.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <ctime>
#include <new>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fused::androidtest {
namespace {

constexpr int kRuns = 5;

// What both have mapped. Each has a line of its own.
struct Page {
  alignas(64) std::atomic<uint32_t> asked{0};
  alignas(64) std::atomic<uint32_t> answered{0};
};
static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

int64_t Now() {
  struct timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void Futex(std::atomic<uint32_t>& word, int operation, uint32_t value) {
  // No other: EAGAIN, it has changed; EINTR.
  syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

// 0: an errno otherwise. 0 is the caller.
int Place(pid_t process, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(process, sizeof(set), &set) == 0 ? 0 : errno;
}

[[noreturn]] void Answer(Page& page, bool yields) {
  // It must not outlive who asks.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int64_t serving = absl::ToInt64Nanoseconds(Exchange::kServing);
  for (uint32_t number = 1;; ++number) {
    while (page.asked.load() != number) {
      if (yields) sched_yield();
    }
    if (yields) {
      page.answered.store(number);
      sched_yield();
      continue;
    }
    const int64_t until = Now() + serving;
    while (Now() < until) {
    }
    page.answered.store(number);
    Futex(page.answered, FUTEX_WAKE, 1);
  }
}

void Ask(Page& page, uint32_t number, bool yields) {
  page.asked.store(number);
  while (page.answered.load() != number) {
    if (yields) {
      sched_yield();
    } else {
      Futex(page.answered, FUTEX_WAIT, number - 1);
    }
  }
}

// Of one exchange, on the mean.
int64_t Time(Page& page, uint32_t& number, bool yields, absl::Duration each) {
  const int64_t begin = Now();
  const int64_t end = begin + absl::ToInt64Nanoseconds(each);
  int64_t count = 0;
  int64_t now = begin;
  while (now < end) {
    for (int i = 0; i < 64; ++i, ++count) Ask(page, ++number, yields);
    now = Now();
  }
  return (now - begin) / count;
}

absl::StatusOr<int64_t> Between(int mine, int other, absl::Duration each) {
  const bool yields = mine == other;
  void* const shared = mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return absl::ErrnoToStatus(errno, "mmap");
  Page& page = *new (shared) Page;
  int64_t least = INT64_MAX;
  int error = Place(0, mine);
  const pid_t child = error == 0 ? fork() : -1;
  if (child == 0) Answer(page, yields);
  if (error == 0) error = child < 0 ? errno : Place(child, other);
  uint32_t number = 0;
  for (int run = 0; error == 0 && run < kRuns; ++run) {
    least = std::min(least, Time(page, number, yields, each));
  }
  if (child > 0) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  munmap(shared, sizeof(Page));
  if (error != 0) return absl::ErrnoToStatus(error, "another process");
  return least;
}

}  // namespace

absl::StatusOr<Exchange> MeasureExchange(absl::Duration each) {
  cpu_set_t before;
  if (sched_getaffinity(0, sizeof(before), &before) != 0) {
    return absl::ErrnoToStatus(errno, "sched_getaffinity");
  }
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE && cpus.size() < 2; ++cpu) {
    if (CPU_ISSET(cpu, &before)) cpus.push_back(cpu);
  }
  const absl::StatusOr<int64_t> one = Between(cpus[0], cpus[0], each);
  absl::StatusOr<int64_t> two = 0;
  if (cpus.size() > 1) two = Between(cpus[0], cpus[1], each);
  sched_setaffinity(0, sizeof(before), &before);
  if (!one.ok()) return one.status();
  if (!two.ok()) return two.status();
  Exchange exchange;
  exchange.one_cpu_ns = *one;
  if (cpus.size() > 1) {
    exchange.two_cpus_ns = *two - absl::ToInt64Nanoseconds(Exchange::kServing);
  }
  return exchange;
}

}  // namespace fused::androidtest
