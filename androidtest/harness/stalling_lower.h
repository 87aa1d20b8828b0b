// A lower file system that can keep the daemon waiting.
#ifndef FUSED_ANDROIDTEST_HARNESS_STALLING_LOWER_H_
#define FUSED_ANDROIDTEST_HARNESS_STALLING_LOWER_H_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "androidtest/harness/lower_session.h"

// libfuse's.
struct fuse_req;

namespace fused::androidtest {

// Holds one directory, `d`, with empty files in it, which may be removed. While
// it stalls, who asks for the attributes of `d/slow` waits. Thread-safe.
class StallingLower {
 public:
  // Mounted at `mountpoint`, until it is destroyed.
  StallingLower(const std::string& mountpoint,
                const std::vector<std::string>& names);
  ~StallingLower();
  StallingLower(const StallingLower&) = delete;
  StallingLower& operator=(const StallingLower&) = delete;

  bool mounted() const { return session_->mounted(); }

  void Stall();
  // Whether somebody waits, `timeout` at most after this is asked.
  bool AwaitCaller(absl::Duration timeout);
  // Answers who waits; no more stalling.
  void Release();

 private:
  friend struct StallingLowerOperations;

  absl::Mutex mutex_;
  bool stalling_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<fuse_req*> waiting_ ABSL_GUARDED_BY(mutex_);
  // Numbers of inodes; those of removed names are not used again.
  std::map<std::string, uint64_t, std::less<>> files_ ABSL_GUARDED_BY(mutex_);
  // Ends before the rest does.
  std::optional<LowerSession> session_;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_STALLING_LOWER_H_
