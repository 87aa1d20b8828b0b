// Ranges, and what is read through them.
#ifndef FUSED_POLICY_REDACTION_ZERO_RANGES_H_
#define FUSED_POLICY_REDACTION_ZERO_RANGES_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "policy/redaction/types.h"

namespace fused::policy::redaction {

// Zeroes those bytes of `buffer`, which holds what stands at `offset` of the
// file, that are in `ranges`, which are as a Finding has them.
void ZeroRanges(absl::Span<const Range> ranges, uint64_t offset,
                absl::Span<char> buffer);

// Sorts and merges; drops empty ones and what lies beyond `size`.
void Normalize(std::vector<Range>& ranges, uint64_t size);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_ZERO_RANGES_H_
