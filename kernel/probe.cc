#include "kernel/probe.h"

#include <sys/utsname.h>

namespace fused::kernel {

std::string Features::OneLine() const { return "kernel " + release; }

absl::StatusOr<Features> ProbeFeatures() {
  Features features;
  struct utsname name = {};
  if (uname(&name) == 0) features.release = name.release;
  return features;
}

}  // namespace fused::kernel
