// What the daemon keeps on disk: the last good policy and app directory.
#ifndef FUSED_FUSED_STATE_DIR_H_
#define FUSED_FUSED_STATE_DIR_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused {

// Files of the directory:
//   lock          held by the daemon that uses it
//   policy.binpb  the last policy that was in force, fused.policy.v1.Policy
//   apps.binpb    the last app directory, fused.policy.v1.AppDirectory
//   media.db      the media index, which fused/media has in its hands
// Thread-compatible.
class StateDir {
 public:
  // Makes the directory (0700) where it is missing. ALREADY_EXISTS: another
  // daemon uses it.
  static absl::StatusOr<std::unique_ptr<StateDir>> Open(
      const std::string& path);

  // Replaces the file `name` at once and for good: after a crash at any moment
  // there is the old content or the new.
  absl::Status Write(const std::string& name, std::string_view content);

  // Nothing where there is no such file.
  absl::StatusOr<std::optional<std::string>> Read(const std::string& name);

  const std::string& path() const { return path_; }

 private:
  StateDir(std::string path, kernel::Fd directory, kernel::Fd lock);

  const std::string path_;
  const kernel::Fd directory_;
  const kernel::Fd lock_;
};

inline constexpr char kPolicyFile[] = "policy.binpb";
inline constexpr char kAppsFile[] = "apps.binpb";
inline constexpr char kMediaFile[] = "media.db";

}  // namespace fused

#endif  // FUSED_FUSED_STATE_DIR_H_
