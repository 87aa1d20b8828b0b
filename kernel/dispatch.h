// From libfuse's callbacks to Operations. For the use of this room.
#ifndef FUSED_KERNEL_DISPATCH_H_
#define FUSED_KERNEL_DISPATCH_H_

#include <fcntl.h>

struct fuse_lowlevel_ops;

namespace fused::kernel {

// Of open(2)'s flags, what the kernel leaves to a file system; it also passes
// on bits that only it knows (FMODE_EXEC), which openat2(2) refuses.
inline constexpr int kOpenFlags = O_ACCMODE | O_TRUNC | O_APPEND | O_DIRECT |
                                  O_SYNC | O_DSYNC | O_NONBLOCK | O_NOATIME |
                                  0100000;

// The callbacks of a session whose user data is its SessionCore.
const fuse_lowlevel_ops& DispatchTable();

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_DISPATCH_H_
