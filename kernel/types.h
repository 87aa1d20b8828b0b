// What a FUSE request is about, in the field's own terms (linux/fuse.h).
#ifndef FUSED_KERNEL_TYPES_H_
#define FUSED_KERNEL_TYPES_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>

namespace fused::kernel {

using NodeId = uint64_t;    // 1 is the root
using HandleId = uint64_t;  // fh

// What an open directory has to do with the pages in which the kernel keeps the
// directory's listing until it is invalidated.
enum class DirectoryCache {
  // Neither reads nor fills them.
  kNone,
  // Fills them, and reads them from then on: they are dropped in open(2).
  kEmptied,
  // Reads and fills them as they are.
  kKept,
};

inline constexpr NodeId kRootNode = 1;

// Who made a request. The pid is for logs only: it is never trusted for a
// decision.
struct Caller {
  uid_t uid;
  gid_t gid;
  pid_t pid;
  mode_t umask;  // only for CREATE, MKDIR, MKNOD, TMPFILE
};

// What the kernel is told about a node. Nothing is cached for a while: an
// answer is right until it is invalidated, or it is not cached.
struct Attributes {
  struct stat stat = {};
  bool cache = false;
};

// The answer to what makes or finds a name. Each one that the kernel gets adds
// one to the node's lookup count.
struct Entry {
  NodeId node = 0;
  uint64_t generation = 0;
  Attributes attributes;
  bool cache_name = false;
};

// Which of a SETATTR's values are to be set (FATTR_*).
struct SetAttributes {
  bool set_mode = false;
  bool set_uid = false;
  bool set_gid = false;
  bool set_size = false;
  bool set_atime = false;
  bool set_mtime = false;
  bool atime_now = false;
  bool mtime_now = false;
  bool set_ctime = false;
  // The set-id bits are to be cleared (FATTR_KILL_SUIDGID).
  bool kill_suidgid = false;

  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  off_t size = 0;
  struct timespec atime = {};
  struct timespec mtime = {};
  struct timespec ctime = {};
};

// A byte range of a POSIX lock, as struct flock's with l_whence SEEK_SET.
// `length` 0 reaches to the end of the file.
struct LockRange {
  int type = 0;  // F_RDLCK, F_WRLCK, F_UNLCK
  uint64_t start = 0;
  uint64_t length = 0;
  pid_t pid = 0;
};

// What was agreed at INIT.
struct Connection {
  uint32_t major = 0;
  uint32_t minor = 0;
  bool passthrough = false;
  // Why not; empty where passthrough is on.
  const char* passthrough_reason = "";
  uint32_t max_write = 0;
  bool inc_epoch = false;
  // Requests come over io_uring, but for FORGET and INTERRUPT.
  bool uring = false;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TYPES_H_
