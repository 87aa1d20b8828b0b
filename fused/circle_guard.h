// Ways upwards through the lower tree that must end.
#ifndef FUSED_FUSED_CIRCLE_GUARD_H_
#define FUSED_FUSED_CIRCLE_GUARD_H_

#include <cstddef>

namespace fused {

class LowerNode;

// Tells, on a way upwards, that it runs in a circle: moves behind the daemon's
// back, of which it has seen the later one first, can leave places so. (Brent's
// algorithm: no memory, for ways that are long.)
class CircleGuard {
 public:
  bool Closes(const LowerNode* node) {
    if (node == mark_) return true;
    if (++steps_ == limit_) {
      mark_ = node;
      steps_ = 0;
      limit_ *= 2;
    }
    return false;
  }

 private:
  const LowerNode* mark_ = nullptr;
  size_t steps_ = 0;
  size_t limit_ = 1;
};

}  // namespace fused

#endif  // FUSED_FUSED_CIRCLE_GUARD_H_
