// One work, timed: a system call sequence repeated, by so many threads, for so
// long or so often.
#ifndef FUSED_ANDROIDTEST_BENCH_RULER_H_
#define FUSED_ANDROIDTEST_BENCH_RULER_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace fused::androidtest {

// What is asked for, as a line of fields between tabs:
//
//   WORK  path=P  [name=value ...]  [-- ARGUMENT ...]
struct Task {
  std::string work;
  std::string path;
  // Names in a set: PATH/f0000000 up to `set` of them; 0: PATH itself.
  int64_t set = 0;
  // Steps at most, and time at most; 0: no limit. One of them is set.
  int64_t count = 0;
  int64_t millis = 0;
  int threads = 1;
  // A process whose CPU time counts as well; 0: none.
  pid_t daemon = 0;
  // Of files that are written to or read from.
  int64_t size = 4096;
  bool random = false;
  // Of the work "exec": where its standard output goes, and its directory.
  std::string out;
  std::string cwd = "/";
  std::vector<std::string> arguments;
};

struct Measured {
  int64_t ops = 0;
  int64_t wall_ns = 0;
  int64_t client_cpu_ns = 0;
  int64_t daemon_cpu_ns = 0;
  int64_t errors = 0;
  int first_errno = 0;
};

absl::StatusOr<Task> ParseTask(const std::string& line);

// The works by name, with what a step of each is.
std::vector<std::pair<std::string, std::string>> WorkNames();

absl::StatusOr<Measured> Measure(const Task& task);

// As one line of JSON.
std::string ToJson(const Measured& measured);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_BENCH_RULER_H_
