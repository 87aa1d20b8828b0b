// Making and removing names.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "fused/errors.h"
#include "fused/identity.h"
#include "fused/profile.h"
#include "fused/view.h"
#include "policy/names.h"

namespace fused {

using policy::Operation;

namespace {

uint32_t RequestOf(Operation making) {
  switch (making) {
    case Operation::kMkdir:
      return FUSE_MKDIR;
    case Operation::kSymlink:
      return FUSE_SYMLINK;
    case Operation::kLink:
      return FUSE_LINK;
    default:
      return FUSE_MKNOD;
  }
}

}  // namespace

absl::Status View::CheckMake(const Actor& actor, const Target& target,
                             mode_t type, Operation operation) const {
  if (!posix()) {
    const policy::Object made = actor.snapshot->ObjectAt(
        target.location, target.name, S_ISDIR(type),
        S_ISREG(type) ? actor.subject.app : policy::kNoApp);
    return CheckNew(actor, made, operation, target.name);
  }
  return absl::OkStatus();
}

void View::NameChanged(LowerNode& parent, std::string_view name) const {
  if (posix() || !policy::IsNomedia(name)) return;
  parent.tree().NomediaChanged();
  // At once, in this view too: it is no name that has changed.
  if (HiddenIsUnseen(*context_.rules->snapshot())) {
    telling_.Everything(parent.tree());
  }
}

absl::Status View::RefreshMade(const Actor& actor, Target& target, mode_t type,
                               uint64_t changes) {
  if (S_ISDIR(type) && !posix()) {
    target.tellings = target.parent->lower->tree().tellings();
    // It need not be looked whether a `.nomedia` is in it.
    absl::StatusOr<LowerTree::Found> found =
        target.parent->lower->tree().Lookup(target.parent->lower,
                                            target.place_name().data());
    if (found.ok() && found->node->is_directory()) {
      found->node->NoteEmpty(changes);
      return Take(actor, target, *std::move(found));
    }
  }
  return Refresh(actor, target, /*there=*/true);
}

absl::Status View::NotMade(const Actor& actor, Target& target, bool shown,
                           const absl::Status& status) {
  // What must not be known is absent, whoever else says no.
  absl::Status there = Refresh(actor, target);
  if (!there.ok()) return there;
  return !shown && target.lower != nullptr ? Exists() : status;
}

void View::MakeName(const kernel::Caller& caller, kernel::NodeId parent,
                    const char* name, mode_t type, Operation operation,
                    const std::function<absl::Status(int parent)>& make,
                    kernel::EntryReply reply) {
  const Actor actor = ActorOf(caller.uid);
  absl::StatusOr<Target> target = Aim(actor, parent, name);
  if (!target.ok()) {
    AuditDenied(actor, RequestOf(operation), parent, name, target.status());
    return reply.Error(target.status());
  }
  absl::Status status;
  bool made = false;
  {
    // Judged where it is made: no directory moves meanwhile. What is told to
    // the kernel is what was made: nothing else takes the name before it is
    // looked at.
    absl::ReaderMutexLock shape(&target->parent->lower->tree().shape_mutex());
    absl::MutexLock names(&target->parent->lower->names_mutex());
    std::optional<LowerTree::Making> making;
    if (S_ISREG(type) && !posix()) {
      making.emplace(target->parent->lower->tree());
    }
    Locate(actor, *target);
    const uint64_t changes = target->parent->lower->tree().nomedia_changes();
    status = CheckMake(actor, *target, type, operation);
    // Nothing but files and directories is made in the media profile, whatever
    // its rules allow.
    const bool shown = !status.ok() || Shows(type);
    if (!shown) status = NotPermitted();
    absl::StatusOr<Pin> pin = target->parent->lower->Descriptor();
    if (status.ok()) status = pin.status();
    if (status.ok() && posix()) {
      const CallerIdentity identity(caller);
      status = make((*pin)->get());
    } else if (status.ok()) {
      status = make((*pin)->get());
    }
    made = status.ok();
    if (made) {
      NameChanged(*target->parent->lower, target->name);
      status = RefreshMade(actor, *target, type, changes);
    } else {
      status = NotMade(actor, *target, shown, status);
    }
    if (status.ok() && target->lower != nullptr && S_ISREG(type) && !posix() &&
        target->lower->is_regular()) {
      status = RecordMade(actor, *target);
    }
  }
  if (!made) {
    CountDenied(actor, RequestOf(operation), parent, name, status);
    return reply.Error(status);
  }
  // Behind the daemon's back it may be something else all the same, and the
  // kernel takes an entry of another type for an error of ours.
  if (status.ok() &&
      (target->lower == nullptr || target->lower->type() != type)) {
    status = Stale();
  }
  if (status.ok()) status = SettleMade(actor, *target);
  if (!status.ok()) return reply.Error(status);
  TellName(*target->parent, name, NameChange::kMade, nullptr);
  // That was nothing new about the one that was made.
  ++target->tellings.directories;
  ReplyEntry(actor, *target, std::move(reply));
}

void View::Mkdir(const kernel::Caller& caller, kernel::NodeId parent,
                 const char* name, mode_t mode, kernel::EntryReply reply) {
  const auto make = [&](int directory) -> absl::Status {
    const mode_t lower_mode = posix() ? mode : kMediaDirectoryMode;
    if (mkdirat(directory, name, lower_mode) != 0) {
      return kernel::ErrnoStatus(errno);
    }
    return absl::OkStatus();
  };
  MakeName(caller, parent, name, S_IFDIR, Operation::kMkdir, make,
           std::move(reply));
}

void View::Mknod(const kernel::Caller& caller, kernel::NodeId parent,
                 const char* name, mode_t mode, dev_t device,
                 kernel::EntryReply reply) {
  mode_t type = mode & S_IFMT;
  if (type == 0) type = S_IFREG;
  const auto make = [&](int directory) -> absl::Status {
    if (!posix()) {
      const Actor actor = ActorOf(caller.uid);
      const NewFile file{.mode = kMediaFileMode,
                         .flags = O_WRONLY | O_CREAT | O_EXCL};
      return MakeFile(caller, actor, directory, name, file).status();
    }
    if (mknodat(directory, name, mode, device) != 0) {
      return kernel::ErrnoStatus(errno);
    }
    return absl::OkStatus();
  };
  MakeName(caller, parent, name, type,
           type == S_IFREG ? Operation::kCreate : Operation::kMknod, make,
           std::move(reply));
}

void View::Symlink(const kernel::Caller& caller, const char* target,
                   kernel::NodeId parent, const char* name,
                   kernel::EntryReply reply) {
  const auto make = [&](int directory) -> absl::Status {
    if (symlinkat(target, directory, name) != 0) {
      return kernel::ErrnoStatus(errno);
    }
    return absl::OkStatus();
  };
  MakeName(caller, parent, name, S_IFLNK, Operation::kSymlink, make,
           std::move(reply));
}

void View::Link(const kernel::Caller& caller, kernel::NodeId node_id,
                kernel::NodeId new_parent, const char* new_name,
                kernel::EntryReply reply) {
  const Ref<Node> node = nodes_.Find(node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!posix()) {
    // The same for what is there and what is not.
    const Actor actor = ActorOf(caller.uid);
    absl::StatusOr<Target> target = Resolve(actor, new_parent, new_name);
    absl::Status status = target.ok() ? NotPermitted() : target.status();
    if (status.ok()) {
      status = Check(actor, node->Classify(*actor.snapshot).object,
                     Operation::kLookup);
    }
    CountDenied(actor, FUSE_LINK, new_parent, new_name, status);
    return reply.Error(status);
  }
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  const auto make = [&](int directory) -> absl::Status {
    if (linkat((*pin)->get(), "", directory, new_name, AT_EMPTY_PATH) != 0) {
      return kernel::ErrnoStatus(errno);
    }
    return absl::OkStatus();
  };
  MakeName(caller, new_parent, new_name, node->lower->type(), Operation::kLink,
           make, std::move(reply));
  InvalidateElsewhere(*node->lower, node_id, false);
}

void View::RemoveName(const kernel::Caller& caller, kernel::NodeId parent,
                      const char* name, bool directory,
                      kernel::StatusReply reply) {
  const Actor actor = ActorOf(caller.uid);
  const uint32_t request = directory ? FUSE_RMDIR : FUSE_UNLINK;
  absl::StatusOr<Target> target = Aim(actor, parent, name);
  if (!target.ok()) {
    AuditDenied(actor, request, parent, name, target.status());
    return reply.Error(target.status());
  }
  absl::Status status;
  bool gone = true;
  {
    // What is judged is what is removed.
    absl::MutexLock names(&target->parent->lower->names_mutex());
    status = Refresh(actor, *target);
    if (status.ok() && target->lower == nullptr) status = NoEntry();
    if (status.ok()) {
      status = Check(actor, target->facts.object,
                     directory ? Operation::kRmdir : Operation::kUnlink);
    }
    if (status.ok() && directory && !target->lower->is_directory()) {
      status = NotDirectory();
    }
    if (status.ok() && !directory && target->lower->is_directory()) {
      status = IsDirectory();
    }
    if (status.ok() && !AsTold(*target)) status = Stale();
    if (status.ok()) {
      absl::StatusOr<Pin> pin = target->parent->lower->Descriptor();
      if (!pin.ok()) {
        status = pin.status();
      } else if (unlinkat((*pin)->get(), name, directory ? AT_REMOVEDIR : 0) !=
                 0) {
        status = kernel::ErrnoStatus(errno);
      } else {
        // Where nothing is linked, what had one name has none.
        gone = directory || (!posix() && target->stat.st_nlink == 1) ||
               target->lower->IsGone();
        target->lower->ForgetRecord(gone);
      }
    }
    if (status.ok()) NameChanged(*target->parent->lower, target->name);
  }
  if (!status.ok()) {
    CountDenied(actor, request, parent, name, status);
    return reply.Error(status);
  }
  const ToldNames::Key key = ToldNames::KeyOf(parent, name);
  const kernel::NodeId known = told_.Find(key).value_or(0);
  told_.Erase(key);
  AfterRemoved(target->lower, gone, known);
  if (directory) {
    TellName(*target->parent, name, NameChange::kDirectoryGone, std::nullopt);
  } else {
    TellName(*target->parent, name, NameChange::kGone, target->lower.get());
  }
  reply.Ok();
}

void View::Unlink(const kernel::Caller& caller, kernel::NodeId parent,
                  const char* name, kernel::StatusReply reply) {
  RemoveName(caller, parent, name, false, std::move(reply));
}

void View::Rmdir(const kernel::Caller& caller, kernel::NodeId parent,
                 const char* name, kernel::StatusReply reply) {
  RemoveName(caller, parent, name, true, std::move(reply));
}

}  // namespace fused
