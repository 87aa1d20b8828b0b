#include "kernel/testing/uring_parameter.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "kernel/fd.h"

namespace fused::kernel {
namespace {

constexpr char kPath[] = "/sys/module/fuse/parameters/enable_uring";

bool Write(const std::string& value) {
  const Fd file(open(kPath, O_WRONLY | O_CLOEXEC));
  return file.valid() && write(file.get(), value.data(), value.size()) ==
                             static_cast<ssize_t>(value.size());
}

}  // namespace

UringParameter::UringParameter() {
  const Fd file(open(kPath, O_RDONLY | O_CLOEXEC));
  char value = '\0';
  if (!file.valid() || read(file.get(), &value, 1) != 1) return;
  set_ = value == 'Y' || Write("Y");
  if (set_ && value != 'Y') before_ = value;
}

UringParameter::~UringParameter() {
  if (!before_.empty()) Write(before_);
}

}  // namespace fused::kernel
