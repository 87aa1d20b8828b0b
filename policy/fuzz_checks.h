// What holds for whatever a policy and an app directory say.
#ifndef FUSED_POLICY_FUZZ_CHECKS_H_
#define FUSED_POLICY_FUZZ_CHECKS_H_

#include "policy/engine.h"

namespace fused::policy {

// Makes a few decisions and aborts where they contradict each other.
void CheckDecisions(const Snapshot& snapshot);

}  // namespace fused::policy

#endif  // FUSED_POLICY_FUZZ_CHECKS_H_
