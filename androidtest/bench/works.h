// What a step of each work does.
#ifndef FUSED_ANDROIDTEST_BENCH_WORKS_H_
#define FUSED_ANDROIDTEST_BENCH_WORKS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "androidtest/bench/ruler.h"

namespace fused::androidtest {

// Counts what goes wrong; of one thread.
struct Errors {
  int64_t count = 0;
  int first_errno = 0;

  // Returns whether `result` is one.
  bool Failed(int64_t result);
  void Add(const Errors& other);
};

// Does step `number`, whose first is 0; returns how many operations it was.
using Step = std::function<int64_t(int64_t number, Errors& errors)>;

struct Work {
  std::string_view name;
  std::string_view about;
  // Opens and maps what the steps need. One for each thread.
  std::function<Step(const Task& task, Errors& errors)> prepare;
  // Whether an error is the expected answer.
  bool fails = false;
};

const std::vector<Work>& AllWorks();
const Work* FindWork(std::string_view name);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_BENCH_WORKS_H_
