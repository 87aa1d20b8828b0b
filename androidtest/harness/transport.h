// How the views' requests are to come in a test.
#ifndef FUSED_ANDROIDTEST_HARNESS_TRANSPORT_H_
#define FUSED_ANDROIDTEST_HARNESS_TRANSPORT_H_

#include <string>

namespace fused::androidtest {

// Whether the environment asks for io_uring (FUSED_TEST_TRANSPORT=uring).
bool OverUring();

// The fuse module's parameter that it needs, which the daemon never sets.
class UringParameter {
 public:
  UringParameter() = default;
  UringParameter(const UringParameter&) = delete;
  UringParameter& operator=(const UringParameter&) = delete;
  // Puts back what it was.
  ~UringParameter();

  void Set();

 private:
  std::string before_;
};

// Whether it is set, by whomever.
bool UringParameterIsSet();

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_TRANSPORT_H_
