// Makes, places and removes mounts, with the new mount API (fsopen(2) and
// friends). Functions are thread-safe and return errno statuses with a text
// for the operator.
#ifndef FUSED_KERNEL_MOUNT_H_
#define FUSED_KERNEL_MOUNT_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused::kernel {

struct FuseMountOptions {
  std::string source;             // fsname, what findmnt shows
  std::string subtype = "fused";  // type fuse.fused
  bool allow_other = true;
  bool default_permissions = false;
  bool read_only = false;
  bool nosuid = true;
  bool nodev = true;
  bool noexec = true;
  bool noatime = true;
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t root_mode = 040770;
  // 0: the kernel's default.
  uint32_t max_read = 0;
};

struct FuseMount {
  Fd device;  // /dev/fuse, for Session::Create()
  Fd mount;   // detached, for AttachMount(); closed unattached, it goes
};

// A new FUSE superblock on a detached mount. INIT is queued on the device at
// once; the mount may be attached before it is answered.
absl::StatusOr<FuseMount> CreateFuseMount(const FuseMountOptions& options);

// Puts a detached mount onto the directory `path`.
absl::Status AttachMount(const Fd& mount, const std::string& path);

// A private, non-recursive clone of what is mounted at `path` (a directory),
// as a detached mount: file systems mounted below it are empty directories in
// it, and what is mounted over it later does not show. O_PATH.
absl::StatusOr<Fd> CloneTree(const std::string& path);

// Lazily unmounts what is mounted topmost at `path`. EINVAL: nothing is.
absl::Status DetachMount(const std::string& path);

struct MountInfo {
  uint64_t id = 0;
  uint64_t parent = 0;
  std::string type;  // "fuse.fused"
  std::string source;
  std::string path;  // the mount point, unescaped
};

// The lines of /proc/PID/mountinfo; one that cannot be understood is left out.
// Pure.
std::vector<MountInfo> ParseMountInfo(std::string_view text);

// Of the calling process's namespace, in mount order.
absl::StatusOr<std::vector<MountInfo>> ListMounts();

// Unmounts FUSE mounts of `subtype` at exactly `path` whose daemon is gone
// (stat answers ENOTCONN, or ECONNABORTED), as kill -9 leaves them. One that
// is alive is left alone: EBUSY (and asked whether it lives: a live one that
// does not answer is waited for).
absl::Status RemoveStaleMounts(const std::string& path,
                               std::string_view subtype);

// One line that says why `lower` and `mountpoint` cannot be used together:
// one lies inside the other (compared as directories, not as text), one does
// not exist or is no directory. `lower` itself may be the mountpoint's
// parent's sibling; equal ones are refused. INVALID_ARGUMENT or an errno.
absl::Status CheckNoRecursion(const std::string& lower,
                              const std::string& mountpoint);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_MOUNT_H_
