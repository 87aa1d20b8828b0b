// An operator's connection to a daemon: faster than a fusedctl for each
// question.
#ifndef FUSED_ANDROIDTEST_HARNESS_CONTROL_H_
#define FUSED_ANDROIDTEST_HARNESS_CONTROL_H_

#include <string>

#include "proto/control.pb.h"

namespace fused::androidtest {

class Control {
 public:
  explicit Control(const std::string& socket);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // One with an error where the daemon does not answer.
  control::v1::Response Ask(const control::v1::Request& request);

 private:
  int socket_;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_CONTROL_H_
