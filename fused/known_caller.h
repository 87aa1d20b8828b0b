// What a thread has found out of who asks it.
#ifndef FUSED_FUSED_KNOWN_CALLER_H_
#define FUSED_FUSED_KNOWN_CALLER_H_

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "fused/metrics/registry.h"
#include "policy/types.h"

namespace fused {

// A uid that asks through a view, as it was when it last did: who that is by
// the rules is found once for each rules, and not for each request. Each thread
// has a few of its own.
struct KnownCaller {
  // Who it is; views have numbers that are never used again. 0: nobody.
  uint64_t view = 0;
  uid_t uid = 0;

  // By which rules (InForce::serial) the next are; 0: none.
  uint64_t serial = 0;
  policy::Subject subject;
  // See KeptRights.
  uint64_t judge = 0;

  // Where it is counted; null: not looked for.
  metrics::AppCounts* counts = nullptr;
  // The same of the rule that last allowed it something, of `serial`.
  metrics::VerdictCounts* rule_counts = nullptr;
  policy::RuleId rule = policy::kNoRule;

  // This thread's. Valid until it asks for another's.
  static KnownCaller& Of(uint64_t view, uid_t uid) {
    constexpr uint32_t kBits = 4;
    // Not what has a constructor to run: each use would ask whether it has.
    static thread_local constinit std::array<KnownCaller, 1 << kBits> all{};
    const uint32_t mixed =
        (static_cast<uint32_t>(view) * 31 + uid) * 2654435769u;
    KnownCaller& known = all[mixed >> (32 - kBits)];
    if (known.view != view || known.uid != uid) {
      known = {};
      known.view = view;
      known.uid = uid;
    }
    return known;
  }
};

}  // namespace fused

#endif  // FUSED_FUSED_KNOWN_CALLER_H_
