// One FUSE connection: one superblock, one view.
#ifndef FUSED_KERNEL_SESSION_H_
#define FUSED_KERNEL_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/backing.h"
#include "kernel/fd.h"
#include "kernel/operations.h"
#include "kernel/packet.h"  // IWYU pragma: export
#include "kernel/ring.h"
#include "kernel/types.h"
#include "kernel/worker_table.h"

struct fuse_in_header;

namespace fused::kernel {

class SessionCore;

// Thread-safe, but for Create().
class Session {
 public:
  struct Options {
    // Ask for passthrough.
    bool passthrough = true;
    uint32_t max_stack_depth = 1;
    // The kernel checks permissions (with default_permissions at the mount):
    // ask for POSIX_ACL, EXPORT_SUPPORT, DONT_MASK and HANDLE_KILLPRIV_V2.
    // Without it all xattr requests are answered ENOSYS at once by the
    // session, after Operations::Received (one for each connection and
    // kind: then the kernel stops asking).
    bool posix = false;
    // Ask for FUSE over io_uring. Where the kernel agrees (connection().uring),
    // the loop is to have seats at ring(), or nothing is answered.
    bool uring = false;
    BackingRegistry::Options backing;
  };

  // `operations` must outlive the session. `device` is a /dev/fuse descriptor
  // of a superblock that waits for INIT (or a fake kernel's socket); it is
  // made non-blocking. For a fake kernel `fake_backing` stands in for the
  // ioctls; else it is null.
  static absl::StatusOr<std::unique_ptr<Session>> Create(
      const Options& options, Operations* operations, Fd device,
      std::unique_ptr<BackingDevice> fake_backing = nullptr);

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  // No thread may be in Serve(). Replies that handlers still hold keep the
  // device open until they are gone.
  ~Session();

  // Of no other session in this process, ever.
  uint64_t id() const;

  // For epoll.
  int descriptor() const;

  enum class Progress {
    kServed,  // one request; there may be more
    kIdle,    // nothing waits
    kEnded,   // the superblock is gone; do not call again
  };

  // Receives one request, without waiting, and has it answered. `buffer` is
  // the calling thread's own.
  class Buffer;
  Progress Serve(Buffer& buffer);

  // The two halves of Serve(). Process() is to be called after, and only
  // after, a Receive() that returned kServed; on another thread where the
  // buffer has gone there.
  Progress Receive(Buffer& buffer);
  void Process(Buffer& buffer);
  // For what came from the ring, in `buffer` already: in the stead of
  // Receive(). False: the session has ended.
  bool Accept(Buffer& buffer);
  // Instead of Process(): answers what was received with `error`.
  void Refuse(Buffer& buffer, int error);

  // Whether the request has an answer that can come too late.
  static bool HasDeadline(const RequestId& request);
  // Whether it may be answered with an error without having been handled. The
  // kernel takes any answer for the end of a handle or of a close, and tells
  // nobody: what they hold would be held for ever.
  static bool MayBeRefused(const RequestId& request);
  // Answers it ETIMEDOUT, from any thread, and counts it. What its handler says
  // later the kernel does not take, as if the request had been interrupted.
  void Expire(const RequestId& request);
  // Requests that were answered so.
  uint64_t expired() const;

  // Makes all that waits, and all that comes, fail with ENOTCONN.
  // FAILED_PRECONDITION: SetConnection() was not called.
  absl::Status Abort();
  // The number that the kernel has for it (kernel/abort.h).
  void SetConnection(unsigned number);

  bool initialized() const;
  bool ended() const;
  // Null where requests come from the descriptor, and before INIT.
  Ring* ring() const;

  // What was agreed at INIT. Only where initialized().
  const Connection& connection() const;
  // The bytes of INIT as they came. Only where initialized().
  const std::string& init_packet() const;

  BackingRegistry& backing();

  // Notifications. Never before INIT (they answer ENOTCONN then).

  // Drops cached attributes (`data` false), or attributes and cached pages
  // and mappings. Takes no lock in the kernel without `data`, so that it may
  // be sent while a request is unanswered. ENOENT (nothing cached) is OK.
  absl::Status InvalidateInode(NodeId node, bool data);
  // As InvalidateInode() without `data`. False: the kernel does not know the
  // node; or not yet, where the answer that tells of it is on its way.
  absl::StatusOr<bool> DropAttributes(NodeId node);
  // Drops a name. Takes the parent's lock in the kernel: only for the
  // InvalidationWorker, for it deadlocks against an unanswered LOOKUP in the
  // directory until that is answered.
  absl::Status InvalidateEntry(NodeId parent, std::string_view name);
  // Makes the kernel look the name up again; falls back to InvalidateEntry.
  absl::Status ExpireEntry(NodeId parent, std::string_view name);
  // All names of the superblock are looked up again. UNIMPLEMENTED on kernels
  // before 6.16 or so.
  absl::Status IncrementEpoch();

  // Requests whose handler dropped its reply.
  uint64_t unanswered() const;
  // Packets that were not as long as they said or as they had to be.
  uint64_t malformed() const;

 private:
  explicit Session(SessionCore* core) : core_(core) {}
  void Leave();
  void Handle(std::string_view packet);
  void Dispatch(const fuse_in_header& header, std::string_view packet);
  void ServeInit(const fuse_in_header& header, std::string_view packet);
  void PassToLibfuse(const fuse_in_header& header, std::string_view packet);
  absl::Status Notify(int code, std::string_view fixed, std::string_view name);
  // False: what it is about is not known.
  absl::StatusOr<bool> NotifyKnown(int code, std::string_view fixed,
                                   std::string_view name);
  absl::Status NotifyEntry(NodeId parent, std::string_view name,
                           uint32_t flags);

  SessionCore* const core_;
};

// Where a thread receives requests. Not thread-safe; one for each thread.
class Session::Buffer {
 public:
  Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  // Of what was received.
  RequestId request() const;

  // Another one that holds what was received and has room for no more: to be
  // processed, never to receive.
  std::unique_ptr<Buffer> Copy() const;
  // What it has allocated.
  size_t bytes() const;

  // Holds no memory of its own: what comes over a ring is put into it.
  static std::unique_ptr<Buffer> Empty();
  void Put(std::string_view packet);

 private:
  friend class Session;
  struct Impl;
  explicit Buffer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_SESSION_H_
