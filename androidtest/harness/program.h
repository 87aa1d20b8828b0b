// Programs that an agent runs on the app's behalf: for what takes more than one
// system call, or several threads. A test's binary is its agents' binary too,
// so that a program stands in the file of the test that needs it:
//
//   APP_PROGRAM(CountLines) {
//     const int fd = open(arguments[0].c_str(), O_RDONLY);
//     if (fd < 0) return Failed("open");
//     ...
//     return Done(lines);
//   }
//   EXPECT_THAT(app.Run("CountLines", {app.At("DCIM/a")}), Returns(3));
#ifndef FUSED_ANDROIDTEST_HARNESS_PROGRAM_H_
#define FUSED_ANDROIDTEST_HARNESS_PROGRAM_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "androidtest/harness/agent.pb.h"

namespace fused::androidtest {

using Arguments = std::vector<std::string>;
using Program = v1::Reply (*)(const Arguments& arguments);

// A program's success.
v1::Reply Done(int64_t value = 0, std::string_view data = {});
// A program's failure, with errno.
v1::Reply Failed(std::string_view what);
// A program's failure in what it found rather than in a call.
v1::Reply Wrong(std::string_view what);

// Returns true, so that it can initialise a static object.
bool RegisterProgram(std::string_view name, Program program);
// Null: there is none of that name.
Program FindProgram(std::string_view name);

}  // namespace fused::androidtest

#define APP_PROGRAM(name)                                          \
  static ::fused::androidtest::v1::Reply name##Program(            \
      const ::fused::androidtest::Arguments& arguments);           \
  [[maybe_unused]] static const bool k##name##Registered =         \
      ::fused::androidtest::RegisterProgram(#name, name##Program); \
  static ::fused::androidtest::v1::Reply name##Program(            \
      [[maybe_unused]] const ::fused::androidtest::Arguments& arguments)

#endif  // FUSED_ANDROIDTEST_HARNESS_PROGRAM_H_
