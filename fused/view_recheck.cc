// What is open, when the rules have changed.
#include <linux/fuse.h>
#include <sys/stat.h>

#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fused/errors.h"
#include "fused/redaction.h"
#include "fused/shown_text.h"
#include "fused/view.h"
#include "kernel/lower.h"

namespace fused {

namespace {

using policy::Operation;

const char* ReasonOf(ViewStanding standing) {
  switch (standing) {
    case ViewStanding::kGood:
      return "";
    case ViewStanding::kForbidden:
      return "policy";
    case ViewStanding::kTellsLocation:
    case ViewStanding::kMayTellLocation:
      return "redaction";
  }
  return "";
}

std::string ShownPath(const LowerNode& lower) {
  return ShownText(lower.tree().PathOf(lower));
}

// Whether a reader who is not to see locations would see one.
bool ShowsLocation(const Handle& handle) {
  LowerNode& lower = *handle.node->lower;
  absl::StatusOr<struct stat> stat = lower.Stat();
  if (!stat.ok()) return true;
  if (stat->st_size == 0) return false;
  // What others write is not known beforehand.
  if (lower.writers() > (handle.record.intent.write ? 1 : 0)) return true;
  absl::StatusOr<std::shared_ptr<const Redaction>> found = FindRedaction(lower);
  return !found.ok() || (*found)->hides();
}

// Whether that is known without reading the file.
bool KnowsLocation(const Handle& handle) {
  LowerNode& lower = *handle.node->lower;
  absl::StatusOr<struct stat> stat = lower.Stat();
  if (!stat.ok() || stat->st_size == 0 || lower.writers() > 0) return true;
  const std::shared_ptr<const Redaction> kept = lower.redaction();
  return kept != nullptr && kept->Matches(*stat);
}

}  // namespace

View::Standing View::StandingOf(const Actor& actor, const Handle& handle,
                                bool may_read) const {
  if (posix()) return Standing::kGood;
  const HandleRecord& record = handle.record;
  // It has been made.
  const policy::OperationSet operations =
      record.intent.operations().Without(Operation::kCreate);
  if (operations.empty()) return Standing::kGood;
  const policy::Object object = handle.node->Classify(*actor.snapshot).object;
  if (!Weigh(actor, object, operations).allowed()) return Standing::kForbidden;
  if (!record.intent.read || handle.redacted()) return Standing::kGood;
  const bool redacts =
      Weigh(actor, object, Operation::kRead).io == policy::IoMode::kRedacted;
  if (redacts && !may_read && !KnowsLocation(handle)) {
    return Standing::kMayTellLocation;
  }
  return redacts && ShowsLocation(handle) ? Standing::kTellsLocation
                                          : Standing::kGood;
}

absl::Status View::Recheck(const Handle& handle) const {
  const uint64_t epoch = context_.rules->epoch();
  uint64_t known = handle.judged.load(std::memory_order_acquire);
  if (known >> 1 != epoch) {
    // Let go of before anything is read or written.
    const Actor actor = ActorOf(handle.record.uid);
    const bool good = StandingOf(actor, handle) == Standing::kGood;
    known = actor.snapshot->epoch() << 1 | (good ? 1 : 0);
    // Once, not at each request.
    if (!good) {
      AuditDenied(actor, FUSE_OPEN, handle.record.node, {}, AccessDenied());
    }
    handle.judged.store(known, std::memory_order_release);
  }
  return (known & 1) != 0 ? absl::OkStatus() : AccessDenied();
}

void View::ListHandles(std::optional<uid_t> uid, bool stale_only,
                       control::v1::HandlesResponse& response) const {
  const std::shared_ptr<const policy::Snapshot> snapshot =
      context_.rules->snapshot();
  for (const std::shared_ptr<Handle>& handle : files_.All()) {
    const HandleRecord& record = handle->record;
    if (uid.has_value() && record.uid != *uid) continue;
    // Those that the daemon serves are asked at each request.
    const Standing standing = handle->backing.valid()
                                  ? StandingOf(ActorOf(record.uid), *handle)
                                  : Standing::kGood;
    if (stale_only && standing == Standing::kGood) continue;
    if (response.handles_size() >= kMostListed) {
      response.set_more(response.more() + 1);
      continue;
    }
    control::v1::Handle& out = *response.add_handles();
    out.set_fh(record.id);
    out.set_package(identity_.package);
    out.set_user(identity_.user);
    out.set_uid(record.uid);
    out.set_path(ShownPath(*handle->node->lower));
    out.set_io(handle->backing.valid() ? "PASSTHROUGH"
               : handle->redacted()    ? "REDACTED"
                                       : "DAEMON");
    out.set_read(record.intent.read);
    out.set_write(record.intent.write);
    out.set_backing_id(handle->backing.valid() ? handle->backing.id() : 0);
    out.set_epoch(record.epoch);
    // A rule's place has its meaning in its own epoch only.
    if (record.epoch == snapshot->epoch()) {
      out.set_rule(std::string(snapshot->policy().RuleName(record.rule)));
    }
    out.set_stale(standing != Standing::kGood);
    out.set_stale_reason(ReasonOf(standing));
  }
  if (stale_only) return;
  for (const std::shared_ptr<DirectoryHandle>& handle : directories_.All()) {
    if (uid.has_value() && handle->uid != *uid) continue;
    if (response.handles_size() >= kMostListed) {
      response.set_more(response.more() + 1);
      continue;
    }
    control::v1::Handle& out = *response.add_handles();
    out.set_fh(handle->id);
    out.set_package(identity_.package);
    out.set_user(identity_.user);
    out.set_uid(handle->uid);
    out.set_path(ShownPath(*handle->node->lower));
    out.set_read(true);
    out.set_directory(true);
  }
}

StaleCount View::AfterRules(const policy::Changes* changes,
                            absl::Time deadline) {
  StaleCount count;
  if (posix()) return count;
  const bool own = changes == nullptr ||
                   (!identity_.shared() &&
                    changes->ForPackage(identity_.package, identity_.uid));
  if (!identity_.shared() && !own) return count;
  for (const std::shared_ptr<Handle>& handle : files_.All()) {
    const HandleRecord& record = handle->record;
    if (!own && !changes->ForUid(record.uid)) continue;
    const Standing standing =
        StandingOf(ActorOf(record.uid), *handle, absl::Now() < deadline);
    if (standing == Standing::kGood) continue;
    if (handle->backing.valid()) {
      ++count.stale;
      if (standing == Standing::kMayTellLocation) ++count.unread;
      if (const std::shared_ptr<kernel::Session> session = this->session()) {
        session->backing().Doom(record.node);
      }
    } else {
      // Its requests are refused; what is mapped of it goes, and is asked for.
      context_.invalidations->PostInode(peer_->session(), record.node, true);
    }
  }
  return count;
}

void View::FindStale(std::vector<StaleFile>& stale) const {
  for (const std::shared_ptr<Handle>& handle : files_.All()) {
    if (!handle->backing.valid()) continue;
    const HandleRecord& record = handle->record;
    const Standing standing = StandingOf(ActorOf(record.uid), *handle);
    if (standing == Standing::kGood) continue;
    const LowerNode& lower = *handle->node->lower;
    absl::StatusOr<struct stat> stat = handle->node->lower->Stat();
    if (!stat.ok()) continue;
    StaleFile file;
    file.uid = record.uid;
    file.package = identity_.package;
    file.path = ShownPath(lower);
    file.reason = ReasonOf(standing);
    file.inode = stat->st_ino;
    stale.push_back(std::move(file));
  }
}

bool View::TellRules() const {
  const std::shared_ptr<kernel::Session> session = this->session();
  if (session == nullptr || !session->initialized() || session->ended()) {
    return false;
  }
  // A root is never looked up; what it shows may be other than before.
  session->InvalidateInode(kernel::kRootNode, false).IgnoreError();
  // Without epochs: name by name.
  const bool names = !session->IncrementEpoch().ok();
  if (names) ExpireAllNames();
  return Telling::Listings(*context_.invalidations, *peer_) || names;
}

bool View::PostListings(uint64_t epoch) const {
  bool posted = Telling::Listings(*context_.invalidations, *peer_);
  for (const std::shared_ptr<DirectoryHandle>& handle : directories_.All()) {
    const uint64_t last = handle->listed.load(std::memory_order_acquire);
    if (last == 0 || last >= epoch) continue;
    // The kernel enters the names of a listing that it has been given while it
    // holds the directory, by the epoch that is then: this waits for that.
    context_.invalidations->PostListing(peer_->session(), handle->node->id());
    posted = true;
  }
  return posted;
}

}  // namespace fused
