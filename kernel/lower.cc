#include "kernel/lower.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "kernel/fd.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

// EAGAIN says that a rename anywhere on the system made the walk uncertain.
constexpr int kResolveAttempts = 64;
// EXDEV says that a mount is in the way, or that what was found has been moved
// away before the walk ended (fs/namei.c, complete_walk()): then the next one
// finds what is there now.
constexpr int kMovedAttempts = 16;

absl::StatusOr<Fd> OpenResolved(int directory, const char* path, uint64_t flags,
                                mode_t mode) {
  struct open_how how = {};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                RESOLVE_NO_XDEV;
  for (int attempt = 0;; ++attempt) {
    const auto fd = static_cast<int>(
        syscall(SYS_openat2, directory, path, &how, sizeof(how)));
    if (fd >= 0) return Fd(fd);
    if (errno == EINTR) continue;
    const int most = errno == EAGAIN  ? kResolveAttempts
                     : errno == EXDEV ? kMovedAttempts
                                      : 0;
    if (attempt >= most) return ErrnoStatus(errno);
  }
}

bool IsComponent(const char* name) {
  if (name[0] == '\0' || std::strchr(name, '/') != nullptr) return false;
  return std::strcmp(name, ".") != 0 && std::strcmp(name, "..") != 0;
}

// What name_to_handle_at(2) takes: the header with its bytes in place.
struct RawHandle {
  struct file_handle header;
  unsigned char bytes[FileHandle::kMaxBytes];
};

}  // namespace

bool operator==(const FileHandle& a, const FileHandle& b) {
  return a.type == b.type && a.size == b.size &&
         std::memcmp(a.bytes, b.bytes, a.size) == 0;
}

absl::StatusOr<Fd> OpenChild(int parent, const char* name, uint64_t flags,
                             mode_t mode) {
  if (!IsComponent(name)) return ErrnoStatus(EINVAL);
  return OpenResolved(parent, name, flags, mode);
}

absl::StatusOr<Fd> OpenBeneath(int root, const std::string& path,
                               uint64_t flags) {
  if (path.find('\0') != std::string::npos) return ErrnoStatus(EINVAL);
  if (path.empty() || path == ".") return OpenResolved(root, ".", flags, 0);
  for (std::string_view component : absl::StrSplit(path, '/')) {
    if (component.empty() || component == "." || component == "..") {
      return ErrnoStatus(EINVAL);
    }
  }
  return OpenResolved(root, path.c_str(), flags, 0);
}

absl::StatusOr<Fd> Reopen(int fd, int flags) {
  // With O_PATH a link would be opened itself.
  if ((flags & O_PATH) != 0) {
    absl::StatusOr<struct stat> stat = Stat(fd);
    if (!stat.ok()) return stat.status();
    if (S_ISLNK(stat->st_mode)) return ErrnoStatus(ELOOP);
  }
  // O_NOFOLLOW would refuse the link in /proc itself; the inode that it leads
  // to is never followed further.
  const int wanted = (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC;
  const ProcPath path(fd);
  for (;;) {
    const int opened = open(path.text, wanted);
    if (opened >= 0) return Fd(opened);
    if (errno != EINTR) return ErrnoStatus(errno);
  }
}

absl::StatusOr<Fd> OpenPath(int fd) {
  Fd opened(open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLOEXEC));
  if (opened.valid()) return opened;
  // A sandbox may forbid it, with all that mounts.
  return Reopen(fd, O_PATH);
}

absl::StatusOr<struct stat> Stat(int fd) {
  struct stat result;
  if (fstatat(fd, "", &result, AT_EMPTY_PATH) != 0) return ErrnoStatus(errno);
  return result;
}

absl::StatusOr<struct stat> StatChild(int parent, const char* name) {
  if (!IsComponent(name)) return ErrnoStatus(EINVAL);
  struct stat result;
  if (fstatat(parent, name, &result, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) !=
      0) {
    return ErrnoStatus(errno);
  }
  return result;
}

namespace {

absl::StatusOr<FileHandle> HandleAt(int fd, const char* name, int flags) {
  RawHandle raw;
  raw.header.handle_bytes = FileHandle::kMaxBytes;
  int mount_id = 0;
  if (name_to_handle_at(fd, name, &raw.header, &mount_id, flags) != 0) {
    return ErrnoStatus(errno == EOVERFLOW ? EOPNOTSUPP : errno);
  }
  FileHandle handle;
  handle.type = raw.header.handle_type;
  handle.size = raw.header.handle_bytes;
  std::memcpy(handle.bytes, raw.bytes, handle.size);
  return handle;
}

}  // namespace

absl::StatusOr<FileHandle> HandleOf(int fd) {
  return HandleAt(fd, "", AT_EMPTY_PATH);
}

absl::StatusOr<FileHandle> HandleOfChild(int parent, const char* name) {
  if (!IsComponent(name)) return ErrnoStatus(EINVAL);
  return HandleAt(parent, name, 0);
}

absl::StatusOr<Fd> OpenHandle(int mount, const FileHandle& handle, int flags) {
  if (handle.size > FileHandle::kMaxBytes) return ErrnoStatus(EINVAL);
  RawHandle raw;
  raw.header.handle_bytes = handle.size;
  raw.header.handle_type = handle.type;
  std::memcpy(raw.bytes, handle.bytes, handle.size);
  if (flags == 0) flags = O_PATH | O_NOFOLLOW;
  Fd fd(open_by_handle_at(mount, &raw.header, flags | O_CLOEXEC));
  if (!fd.valid() && errno == EBADF) {
    // The kernel takes no O_PATH descriptor here.
    absl::StatusOr<Fd> real = Reopen(mount, O_RDONLY | O_NONBLOCK);
    if (!real.ok()) return real.status();
    fd.Reset(open_by_handle_at(real->get(), &raw.header, flags | O_CLOEXEC));
  }
  if (!fd.valid()) return ErrnoStatus(errno);
  return fd;
}

ProcPath::ProcPath(int fd) {
  std::snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
}

absl::Status ChangeMode(int fd, mode_t mode) {
  // Linux 6.6; older C libraries have no name for it.
  constexpr int kFchmodat2 = 452;
  if (syscall(kFchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0) {
    return absl::OkStatus();
  }
  // An older kernel, or a sandbox that does not know it.
  if (errno != ENOSYS && errno != EPERM) return ErrnoStatus(errno);
  if (chmod(ProcPath(fd).text, mode) != 0) return ErrnoStatus(errno);
  return absl::OkStatus();
}

absl::StatusOr<std::string> GetXattr(int fd, const char* name) {
  const ProcPath path(fd);
  std::string value(256, '\0');
  for (;;) {
    const ssize_t size = getxattr(path.text, name, value.data(), value.size());
    if (size >= 0) {
      value.resize(static_cast<size_t>(size));
      return value;
    }
    if (errno != ERANGE) return ErrnoStatus(errno);
    // It may grow between the two calls: hence the loop.
    const ssize_t needed = getxattr(path.text, name, nullptr, 0);
    if (needed < 0) return ErrnoStatus(errno);
    value.resize(static_cast<size_t>(needed) + 1);
  }
}

absl::Status SetXattr(int fd, const char* name, const std::string& value) {
  const ProcPath path(fd);
  if (setxattr(path.text, name, value.data(), value.size(), 0) != 0) {
    return ErrnoStatus(errno);
  }
  return absl::OkStatus();
}

}  // namespace fused::kernel
