// The one way to libfuse: its low-level API at one version, and the wire
// format. For the use of this room.
#ifndef FUSED_KERNEL_LIBFUSE_H_
#define FUSED_KERNEL_LIBFUSE_H_

#define FUSE_USE_VERSION 318

#include "fuse_kernel.h"    // IWYU pragma: export
#include "fuse_lowlevel.h"  // IWYU pragma: export

#endif  // FUSED_KERNEL_LIBFUSE_H_
