// What the profiles make of ownership and modes.
#ifndef FUSED_FUSED_PROFILE_H_
#define FUSED_FUSED_PROFILE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>

#include "absl/status/status.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused {

// Android's media_rw: the group of every lower file of a media volume, and of
// every file that its shared view shows.
inline constexpr gid_t kMediaGid = 1023;

// What files are made with and shown as in the media profile, whatever the
// caller asks for.
inline constexpr mode_t kMediaFileMode = 0660;
inline constexpr mode_t kMediaDirectoryMode = 0770;

// Clears what a write by an unprivileged process clears: the set-user-id bit,
// and the set-group-id bit of what its group may execute. `fd` may be O_PATH.
inline absl::Status ClearSetId(int fd) {
  absl::StatusOr<struct stat> stat = kernel::Stat(fd);
  if (!stat.ok()) return stat.status();
  mode_t mode = stat->st_mode & 07777;
  mode_t clear = S_ISUID;
  if ((mode & S_IXGRP) != 0) clear |= S_ISGID;
  if ((mode & clear) == 0 || !S_ISREG(stat->st_mode)) return absl::OkStatus();
  mode &= ~clear;
  if (chmod(kernel::ProcPath(fd).text, mode) != 0) {
    return kernel::ErrnoStatus(errno);
  }
  return absl::OkStatus();
}

}  // namespace fused

#endif  // FUSED_FUSED_PROFILE_H_
