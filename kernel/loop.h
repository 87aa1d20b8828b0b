// Serves many sessions from one small pool of threads.
#ifndef FUSED_KERNEL_LOOP_H_
#define FUSED_KERNEL_LOOP_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/session.h"

namespace fused::kernel {

// One epoll set; every thread takes requests of any session. Thread-safe.
class Loop {
 public:
  struct Options {
    int threads = 2;
    // Each thread gets a file system context of its own (unshare(CLONE_FS)),
    // so that an operation may set its umask.
    bool own_umask = true;
  };

  static absl::StatusOr<std::unique_ptr<Loop>> Start(const Options& options);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  // Stops.
  ~Loop();

  // Serves `session` from now on. `ended` is called once on a thread of the
  // loop when its superblock has gone and no thread is in it; the loop keeps
  // the session alive until then and lets go of it after.
  absl::Status Add(std::shared_ptr<Session> session,
                   std::function<void()> ended);

  // Returns when every thread has left; sessions that still live are let go
  // of without their `ended`. Must not be called on a thread of the loop.
  void Stop();

 private:
  Loop();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_LOOP_H_
