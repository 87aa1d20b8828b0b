// Puts rules in force, and ends what was decided by the former ones.
#ifndef FUSED_FUSED_RULES_CHANGE_H_
#define FUSED_FUSED_RULES_CHANGE_H_

#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "fused/rules.h"
#include "fused/volume.h"
#include "kernel/invalidation.h"
#include "policy/engine.h"
#include "proto/control.pb.h"

namespace fused {

// How long a push waits for requests that began under the former rules: one
// that hangs in the lower file system holds no push up for ever.
inline constexpr absl::Duration kDrainTimeout = absl::Seconds(2);

// To be called after Rules::Set(), which returned `former`, and before the push
// is acknowledged: when it returns, every lookup, open and create that begins
// is decided by `after`, those of names in the kernels' caches too. Fills
// the response's draining, views_told, views_spared and stale_handles.
//
// Requests that took the former rules are awaited; what they answered may have
// come to a cache before the caches were told, so those of the views concerned
// are told when the requests are over. Takes no lock that a request waits for.
void EndFormerRules(const std::shared_ptr<const policy::Snapshot>& before,
                    const std::shared_ptr<const policy::Snapshot>& after,
                    const Retired& former,
                    const std::vector<std::unique_ptr<Volume>>& volumes,
                    kernel::InvalidationWorker& invalidations,
                    control::v1::PushResponse& response);

// Adds who holds files that the kernel serves against the rules, and with
// `kill` ends them.
void RevokeStale(const std::vector<std::unique_ptr<Volume>>& volumes, bool kill,
                 control::v1::PushResponse& response);

}  // namespace fused

#endif  // FUSED_FUSED_RULES_CHANGE_H_
