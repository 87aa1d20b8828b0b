// Checks a request's bytes before anything reads them by their meaning: libfuse
// trusts its kernel and would read beyond a short packet. Pure.
#ifndef FUSED_KERNEL_PACKET_H_
#define FUSED_KERNEL_PACKET_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fused::kernel {

// The names of opcodes, "LOOKUP" for FUSE_LOOKUP; "OPCODE_99" for one that is
// not known. `opcode` below kOpcodes, else "OPCODE_?".
inline constexpr uint32_t kOpcodes = 64;
std::string_view OpcodeName(uint32_t opcode);

// The most bytes of data that one request carries or asks for.
inline constexpr uint32_t kMaxTransfer = 1 << 20;

struct PacketVerdict {
  enum class Kind {
    kPass,    // well-formed
    kRefuse,  // to be answered with `error`
    kDrop,    // malformed, and has no answer (or no header to answer to)
  };
  Kind kind = Kind::kPass;
  int error = 0;
};

// Whether `packet` is as long as it says, holds what its opcode needs, has
// terminated names which are single components, counts and sizes within it.
// "." and ".." are no names; but LOOKUP may ask for them where the mount is
// `exported` (EXPORT_SUPPORT): so a file handle is opened whose inode the
// kernel has forgotten.
PacketVerdict CheckPacket(std::string_view packet, bool exported);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_PACKET_H_
