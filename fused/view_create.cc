// Making regular files: CREATE, TMPFILE, and MKNOD's part of it.
#include <fcntl.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/log/log.h"
#include "fused/errors.h"
#include "fused/identity.h"
#include "fused/profile.h"
#include "fused/view.h"
#include "kernel/lower.h"

namespace fused {
namespace {

using policy::Operation;

// An app's flags for the daemon's own descriptor of a new file.
int LowerFlags(int flags) {
  constexpr int kKept = O_ACCMODE | O_APPEND | O_DIRECT | O_SYNC | O_DSYNC |
                        O_NOATIME | O_NONBLOCK | O_LARGEFILE;
  return (flags & kKept) | O_CLOEXEC;
}

}  // namespace

absl::StatusOr<policy::Decision> View::CheckCreate(const Actor& actor,
                                                   const Target& target,
                                                   const Intent& intent) const {
  if (posix()) {
    return policy::Decision{policy::Error::kNone, policy::IoMode::kPassthrough,
                            policy::kNoRule};
  }
  // As it will be: made by the caller.
  const policy::Object made = actor.snapshot->ObjectAt(
      target.location, target.name, false, actor.subject.app);
  // Whether it may be there at all comes before what the caller may do with it.
  policy::OperationSet operations = Operation::kCreate;
  policy::Decision decision =
      actor.snapshot->DecideName(actor.subject, made, operations, target.name);
  if (!decision.allowed()) {
    NoteShadow(actor, made, operations, decision);
    return Verdict(actor, made, decision);
  }
  if (intent.read) operations = operations | Operation::kRead;
  if (intent.write) operations = operations | Operation::kWrite;
  decision = actor.snapshot->Decide(actor.subject, made, operations);
  NoteShadow(actor, made, operations, decision);
  if (!decision.allowed()) return Verdict(actor, made, decision);
  // A new file holds nothing to redact, and its maker may see it.
  if (decision.io == policy::IoMode::kRedacted) {
    decision.io = policy::IoMode::kDaemon;
  }
  return decision;
}

absl::StatusOr<kernel::Fd> View::MakeFile(const kernel::Caller& caller,
                                          const Actor& actor, int parent,
                                          const char* name,
                                          const NewFile& file) {
  const uint64_t flags = static_cast<uint64_t>(LowerFlags(file.flags)) |
                         O_CREAT | O_EXCL | O_NOFOLLOW;
  if (posix()) {
    const CallerIdentity identity(caller);
    return kernel::OpenChild(parent, name, flags, file.mode & 07777);
  }
  absl::StatusOr<kernel::Fd> fd =
      kernel::OpenChild(parent, name, flags, kMediaFileMode);
  if (!fd.ok()) return fd;
  const std::optional<Owner> owner = OwnerFor(actor);
  if (owner.has_value()) {
    // Acknowledged ownership must last: a file whose owner can't be recorded is
    // not made. Where there are no such attributes the index alone records it.
    const absl::Status status = WriteOwner(fd->get(), *owner);
    if (!status.ok() && !kernel::IsErrno(status, EOPNOTSUPP)) {
      unlinkat(parent, name, 0);
      return status;
    }
  }
  return fd;
}

absl::StatusOr<kernel::Fd> View::JudgeAndMake(const kernel::Caller& caller,
                                              const Actor& actor,
                                              Target& target,
                                              const NewFile& file,
                                              policy::Decision& decision) {
  absl::ReaderMutexLock shape(&target.parent->lower->tree().shape_mutex());
  absl::MutexLock names(&target.parent->lower->names_mutex());
  Locate(actor, target);
  absl::StatusOr<policy::Decision> decided =
      CheckCreate(actor, target, Intent::FromFlags(file.flags));
  if (!decided.ok()) {
    // Who may not make it may yet open it.
    absl::Status status = Refresh(actor, target);
    if (!status.ok()) return status;
    return target.lower == nullptr ? decided.status() : Exists();
  }
  decision = *decided;
  absl::StatusOr<Pin> pin = target.parent->lower->Descriptor();
  if (!pin.ok()) return pin.status();
  // Where the kernel reads and writes it, by a backing id, one descriptor is
  // all that is needed, the node's: not for writing, since it stays.
  const bool one = decision.io == policy::IoMode::kPassthrough &&
                   passthrough_.load(std::memory_order_acquire);
  const LowerTree::Making making(target.parent->lower->tree());
  absl::StatusOr<kernel::Fd> fd =
      MakeFile(caller, actor, (*pin)->get(), target.name.data(),
               {.mode = file.mode, .flags = one ? O_RDONLY : file.flags});
  if (kernel::IsErrno(fd.status(), EEXIST)) {
    absl::Status status = Refresh(actor, target);
    if (!status.ok()) return status;
  }
  if (!fd.ok()) return fd;
  NameChanged(*target.parent->lower, target.name);
  target.tellings = target.parent->lower->tree().tellings();
  // Before anything else can take the name.
  absl::StatusOr<kernel::Fd> own =
      one ? std::exchange(*fd, kernel::Fd()) : kernel::OpenPath(fd->get());
  if (!own.ok()) return own.status();
  absl::StatusOr<LowerTree::Found> made =
      target.parent->lower->tree().InternMade(
          *std::move(own), target.parent->lower, target.place_name());
  if (!made.ok()) return made.status();
  target.lower = std::move(made->node);
  target.stat = made->stat;
  if (!posix()) {
    absl::Status status = RecordMade(actor, target);
    if (!status.ok()) return status;
  }
  return fd;
}

absl::Status View::RecordMade(const Actor& actor, Target& target) {
  absl::StatusOr<uint64_t> recorded =
      target.lower->RecordOwner(OwnerFor(actor));
  if (recorded.ok()) {
    target.recorded = *recorded;
    target.facts = target.lower->Classify(*actor.snapshot);
    return absl::OkStatus();
  }
  TakeBackMade(target);
  return recorded.status();
}

// Under the names_mutex of the parent.
void View::TakeBackMade(const Target& target) {
  absl::StatusOr<Pin> parent = target.parent->lower->Descriptor();
  if (!parent.ok()) return;
  absl::StatusOr<struct stat> there =
      kernel::StatChild((*parent)->get(), target.name.data());
  if (!there.ok() || there->st_ino != target.lower->inode()) return;
  unlinkat((*parent)->get(), target.name.data(), 0);
  target.lower->ForgetRecord(target.lower->IsGone());
}

absl::Status View::SettleMade(const Actor& actor, Target& target) {
  const absl::Status status = target.lower->tree().AwaitIndex(target.recorded);
  if (status.ok()) return status;
  {
    absl::MutexLock names(&target.parent->lower->names_mutex());
    TakeBackMade(target);
  }
  // It was there to be seen.
  AfterRemoved(target.lower, target.lower->IsGone(), 0);
  telling_.AttributesOfDirectory(*target.parent->lower, {});
  telling_.Name(*target.parent->lower, {}, target.name, NameChange::kGone,
                target.lower.get());
  return status;
}

void View::ReplyCreated(const Actor& actor, Target& target, kernel::Fd fd,
                        const kernel::OpenRequest& request,
                        const policy::Decision& decision,
                        kernel::CreateReply reply) {
  kernel::Entry entry;
  const Ref<Node> node = EnterNode(actor, target, entry);
  const Intent intent = Intent::FromFlags(request.flags);
  absl::StatusOr<NewHandle> opened =
      OpenNode(actor, node, intent, request.flags, decision, std::move(fd));
  if (!opened.ok()) {
    DropNode(entry.node, 1);
    return reply.Error(opened.status());
  }
  // The handle that was just made is this view's own writer.
  const bool up_to_date = entry.attributes.cache;
  entry.attributes = AttributesOf(actor, *target.lower,
                                  node->writers.load(std::memory_order_acquire),
                                  target.stat, target.facts);
  entry.attributes.cache = entry.attributes.cache && up_to_date;
  if (!reply.Send(entry, *opened->flags)) {
    files_.Remove(opened->handle->record.id);
    CloseHandle(opened->handle, std::nullopt);
    DropNode(entry.node, 1);
  }
}

// CREATE of a name that another has made meanwhile: an open of that file.
void View::OpenExisting(const Actor& actor, Target& target,
                        const kernel::OpenRequest& request,
                        kernel::CreateReply reply) {
  if ((request.flags & O_EXCL) != 0) return reply.Error(Exists());
  if (target.lower->is_directory()) return reply.Error(IsDirectory());
  if (!target.lower->is_regular()) return reply.Error(Exists());
  // The kernel has not checked whether the caller may open it, and does so when
  // it has looked it up.
  if (posix()) return reply.Error(Stale());
  Intent intent = Intent::FromFlags(request.flags);
  intent.create = false;
  const policy::Decision decision =
      Judge(actor, target.facts.object, intent.operations());
  if (!decision.allowed()) {
    const absl::Status status = Verdict(actor, target.facts.object, decision);
    CountDenied(actor, FUSE_CREATE, target.parent->id(), target.name, status);
    return reply.Error(status);
  }
  // What the file holds is looked at when it is opened.
  if (decision.io == policy::IoMode::kRedacted) return reply.Error(Stale());
  if (intent.truncate) {
    absl::StatusOr<Pin> pin = target.lower->Descriptor();
    if (!pin.ok()) return reply.Error(pin.status());
    if (truncate(kernel::ProcPath((*pin)->get()).text, 0) != 0) {
      return reply.Error(kernel::ErrnoStatus(errno));
    }
    InvalidateEverywhere(*target.lower, true);
    const absl::Status status = Refresh(actor, target);
    if (!status.ok()) return reply.Error(status);
    if (target.lower == nullptr) return reply.Error(Stale());
  }
  ReplyCreated(actor, target, kernel::Fd(), request, decision,
               std::move(reply));
}

void View::Create(const kernel::Caller& caller, kernel::NodeId parent,
                  const char* name, mode_t mode,
                  const kernel::OpenRequest& request,
                  kernel::CreateReply reply) {
  const Actor actor = ActorOf(caller.uid);
  absl::StatusOr<Target> target = Aim(actor, parent, name);
  if (!target.ok()) {
    AuditDenied(actor, FUSE_CREATE, parent, name, target.status());
    return reply.Error(target.status());
  }
  // Before a file is made or cut: an open that fails for this leaves nothing.
  if (!ShareOf(actor).has_value()) {
    return reply.Error(kernel::ErrnoStatus(EMFILE));
  }
  policy::Decision decision;
  absl::StatusOr<kernel::Fd> fd = JudgeAndMake(
      caller, actor, *target, {.mode = mode, .flags = request.flags}, decision);
  if (!fd.ok() && !kernel::IsErrno(fd.status(), EEXIST)) {
    CountDenied(actor, FUSE_CREATE, parent, name, fd.status());
    return reply.Error(fd.status());
  }
  if (!fd.ok()) {
    // Gone again, behind the daemon's back; or what the profile does not show.
    if (target->lower == nullptr) return reply.Error(Stale());
    return OpenExisting(actor, *target, request, std::move(reply));
  }
  const absl::Status settled = SettleMade(actor, *target);
  if (!settled.ok()) return reply.Error(settled);
  TellName(*target->parent, name, NameChange::kMade, nullptr);
  // That was nothing new about the one that was made.
  ++target->tellings.directories;
  ReplyCreated(actor, *target, *std::move(fd), request, decision,
               std::move(reply));
}

void View::Tmpfile(const kernel::Caller& caller, kernel::NodeId parent,
                   mode_t mode, const kernel::OpenRequest& request,
                   kernel::CreateReply reply) {
  const Actor actor = ActorOf(caller.uid);
  Target target;
  target.parent = FindNode(actor, parent);
  if (target.parent == nullptr) return reply.Error(Stale());
  if (!posix()) {
    // Judged as a file without a name, so without a type, in that directory.
    target.location = actor.snapshot->Child(
        target.parent->Classify(*actor.snapshot).location, "tmp");
    target.name = "tmp";
  }
  absl::StatusOr<policy::Decision> decision =
      CheckCreate(actor, target, Intent::FromFlags(request.flags));
  if (!decision.ok()) {
    CountDenied(actor, FUSE_TMPFILE, parent, {}, decision.status());
    return reply.Error(decision.status());
  }
  absl::StatusOr<Pin> pin = target.parent->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  int flags = LowerFlags(request.flags) | O_TMPFILE;
  // Whether it may be linked later is the kernel's to keep to.
  flags |= request.flags & O_EXCL;
  kernel::Fd fd;
  if (posix()) {
    const CallerIdentity identity(caller);
    fd.Reset(openat((*pin)->get(), ".", flags, mode & 07777));
  } else {
    fd.Reset(openat((*pin)->get(), ".", flags, kMediaFileMode));
  }
  if (!fd.valid()) return reply.Error(kernel::ErrnoStatus(errno));
  absl::StatusOr<kernel::Fd> path = kernel::OpenPath(fd.get());
  if (!path.ok()) return reply.Error(path.status());
  target.tellings = target.parent->lower->tree().tellings();
  absl::StatusOr<LowerTree::Found> found =
      target.parent->lower->tree().Intern(*std::move(path));
  if (!found.ok()) return reply.Error(found.status());
  target.lower = found->node;
  target.stat = found->stat;
  if (!posix()) {
    target.lower->SetPlace(target.parent->lower, target.name);
    target.lower->SetOwner(OwnerFor(actor));
    target.facts = target.lower->Classify(*actor.snapshot);
  }
  // It has no name that the kernel is told of.
  target.parent = nullptr;
  ReplyCreated(actor, target, std::move(fd), request, *decision,
               std::move(reply));
}

}  // namespace fused
