// Asks a daemon by its control socket, without a process for each question.
#ifndef FUSED_ANDROIDTEST_HARNESS_CONTROL_H_
#define FUSED_ANDROIDTEST_HARNESS_CONTROL_H_

#include <optional>
#include <string>

#include "proto/control.pb.h"

namespace fused::androidtest {

// One connection. Thread-compatible.
class Control {
 public:
  explicit Control(const std::string& socket);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  // Nothing where the daemon is gone before it has answered.
  std::optional<control::v1::Response> Ask(const control::v1::Request& request);

 private:
  bool Transfer(char* bytes, size_t size, bool send);

  int fd_;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_CONTROL_H_
