// Places of the daemon's own.
#ifndef FUSED_FUSED_DIRECTORIES_H_
#define FUSED_FUSED_DIRECTORIES_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <string>

#include "absl/status/status.h"

namespace fused {

// Makes `path` with `mode`, and what is missing above it with 0755, whatever
// the umask is; at no moment more open than that. What is there stays as it is.
absl::Status MakeDirectories(const std::string& path, mode_t mode);

// PERMISSION_DENIED: the directory, of which `stat` tells, is another user's,
// or others may write it: what the daemon reads there could be anybody's.
absl::Status CheckOwnDirectory(const std::string& path,
                               const struct stat& stat);

}  // namespace fused

#endif  // FUSED_FUSED_DIRECTORIES_H_
