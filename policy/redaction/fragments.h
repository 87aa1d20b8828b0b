// Samples of movies in fragments.
#ifndef FUSED_POLICY_REDACTION_FRAGMENTS_H_
#define FUSED_POLICY_REDACTION_FRAGMENTS_H_

#include <cstdint>

#include "absl/types/span.h"
#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

struct FragmentedTrack {
  uint64_t id = 0;
  // Of a sample, where a fragment does not say.
  uint64_t size = 0;
};

// Zeroes the samples of these tracks in all `moof` boxes of a file. False where
// they cannot be found.
bool ZeroFragments(const Bytes& file, absl::Span<const FragmentedTrack> tracks);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_FRAGMENTS_H_
