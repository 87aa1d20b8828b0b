// Becomes an app: its namespace, then its uid.
#ifndef FUSED_FUSED_CTL_ENTER_H_
#define FUSED_FUSED_CTL_ENTER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernel/fd.h"
#include "proto/control.pb.h"

namespace fused::ctl {

// Gives the calling process a mount namespace of its own, in which each mount
// point of `response` is the view of the same place in `views`, and no path
// leads to a directory to be hidden, nor to what was mounted at a mount point:
// other mounts of the same file systems that show them are taken away or
// covered too. Goes to the mount point where the working directory was in
// either. For a process with one thread, as root.
absl::Status EnterNamespace(const control::v1::RunResponse& response,
                            std::vector<kernel::Fd> views);

// Becomes `uid` (and gid), which must not be 0, for good: no supplementary
// groups, no capabilities, none to be had by exec, and no descriptors from 3
// on.
absl::Status BecomeApp(uint32_t uid);

// Runs a command in the calling process's place. Returns only where it cannot:
// 127 where it is not found, else 126.
int Execute(const std::vector<std::string>& command);

}  // namespace fused::ctl

#endif  // FUSED_FUSED_CTL_ENTER_H_
