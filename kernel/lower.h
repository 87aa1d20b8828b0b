// System calls on the lower tree that never trust a path: one component at a
// time, from a descriptor of the parent, without following anything.
// Thread-safe.
#ifndef FUSED_KERNEL_LOWER_H_
#define FUSED_KERNEL_LOWER_H_

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused::kernel {

// Identifies an inode for as long as the file system lives, across the loss of
// every descriptor (name_to_handle_at(2)). Trivially copyable.
struct FileHandle {
  static constexpr uint32_t kMaxBytes = 40;  // the largest in use is 128's
                                             // part; longer ones are refused
  int32_t type = 0;
  uint32_t size = 0;
  unsigned char bytes[kMaxBytes] = {};

  friend bool operator==(const FileHandle& a, const FileHandle& b);
};

// Opens the component `name` of the directory `parent` by openat2 with
// RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS and NO_XDEV. `name` with a slash,
// "", "." and ".." are EINVAL. With O_PATH and O_NOFOLLOW a symbolic link is
// opened itself; else it is ELOOP. O_CLOEXEC and O_NOFOLLOW are added.
absl::StatusOr<Fd> OpenChild(int parent, const char* name, uint64_t flags,
                             mode_t mode = 0);

// Walks the relative `path` from `root` with the same flags; "" or "." is the
// root itself.
absl::StatusOr<Fd> OpenBeneath(int root, const std::string& path,
                               uint64_t flags);

// Opens the inode of an O_PATH descriptor once more, by /proc/self/fd; never a
// symbolic link (ELOOP).
absl::StatusOr<Fd> Reopen(int fd, int flags);

// The same with O_PATH, and a symbolic link too, without a walk through /proc.
absl::StatusOr<Fd> OpenPath(int fd);

absl::StatusOr<struct stat> Stat(int fd);
absl::StatusOr<struct stat> StatChild(int parent, const char* name);

// EOPNOTSUPP: the file system has no handles, or too long ones.
absl::StatusOr<FileHandle> HandleOf(int fd);
// Of the component `name` of a directory, itself where it is a symbolic link.
absl::StatusOr<FileHandle> HandleOfChild(int parent, const char* name);
// O_PATH unless other flags are given. ESTALE: the inode is gone. `mount` is
// any descriptor on the mount; one that is not O_PATH spares an open(2).
absl::StatusOr<Fd> OpenHandle(int mount, const FileHandle& handle, int flags);

// The path through which system calls without a descriptor form reach the
// inode of `fd`: "/proc/self/fd/N". Holds no allocation.
struct ProcPath {
  explicit ProcPath(int fd);
  char text[32];
};

// chmod(2) by an O_PATH descriptor; never of a symbolic link (EOPNOTSUPP).
absl::Status ChangeMode(int fd, mode_t mode);

// Extended attributes by an O_PATH descriptor.
absl::StatusOr<std::string> GetXattr(int fd, const char* name);
absl::Status SetXattr(int fd, const char* name, const std::string& value);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_LOWER_H_
