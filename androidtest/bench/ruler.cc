#include "androidtest/bench/ruler.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <latch>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "androidtest/bench/works.h"

namespace fused::androidtest {
namespace {

constexpr int64_t kNanos = 1'000'000'000;

int64_t Nanos(const timespec& time) {
  return time.tv_sec * kNanos + time.tv_nsec;
}

int64_t Read(clockid_t clock) {
  timespec now = {};
  clock_gettime(clock, &now);
  return Nanos(now);
}

// Of this process and of the children that it has waited for.
int64_t ClientCpu() {
  rusage children = {};
  getrusage(RUSAGE_CHILDREN, &children);
  const auto nanos = [](const timeval& time) {
    return time.tv_sec * kNanos + time.tv_usec * 1000;
  };
  return Read(CLOCK_PROCESS_CPUTIME_ID) + nanos(children.ru_utime) +
         nanos(children.ru_stime);
}

int64_t DaemonCpu(pid_t daemon) {
  clockid_t clock = 0;
  if (daemon == 0 || clock_getcpuclockid(daemon, &clock) != 0) return 0;
  return Read(clock);
}

// Sets a field by its name; returns false where the task has none such.
bool SetField(std::string_view name, std::string_view value, Task& task) {
  const std::pair<std::string_view, std::string*> texts[] = {
      {"path", &task.path}, {"out", &task.out}, {"cwd", &task.cwd}};
  for (const auto& [field, text] : texts) {
    if (field != name) continue;
    *text = value;
    return true;
  }
  int64_t threads = 0;
  int64_t daemon = 0;
  int64_t random = 0;
  const std::pair<std::string_view, int64_t*> numbers[] = {
      {"set", &task.set},   {"count", &task.count}, {"millis", &task.millis},
      {"size", &task.size}, {"threads", &threads},  {"daemon", &daemon},
      {"random", &random}};
  for (const auto& [field, number] : numbers) {
    if (field != name) continue;
    if (!absl::SimpleAtoi(value, number) || *number < 0) return false;
    if (name == "threads") task.threads = static_cast<int>(*number);
    if (name == "daemon") task.daemon = static_cast<pid_t>(*number);
    if (name == "random") task.random = *number != 0;
    return true;
  }
  return false;
}

// Steps `from`, from + threads, ... until the count or the time is over.
int64_t Loop(const Task& task, const Step& step, int64_t from, int64_t until,
             Errors& errors) {
  // Reading the clock costs as much as a cheap step's twentieth.
  constexpr int64_t kBatch = 16;
  int64_t ops = 0;
  int64_t checked = 0;
  for (int64_t number = from; task.count == 0 || number < task.count;
       number += task.threads) {
    ops += step(number, errors);
    if (until == 0 || ops - checked < kBatch) continue;
    checked = ops;
    if (Read(CLOCK_MONOTONIC) >= until) break;
  }
  return ops;
}

}  // namespace

absl::StatusOr<Task> ParseTask(const std::string& line) {
  Task task;
  bool command = false;
  for (std::string_view word : absl::StrSplit(line, '\t')) {
    const size_t equals = word.find('=');
    if (command) {
      task.arguments.emplace_back(word);
    } else if (task.work.empty()) {
      task.work = word;
    } else if (word == "--") {
      command = true;
    } else if (equals == std::string_view::npos ||
               !SetField(word.substr(0, equals), word.substr(equals + 1),
                         task)) {
      return absl::InvalidArgumentError(absl::StrCat("not a field: ", word));
    }
  }
  if (FindWork(task.work) == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("no work: ", task.work));
  }
  if (task.count == 0 && task.millis == 0) {
    return absl::InvalidArgumentError("neither count nor millis");
  }
  if (task.threads < 1 || task.threads > 64) {
    return absl::InvalidArgumentError("threads: 1 to 64");
  }
  return task;
}

std::vector<std::pair<std::string, std::string>> WorkNames() {
  std::vector<std::pair<std::string, std::string>> names;
  for (const Work& work : AllWorks()) names.emplace_back(work.name, work.about);
  return names;
}

absl::StatusOr<Measured> Measure(const Task& task) {
  const Work* work = FindWork(task.work);
  if (work == nullptr) return absl::NotFoundError(task.work);
  struct Thread {
    Errors errors;
    Step step;
    int64_t ops = 0;
  };
  std::vector<Thread> threads(task.threads);
  Errors errors;
  for (Thread& thread : threads) {
    thread.step = work->prepare(task, errors);
  }
  if (errors.count != 0) {
    return absl::ErrnoToStatus(errors.first_errno, task.path);
  }
  // Threads are made before the clock starts.
  std::latch start(task.threads);
  int64_t until = 0;
  std::vector<std::thread> others;
  const auto run = [&](int number) {
    Thread& self = threads[number];
    self.ops = Loop(task, self.step, number, until, self.errors);
  };
  for (int i = 1; i < task.threads; ++i) {
    others.emplace_back([&, i] {
      start.arrive_and_wait();
      run(i);
    });
  }
  Measured result;
  const int64_t daemon_cpu = DaemonCpu(task.daemon);
  const int64_t client_cpu = ClientCpu();
  const int64_t begun = Read(CLOCK_MONOTONIC);
  if (task.millis != 0) until = begun + task.millis * 1'000'000;
  start.arrive_and_wait();
  run(0);
  for (std::thread& other : others) other.join();
  result.wall_ns = Read(CLOCK_MONOTONIC) - begun;
  result.client_cpu_ns = ClientCpu() - client_cpu;
  result.daemon_cpu_ns = DaemonCpu(task.daemon) - daemon_cpu;
  for (const Thread& thread : threads) {
    errors.Add(thread.errors);
    result.ops += thread.ops;
  }
  if (!work->fails) {
    result.errors = errors.count;
    result.first_errno = errors.first_errno;
  }
  return result;
}

std::string ToJson(const Measured& measured) {
  return absl::StrFormat(
      "{\"ops\": %d, \"wall_ns\": %d, \"client_cpu_ns\": %d, "
      "\"daemon_cpu_ns\": %d, \"errors\": %d, \"errno\": %d}",
      measured.ops, measured.wall_ns, measured.client_cpu_ns,
      measured.daemon_cpu_ns, measured.errors, measured.first_errno);
}

}  // namespace fused::androidtest
