// The fuse module's parameter that FUSE over io_uring needs: tests set it.
#ifndef FUSED_KERNEL_TESTING_URING_PARAMETER_H_
#define FUSED_KERNEL_TESTING_URING_PARAMETER_H_

#include <string>

namespace fused::kernel {

// Sets it for as long as it lives, and puts it back.
class UringParameter {
 public:
  UringParameter();
  UringParameter(const UringParameter&) = delete;
  UringParameter& operator=(const UringParameter&) = delete;
  ~UringParameter();

  // Whether it is set: there is one, and it may be written.
  bool set() const { return set_; }

 private:
  // What it was; empty: nothing is to be put back.
  std::string before_;
  bool set_ = false;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TESTING_URING_PARAMETER_H_
