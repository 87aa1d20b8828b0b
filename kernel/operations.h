// What a file system answers: one method for each FUSE request.
#ifndef FUSED_KERNEL_OPERATIONS_H_
#define FUSED_KERNEL_OPERATIONS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "kernel/reply.h"
#include "kernel/types.h"

namespace fused::kernel {

// How often the kernel drops a node.
struct Forget {
  NodeId node;
  uint64_t lookups;
};

// How a file is to be opened: the caller's access mode, O_TRUNC, O_APPEND,
// O_DIRECT, O_SYNC, O_DSYNC, O_NONBLOCK, O_NOATIME and O_LARGEFILE; with CREATE
// and TMPFILE also O_EXCL. The kernel has dealt with all others.
struct OpenRequest {
  int flags = 0;
  // The set-id bits are to be cleared (FUSE_OPEN_KILL_SUIDGID).
  bool kill_suidgid = false;
};

// A lock request. `owner` is one process's (POSIX) or one open file
// description's (flock) identity within the connection.
struct LockRequest {
  uint64_t owner = 0;
  LockRange range;
};

// Methods are called on any thread of the loop, several at once, also for one
// node; each must answer, at once or later, through its reply. Names are
// single components, never empty, "." or ".." (but for Lookup's in an exported
// mount), and hold no slash; they and all buffers live until the method
// returns. Node and handle ids are what the kernel says: an unknown one must be
// answered (ESTALE, EBADF), never trusted.
class Operations {
 public:
  virtual ~Operations() = default;

  // INIT has been answered.
  virtual void Init(const Connection& connection) = 0;
  // The superblock is gone. No other method is called after it or is running.
  // Called once, and only after Init(); not where the session is destroyed
  // while its superblock lives.
  virtual void Destroy() = 0;

  // Any request was received, by its opcode (FUSE_LOOKUP ... of linux/fuse.h).
  // For counting; called before its method.
  virtual void Received(uint32_t opcode) = 0;
  // The method of a request that was received has returned, after so long.
  // `error`: the errno of its answer, 0 for success and for what has none;
  // nothing where it is not answered yet. Called on the method's thread.
  virtual void Served(uint32_t /*opcode*/, uid_t /*uid*/,
                      std::optional<int> /*error*/, uint64_t /*nanoseconds*/) {}

  virtual void Lookup(const Caller& caller, NodeId parent, const char* name,
                      EntryReply reply) = 0;
  // FORGET and BATCH_FORGET; no answer.
  virtual void Forget(absl::Span<const kernel::Forget> forgets) = 0;
  virtual void GetAttributes(const Caller& caller, NodeId node,
                             std::optional<HandleId> handle,
                             AttributesReply reply) = 0;
  virtual void Statx(const Caller& caller, NodeId node,
                     std::optional<HandleId> handle, uint32_t flags,
                     uint32_t mask, StatxReply reply) = 0;
  virtual void SetAttributes(const Caller& caller, NodeId node,
                             std::optional<HandleId> handle,
                             const kernel::SetAttributes& values,
                             AttributesReply reply) = 0;
  virtual void Readlink(const Caller& caller, NodeId node,
                        ReadlinkReply reply) = 0;
  virtual void Symlink(const Caller& caller, const char* target, NodeId parent,
                       const char* name, EntryReply reply) = 0;
  virtual void Mknod(const Caller& caller, NodeId parent, const char* name,
                     mode_t mode, dev_t device, EntryReply reply) = 0;
  virtual void Mkdir(const Caller& caller, NodeId parent, const char* name,
                     mode_t mode, EntryReply reply) = 0;
  virtual void Unlink(const Caller& caller, NodeId parent, const char* name,
                      StatusReply reply) = 0;
  virtual void Rmdir(const Caller& caller, NodeId parent, const char* name,
                     StatusReply reply) = 0;
  // `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT.
  virtual void Rename(const Caller& caller, NodeId parent, const char* name,
                      NodeId new_parent, const char* new_name, uint32_t flags,
                      StatusReply reply) = 0;
  virtual void Link(const Caller& caller, NodeId node, NodeId new_parent,
                    const char* new_name, EntryReply reply) = 0;

  virtual void Open(const Caller& caller, NodeId node,
                    const OpenRequest& request, OpenReply reply) = 0;
  virtual void Create(const Caller& caller, NodeId parent, const char* name,
                      mode_t mode, const OpenRequest& request,
                      CreateReply reply) = 0;
  virtual void Tmpfile(const Caller& caller, NodeId parent, mode_t mode,
                       const OpenRequest& request, CreateReply reply) = 0;
  virtual void Read(const Caller& caller, NodeId node, HandleId handle,
                    size_t size, off_t offset, DataReply reply) = 0;
  virtual void Write(const Caller& caller, NodeId node, HandleId handle,
                     std::string_view data, off_t offset, bool kill_suidgid,
                     WriteReply reply) = 0;
  // A descriptor was closed; `lock_owner` lets go of its POSIX locks.
  virtual void Flush(const Caller& caller, NodeId node, HandleId handle,
                     uint64_t lock_owner, StatusReply reply) = 0;
  // The last descriptor was closed. `flock_owner`: lets go of its flock.
  virtual void Release(NodeId node, HandleId handle,
                       std::optional<uint64_t> flock_owner,
                       StatusReply reply) = 0;
  virtual void Fsync(const Caller& caller, NodeId node, HandleId handle,
                     bool data_only, StatusReply reply) = 0;

  virtual void OpenDirectory(const Caller& caller, NodeId node,
                             OpenDirectoryReply reply) = 0;
  // READDIR and READDIRPLUS (reply.plus()).
  virtual void ReadDirectory(const Caller& caller, NodeId node, HandleId handle,
                             off_t offset, DirectoryReply reply) = 0;
  virtual void ReleaseDirectory(NodeId node, HandleId handle,
                                StatusReply reply) = 0;
  virtual void FsyncDirectory(const Caller& caller, NodeId node,
                              HandleId handle, bool data_only,
                              StatusReply reply) = 0;

  virtual void Statfs(const Caller& caller, NodeId node, StatfsReply reply) = 0;
  // `mask`: F_OK or R_OK, W_OK, X_OK.
  virtual void Access(const Caller& caller, NodeId node, int mask,
                      StatusReply reply) = 0;

  virtual void SetXattr(const Caller& caller, NodeId node, const char* name,
                        std::string_view value, int flags,
                        StatusReply reply) = 0;
  virtual void GetXattr(const Caller& caller, NodeId node, const char* name,
                        size_t size, XattrReply reply) = 0;
  virtual void ListXattr(const Caller& caller, NodeId node, size_t size,
                         XattrReply reply) = 0;
  virtual void RemoveXattr(const Caller& caller, NodeId node, const char* name,
                           StatusReply reply) = 0;

  virtual void GetLock(const Caller& caller, NodeId node, HandleId handle,
                       const LockRequest& request, LockReply reply) = 0;
  // SETLK, and SETLKW where `wait`.
  virtual void SetLock(const Caller& caller, NodeId node, HandleId handle,
                       const LockRequest& request, bool wait,
                       StatusReply reply) = 0;
  // `operation`: LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB where it must not
  // wait.
  virtual void Flock(const Caller& caller, NodeId node, HandleId handle,
                     uint64_t owner, int operation, StatusReply reply) = 0;

  virtual void Fallocate(const Caller& caller, NodeId node, HandleId handle,
                         int mode, off_t offset, off_t length,
                         StatusReply reply) = 0;
  // `whence`: SEEK_DATA or SEEK_HOLE.
  virtual void Lseek(const Caller& caller, NodeId node, HandleId handle,
                     off_t offset, int whence, LseekReply reply) = 0;
  virtual void CopyFileRange(const Caller& caller, NodeId node_in,
                             HandleId handle_in, off_t offset_in,
                             NodeId node_out, HandleId handle_out,
                             off_t offset_out, size_t length,
                             WriteReply reply) = 0;
  virtual void Ioctl(const Caller& caller, NodeId node, HandleId handle,
                     uint32_t command, bool directory, std::string_view input,
                     size_t output_size, IoctlReply reply) = 0;
  virtual void Poll(const Caller& caller, NodeId node, HandleId handle,
                    PollReply reply) = 0;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_OPERATIONS_H_
