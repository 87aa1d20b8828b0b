// Processes that a test starts. None outlives the test.
#ifndef FUSED_ANDROIDTEST_HARNESS_PROCESS_H_
#define FUSED_ANDROIDTEST_HARNESS_PROCESS_H_

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace fused::androidtest {

using Arguments = std::vector<std::string>;

// One child process; killed and reaped when the object goes.
class Child {
 public:
  struct Options {
    // Become the child's standard streams; -1: the test's own.
    int input = -1;
    int output = -1;
    int error = -1;
    // "NAME=VALUE", beside the test's own.
    std::vector<std::string> environment;
    // Called in the child before it becomes the program; false: it exits 125.
    std::function<bool()> prepare;
  };

  Child() = default;
  // Runs argv[0], a path, with these arguments.
  Child(const Arguments& argv, const Options& options);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  pid_t pid() const { return pid_; }
  bool started() const { return pid_ > 0; }

  void Signal(int signal) const;
  // The exit status, 128 + the signal that ended it, or nothing if it still
  // runs after `timeout`.
  std::optional<int> Wait(absl::Duration timeout);

 private:
  pid_t pid_ = -1;
};

// What became of a command.
struct Completed {
  // As Child::Wait(); -1: it had to be killed.
  int exit = -1;
  std::string output;
  std::string error;
};

// Runs a command to its end.
Completed RunCommand(const Arguments& argv,
                     absl::Duration timeout = absl::Seconds(60),
                     const std::vector<std::string>& environment = {});

// Whether `condition` came true within `timeout`. It is asked again and again,
// and should ask something that takes its time (a daemon's status).
bool Eventually(const std::function<bool()>& condition,
                absl::Duration timeout = absl::Seconds(10));

void PrintTo(const Completed& completed, std::ostream* os);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_PROCESS_H_
