// What is asked of the kernel at INIT. For the use of this room.
#ifndef FUSED_KERNEL_NEGOTIATE_H_
#define FUSED_KERNEL_NEGOTIATE_H_

#include <cstdint>

struct fuse_conn_info;

namespace fused::kernel {

// The oldest protocol that is spoken, of Linux 4.20: before it a request
// carries at most 32 pages, and libfuse falls back to shorter structures, whose
// sizes CheckPacket() does not know.
inline constexpr uint32_t kOldestMinor = 28;

// Libfuse's callback, between INIT and its answer; `user_data` is the
// SessionCore.
void Negotiate(void* user_data, fuse_conn_info* conn);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_NEGOTIATE_H_
