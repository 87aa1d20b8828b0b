#include "kernel/mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernel/fd.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

// One superblock's configuration in the making. Remembers the first error
// together with what the kernel itself had to say about it.
class Configuration {
 public:
  explicit Configuration(int context) : context_(context) {}

  void String(const char* key, const std::string& value) {
    Apply(FSCONFIG_SET_STRING, key, value.c_str());
  }
  void Flag(const char* key) { Apply(FSCONFIG_SET_FLAG, key, nullptr); }
  absl::Status Create() {
    Apply(FSCONFIG_CMD_CREATE, nullptr, nullptr);
    return status_;
  }

 private:
  void Apply(unsigned command, const char* key, const char* value) {
    if (!status_.ok()) return;
    if (fsconfig(context_, command, key, value, 0) == 0) return;
    const int error = errno;
    std::string what = key == nullptr
                           ? std::string("cannot create a FUSE superblock")
                           : absl::StrCat("mount option ", key);
    char message[256];
    const ssize_t size = read(context_, message, sizeof(message));
    if (size > 0) {
      absl::StrAppend(&what, " (",
                      std::string_view(message, static_cast<size_t>(size)),
                      ")");
    }
    status_ = ErrnoStatus(error, what);
  }

  int context_;
  absl::Status status_;
};

unsigned MountAttributes(const FuseMountOptions& options) {
  unsigned attributes = 0;
  if (options.read_only) attributes |= MOUNT_ATTR_RDONLY;
  if (options.nosuid) attributes |= MOUNT_ATTR_NOSUID;
  if (options.nodev) attributes |= MOUNT_ATTR_NODEV;
  if (options.noexec) attributes |= MOUNT_ATTR_NOEXEC;
  if (options.noatime) attributes |= MOUNT_ATTR_NOATIME;
  return attributes;
}

// Mount points are escaped where they hold a space, tab, newline or backslash.
std::string Unescape(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '7'; };
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && text.size() - i > 3 && digit(text[i + 1]) &&
        digit(text[i + 2]) && digit(text[i + 3])) {
      const int value = (text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                        (text[i + 3] - '0');
      result.push_back(static_cast<char>(value));
      i += 3;
    } else {
      result.push_back(text[i]);
    }
  }
  return result;
}

// ID PARENT MAJOR:MINOR ROOT PATH OPTIONS [TAG...] - TYPE SOURCE SUPEROPTIONS
bool ParseMountLine(std::string_view line, MountInfo* info) {
  const std::vector<std::string_view> fields = absl::StrSplit(line, ' ');
  size_t separator = 6;
  while (separator < fields.size() && fields[separator] != "-") ++separator;
  if (separator + 2 >= fields.size()) return false;
  if (!absl::SimpleAtoi(fields[0], &info->id)) return false;
  if (!absl::SimpleAtoi(fields[1], &info->parent)) return false;
  info->path = Unescape(fields[4]);
  info->type = Unescape(fields[separator + 1]);
  info->source = Unescape(fields[separator + 2]);
  return true;
}

absl::StatusOr<std::string> ReadWhole(const char* path) {
  const Fd file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t size = read(file.get(), buffer, sizeof(buffer));
    if (size == 0) return text;
    if (size > 0) {
      text.append(buffer, static_cast<size_t>(size));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, path);
    }
  }
}

// The path as mountinfo has it. Only the directory that holds the mount point
// is looked at: on the mount point itself, whose daemon may be dead, every
// call would fail.
absl::StatusOr<std::string> CanonicalMountPoint(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const size_t slash = path.rfind('/');
  const std::string last =
      slash == std::string::npos ? path : path.substr(slash + 1);
  std::string directory =
      slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (last.empty() || last == "." || last == "..") directory = path;
  char resolved[PATH_MAX];
  if (realpath(directory.c_str(), resolved) == nullptr) {
    return ErrnoStatus(errno, directory);
  }
  if (directory == path) return std::string(resolved);
  const std::string_view parent(resolved);
  return absl::StrCat(parent == "/" ? "" : parent, "/", last);
}

struct Identity {
  dev_t device;
  ino_t inode;
  friend bool operator==(const Identity&, const Identity&) = default;
};

absl::StatusOr<Identity> IdentityOf(const Fd& fd) {
  struct stat stat;
  if (fstat(fd.get(), &stat) != 0) return ErrnoStatus(errno);
  return Identity{stat.st_dev, stat.st_ino};
}

absl::StatusOr<Fd> OpenDirectory(const std::string& path) {
  Fd fd(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return fd;
}

// Whether `directory` is `ancestor` or lies below it.
absl::StatusOr<bool> LiesIn(const std::string& directory,
                            const Identity& ancestor) {
  absl::StatusOr<Fd> at = OpenDirectory(directory);
  if (!at.ok()) return at.status();
  absl::StatusOr<Identity> identity = IdentityOf(*at);
  if (!identity.ok()) return identity.status();
  for (;;) {
    if (*identity == ancestor) return true;
    Fd up(openat(at->get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!up.valid()) return ErrnoStatus(errno, directory);
    absl::StatusOr<Identity> next = IdentityOf(up);
    if (!next.ok()) return next.status();
    if (*next == *identity) return false;  // the root
    *at = std::move(up);
    identity = next;
  }
}

}  // namespace

absl::StatusOr<FuseMount> CreateFuseMount(const FuseMountOptions& options) {
  Fd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device.valid()) return ErrnoStatus(errno, "/dev/fuse");
  const Fd context(fsopen("fuse", FSOPEN_CLOEXEC));
  if (!context.valid()) return ErrnoStatus(errno, "fsopen fuse");

  char root_mode[16];
  std::snprintf(root_mode, sizeof(root_mode), "%o", options.root_mode);
  Configuration configuration(context.get());
  if (!options.source.empty()) configuration.String("source", options.source);
  if (!options.subtype.empty()) {
    configuration.String("subtype", options.subtype);
  }
  configuration.String("fd", absl::StrCat(device.get()));
  configuration.String("rootmode", root_mode);
  configuration.String("user_id", absl::StrCat(options.uid));
  configuration.String("group_id", absl::StrCat(options.gid));
  if (options.allow_other) configuration.Flag("allow_other");
  if (options.default_permissions) configuration.Flag("default_permissions");
  if (options.read_only) configuration.Flag("ro");
  if (options.max_read != 0) {
    configuration.String("max_read", absl::StrCat(options.max_read));
  }
  if (absl::Status status = configuration.Create(); !status.ok()) {
    return status;
  }
  Fd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, MountAttributes(options)));
  if (!mount.valid()) return ErrnoStatus(errno, "fsmount");
  return FuseMount{std::move(device), std::move(mount)};
}

absl::Status AttachMount(const Fd& mount, const std::string& path) {
  if (move_mount(mount.get(), "", AT_FDCWD, path.c_str(),
                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot mount on ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<Fd> CloneTree(const std::string& path) {
  Fd tree(
      open_tree(AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree.valid()) return ErrnoStatus(errno, path);
  struct stat stat;
  if (fstat(tree.get(), &stat) != 0) return ErrnoStatus(errno, path);
  if (!S_ISDIR(stat.st_mode)) return ErrnoStatus(ENOTDIR, path);
  // A clone of a shared mount is its peer: what is mounted there later would
  // appear here.
  struct mount_attr attributes = {};
  attributes.propagation = MS_PRIVATE;
  if (mount_setattr(tree.get(), "", AT_EMPTY_PATH, &attributes,
                    sizeof(attributes)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot make private: ", path));
  }
  return tree;
}

absl::Status DetachMount(const std::string& path) {
  if (umount2(path.c_str(), MNT_DETACH) != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot unmount ", path));
  }
  return absl::OkStatus();
}

std::vector<MountInfo> ParseMountInfo(std::string_view text) {
  std::vector<MountInfo> mounts;
  for (std::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    MountInfo info;
    if (ParseMountLine(line, &info)) mounts.push_back(std::move(info));
  }
  return mounts;
}

absl::StatusOr<std::vector<MountInfo>> ListMounts() {
  absl::StatusOr<std::string> text = ReadWhole("/proc/self/mountinfo");
  if (!text.ok()) return text.status();
  return ParseMountInfo(*text);
}

absl::Status RemoveStaleMounts(const std::string& path,
                               std::string_view subtype) {
  absl::StatusOr<std::string> point = CanonicalMountPoint(path);
  if (!point.ok()) return point.status();
  const std::string type = absl::StrCat("fuse.", subtype);
  // Each turn takes the topmost one away; several may be stacked.
  for (;;) {
    absl::StatusOr<std::vector<MountInfo>> mounts = ListMounts();
    if (!mounts.ok()) return mounts.status();
    const MountInfo* top = nullptr;
    for (const MountInfo& mount : *mounts) {
      if (mount.path == *point) top = &mount;
    }
    if (top == nullptr || top->type != type) return absl::OkStatus();
    struct stat stat;
    if (lstat(point->c_str(), &stat) == 0 ||
        (errno != ENOTCONN && errno != ECONNABORTED)) {
      return ErrnoStatus(EBUSY,
                         absl::StrCat(*point, " is in use by a live daemon"));
    }
    if (absl::Status status = DetachMount(*point); !status.ok()) return status;
  }
}

absl::Status CheckNoRecursion(const std::string& lower,
                              const std::string& mountpoint) {
  absl::StatusOr<Fd> lower_fd = OpenDirectory(lower);
  if (!lower_fd.ok()) return lower_fd.status();
  absl::StatusOr<Fd> mountpoint_fd = OpenDirectory(mountpoint);
  if (!mountpoint_fd.ok()) return mountpoint_fd.status();
  absl::StatusOr<Identity> lower_id = IdentityOf(*lower_fd);
  if (!lower_id.ok()) return lower_id.status();
  absl::StatusOr<Identity> mountpoint_id = IdentityOf(*mountpoint_fd);
  if (!mountpoint_id.ok()) return mountpoint_id.status();
  if (*lower_id == *mountpoint_id) {
    return absl::InvalidArgumentError(
        absl::StrCat(lower, " and ", mountpoint, " are the same directory"));
  }
  absl::StatusOr<bool> inside = LiesIn(mountpoint, *lower_id);
  if (!inside.ok()) return inside.status();
  if (*inside) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the mount point ", mountpoint, " lies inside the lower tree ", lower));
  }
  inside = LiesIn(lower, *mountpoint_id);
  if (!inside.ok()) return inside.status();
  if (*inside) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the lower tree ", lower, " lies inside the mount point ", mountpoint));
  }
  return absl::OkStatus();
}

}  // namespace fused::kernel
