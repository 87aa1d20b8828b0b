// Whether it pays to look for what comes next for a moment before sleeping.
#ifndef FUSED_KERNEL_SPIN_GAUGE_H_
#define FUSED_KERNEL_SPIN_GAUGE_H_

#include <algorithm>
#include <cstdint>

namespace fused::kernel {

// Who asks for one thing after the other comes back within microseconds, sooner
// than a thread falls asleep and is woken; who asks now and then does not, and
// looking for him is for nothing. What was found lately tells which it is. For
// one thread.
class SpinGauge {
 public:
  // Asked before each wait.
  bool Pays() { return score_ > 0 || ++skipped_ % kProbe == 0; }
  // What came of it where it was looked.
  void Note(bool found) {
    score_ = found ? std::min(score_ + 1, kMost) : std::max(score_ - kMiss, 0);
  }

 private:
  static constexpr int kMost = 16;
  // Two in three have to be found.
  static constexpr int kMiss = 2;
  // Of the waits that are not looked before.
  static constexpr uint32_t kProbe = 16;

  int score_ = 0;
  uint32_t skipped_ = 0;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_SPIN_GAUGE_H_
