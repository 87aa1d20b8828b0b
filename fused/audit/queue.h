// A bounded queue that nobody waits for.
#ifndef FUSED_FUSED_AUDIT_QUEUE_H_
#define FUSED_FUSED_AUDIT_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace fused::audit {

// Each cell says by its turn who may use it next: at place p, turn p the
// producer, turn p + 1 the consumer. Thread-safe for any number of producers
// and consumers; neither call takes a lock.
template <typename T>
class Queue {
 public:
  // `capacity` is a power of two.
  explicit Queue(size_t capacity)
      : mask_(capacity - 1), cells_(std::make_unique<Cell[]>(capacity)) {
    for (size_t i = 0; i < capacity; ++i) {
      cells_[i].turn.store(i, std::memory_order_relaxed);
    }
  }

  // False: it is full.
  bool Push(const T& value) {
    size_t at = tail_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[at & mask_];
      const size_t turn = cell.turn.load(std::memory_order_acquire);
      if (turn == at) {
        if (!tail_.compare_exchange_weak(at, at + 1,
                                         std::memory_order_relaxed)) {
          continue;
        }
        cell.value = value;
        cell.turn.store(at + 1, std::memory_order_release);
        return true;
      }
      // The consumer has not come by since the last time round.
      if (turn < at) return false;
      at = tail_.load(std::memory_order_relaxed);
    }
  }

  // False: it is empty, or the next is still being written.
  bool Pop(T& value) {
    size_t at = head_.load(std::memory_order_relaxed);
    for (;;) {
      Cell& cell = cells_[at & mask_];
      const size_t turn = cell.turn.load(std::memory_order_acquire);
      if (turn == at + 1) {
        if (!head_.compare_exchange_weak(at, at + 1,
                                         std::memory_order_relaxed)) {
          continue;
        }
        value = cell.value;
        cell.turn.store(at + mask_ + 1, std::memory_order_release);
        return true;
      }
      if (turn < at + 1) return false;
      at = head_.load(std::memory_order_relaxed);
    }
  }

  // Of some moment.
  size_t size() const {
    const size_t head = head_.load(std::memory_order_relaxed);
    const size_t tail = tail_.load(std::memory_order_relaxed);
    return tail > head ? tail - head : 0;
  }

 private:
  struct Cell {
    std::atomic<size_t> turn;
    T value;
  };

  const size_t mask_;
  const std::unique_ptr<Cell[]> cells_;
  alignas(64) std::atomic<size_t> tail_{0};
  alignas(64) std::atomic<size_t> head_{0};
};

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_QUEUE_H_
