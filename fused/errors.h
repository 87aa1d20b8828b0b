// The errors that the daemon itself answers apps with; all others are the lower
// file system's own. One scheme, see the manual of policies.
#ifndef FUSED_FUSED_ERRORS_H_
#define FUSED_FUSED_ERRORS_H_

#include <cerrno>

#include "absl/status/status.h"
#include "kernel/status.h"
#include "policy/types.h"

namespace fused {

// The caller may not know that it exists, or it does not.
inline absl::Status NoEntry() { return kernel::ErrnoStatus(ENOENT); }
// The caller lacks a permission that another may hold.
inline absl::Status AccessDenied() { return kernel::ErrnoStatus(EACCES); }
// Nobody may do that here.
inline absl::Status NotPermitted() { return kernel::ErrnoStatus(EPERM); }
// The nodeid names nothing any more, or another name must be looked up.
inline absl::Status Stale() { return kernel::ErrnoStatus(ESTALE); }
// The handle does not exist, or was not opened for that.
inline absl::Status BadHandle() { return kernel::ErrnoStatus(EBADF); }
inline absl::Status Invalid() { return kernel::ErrnoStatus(EINVAL); }
inline absl::Status Exists() { return kernel::ErrnoStatus(EEXIST); }
inline absl::Status IsDirectory() { return kernel::ErrnoStatus(EISDIR); }
inline absl::Status NotDirectory() { return kernel::ErrnoStatus(ENOTDIR); }
// A set-id bit can't be set while a writer is on passthrough.
inline absl::Status Busy() { return kernel::ErrnoStatus(ETXTBSY); }
// The kernel copies by reading and writing.
inline absl::Status CrossDevice() { return kernel::ErrnoStatus(EXDEV); }
inline absl::Status NotSupported() { return kernel::ErrnoStatus(EOPNOTSUPP); }
// The kernel falls back to its own, and does not ask again.
inline absl::Status NotImplemented() { return kernel::ErrnoStatus(ENOSYS); }
// The ioctl is not one of the harmless few.
inline absl::Status NotThatIoctl() { return kernel::ErrnoStatus(ENOTTY); }

inline absl::Status StatusOf(policy::Error error) {
  switch (error) {
    case policy::Error::kNone:
      return absl::OkStatus();
    case policy::Error::kNoEntry:
      return NoEntry();
    case policy::Error::kAccess:
      return AccessDenied();
    case policy::Error::kNotPermitted:
      return NotPermitted();
  }
  return AccessDenied();
}

}  // namespace fused

#endif  // FUSED_FUSED_ERRORS_H_
