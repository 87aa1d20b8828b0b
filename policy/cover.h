// Whether conditions leave anything for a later one.
#ifndef FUSED_POLICY_COVER_H_
#define FUSED_POLICY_COVER_H_

#include <cstddef>
#include <vector>

#include "policy/conditions.h"

namespace fused::policy {

// Whether one of `cover` holds wherever `term` does. Each step takes one from
// `budget`; without any left the answer is no.
bool IsCovered(const Term& term, const std::vector<const Term*>& cover,
               size_t& budget);

}  // namespace fused::policy

#endif  // FUSED_POLICY_COVER_H_
