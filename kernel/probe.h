// What the running kernel offers.
#ifndef FUSED_KERNEL_PROBE_H_
#define FUSED_KERNEL_PROBE_H_

#include <string>

#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fused::kernel {

struct Features {
  std::string release;   // uname -r
  std::string protocol;  // "7.45": what INIT offered
  // By name: "passthrough", "over_io_uring" (offered, and the module
  // parameter is set), "posix_acl", "killpriv_v2", "inc_epoch", "expire",
  // "resend", "direct_io_allow_mmap", "new_mount_api", "openat2",
  // "file_handles", "request_timeout", "cap_sys_admin".
  absl::btree_map<std::string, bool> has;

  // For the log at start: "kernel 6.18.44, FUSE 7.45: passthrough, ...; not:
  // over_io_uring".
  std::string OneLine() const;
};

// Makes a FUSE superblock on a detached mount, reads the INIT that it offers,
// answers it, tries what can only be tried, and drops it. Needs root. About a
// millisecond. Thread-safe.
absl::StatusOr<Features> ProbeFeatures();

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_PROBE_H_
