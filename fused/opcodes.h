// Every request that a FUSE kernel can send: what the policy is asked for it,
// and what serves it. An opcode without a row is answered ENOSYS.
#ifndef FUSED_FUSED_OPCODES_H_
#define FUSED_FUSED_OPCODES_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/types/span.h"

namespace fused {

// Who answers.
enum class ServedBy : uint8_t {
  // The daemon, from the lower tree.
  kDaemon,
  // The daemon; for a handle on passthrough the kernel serves it alone.
  kKernelOnPassthrough,
  // The daemon's own tables: no lower tree.
  kTables,
  // The connection itself; nothing of a file.
  kConnection,
  // ENOSYS: the kernel falls back, or the operation does not exist here.
  kNobody,
};

struct OpcodeRow {
  uint32_t opcode;
  std::string_view name;
  // The operations of policy.proto that it needs, in words; "handle": judged
  // by what the handle was opened for; "-": nothing is asked.
  std::string_view policy;
  ServedBy served;
};

// One row for each opcode of linux/fuse.h, in its order. Constant.
absl::Span<const OpcodeRow> OpcodeTable();

// Null: an opcode without a row.
const OpcodeRow* FindOpcode(uint32_t opcode);

}  // namespace fused

#endif  // FUSED_FUSED_OPCODES_H_
