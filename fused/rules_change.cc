#include "fused/rules_change.h"

#include "absl/time/clock.h"
#include "policy/changes.h"

namespace fused {

void EndFormerRules(const std::shared_ptr<const policy::Snapshot>& before,
                    const std::shared_ptr<const policy::Snapshot>& after,
                    const Retired& former,
                    const std::vector<std::unique_ptr<Volume>>& volumes,
                    kernel::InvalidationWorker& invalidations,
                    control::v1::PushResponse& response) {
  const absl::Time deadline = absl::Now() + kDrainTimeout;
  const policy::Changes changes(before, after);
  // At once, for a request that hangs is no reason to leave the caches as they
  // are.
  for (const std::unique_ptr<Volume>& volume : volumes) {
    const Volume::Told told = volume->TellRules(changes);
    volume->CountTold(told);
    response.set_views_told(response.views_told() + told.views);
    response.set_views_spared(response.views_spared() + told.spared);
  }
  bool again = false;
  if (!former.Wait(absl::ZeroDuration())) {
    again = true;
    if (!former.Wait(deadline - absl::Now())) {
      response.set_draining(
          "a request that began under the former rules is not answered yet: "
          "what it is about may be decided by them");
    }
  }
  bool listings = false;
  for (const std::unique_ptr<Volume>& volume : volumes) {
    listings = volume->PostListings(changes, after->epoch()) || listings;
  }
  if (listings && !invalidations.Sync(deadline - absl::Now()) &&
      response.draining().empty()) {
    response.set_draining(
        "a directory that was being listed is held by a caller: names that "
        "the former rules showed may stay known");
  }
  for (const std::unique_ptr<Volume>& volume : volumes) {
    if (again || listings) volume->TellRules(changes);
    response.set_stale_handles(response.stale_handles() +
                               volume->AfterRules(changes));
  }
}

}  // namespace fused
