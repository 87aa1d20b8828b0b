// The requests that there are most of, served without libfuse: it takes a lock
// of the whole session and memory of the heap for each.
#ifndef FUSED_KERNEL_DIRECT_H_
#define FUSED_KERNEL_DIRECT_H_

#include <string_view>

struct fuse_in_header;

namespace fused::kernel {

class SessionCore;

// `packet` has passed CheckPacket(). False: it is left to libfuse.
bool ServeDirectly(SessionCore& core, const fuse_in_header& header,
                   std::string_view packet);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_DIRECT_H_
