// From libfuse's callbacks to Operations. For the use of this room.
#ifndef FUSED_KERNEL_DISPATCH_H_
#define FUSED_KERNEL_DISPATCH_H_

struct fuse_lowlevel_ops;

namespace fused::kernel {

// The callbacks of a session whose user data is its SessionCore.
const fuse_lowlevel_ops& DispatchTable();

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_DISPATCH_H_
