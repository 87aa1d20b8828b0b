// What the daemon keeps on disk.
#ifndef FUSED_FUSED_STATE_DIR_H_
#define FUSED_FUSED_STATE_DIR_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused {

// Files of the directory:
//   lock           held by the daemon that uses it
//   history.binpb  which policy and app directory are in force, and were
//   history/       policies, app directories and deltas, as fused/history names
//                  them
//   grants.binpb   to which files grants are bound
//   media.db       the media index, which fused/media has in its hands
// Names are of files in it, or in `history/`. Thread-compatible.
class StateDir {
 public:
  // Makes the directory (0700) where it is missing. ALREADY_EXISTS: another
  // daemon uses it.
  static absl::StatusOr<std::unique_ptr<StateDir>> Open(
      const std::string& path);

  // Replaces the file `name` at once and for good: after a crash at any moment
  // there is the old content or the new.
  absl::Status Write(const std::string& name, std::string_view content);

  // The two halves of Write(): all that takes room, and what makes it count.
  absl::Status Prepare(const std::string& name, std::string_view content);
  absl::Status Promote(const std::string& name);

  // Nothing where there is no such file.
  absl::StatusOr<std::optional<std::string>> Read(const std::string& name);

  // One that is not there is no error. May come back after a crash.
  absl::Status Remove(const std::string& name);

  // The names of the files in history/, with "history/" before.
  absl::StatusOr<std::vector<std::string>> History();

  // A file that Append() adds to; made, empty, for good.
  absl::StatusOr<kernel::Fd> OpenAppend(const std::string& name);
  // For good when it returns. An error leaves the file as it was, or what was
  // added of it torn.
  absl::Status Append(const kernel::Fd& file, std::string_view content);
  absl::Status Truncate(const kernel::Fd& file, size_t size);

  const std::string& path() const { return path_; }

  // For tests: asked before each step, "write policy.binpb"; an error is the
  // step's.
  using Steps = std::function<absl::Status(std::string_view step)>;
  void SetSteps(Steps steps) { steps_ = std::move(steps); }

 private:
  StateDir(std::string path, kernel::Fd directory, kernel::Fd history,
           kernel::Fd lock);

  // The directory that a name is in, and what it is called there.
  int DirectoryOf(const std::string& name) const;
  absl::Status Step(std::string_view what, const std::string& name) const;

  const std::string path_;
  const kernel::Fd directory_;
  const kernel::Fd history_;
  const kernel::Fd lock_;
  Steps steps_;
};

inline constexpr char kHistoryDirectory[] = "history/";
inline constexpr char kMediaFile[] = "media.db";

}  // namespace fused

#endif  // FUSED_FUSED_STATE_DIR_H_
