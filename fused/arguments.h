// Command lines of Abseil flags, for programs whose exit codes are their own.
#ifndef FUSED_FUSED_ARGUMENTS_H_
#define FUSED_FUSED_ARGUMENTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fused {

struct Arguments {
  // What is no flag, before "--".
  std::vector<std::string> positional;
  // What follows "--", as it is.
  std::vector<std::string> rest;
  bool has_rest = false;
  // The names of the flags that were given.
  std::vector<std::string> flags;
  // --help was there.
  bool help = false;
  // --version was there.
  bool version = false;
};

// Sets the process's Abseil flags from `args` (without the program's name):
// "--name=value", "--name value", "--bool", "--nobool". Flags may stand
// anywhere before "--". absl::ParseCommandLine() is not used because it exits
// with 1 where a flag is wrong. INVALID_ARGUMENT: one line that says what is.
absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& args);

// The flags that are defined in files whose name contains `file`, with their
// texts, a line each.
std::string DescribeFlags(const std::string& file);

}  // namespace fused

#endif  // FUSED_FUSED_ARGUMENTS_H_
