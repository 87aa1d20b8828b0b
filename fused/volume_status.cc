// What a volume tells of itself.
#include <cerrno>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "fused/expiry.h"
#include "fused/media_requests.h"
#include "fused/volume.h"
#include "google/protobuf/map.h"
#include "kernel/status.h"

namespace fused {
namespace {

void FillRequests(const Counters& counters,
                  google::protobuf::Map<std::string, uint64_t>& requests) {
  for (uint32_t opcode = 0; opcode < kernel::kOpcodes; ++opcode) {
    const uint64_t count = counters.requests[opcode];
    if (count != 0) requests[std::string(kernel::OpcodeName(opcode))] = count;
  }
}

std::string_view Transport(const kernel::Session& session) {
  return session.initialized() && session.connection().uring ? "uring" : "dev";
}

void FillOpens(const Counters& counters, control::v1::Opens& opens) {
  opens.set_passthrough(counters.passthrough);
  opens.set_redacted(counters.redacted);
  opens.set_daemon(counters.daemon);
  opens.set_denied(counters.denied);
}

}  // namespace

void Volume::FillStatus(control::v1::VolumeStatus& status) const {
  status.set_name(name());
  status.set_lower(lower());
  status.set_mount(mountpoint());
  status.set_profile(settings_.posix() ? "posix" : "media");
  for (const std::string& warning : warnings_) status.add_warnings(warning);
  uint64_t descriptors = 0;
  for (const LowerTree* tree : trees_->All()) {
    descriptors += tree->descriptors();
  }
  status.set_descriptors(descriptors);

  Counters total;
  uint64_t backing_ids = 0;
  uint64_t handles = 0;
  uint64_t nodes = 0;
  uint64_t unanswered = 0;
  uint64_t expired = 0;
  bool serves = false;
  MountedList all;
  {
    absl::MutexLock lock(&mutex_);
    all = views_;
    total.Add(departed_);
    unanswered = departed_unanswered_;
    expired = departed_expired_;
    status.set_passthrough(passthrough_reason_.empty());
    status.set_passthrough_reason(passthrough_reason_);
    for (const auto& [reason, count] : fallbacks_) {
      (*status.mutable_fallbacks())[reason] = count;
    }
  }
  for (const std::shared_ptr<Mounted>& mounted : all) {
    const View& view = mounted->view;
    total.Add(view.counters());
    backing_ids += view.backing_stats().ids;
    handles += view.handles();
    nodes += view.nodes();
    unanswered += mounted->session->unanswered();
    expired += mounted->session->expired();
    const std::string_view transport = Transport(*mounted->session);
    if (view.identity().shared()) {
      serves = true;
      if (view.counters().other_users != 0) {
        status.add_warnings(absl::StrCat(
            "single_user is set, and ", view.counters().other_users.load(),
            " requests were other users' (the first came from uid ",
            view.counters().first_other_user.load(),
            "): they are shown what the kernel keeps for the one"));
      }
      status.set_transport(std::string(transport));
      continue;
    }
    control::v1::ViewStatus& out = *status.add_views();
    out.set_package(view.identity().package);
    out.set_user(view.identity().user);
    out.set_transport(std::string(transport));
    {
      absl::MutexLock lock(&mutex_);
      out.set_mount(mounted->path);
    }
    FillRequests(view.counters(), *out.mutable_requests());
    FillOpens(view.counters(), *out.mutable_opens());
  }
  if (!serves) {
    status.add_warnings(
        absl::StrCat(mountpoint(),
                     " is not served: it was unmounted, or its connection "
                     "was aborted; a restart mounts it again"));
  }
  FillRequests(total, *status.mutable_requests());
  FillOpens(total, *status.mutable_opens());
  status.set_backing_ids(backing_ids);
  status.set_handles(handles);
  status.set_nodes(nodes);
  status.set_unanswered(unanswered);
  status.set_expired(expired);
  status.set_watch_lower(watch_ != nullptr);
  status.set_watch_lower_reason(watch_reason_);
  if (watch_ != nullptr) {
    const LowerWatch::Stats watched = watch_->stats();
    status.set_lower_changes(watched.changes);
    status.set_lower_overflows(watched.overflows);
  }
  for (const LowerTree* tree : trees_->All()) {
    if (tree->media() != nullptr) FillMedia(*tree, *status.mutable_media());
  }
  const kernel::InvalidationWorker::Stats posted =
      shared_.invalidations->stats();
  control::v1::Invalidations& out = *status.mutable_invalidations();
  out.set_entries(posted.entries);
  out.set_inodes(posted.inodes);
  out.set_epochs(posted.epochs);
  out.set_coalesced(posted.coalesced);
  out.set_overflows(posted.overflows);
  out.set_queued(posted.queued);
  out.set_listings(posted.listings);
  out.set_lag_microseconds(
      static_cast<uint64_t>(absl::ToInt64Microseconds(posted.lag)));
  out.set_longest_lag_microseconds(
      static_cast<uint64_t>(absl::ToInt64Microseconds(posted.longest_lag)));
  out.set_views_told(views_told_.load(std::memory_order_relaxed));
  out.set_views_spared(views_spared_.load(std::memory_order_relaxed));
}

absl::StatusOr<control::v1::ScanResponse> Volume::Scan() {
  if (settings_.posix()) {
    return kernel::ErrnoStatus(EOPNOTSUPP, "a posix volume has no media index");
  }
  control::v1::ScanResponse response;
  for (const LowerTree* tree : trees_->All()) {
    response.set_scan(response.scan() +
                      tree->index()->RequestScan(tree->media(), true));
  }
  return response;
}

void Volume::Maintain(int64_t now, const std::atomic<bool>& stop,
                      control::v1::MaintainResponse& response) {
  if (settings_.posix()) return;
  const Telling telling(shared_.invalidations, shared_.rules);
  for (LowerTree* tree : trees_->All()) {
    const ExpiryResult result = ExpireFiles(*tree, telling, now, stop);
    AddExpired(name(), *tree, result, response);
  }
}

void Volume::ListHandles(std::optional<uid_t> uid, bool stale_only,
                         control::v1::HandlesResponse& response) const {
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    const int before = response.handles_size();
    mounted->view.ListHandles(uid, stale_only, response);
    for (int i = before; i < response.handles_size(); ++i) {
      response.mutable_handles(i)->set_volume(name());
    }
  }
}

}  // namespace fused
