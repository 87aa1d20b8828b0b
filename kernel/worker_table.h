// What the threads of a loop are at, for who watches over them.
#ifndef FUSED_KERNEL_WORKER_TABLE_H_
#define FUSED_KERNEL_WORKER_TABLE_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace fused::kernel {

// A request, as its header names it.
struct RequestId {
  uint64_t unique = 0;
  uint32_t opcode = 0;
  uid_t uid = 0;
};

// Thread-safe: a worker writes its own slot, anybody reads all. Writing takes
// no lock and shares no cache line with another worker.
class WorkerTable {
 public:
  // Threads that serve any session, and behind them seats of rings.
  static constexpr size_t kMost = 320;
  static constexpr size_t kSeats = 256;

  struct Work {
    size_t worker = 0;
    uint64_t session = 0;  // the loop's key for it
    RequestId request;
    int64_t since = 0;  // CLOCK_MONOTONIC, in nanoseconds; never 0
  };

  void Begin(const Work& work) {
    Slot& slot = slots_[work.worker];
    const uint64_t sequence = slot.sequence.load(std::memory_order_relaxed);
    // Odd: it is being written. The stores below come after it.
    slot.sequence.store(sequence + 1, std::memory_order_relaxed);
    slot.session.store(work.session, std::memory_order_release);
    slot.unique.store(work.request.unique, std::memory_order_release);
    slot.opcode.store(work.request.opcode, std::memory_order_release);
    slot.uid.store(work.request.uid, std::memory_order_release);
    slot.since.store(work.since, std::memory_order_release);
    slot.sequence.store(sequence + 2, std::memory_order_release);
  }

  void End(size_t worker) {
    Slot& slot = slots_[worker];
    slot.since.store(0, std::memory_order_release);
    slot.done.store(slot.done.load(std::memory_order_relaxed) + 1,
                    std::memory_order_relaxed);
  }

  // Calls `each` with what every busy worker is at.
  template <typename Each>
  void ForEach(const Each& each) const {
    for (size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      const uint64_t before = slot.sequence.load(std::memory_order_acquire);
      Work work;
      work.worker = i;
      work.session = slot.session.load(std::memory_order_acquire);
      work.request.unique = slot.unique.load(std::memory_order_acquire);
      work.request.opcode = slot.opcode.load(std::memory_order_acquire);
      work.request.uid = slot.uid.load(std::memory_order_acquire);
      work.since = slot.since.load(std::memory_order_acquire);
      // One that is being written has only just begun.
      if (before % 2 != 0 || work.since == 0 ||
          slot.sequence.load(std::memory_order_relaxed) != before) {
        continue;
      }
      each(work);
    }
  }

  // Requests that were finished, ever.
  uint64_t done() const {
    uint64_t sum = 0;
    for (const Slot& slot : slots_) {
      sum += slot.done.load(std::memory_order_relaxed);
    }
    return sum;
  }

  // How many workers are busy for `uid`.
  int BusyFor(uid_t uid) const {
    int busy = 0;
    ForEach([&](const Work& work) { busy += work.request.uid == uid ? 1 : 0; });
    return busy;
  }

 private:
  struct alignas(64) Slot {
    std::atomic<uint64_t> sequence{0};
    std::atomic<uint64_t> session{0};
    std::atomic<uint64_t> unique{0};
    std::atomic<uint32_t> opcode{0};
    std::atomic<uid_t> uid{0};
    std::atomic<int64_t> since{0};  // 0: idle
    std::atomic<uint64_t> done{0};
  };

  std::array<Slot, kMost + kSeats> slots_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_WORKER_TABLE_H_
