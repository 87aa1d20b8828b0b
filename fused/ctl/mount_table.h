// The mounts of the calling process's namespace, with what they show of which
// file system.
#ifndef FUSED_FUSED_CTL_MOUNT_TABLE_H_
#define FUSED_FUSED_CTL_MOUNT_TABLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fused::ctl {

struct MountEntry {
  uint64_t id = 0;
  // "8:1": of the file system, the same for all its mounts.
  std::string device;
  // The directory of the file system that the mount shows.
  std::string root;
  std::string path;
};

// The lines of /proc/self/mountinfo; those that are none are left out.
std::vector<MountEntry> ParseMountTable(std::string_view text);

absl::StatusOr<std::vector<MountEntry>> ReadMountTable();

// Whether the path `inner` is `outer` or below it; both are absolute, without a
// slash at the end but for "/".
bool IsWithin(std::string_view inner, std::string_view outer);

// `path` below `outer`, as "" or "/rest".
std::string_view RestOf(std::string_view path, std::string_view outer);

// The mount that a path leads to. ENOENT: it leads nowhere.
absl::StatusOr<uint64_t> MountIdOf(const std::string& path);

}  // namespace fused::ctl

#endif  // FUSED_FUSED_CTL_MOUNT_TABLE_H_
