// Ends a FUSE connection from outside, as an operator does it by hand.
#ifndef FUSED_KERNEL_ABORT_H_
#define FUSED_KERNEL_ABORT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused::kernel {

// The connection's number, of any descriptor on its superblock: the minor
// number of its device. Sends no request.
absl::StatusOr<unsigned> ConnectionOf(const Fd& mount);

// Every request of the connection that waits fails, and every later one
// (ENOTCONN). By the control file system (Linux,
// Documentation/filesystems/fuse.rst), of which a mount of the call's own is
// taken. NOT_FOUND: it is gone already.
absl::Status AbortConnection(unsigned connection);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_ABORT_H_
