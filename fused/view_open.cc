// Opening and closing regular files: how each open is served.
#include <fcntl.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "fused/errors.h"
#include "fused/identity.h"
#include "fused/view.h"
#include "kernel/lower.h"

namespace fused {

// Takes a backing id for a new handle; an invalid one where the daemon is to
// serve it.
absl::StatusOr<kernel::BackingRef> View::TakeBacking(Node& node) {
  kernel::BackingRegistry* const backing =
      backing_.load(std::memory_order_acquire);
  if (backing == nullptr) return Stale();
  kernel::BackingRef warm = backing->AcquireWarm(node.id());
  if (warm.valid()) return warm;
  absl::StatusOr<Pin> pin = node.lower->Descriptor();
  if (!pin.ok()) return pin.status();
  absl::StatusOr<kernel::BackingRef> fresh =
      backing->Acquire(node.id(), (*pin)->get());
  // Where other handles hold the id this can't fail; a daemon-served handle
  // beside them would be refused by the kernel.
  if (fresh.ok() || node.mode != NodeMode::kIdle) return fresh;
  node.refusal = kernel::ErrnoOf(fresh.status());
  return kernel::BackingRef();
}

// Chooses the mode of a new handle and enters it. All handles of a node are of
// one mode while any is open: the kernel answers EIO to a mix.
absl::Status View::EnterMode(Node& node, Handle& handle, bool& passthrough) {
  // Held over the registration of this very node: two opens at once must not
  // come to different modes.
  absl::MutexLock lock(&node.open_mutex);
  if (node.mode == NodeMode::kIdle) node.refusal = 0;
  const bool wanted = node.key.io == policy::IoMode::kPassthrough &&
                      passthrough_.load(std::memory_order_acquire);
  // One that joins others is of their mode.
  const bool idle = node.mode == NodeMode::kIdle;
  if (wanted && idle && !handle.share.TakeBacking(false)) {
    node.refusal = EDQUOT;
  } else if (wanted && node.mode != NodeMode::kDaemon) {
    handle.share.TakeBacking(!idle);
    absl::StatusOr<kernel::BackingRef> backing = TakeBacking(node);
    if (!backing.ok()) return backing.status();
    handle.backing = *std::move(backing);
  }
  passthrough = handle.backing.valid();
  // Also of one that joins others: why these are served so holds for it.
  if (wanted && !passthrough) context_.fallback(FallbackReason(node.refusal));
  node.mode = passthrough ? NodeMode::kPassthrough : NodeMode::kDaemon;
  ++node.handles;
  return absl::OkStatus();
}

std::string View::FallbackReason(int error) {
  switch (error) {
    case 0:
      return "the daemon serves it to those who have it open already";
    case ELOOP:
      return "the lower file lies on file systems that are stacked too deep "
             "(ELOOP)";
    case EPERM:
      return "the kernel does not let this process register files (EPERM)";
    case EDQUOT:
      return "the app has as many backing ids as it may";
    case ENOSPC:
    case ENOMEM:
      return "no backing ids are left";
    default:
      return kernel::Describe(kernel::ErrnoStatus(error));
  }
}

void View::LeaveMode(Handle& handle) {
  // Given back before the node can become idle, or another open could find the
  // mode free and the id still taken.
  absl::MutexLock lock(&handle.node->open_mutex);
  handle.backing.Reset();
  if (--handle.node->handles == 0) handle.node->mode = NodeMode::kIdle;
}

std::optional<AppLimits::Share> View::ShareOf(const Actor& actor) const {
  if (context_.limits == nullptr) return AppLimits::Share();
  return context_.limits->Open(actor.uid);
}

absl::StatusOr<View::NewHandle> View::OpenNode(const Actor& actor,
                                               const Ref<Node>& node,
                                               const Intent& intent, int flags,
                                               const policy::Decision& decision,
                                               kernel::Fd descriptor) {
  HandleRecord record;
  record.id = files_.NewId();
  record.node = node->id();
  record.uid = actor.uid;
  record.flags = flags;
  record.intent = intent;
  record.io = decision.io;
  record.epoch = actor.snapshot->epoch();
  record.rule = decision.rule;
  std::optional<AppLimits::Share> share = ShareOf(actor);
  if (!share.has_value()) return kernel::ErrnoStatus(EMFILE);
  auto handle = files_.Make(record.id, record, node);
  handle->share = *std::move(share);
  if (descriptor.valid()) handle->SetDescriptor(std::move(descriptor));

  if (intent.write) {
    node->lower->AddWriter();
    node->writers.fetch_add(1, std::memory_order_acq_rel);
    // From now on nobody else may keep attributes.
    InvalidateElsewhere(*node->lower, node->id(), false);
  }
  bool passthrough = false;
  absl::Status status = EnterMode(*node, *handle, passthrough);
  if (status.ok() && !passthrough) {
    status = handle->Descriptor().status();
    if (!status.ok()) LeaveMode(*handle);
  }
  if (!status.ok()) {
    if (intent.write) {
      node->writers.fetch_sub(1, std::memory_order_acq_rel);
      node->lower->RemoveWriter();
    }
    return status;
  }
  files_.Insert(record.id, handle);
  if (handle->redacted()) AuditRedacted(actor, *node, decision);
  const kernel::OpenFlags reply =
      passthrough ? kernel::OpenFlags::Passthrough(record.id, handle->backing,
                                                   intent.access())
                  : kernel::OpenFlags::Daemon(record.id, intent.access());
  (passthrough          ? counters_.passthrough
   : handle->redacted() ? counters_.redacted
                        : counters_.daemon)
      .fetch_add(1, std::memory_order_relaxed);
  CountVerdict(actor, decision.rule,
               passthrough          ? metrics::Verdict::kPassthrough
               : handle->redacted() ? metrics::Verdict::kRedacted
                                    : metrics::Verdict::kDaemon);
  return NewHandle{std::move(handle), reply};
}

absl::Status View::TruncateForOpen(const kernel::Caller& caller,
                                   const Ref<Node>& node, bool kill_suidgid) {
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return pin.status();
  if (truncate(kernel::ProcPath((*pin)->get()).text, 0) != 0) {
    return kernel::ErrnoStatus(errno);
  }
  if (kill_suidgid && posix()) {
    absl::Status status = ClearSetId(caller, (*pin)->get());
    if (!status.ok()) return status;
  }
  InvalidateElsewhere(*node->lower, node->id(), true);
  return absl::OkStatus();
}

absl::Status View::JudgeOpen(const Actor& actor, const Node& node,
                             const Intent& intent, policy::Decision& decision,
                             FileRights& rights) const {
  decision = {policy::Error::kNone, policy::IoMode::kPassthrough,
              policy::kNoRule};
  if (posix()) return absl::OkStatus();
  const std::optional<FileRights> known = RightsOf(actor, node);
  if (known.has_value()) {
    rights = *known;
    decision = rights.On(intent.operations());
    if (decision.allowed()) return absl::OkStatus();
  }
  const policy::Object object = node.Classify(*actor.snapshot).object;
  decision = Judge(actor, object, intent.operations());
  if (decision.allowed() && !known.has_value()) {
    rights = WeighFile(actor, object);
  }
  return Verdict(actor, object, decision);
}

absl::StatusOr<policy::IoMode> View::ServedNow(const Actor& actor,
                                               const Node& node, bool redact,
                                               const FileRights& rights) const {
  // What is not looked at: of no size, and of no set-id bits.
  static const struct stat kNothing = {};
  if (!posix() && !redact && node.key.io != policy::IoMode::kRedacted) {
    return ServedBy(actor, rights, *node.lower, kNothing);
  }
  const absl::StatusOr<struct stat> stat = node.lower->Stat();
  if (!stat.ok()) return stat.status();
  return posix() ? ServedAs(actor, {}, *node.lower, *stat)
                 : ServedBy(actor, rights, *node.lower, *stat);
}

void View::Open(const kernel::Caller& caller, kernel::NodeId node_id,
                const kernel::OpenRequest& request, kernel::OpenReply reply) {
  const Ref<Node> node = nodes_.Find(node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!node->lower->is_regular()) return reply.Error(Invalid());
  // The kernel looks its name up again, and opens what has it now.
  if (IsLeftBehind(*node)) {
    retries_.Add(caller.pid);
    return reply.Error(Stale());
  }
  Actor actor = ActorOf(caller.uid);
  actor.retries = retries_.Has(caller.pid);
  const Intent intent = Intent::FromFlags(request.flags);
  policy::Decision decision;
  FileRights rights;
  absl::Status status = JudgeOpen(actor, *node, intent, decision, rights);
  const bool redact = status.ok() && decision.io == policy::IoMode::kRedacted;
  if (redact) status = CheckRedacted(intent, *node->lower);
  if (!status.ok()) {
    CountDenied(actor, FUSE_OPEN, node_id, {}, status);
    return reply.Error(status);
  }
  const absl::StatusOr<policy::IoMode> served =
      ServedNow(actor, *node, redact, rights);
  if (!served.ok()) return reply.Error(served.status());
  if (*served != node->key.io) {
    // The rules, a writer, or set-id bits changed how it is served: that is
    // another node, which the kernel finds by looking the name up again.
    if (node->key.io != policy::IoMode::kRedacted) retries_.Add(caller.pid);
    return reply.Error(Stale());
  }
  retries_.Remove(caller.pid);
  decision.io = node->key.io;
  absl::StatusOr<NewHandle> opened =
      OpenNode(actor, node, intent, request.flags, decision, kernel::Fd());
  if (!opened.ok()) return reply.Error(opened.status());
  if (intent.truncate) {
    status = TruncateForOpen(caller, node, request.kill_suidgid);
    if (!status.ok()) {
      files_.Remove(opened->handle->record.id);
      CloseHandle(opened->handle, std::nullopt);
      return reply.Error(status);
    }
  }
  if (!reply.Send(*opened->flags)) {
    files_.Remove(opened->handle->record.id);
    CloseHandle(opened->handle, std::nullopt);
  }
}

void View::CloseHandle(const std::shared_ptr<Handle>& handle,
                       std::optional<uint64_t> flock_owner) {
  LowerNode& lower = *handle->node->lower;
  if (LockTable* const locks = lower.locks_or_null()) {
    // A handle without a FLUSH at its close lets go of its locks here.
    for (const uint64_t owner : handle->lock_owners()) {
      locks->ReleasePosix({peer_->id(), owner});
    }
    if (flock_owner.has_value()) {
      locks->ReleaseFlock({peer_->id(), *flock_owner});
    }
  }
  LeaveMode(*handle);
  if (handle->record.intent.write) {
    handle->node->writers.fetch_sub(1, std::memory_order_acq_rel);
    lower.RemoveWriter();
    // Stores through a mapping change times that no request told of, here and
    // in the other views; what is open for writing alone can't be mapped, and
    // this kernel has seen its writes.
    InvalidateElsewhere(
        lower, handle->record.intent.read ? 0 : handle->node->id(), false);
  }
}

void View::Release(kernel::NodeId node, kernel::HandleId handle_id,
                   std::optional<uint64_t> flock_owner,
                   kernel::StatusReply reply) {
  const std::shared_ptr<Handle> handle = files_.Remove(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  CloseHandle(handle, flock_owner);
  reply.Ok();
}

void View::Flush(const kernel::Caller& caller, kernel::NodeId node,
                 kernel::HandleId handle_id, uint64_t lock_owner,
                 kernel::StatusReply reply) {
  const std::shared_ptr<Handle> handle = files_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  if (LockTable* const locks = handle->node->lower->locks_or_null()) {
    locks->ReleasePosix({peer_->id(), lock_owner});
  }
  reply.Ok();
}

}  // namespace fused
