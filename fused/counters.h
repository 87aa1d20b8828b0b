// What a view counts. Thread-safe; the counts are not one moment's.
#ifndef FUSED_FUSED_COUNTERS_H_
#define FUSED_FUSED_COUNTERS_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "kernel/session.h"

namespace fused {

struct Counters {
  std::array<std::atomic<uint64_t>, kernel::kOpcodes> requests{};
  std::atomic<uint64_t> passthrough{0};
  std::atomic<uint64_t> redacted{0};
  std::atomic<uint64_t> daemon{0};
  std::atomic<uint64_t> denied{0};
  // Requests of other users where there is to be one, and the first one's uid.
  std::atomic<uint64_t> other_users{0};
  std::atomic<uid_t> first_other_user{0};

  // True: it is the first.
  bool NoteOtherUser(uid_t uid) {
    uid_t none = 0;
    const bool first = first_other_user.compare_exchange_strong(none, uid);
    ++other_users;
    return first;
  }

  // Opcodes beyond the table share its first place, which no opcode has.
  void Received(uint32_t opcode) {
    requests[opcode < kernel::kOpcodes ? opcode : 0].fetch_add(
        1, std::memory_order_relaxed);
  }

  void Add(const Counters& other) {
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i] += other.requests[i];
    }
    passthrough += other.passthrough;
    redacted += other.redacted;
    daemon += other.daemon;
    denied += other.denied;
  }
};

}  // namespace fused

#endif  // FUSED_FUSED_COUNTERS_H_
