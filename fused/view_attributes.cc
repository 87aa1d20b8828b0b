// Attributes: what is shown, and what may be changed.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "fused/errors.h"
#include "fused/identity.h"
#include "fused/profile.h"
#include "fused/view.h"
#include "kernel/lower.h"

namespace fused {
namespace {

using policy::Operation;

struct statx_timestamp Timestamp(const struct timespec& time) {
  struct statx_timestamp out = {};
  out.tv_sec = time.tv_sec;
  out.tv_nsec = static_cast<uint32_t>(time.tv_nsec);
  return out;
}

// Carries what Present() made of `shown` over into `out`.
void Overwrite(const struct stat& shown, struct statx& out) {
  out.stx_mode = static_cast<uint16_t>(shown.st_mode);
  out.stx_uid = shown.st_uid;
  out.stx_gid = shown.st_gid;
  out.stx_nlink = static_cast<uint32_t>(shown.st_nlink);
  out.stx_size = static_cast<uint64_t>(shown.st_size);
  out.stx_blocks = static_cast<uint64_t>(shown.st_blocks);
  out.stx_atime = Timestamp(shown.st_atim);
  out.stx_mtime = Timestamp(shown.st_mtim);
  out.stx_ctime = Timestamp(shown.st_ctim);
}

}  // namespace

struct stat View::Present(const struct stat& lower, const Facts& facts,
                          const Actor& actor) const {
  struct stat shown = lower;
  if (posix()) return shown;
  const bool directory = S_ISDIR(lower.st_mode);
  shown.st_mode = (lower.st_mode & S_IFMT) |
                  (directory ? kMediaDirectoryMode : kMediaFileMode);
  shown.st_uid = identity_.shared() ? 0 : identity_.uid;
  shown.st_gid = identity_.shared() ? kMediaGid : identity_.uid;
  if (directory &&
      HidesNamesBelow(*actor.snapshot,
                      identity_.shared() ? nullptr : &actor.subject,
                      facts.location)) {
    // Size, times and link count would tell of them.
    shown.st_nlink = 2;
    shown.st_size = 4096;
    shown.st_blocks = 8;
    shown.st_atim = shown.st_mtim = shown.st_ctim = mounted_;
  }
  return shown;
}

kernel::Attributes View::AttributesOf(const Actor& actor,
                                      const LowerNode& lower, int own_writers,
                                      const struct stat& stat,
                                      const Facts& facts) const {
  kernel::Attributes attributes;
  attributes.stat = Present(stat, facts, actor);
  // Who writes through another view changes them without this kernel's
  // knowledge; its own writers it knows of.
  attributes.cache = lower.writers() == own_writers;
  if (!posix() && identity_.shared()) {
    attributes.cache = attributes.cache &&
                       (facts.location.depth > 0 || context_.single_user) &&
                       actor.snapshot->UniformLookup(facts.location);
  }
  return attributes;
}

// Whether it is a file, of a view that has it for itself, that the actor may
// see: nothing else of its facts is shown in its attributes.
bool View::SeesAlone(const Actor& actor, const Node& node) const {
  if (identity_.shared() || !node.lower->is_regular()) return false;
  const std::optional<FileRights> rights = RightsOf(actor, node);
  return rights.has_value() && rights->seen;
}

void View::NoteAsked(const Node& node) const {
  if (node.lower->is_directory()) peer_->kept().NoteAttributes(node.id());
}

void View::GetAttributes(const kernel::Caller& caller, kernel::NodeId node_id,
                         std::optional<kernel::HandleId> handle,
                         kernel::AttributesReply reply) {
  const Actor actor = ActorOf(caller.uid);
  const Ref<Node> node = FindNode(actor, node_id);
  if (node == nullptr) return reply.Error(Stale());
  Facts facts;
  if (!posix() && !SeesAlone(actor, *node)) {
    facts = node->Classify(*actor.snapshot);
    // What is open has been judged.
    if (!handle.has_value() || files_.Find(*handle) == nullptr) {
      const absl::Status status =
          Check(actor, facts.object, Operation::kLookup);
      if (!status.ok()) return reply.Error(status);
    }
  }
  // Before the lower file is asked: a writer that comes later invalidates, and
  // so does who changes a directory.
  NoteAsked(*node);
  const int own_writers = node->writers.load(std::memory_order_acquire);
  absl::StatusOr<struct stat> stat = node->lower->Stat();
  if (!stat.ok()) return reply.Error(stat.status());
  reply.Send(AttributesOf(actor, *node->lower, own_writers, *stat, facts));
}

void View::Statx(const kernel::Caller& caller, kernel::NodeId node_id,
                 std::optional<kernel::HandleId> handle, uint32_t flags,
                 uint32_t mask, kernel::StatxReply reply) {
  const Actor actor = ActorOf(caller.uid);
  const Ref<Node> node = FindNode(actor, node_id);
  if (node == nullptr) return reply.Error(Stale());
  Facts facts;
  if (!posix()) {
    facts = node->Classify(*actor.snapshot);
    if (!handle.has_value() || files_.Find(*handle) == nullptr) {
      const absl::Status status =
          Check(actor, facts.object, Operation::kLookup);
      if (!status.ok()) return reply.Error(status);
    }
  }
  NoteAsked(*node);
  const int own_writers = node->writers.load(std::memory_order_acquire);
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  constexpr uint32_t kSync = AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC;
  struct statx out = {};
  if (statx((*pin)->get(), "", AT_EMPTY_PATH | static_cast<int>(flags & kSync),
            mask | STATX_BASIC_STATS, &out) != 0) {
    return reply.Error(kernel::ErrnoStatus(errno));
  }
  absl::StatusOr<struct stat> stat = kernel::Stat((*pin)->get());
  if (!stat.ok()) return reply.Error(stat.status());
  const kernel::Attributes attributes =
      AttributesOf(actor, *node->lower, own_writers, *stat, facts);
  Overwrite(attributes.stat, out);
  if (!posix() && node->lower->is_directory() &&
      attributes.stat.st_mtim.tv_sec != stat->st_mtim.tv_sec) {
    out.stx_mask &= ~static_cast<uint32_t>(STATX_BTIME);
    out.stx_btime = {};
  }
  reply.Send(out, attributes.cache);
}

absl::Status View::CheckSetAttributes(
    const Actor& actor, const Node& node, const Handle* handle,
    const kernel::SetAttributes& values) const {
  if (posix()) return absl::OkStatus();
  policy::OperationSet operations = Operation::kLookup;
  if (handle != nullptr && handle->record.intent.write) {
    const absl::Status status = Recheck(*handle);
    if (!status.ok()) return status;
  }
  if (values.set_size) {
    // A truncation through a descriptor is judged by what it was opened for.
    if (handle == nullptr) {
      operations = operations | Operation::kWrite;
    } else if (!handle->record.intent.write) {
      return Invalid();
    }
  }
  if (values.set_atime || values.set_mtime) {
    if (handle == nullptr || !handle->record.intent.write) {
      operations = operations | Operation::kWrite;
    }
  }
  if (values.set_mode || values.set_uid || values.set_gid) {
    operations = operations | Operation::kSetattr;
  }
  return Check(actor, node.Classify(*actor.snapshot).object, operations);
}

bool View::HasPassthroughWriter(Node& node) {
  const int writers = node.lower->writers();
  if (writers == 0 || !node.lower->is_regular()) return false;
  absl::MutexLock lock(&node.open_mutex);
  // Of writers elsewhere it is not known how they are served.
  return node.mode != NodeMode::kDaemon ||
         writers != node.writers.load(std::memory_order_acquire);
}

absl::Status View::ApplyPosixAttributes(const Ref<Node>& node, int fd,
                                        const kernel::SetAttributes& values) {
  if (values.set_mode) {
    constexpr mode_t kSetId = S_ISUID | S_ISGID;
    if ((values.mode & kSetId) != 0 && HasPassthroughWriter(*node)) {
      // Its writes would leave the bit standing.
      return Busy();
    }
    const absl::Status status = kernel::ChangeMode(fd, values.mode & 07777);
    if (!status.ok()) return status;
  }
  if (values.set_uid || values.set_gid) {
    const uid_t uid = values.set_uid ? values.uid : static_cast<uid_t>(-1);
    const gid_t gid = values.set_gid ? values.gid : static_cast<gid_t>(-1);
    if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) {
      return kernel::ErrnoStatus(errno);
    }
  }
  return absl::OkStatus();
}

absl::Status View::ApplyAttributes(const Actor& actor,
                                   const kernel::Caller& caller,
                                   const Ref<Node>& node, const Handle* handle,
                                   const kernel::SetAttributes& values) {
  absl::Status status = CheckSetAttributes(actor, *node, handle, values);
  if (!status.ok()) return status;
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return pin.status();
  const int fd = (*pin)->get();
  if (posix()) {
    status = ApplyPosixAttributes(node, fd, values);
    if (!status.ok()) return status;
  }
  if (values.set_size) {
    if (!node->lower->is_regular()) return Invalid();
    if (truncate(kernel::ProcPath(fd).text, values.size) != 0) {
      return kernel::ErrnoStatus(errno);
    }
  }
  if (values.kill_suidgid && posix()) {
    status = ClearSetId(caller, fd);
    if (!status.ok()) return status;
  }
  if (values.set_atime || values.set_mtime) {
    struct timespec times[2] = {values.atime, values.mtime};
    if (!values.set_atime) times[0].tv_nsec = UTIME_OMIT;
    if (!values.set_mtime) times[1].tv_nsec = UTIME_OMIT;
    if (values.set_atime && values.atime_now) times[0].tv_nsec = UTIME_NOW;
    if (values.set_mtime && values.mtime_now) times[1].tv_nsec = UTIME_NOW;
    if (utimensat(fd, "", times, AT_EMPTY_PATH) != 0) {
      return kernel::ErrnoStatus(errno);
    }
  }
  return absl::OkStatus();
}

void View::SetAttributes(const kernel::Caller& caller, kernel::NodeId node_id,
                         std::optional<kernel::HandleId> handle_id,
                         const kernel::SetAttributes& values,
                         kernel::AttributesReply reply) {
  const Actor actor = ActorOf(caller.uid);
  const Ref<Node> node = FindNode(actor, node_id);
  if (node == nullptr) return reply.Error(Stale());
  std::shared_ptr<Handle> handle;
  if (handle_id.has_value()) handle = files_.Find(*handle_id);
  if (handle == nullptr && IsLeftBehind(*node)) return reply.Error(Stale());
  const absl::Status status =
      ApplyAttributes(actor, caller, node, handle.get(), values);
  if (!status.ok()) {
    CountDenied(actor, FUSE_SETATTR, node_id, {}, status);
    return reply.Error(status);
  }
  InvalidateElsewhere(*node->lower, node_id, values.set_size);
  NoteAsked(*node);
  absl::StatusOr<struct stat> stat = node->lower->Stat();
  if (!stat.ok()) return reply.Error(stat.status());
  Facts facts;
  if (!posix()) facts = node->Classify(*actor.snapshot);
  reply.Send(AttributesOf(actor, *node->lower,
                          node->writers.load(std::memory_order_acquire), *stat,
                          facts));
}

void View::Access(const kernel::Caller& caller, kernel::NodeId node_id,
                  int mask, kernel::StatusReply reply) {
  // In the posix profile the kernel decides, and does not ask.
  if (posix()) return reply.Ok();
  const Actor actor = ActorOf(caller.uid);
  const Ref<Node> node = FindNode(actor, node_id);
  if (node == nullptr) return reply.Error(Stale());
  const bool directory = node->lower->is_directory();
  policy::OperationSet operations = Operation::kLookup;
  if ((mask & R_OK) != 0) {
    operations = operations | (directory ? Operation::kList : Operation::kRead);
  }
  // What may be made in a directory depends on the name, so the directory
  // itself is writable; a file is as the rules say.
  if ((mask & W_OK) != 0 && !directory) {
    operations = operations | Operation::kWrite;
  }
  absl::Status status =
      Check(actor, node->Classify(*actor.snapshot).object, operations);
  // Mounts are noexec, and no file has an execute bit.
  if (status.ok() && (mask & X_OK) != 0 && !directory) status = AccessDenied();
  reply.Send(status);
}

void View::Readlink(const kernel::Caller& caller, kernel::NodeId node_id,
                    kernel::ReadlinkReply reply) {
  const Ref<Node> node = nodes_.Find(node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!posix()) return reply.Error(Invalid());
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  char target[PATH_MAX + 1];
  const ssize_t size = readlinkat((*pin)->get(), "", target, PATH_MAX);
  if (size < 0) return reply.Error(kernel::ErrnoStatus(errno));
  target[size] = '\0';
  reply.Send(target);
}

void View::Statfs(const kernel::Caller& caller, kernel::NodeId node_id,
                  kernel::StatfsReply reply) {
  const Ref<Node> node = FindNode(ActorOf(caller.uid), node_id);
  if (node == nullptr) return reply.Error(Stale());
  struct statvfs value = {};
  if (fstatvfs(node->lower->tree().root_descriptor(), &value) != 0) {
    return reply.Error(kernel::ErrnoStatus(errno));
  }
  reply.Send(value);
}

}  // namespace fused
