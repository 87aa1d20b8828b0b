#include "fused/directories.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "kernel/status.h"

namespace fused {
namespace {

constexpr mode_t kParents = 0755;

absl::Status Make(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) {
    // Not by the umask.
    return chmod(path.c_str(), mode) == 0 ? absl::OkStatus()
                                          : kernel::ErrnoStatus(errno, path);
  }
  struct stat stat = {};
  if (errno != EEXIST || ::stat(path.c_str(), &stat) != 0) {
    return kernel::ErrnoStatus(errno, path);
  }
  return S_ISDIR(stat.st_mode) ? absl::OkStatus()
                               : kernel::ErrnoStatus(ENOTDIR, path);
}

}  // namespace

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  const size_t end = path.find_last_not_of('/');
  if (end == path.npos) return absl::OkStatus();
  for (size_t slash = path.find('/', 1); slash < end;
       slash = path.find('/', slash + 1)) {
    absl::Status status = Make(path.substr(0, slash), kParents);
    if (!status.ok()) return status;
  }
  return Make(path.substr(0, end + 1), mode);
}

absl::Status CheckOwnDirectory(const std::string& path,
                               const struct stat& stat) {
  if (stat.st_uid != geteuid()) {
    return absl::PermissionDeniedError(absl::StrCat(
        path, ": uid ", stat.st_uid, " owns it, not uid ", geteuid()));
  }
  if ((stat.st_mode & 022) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, ": others may write it"));
  }
  return absl::OkStatus();
}

}  // namespace fused
