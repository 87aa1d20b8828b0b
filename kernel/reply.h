// One-shot answers to FUSE requests, one type for each kind: a handler can
// neither send the wrong one, nor two, nor none (an answer that is dropped is
// sent as EIO and counted). Move-only; may be kept and sent from any thread.
//
// The rules that are enforced here, by what can be said:
//  - with a backing id only DIRECT_IO, PARALLEL_DIRECT_WRITES and NOFLUSH
//    stand, and KEEP_CACHE never (open would fail with EIO);
//  - a daemon-served open is DIRECT_IO and has no backing id (a mapping would
//    reach the raw file);
//  - NOFLUSH never stands on an O_RDWR handle: a close must be seen where
//    POSIX locks may be held.
// Sources: Linux fs/fuse/iomode.c, fs/fuse/passthrough.c.
#ifndef FUSED_KERNEL_REPLY_H_
#define FUSED_KERNEL_REPLY_H_

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "kernel/backing.h"
#include "kernel/types.h"

struct fuse_file_info;
struct fuse_open_out;
struct fuse_req;
struct statx;

namespace fused::kernel {

class SessionCore;

// Common to all. Errors are encoded by ErrnoOf().
class Reply {
 public:
  Reply(Reply&& other) noexcept
      : request_(std::exchange(other.request_, nullptr)),
        core_(std::exchange(other.core_, nullptr)),
        unique_(other.unique_),
        owed_(std::exchange(other.owed_, false)),
        interruptible_(std::exchange(other.interruptible_, false)) {}
  Reply& operator=(Reply&&) = delete;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  // Answers EIO and counts it where nothing was answered.
  ~Reply();

  // `status` must not be OK.
  void Error(const absl::Status& status);

  bool answered() const { return !owed_; }

 protected:
  // Keeps the connection open for as long as the reply lives. To be made on
  // the thread that serves the request. `request` is null where libfuse has no
  // part in it (kernel/direct.h).
  Reply(fuse_req* request, SessionCore* core);

  // Marks it as answered. False: it was.
  bool Take();

  // Whether the kernel took it.
  bool SendError(int error);
  template <typename T>
  bool SendBody(const T& body);

  fuse_req* request_;
  SessionCore* core_;
  uint64_t unique_;  // the kernel's number of the request
  bool owed_;
  bool interruptible_ = false;  // OnInterrupt() was called
};

// Success without a value, or an error.
class StatusReply : public Reply {
 public:
  StatusReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  void Ok();
  // Ok() or Error().
  void Send(const absl::Status& status);

  // `interrupted` is called, on any thread and at most once, when the caller
  // got a signal while the answer is outstanding (FUSE_INTERRUPT; from within
  // OnInterrupt() if it has come before, so the caller must hold no lock that
  // it takes). It may answer. It must not block. It may still run while
  // another thread answers, and then must find nothing left to do.
  void OnInterrupt(std::function<void()> interrupted);
};

class EntryReply : public Reply {
 public:
  EntryReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  // False: the kernel did not take it (the request was interrupted), so the
  // lookup count was not raised and the caller must take its own back.
  [[nodiscard]] bool Send(const Entry& entry);
  // The name does not exist, and the kernel may remember it.
  void NegativeCached();
};

class AttributesReply : public Reply {
 public:
  explicit AttributesReply(SessionCore* core) : Reply(nullptr, core) {}
  void Send(const Attributes& attributes);
};

class StatxReply : public Reply {
 public:
  StatxReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  void Send(const struct statx& attributes, bool cache);
};

// How a regular file's handle is served.
enum class Access { kRead, kWrite, kReadWrite };

// The flags of an approved open; see the rules above.
class OpenFlags {
 public:
  // By the kernel. `backing` must be valid and be kept until RELEASE.
  static OpenFlags Passthrough(HandleId handle, const BackingRef& backing,
                               Access access);
  // By the daemon, uncached.
  static OpenFlags Daemon(HandleId handle, Access access);

 private:
  friend class OpenReply;
  friend class CreateReply;
  OpenFlags() = default;
  void Fill(fuse_file_info* info) const;
  void Fill(fuse_open_out* out) const;
  HandleId handle_ = 0;
  int32_t backing_id_ = 0;
  bool direct_io_ = false;
  bool noflush_ = false;
};

// Open of a regular file. False from Send(): the kernel did not take it, no
// RELEASE will come.
class OpenReply : public Reply {
 public:
  explicit OpenReply(SessionCore* core) : Reply(nullptr, core) {}
  [[nodiscard]] bool Send(const OpenFlags& flags);
};

class OpenDirectoryReply : public Reply {
 public:
  explicit OpenDirectoryReply(SessionCore* core) : Reply(nullptr, core) {}
  [[nodiscard]] bool Send(HandleId handle, DirectoryCache cache);
};

class CreateReply : public Reply {
 public:
  CreateReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  [[nodiscard]] bool Send(const Entry& entry, const OpenFlags& flags);
};

class DataReply : public Reply {
 public:
  DataReply(fuse_req* request, SessionCore* core, size_t size)
      : Reply(request, core), size_(size) {}
  // What exceeds the bytes that were asked for is cut off.
  void Send(std::string_view data);

 private:
  size_t size_;
};

class ReadlinkReply : public Reply {
 public:
  ReadlinkReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  void Send(const char* target);
};

class WriteReply : public Reply {
 public:
  WriteReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  void Send(size_t written);
};

class StatfsReply : public Reply {
 public:
  StatfsReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  void Send(const struct statvfs& value);
};

// GETXATTR and LISTXATTR.
class XattrReply : public Reply {
 public:
  XattrReply(fuse_req* request, SessionCore* core, size_t size)
      : Reply(request, core), size_(size) {}
  // Where the caller asked with size 0.
  void SendSize(size_t size);
  // Sends the size alone where the caller asked with size 0, and ERANGE where
  // the value is longer than what was asked for.
  void Send(std::string_view value);

 private:
  size_t size_;
};

class LockReply : public Reply {
 public:
  LockReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  // type F_UNLCK: nothing is in the way.
  void Send(const LockRange& lock);
};

class LseekReply : public Reply {
 public:
  LseekReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  void Send(off_t offset);
};

class PollReply : public Reply {
 public:
  PollReply(fuse_req* request, SessionCore* core) : Reply(request, core) {}
  void Send(unsigned events);
};

class IoctlReply : public Reply {
 public:
  IoctlReply(fuse_req* request, SessionCore* core, size_t size)
      : Reply(request, core), size_(size) {}
  // What exceeds the bytes that the caller takes is cut off.
  void Send(int result, std::string_view output);

 private:
  size_t size_;
};

// Fills the answer to a READDIR or READDIRPLUS, in order.
class DirectoryReply : public Reply {
 public:
  // `size`: the most bytes that the kernel takes.
  DirectoryReply(SessionCore* core, size_t size, bool plus);
  DirectoryReply(DirectoryReply&&) noexcept = default;

  bool plus() const { return plus_; }

  // One name of a READDIR. `type` is the file type as mode & S_IFMT,
  // `next` the offset to go on from after it. False: it does not fit, and
  // nothing was added.
  [[nodiscard]] bool Add(const char* name, ino_t inode, mode_t type,
                         off_t next);
  // One name of a READDIRPLUS. An `entry.node` of 0 gives the name without
  // attributes (no lookup count).
  [[nodiscard]] bool AddPlus(const char* name, const Entry& entry, off_t next);
  bool empty() const { return used_ == 0; }

  // Sends what was added. False: the kernel did not take it.
  [[nodiscard]] bool Send();

 private:
  std::unique_ptr<char[]> buffer_;
  size_t size_;
  size_t used_ = 0;
  bool plus_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_REPLY_H_
