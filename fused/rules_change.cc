#include "fused/rules_change.h"

#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <utility>

#include "absl/time/clock.h"
#include "fused/holders.h"
#include "fused/view_parts.h"

namespace fused {

namespace {

// How long the follower waits before it looks at all that is left.
constexpr absl::Duration kSlice = absl::Milliseconds(50);

}  // namespace

RulesChange::RulesChange(const Volumes* volumes,
                         kernel::InvalidationWorker* invalidations)
    : volumes_(*volumes),
      invalidations_(*invalidations),
      follower_([this] { Follow(); }) {}

RulesChange::~RulesChange() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  follower_.join();
}

bool RulesChange::Tell(const policy::Changes* changes) {
  bool posted = false;
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    posted = volume->TellRules(changes).posted || posted;
  }
  return posted;
}

bool RulesChange::PostListings(const policy::Changes* changes, uint64_t epoch) {
  bool posted = false;
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    posted = volume->PostListings(changes, epoch) || posted;
  }
  return posted;
}

void RulesChange::EndFormer(
    const std::shared_ptr<const policy::Snapshot>& before,
    const std::shared_ptr<const policy::Snapshot>& after, const Retired& former,
    control::v1::PushResponse& response) {
  const absl::Time deadline = absl::Now() + kDrainTimeout;
  const policy::Changes changes(before, after);
  bool posted = false;
  // At once, for a request that hangs is no reason to leave the caches as they
  // are.
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    const Volume::Told told = volume->TellRules(&changes);
    volume->CountTold(told);
    posted = posted || told.posted;
    response.set_views_told(response.views_told() + told.views);
    response.set_views_spared(response.views_spared() + told.spared);
  }
  if (!former.Wait(deadline - absl::Now())) Leave({.requests = former});
  // What was posted first may be on its way still, though there is nothing
  // more.
  posted = PostListings(&changes, after->epoch()) || posted;
  bool done = !posted || invalidations_.Sync(deadline - absl::Now());
  // Again, always: of a directory that has been listed and closed meanwhile
  // names may be known since the first time.
  if (Tell(&changes)) {
    done = invalidations_.Sync(deadline - absl::Now()) && done;
  }
  if (!done) Leave({.stage = Stage::kListings});
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    const StaleCount count = volume->AfterRules(&changes, deadline);
    response.set_stale_handles(response.stale_handles() + count.stale);
    response.set_unread_handles(response.unread_handles() + count.unread);
  }
  response.set_draining(draining());
}

std::string RulesChange::draining() const {
  absl::MutexLock lock(&mutex_);
  if (left_.empty()) return "";
  for (const Left& left : left_) {
    if (left.stage != Stage::kRequests) continue;
    return "a request that began under the former rules is not answered yet: "
           "what it is about may be decided by them";
  }
  return "a directory is held by a caller: names that the former rules showed "
         "may stay known";
}

void RulesChange::Leave(Left left) {
  absl::MutexLock lock(&mutex_);
  left_.push_back(std::move(left));
}

// All views: several pushes may have gone by. Whether something was posted.
bool RulesChange::TellAgain() {
  const bool posted = Tell(nullptr);
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    volume->AfterRules(nullptr, absl::Now() + kDrainTimeout);
  }
  return posted;
}

void RulesChange::Look(std::vector<Left>& left) {
  const bool posted = std::any_of(
      left.begin(), left.end(),
      [](const Left& one) { return one.stage != Stage::kRequests; });
  const bool synced = posted && invalidations_.Sync(kSlice);
  if (!posted) left.front().requests.Wait(kSlice);
  bool over = false;
  bool entered = false;
  for (Left& one : left) {
    if (one.stage == Stage::kRequests) {
      if (!one.requests.Wait(absl::ZeroDuration())) continue;
      over = true;
      one.stage = Stage::kListings;
    } else if (synced) {
      entered = entered || one.stage == Stage::kListings;
      one.stage = one.stage == Stage::kListings ? Stage::kNames : Stage::kDone;
    }
  }
  if (!over && !entered) return;
  if (over) PostListings(nullptr, UINT64_MAX);
  if (TellAgain()) return;
  for (Left& one : left) {
    if (one.stage == Stage::kNames) one.stage = Stage::kDone;
  }
}

void RulesChange::Follow() {
  const auto any = [this] {
    mutex_.AssertReaderHeld();
    return stopping_ || !left_.empty();
  };
  for (;;) {
    std::vector<Left> left;
    {
      absl::MutexLock lock(&mutex_, absl::Condition(&any));
      if (stopping_) return;
      left = left_;
    }
    Look(left);
    absl::MutexLock lock(&mutex_);
    // Others may have come behind these.
    std::copy(left.begin(), left.end(), left_.begin());
    std::erase_if(left_,
                  [](const Left& one) { return one.stage == Stage::kDone; });
  }
}

namespace {

// Of one open file; so that what is said of kMostListed fits into a message.
constexpr size_t kMostPids = 64;
// What a process that was killed had open comes back soon after its end.
constexpr absl::Duration kReleaseTimeout = absl::Milliseconds(500);

std::vector<StaleFile> StaleOf(const RulesChange::Volumes& volumes) {
  std::vector<StaleFile> all;
  for (const std::unique_ptr<Volume>& volume : volumes) {
    std::vector<StaleFile> some = volume->FindStale();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

void AddHolder(const StaleFile& stale, const std::vector<pid_t>& pids,
               control::v1::PushResponse& response) {
  if (response.holders_size() >= kMostListed) {
    response.set_more_holders(response.more_holders() + 1);
    return;
  }
  control::v1::Holder& holder = *response.add_holders();
  holder.set_volume(stale.volume);
  holder.set_package(stale.package);
  holder.set_uid(stale.uid);
  holder.set_path(stale.path);
  holder.set_reason(stale.reason);
  for (const pid_t pid : pids) {
    if (static_cast<size_t>(holder.pids_size()) == kMostPids) break;
    holder.add_pids(static_cast<uint32_t>(pid));
  }
}

}  // namespace

void RevokeStale(const RulesChange::Volumes& volumes, bool kill,
                 control::v1::PushResponse& response) {
  const std::vector<StaleFile> stale = StaleOf(volumes);
  std::vector<HeldFile> files;
  files.reserve(stale.size());
  for (const StaleFile& one : stale) {
    files.push_back({one.device, one.inode, one.uid});
  }
  const std::vector<std::vector<pid_t>> holders = FindHolders(files);
  for (size_t i = 0; i < stale.size(); ++i) {
    AddHolder(stale[i], holders[i], response);
  }
  if (!kill) return;
  response.set_killed(KillHolders(files));
  // What others hold stays: it is said.
  const absl::Time deadline = absl::Now() + kReleaseTimeout;
  size_t left = StaleOf(volumes).size();
  while (response.killed() != 0 && left != 0 && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
    left = StaleOf(volumes).size();
  }
  response.set_stale_handles(left);
}

}  // namespace fused
