// Draws policies, app directories and requests.
#ifndef FUSED_POLICY_ORACLE_DRAW_H_
#define FUSED_POLICY_ORACLE_DRAW_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "policy/oracle/interpreter.h"
#include "proto/policy.pb.h"

namespace fused::policy::oracle {

// The same numbers for the same seed on every platform, which the standard's
// distributions do not promise.
class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}

  // Less than `bound`, which is not 0.
  size_t Below(size_t bound) { return engine_() % bound; }
  bool Chance(int percent) { return Below(100) < static_cast<size_t>(percent); }
  template <typename List>
  const auto& Pick(const List& list) {
    return *(std::begin(list) + Below(std::size(list)));
  }

 private:
  std::mt19937_64 engine_;
};

// Policies that compile: within the bounds, no undefined names, ENOENT alone
// for LOOKUP.
v1::Policy DrawPolicy(Dice& dice);
v1::AppDirectory DrawApps(Dice& dice);

// Requests that are likely to meet the patterns and rules of `policy`.
Request DrawRequest(Dice& dice, const v1::Policy& policy,
                    const v1::AppDirectory& apps);

// For tests of names by themselves.
std::string DrawName(Dice& dice);

}  // namespace fused::policy::oracle

#endif  // FUSED_POLICY_ORACLE_DRAW_H_
