#include "fused/rules_change.h"

#include <sys/types.h>

#include <cstddef>

#include "absl/time/clock.h"
#include "fused/holders.h"
#include "fused/view_parts.h"
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
  bool listings = false;
  // At once, for a request that hangs is no reason to leave the caches as they
  // are.
  for (const std::unique_ptr<Volume>& volume : volumes) {
    const Volume::Told told = volume->TellRules(changes);
    volume->CountTold(told);
    listings = listings || told.listings;
    response.set_views_told(response.views_told() + told.views);
    response.set_views_spared(response.views_spared() + told.spared);
  }
  if (!former.Wait(deadline - absl::Now())) {
    response.set_draining(
        "a request that began under the former rules is not answered yet: "
        "what it is about may be decided by them");
  }
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
    // Again, always: of a directory that has been listed and closed meanwhile
    // names may be known since the first time.
    volume->TellRules(changes);
    response.set_stale_handles(response.stale_handles() +
                               volume->AfterRules(changes));
  }
}

void RevokeStale(const std::vector<std::unique_ptr<Volume>>& volumes, bool kill,
                 control::v1::PushResponse& response) {
  std::vector<HeldFile> files;
  for (const std::unique_ptr<Volume>& volume : volumes) {
    for (const StaleFile& stale : volume->FindStale()) {
      files.push_back({stale.device, stale.inode, stale.uid});
      control::v1::Holder& holder = *response.add_holders();
      holder.set_volume(stale.volume);
      holder.set_package(stale.package);
      holder.set_uid(stale.uid);
      holder.set_path(stale.path);
      holder.set_reason(stale.reason);
    }
  }
  const std::vector<std::vector<pid_t>> holders = FindHolders(files);
  for (size_t i = 0; i < holders.size(); ++i) {
    for (const pid_t pid : holders[i]) {
      response.mutable_holders(static_cast<int>(i))
          ->add_pids(static_cast<uint32_t>(pid));
    }
  }
  if (kill) response.set_killed(KillHolders(files));
}

}  // namespace fused
