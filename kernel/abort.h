// Ends a FUSE connection from outside, as an operator does it by hand.
#ifndef FUSED_KERNEL_ABORT_H_
#define FUSED_KERNEL_ABORT_H_

#include "absl/status/status.h"

namespace fused::kernel {

// Every request of the connection that waits fails, and every later one
// (ENOTCONN). `connection` is its number: the minor number of the superblock's
// device. By the control file system (Linux,
// Documentation/filesystems/fuse.rst), of which a mount of the call's own is
// taken. NOT_FOUND: it is gone already.
absl::Status AbortConnection(unsigned connection);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_ABORT_H_
