// Makes random steps, most of which have something to do with what is there.
#ifndef FUSED_ANDROIDTEST_MODEL_GENERATOR_H_
#define FUSED_ANDROIDTEST_MODEL_GENERATOR_H_

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "androidtest/model/step.h"
#include "androidtest/model/world.h"

namespace fused::androidtest::model {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  // A step that has one outcome in this world.
  Step Next(const World& world);

 private:
  Step Any(const World& world);
  int Number(int below);
  bool Chance(int percent) { return Number(100) < percent; }
  template <typename T>
  const T& One(const std::vector<T>& of) {
    return of[Number(static_cast<int>(of.size()))];
  }

  std::string There(const World& world);
  std::string New(const World& world, bool directory);
  Action SomeAction(bool crowded);

  std::mt19937_64 random_;
};

}  // namespace fused::androidtest::model

#endif  // FUSED_ANDROIDTEST_MODEL_GENERATOR_H_
