// RENAME, with all of renameat2(2)'s flags but WHITEOUT.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "fused/errors.h"
#include "fused/view.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused {
namespace {

using policy::Operation;

// What an app may nest what it renames in.
constexpr int kDeepestMove = 512;

// Locks the shape of the tree and the names of both parents, always in that
// order and the parents by address.
class ABSL_SCOPED_LOCKABLE RenameLock {
 public:
  RenameLock(LowerTree& tree, LowerNode& from, LowerNode& to,
             bool whole) ABSL_NO_THREAD_SAFETY_ANALYSIS
      : shape_(tree.shape_mutex()),
        first_(&from < &to ? from : to),
        second_(&from < &to ? to : from),
        whole_(whole) {
    whole_ ? shape_.WriterLock() : shape_.ReaderLock();
    first_.names_mutex().Lock();
    if (&first_ != &second_) second_.names_mutex().Lock();
  }
  RenameLock(const RenameLock&) = delete;
  RenameLock& operator=(const RenameLock&) = delete;
  ~RenameLock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (&first_ != &second_) second_.names_mutex().Unlock();
    first_.names_mutex().Unlock();
    whole_ ? shape_.WriterUnlock() : shape_.ReaderUnlock();
  }

 private:
  absl::Mutex& shape_;
  LowerNode& first_;
  LowerNode& second_;
  const bool whole_;
};

// Whether one place is another class's, or another app's, than the other.
bool IsOfOthers(const ViewActor& actor, const ViewTarget& from,
                const ViewTarget& to) {
  const policy::Snapshot& snapshot = *actor.snapshot;
  return snapshot.ClassOf(from.location) != snapshot.ClassOf(to.location) ||
         snapshot.PathOwnerOf(from.location) !=
             snapshot.PathOwnerOf(to.location);
}

}  // namespace

bool View::IsDirectoryAt(const Target& target) {
  return target.lower != nullptr && target.lower->is_directory();
}

absl::Status View::CheckMoveBelow(const Actor& actor,
                                  const Ref<LowerNode>& directory,
                                  const policy::Location& to, int depth) const {
  if (depth > kDeepestMove) return AccessDenied();
  absl::StatusOr<Pin> pin = directory->Descriptor();
  if (!pin.ok()) return pin.status();
  absl::StatusOr<kernel::Fd> fd =
      kernel::Reopen((*pin)->get(), O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return fd.status();
  DirectoryReader reader(*std::move(fd));
  // One answer, whatever the order of the names: EACCES before EPERM.
  absl::Status refused;
  while (true) {
    absl::StatusOr<DirectoryName> next = reader.Peek();
    if (!next.ok()) return next.status();
    if (next->name == nullptr) return refused;
    const std::string name = next->name;
    reader.Pop();
    if (name == "." || name == "..") continue;
    absl::StatusOr<LowerTree::Found> child =
        directory->tree().Lookup(directory, name.c_str());
    // What is gone does not move along.
    if (kernel::IsErrno(child.status(), ENOENT)) continue;
    if (!child.ok()) return AccessDenied();
    if (!Shows(child->node->type())) continue;
    const absl::Status status = CheckMoveOf(
        actor, child->node, actor.snapshot->Child(to, name), name, depth);
    if (status.ok()) continue;
    if (!kernel::IsErrno(status, EPERM)) return status;
    refused = status;
  }
}

absl::Status View::CheckMoveOf(const Actor& actor, const Ref<LowerNode>& child,
                               const policy::Location& to,
                               const std::string& name, int depth) const {
  const Facts facts = child->Classify(*actor.snapshot);
  const bool is_directory = child->is_directory();
  const policy::Object moved =
      actor.snapshot->ObjectAt(to, name, is_directory, facts.object.file_owner);
  const Operation made = is_directory ? Operation::kMkdir : Operation::kCreate;
  absl::Status status = Check(actor, facts.object, Operation::kRenameFrom);
  if (status.ok()) {
    status = CheckNew(actor, moved,
                      policy::OperationSet(Operation::kRenameTo) | made, name);
  }
  // That something can't be moved is no news; that it is there would be.
  if (kernel::IsErrno(status, ENOENT)) return AccessDenied();
  if (!is_directory || (!status.ok() && !kernel::IsErrno(status, EPERM))) {
    return status;
  }
  absl::Status below = CheckMoveBelow(actor, child, to, depth + 1);
  return below.ok() ? status : below;
}

absl::Status View::CheckMove(const Actor& actor, const Target& from,
                             const Target& to) const {
  absl::Status status = Check(actor, from.facts.object, Operation::kRenameFrom);
  if (!status.ok()) return status;
  const bool is_directory = from.lower->is_directory();
  const policy::Object moved = actor.snapshot->ObjectAt(
      to.location, to.name, is_directory, from.facts.object.file_owner);
  const Operation made = is_directory ? Operation::kMkdir : Operation::kCreate;
  status = CheckNew(actor, moved,
                    policy::OperationSet(Operation::kRenameTo) | made, to.name);
  if (!status.ok() || !is_directory) return status;
  return CheckMoveBelow(actor, from.lower, to.location, 0);
}

absl::Status View::CheckRename(const Actor& actor, const Target& from,
                               const Target& to, uint32_t flags) const {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  if (from.lower == nullptr || (exchange && to.lower == nullptr)) {
    return NoEntry();
  }
  if (posix()) return absl::OkStatus();
  absl::Status status = CheckMove(actor, from, to);
  if (!status.ok() || to.lower == nullptr || from.lower == to.lower) {
    return status;
  }
  if (exchange) return CheckMove(actor, to, from);
  if ((flags & RENAME_NOREPLACE) != 0) return Exists();
  return Check(
      actor, to.facts.object,
      to.lower->is_directory() ? Operation::kRmdir : Operation::kUnlink);
}

media::Tree::End View::EndOf(const Target& target) const {
  return target.parent->lower->tree().EndOf(
      {target.parent->lower, std::string(target.place_name())}, target.lower);
}

void View::RecordMove(const Target& from, const Target& to,
                      uint32_t flags) const {
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  from.lower->RecordName(to.name);
  if (exchange) {
    to.lower->RecordName(from.name);
  } else if (to.lower != nullptr && !to.lower->tree().media()->by_path()) {
    to.lower->ForgetRecord(to.lower->IsGone());
  }
}

absl::Status View::RenameLocked(const Actor& actor, Target& from, Target& to,
                                uint32_t flags, bool whole, Staging& staging) {
  // What is judged is what is moved, and where to.
  Locate(actor, from);
  Locate(actor, to);
  absl::Status status = Refresh(actor, from);
  if (!status.ok()) return status;
  // Of what the kernel knows a node of, somebody else may have told it.
  const bool look =
      staging.look ||
      told_.Find(ToldNames::KeyOf(to.parent->id(), to.name)).has_value();
  to.lower = nullptr;
  if (look) status = Refresh(actor, to);
  if (!status.ok()) return status;
  // A directory takes what is below it along: nothing may be made there between
  // the check and the move.
  staging.locked =
      posix() || whole || (!IsDirectoryAt(from) && !IsDirectoryAt(to));
  if (!staging.locked) return absl::OkStatus();
  status = CheckRename(actor, from, to, flags);
  // Why he may not, who asks is told by what stands there.
  staging.vacant = look || status.ok();
  if (!staging.vacant) return absl::OkStatus();
  if (!status.ok()) return status;
  if (!AsTold(from) || !AsTold(to)) return Stale();

  media::Tree* const media = from.parent->lower->tree().media();
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  const bool by_path = media != nullptr && media->by_path();
  media::Tree::End end;
  std::vector<media::Tree::Moved> plan;
  if (by_path) {
    end = EndOf(to);
    plan = media->PlanMove(EndOf(from), end, exchange);
    staging.right = !media->rows_alone() || SamePlan(plan, staging.plan);
  }
  if (!staging.right) return absl::OkStatus();
  absl::StatusOr<Pin> old_parent = from.parent->lower->Descriptor();
  if (!old_parent.ok()) return old_parent.status();
  absl::StatusOr<Pin> new_parent = to.parent->lower->Descriptor();
  if (!new_parent.ok()) return new_parent.status();
  LowerTree& tree = from.parent->lower->tree();
  const LowerTree::Moving moving(tree);
  if (renameat2((*old_parent)->get(), from.name.data(), (*new_parent)->get(),
                to.name.data(), look ? flags : RENAME_NOREPLACE) != 0) {
    // EINVAL: the file system does not know that flag, for one.
    staging.vacant = look || (errno != EEXIST && errno != EINVAL);
    return staging.vacant ? kernel::ErrnoStatus(errno) : absl::OkStatus();
  }
  // Two names of one file: nothing moved.
  staging.same = from.lower == to.lower;
  if (staging.same) return absl::OkStatus();
  from.lower->SetPlace(to.parent->lower, to.place_name());
  bool directory = from.lower->is_directory();
  if (exchange) {
    to.lower->SetPlace(from.parent->lower, from.place_name());
    directory = directory || to.lower->is_directory();
  }
  if (directory) tree.BumpGeneration();
  if (by_path) media->FinishMove(plan, end, exchange, media->rows_alone());
  if (media != nullptr) RecordMove(from, to, flags);
  NameChanged(*from.parent->lower, from.name);
  NameChanged(*to.parent->lower, to.name);
  return absl::OkStatus();
}

absl::Status View::RenameStaged(const Actor& actor, Target& from, Target& to,
                                uint32_t flags) {
  bool whole = false;
  media::Tree* const media = from.parent->lower->tree().media();
  const bool stages = media != nullptr && media->rows_alone();
  // Mostly nothing stands there, and to move it there tells as much as a look.
  bool look = flags != 0 || (media != nullptr && media->by_path());
  constexpr int kAttempts = 16;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    Staging staging;
    staging.look = look;
    // No moment without an owner: rows for where the files will be come before
    // the move, and those for where they were go after it. Not under the locks:
    // it waits for the disk.
    if (stages && media->by_path()) {
      // Looked at once more under the locks.
      absl::Status found = Refresh(actor, from);
      if (found.ok()) found = Refresh(actor, to);
      if (!found.ok()) return found;
      staging.plan = media->PlanMove(EndOf(from), EndOf(to),
                                     (flags & RENAME_EXCHANGE) != 0);
      // Nobody writes rows for a move that he may not make.
      absl::Status staged;
      if (!staging.plan.empty()) staged = CheckRename(actor, from, to, flags);
      if (!staged.ok()) return staged;
      staged = media->StageMove(staging.plan);
      if (!staged.ok()) {
        media->CancelMove(staging.plan);
        return staged;
      }
    }
    absl::Status status;
    {
      const RenameLock lock(from.parent->lower->tree(), *from.parent->lower,
                            *to.parent->lower, whole);
      status = RenameLocked(actor, from, to, flags, whole, staging);
    }
    const bool done = staging.right && staging.locked && staging.vacant;
    const bool moved = status.ok() && done && !staging.same;
    if (stages && !moved) media->CancelMove(staging.plan);
    if (!status.ok() || done) return status;
    whole = !staging.locked || whole;
    look = !staging.vacant || look;
  }
  // Names below it are made and moved without end.
  return kernel::ErrnoStatus(EBUSY);
}

void View::Rename(const kernel::Caller& caller, kernel::NodeId parent,
                  const char* name, kernel::NodeId new_parent,
                  const char* new_name, uint32_t flags,
                  kernel::StatusReply reply) {
  constexpr uint32_t kBoth = RENAME_NOREPLACE | RENAME_EXCHANGE;
  if ((flags & ~kBoth) != 0 || flags == kBoth) {
    return reply.Error(Invalid());
  }
  const Actor actor = ActorOf(caller.uid);
  absl::StatusOr<Target> from = Aim(actor, parent, name);
  if (!from.ok()) {
    AuditDenied(actor, FUSE_RENAME2, parent, name, from.status());
    return reply.Error(from.status());
  }
  absl::StatusOr<Target> to = Aim(actor, new_parent, new_name);
  if (!to.ok()) {
    AuditDenied(actor, FUSE_RENAME2, new_parent, new_name, to.status());
    return reply.Error(to.status());
  }

  const absl::Status status = RenameStaged(actor, *from, *to, flags);
  if (!status.ok()) {
    CountDenied(actor, FUSE_RENAME2, parent, name, status);
    return reply.Error(status);
  }

  const bool replaced = to->lower != nullptr && from->lower != to->lower &&
                        (flags & RENAME_EXCHANGE) == 0;
  // The kernel sees to the times of what it moved or replaced itself.
  const auto known = [this](const Target& target) {
    return told_.Find(ToldNames::KeyOf(target.parent->id(), target.name))
        .value_or(0);
  };
  if (replaced) AfterRemoved(to->lower, to->lower->IsGone(), known(*to));
  InvalidateElsewhere(*from->lower, known(*from), false);
  if ((flags & RENAME_EXCHANGE) != 0) {
    InvalidateElsewhere(*to->lower, known(*to), false);
  }
  if (from->lower != to->lower) {
    ToldMoved(*from, *to, (flags & RENAME_EXCHANGE) != 0);
  }
  // The kernel keeps for a name that moved how long it may be cached where it
  // stood; or stood before a directory above it moved.
  const bool differed = IsShownDifferently(actor, from->location);
  const bool differs = IsShownDifferently(actor, to->location);
  const bool elsewhere = !posix() && IsOfOthers(actor, *from, *to);
  if (differs && (!differed || elsewhere)) ForgetTimeouts(new_parent, new_name);
  if (differed && (!differs || elsewhere) && (flags & RENAME_EXCHANGE) != 0) {
    ForgetTimeouts(parent, name);
  }
  const bool directory = IsDirectoryAt(*from) || IsDirectoryAt(*to);
  const NameChange gone =
      directory ? NameChange::kDirectoryGone : NameChange::kGone;
  const auto before = [directory](const Target& target) {
    return directory ? Telling::Before() : target.lower.get();
  };
  TellName(*from->parent, name, gone, before(*from));
  TellName(*to->parent, new_name, gone, before(*to));
  if (directory) TellMoved(actor, *from, *to);
  reply.Ok();
}

}  // namespace fused
