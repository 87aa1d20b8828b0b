// Listing directories.
#include <dirent.h>
#include <linux/fuse.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include "fused/errors.h"
#include "fused/view.h"

namespace fused {
namespace {

using policy::Operation;

bool IsDot(std::string_view name) { return name == "." || name == ".."; }

}  // namespace

void View::OpenDirectory(const kernel::Caller& caller, kernel::NodeId node_id,
                         kernel::OpenDirectoryReply reply) {
  const Actor actor = ActorOf(caller.uid);
  const Ref<Node> node = FindNode(actor, node_id);
  if (node == nullptr) return reply.Error(Stale());
  if (!node->lower->is_directory()) return reply.Error(NotDirectory());
  Facts facts;
  if (!posix()) {
    facts = node->Classify(*actor.snapshot);
    const absl::Status status = Check(actor, facts.object, Operation::kList);
    if (!status.ok()) {
      CountDenied(actor, FUSE_OPENDIR, node_id, {}, status);
      return reply.Error(status);
    }
  }
  std::optional<AppLimits::Share> share = ShareOf(actor);
  if (!share.has_value()) return reply.Error(kernel::ErrnoStatus(EMFILE));
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return reply.Error(pin.status());
  const kernel::HandleId id = directories_.NewId();
  const auto handle = std::make_shared<DirectoryHandle>(
      id, node, actor.uid, *std::move(pin), *std::move(share));
  const kernel::DirectoryCache cache =
      ListsForAll(actor, facts.location)
          ? peer_->listings().Open(node_id, handle->listing)
          : kernel::DirectoryCache::kNone;
  directories_.Insert(id, handle);
  if (!reply.Send(id, cache)) {
    directories_.Remove(id);
    peer_->listings().Abandon(node_id, handle->listing);
  }
}

// Whether all are shown the same there who may use what the kernel keeps of it.
bool View::ListsForAll(const Actor& actor,
                       const policy::Location& directory) const {
  return posix() || !identity_.shared() ||
         ListsAlike(*actor.snapshot, directory, context_.single_user);
}

// A name's place in a listing. With `plus` it is looked up, and the lookup
// counted in `entered`.
View::Added View::AddName(const Actor& actor, const Ref<Node>& directory,
                          const DirectoryName& name,
                          kernel::DirectoryReply& reply,
                          std::vector<kernel::NodeId>& entered) {
  const mode_t type = DTTOIF(name.type);
  if (IsDot(name.name)) {
    const bool fits =
        reply.plus() ? reply.AddPlus(name.name, DotEntry(name.inode), name.next)
                     : reply.Add(name.name, name.inode, S_IFDIR, name.next);
    return fits ? Added::kYes : Added::kFull;
  }
  if (name.type != DT_UNKNOWN && !Shows(type)) return Added::kSkipped;
  std::optional<bool> is_directory;
  if (name.type != DT_UNKNOWN) is_directory = S_ISDIR(type);
  Target target;
  target.parent = directory;
  target.name = name.name;
  Visibility visibility = Visibility::kAlways;
  if (!posix()) {
    Locate(actor, target);
    visibility = SeesName(*actor.snapshot, actor.subject, target.location,
                          name.name, is_directory);
  }
  if (visibility == Visibility::kNever) return Added::kSkipped;
  // A plain READDIR needs no look at a file whose type is told and that is
  // seen whatever it is.
  if (!reply.plus() && name.type != DT_UNKNOWN &&
      visibility == Visibility::kAlways) {
    return reply.Add(name.name, name.inode, type, name.next) ? Added::kYes
                                                             : Added::kFull;
  }
  // It went meanwhile, or may not be seen.
  if (!Refresh(actor, target, /*there=*/true).ok() || target.lower == nullptr) {
    return Added::kSkipped;
  }
  if (!reply.plus()) {
    return reply.Add(name.name, name.inode, target.lower->type(), name.next)
               ? Added::kYes
               : Added::kFull;
  }
  kernel::Entry entry;
  EnterNode(actor, target, entry);
  if (!reply.AddPlus(name.name, entry, name.next)) {
    DropNode(entry.node, 1);
    return Added::kFull;
  }
  entered.push_back(entry.node);
  return Added::kYes;
}

kernel::Entry View::DotEntry(ino_t inode) {
  // Without a node: the kernel takes no lookup for "." and "..".
  kernel::Entry entry;
  entry.attributes.stat.st_ino = inode;
  entry.attributes.stat.st_mode = S_IFDIR;
  return entry;
}

absl::Status View::FillDirectory(const Actor& actor, DirectoryHandle& directory,
                                 off_t offset, kernel::DirectoryReply& reply,
                                 std::vector<kernel::NodeId>& entered) {
  absl::MutexLock lock(&directory.read_mutex);
  absl::StatusOr<DirectoryReader*> reader = directory.Reader();
  if (!reader.ok()) return reader.status();
  absl::Status status = (*reader)->Seek(offset);
  if (!status.ok()) return status;
  while (true) {
    absl::StatusOr<DirectoryName> name = (*reader)->Peek();
    if (!name.ok()) return reply.empty() ? name.status() : absl::OkStatus();
    if (name->name == nullptr) return absl::OkStatus();
    if (AddName(actor, directory.node, *name, reply, entered) == Added::kFull) {
      return absl::OkStatus();
    }
    (*reader)->Pop();
  }
}

void View::ReadDirectory(const kernel::Caller& caller, kernel::NodeId node,
                         kernel::HandleId handle_id, off_t offset,
                         kernel::DirectoryReply reply) {
  const std::shared_ptr<DirectoryHandle> handle = directories_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  // Before the rules are taken and it is read: a change of either that comes
  // later finds it.
  peer_->listings().Read(handle->node->id(), handle->listing);
  // On behalf of who opened it, whoever holds the descriptor now.
  const Actor actor = ActorOf(handle->uid);
  if (!posix()) {
    const Facts facts = handle->node->Classify(*actor.snapshot);
    if (!Check(actor, facts.object, Operation::kList).ok()) {
      return reply.Error(AccessDenied());
    }
    // What it is told others may read who hold it open as it does; since then
    // the rules have come to show each something else.
    if (handle->listing.keeps() && !ListsForAll(actor, facts.location)) {
      return reply.Error(Stale());
    }
  }
  if (reply.plus()) {
    handle->listed.store(actor.snapshot->epoch(), std::memory_order_release);
  }
  std::vector<kernel::NodeId> entered;
  const absl::Status status =
      FillDirectory(actor, *handle, offset, reply, entered);
  if (!status.ok()) {
    for (const kernel::NodeId id : entered) DropNode(id, 1);
    return reply.Error(status);
  }
  if (!reply.Send()) {
    for (const kernel::NodeId id : entered) DropNode(id, 1);
  }
}

void View::ReleaseDirectory(kernel::NodeId node, kernel::HandleId handle,
                            kernel::StatusReply reply) {
  const std::shared_ptr<DirectoryHandle> closed = directories_.Remove(handle);
  if (closed == nullptr) return reply.Error(BadHandle());
  peer_->listings().Close(closed->node->id(), closed->listing);
  reply.Ok();
}

void View::FsyncDirectory(const kernel::Caller& caller, kernel::NodeId node,
                          kernel::HandleId handle_id, bool data_only,
                          kernel::StatusReply reply) {
  const std::shared_ptr<DirectoryHandle> handle = directories_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  const absl::StatusOr<int> fd = handle->Descriptor();
  if (!fd.ok()) return reply.Error(fd.status());
  if ((data_only ? fdatasync(*fd) : fsync(*fd)) != 0) {
    return reply.Error(kernel::ErrnoStatus(errno));
  }
  reply.Ok();
}

}  // namespace fused
