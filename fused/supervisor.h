// What systemd, or whatever started the daemon with a $NOTIFY_SOCKET, is told.
#ifndef FUSED_FUSED_SUPERVISOR_H_
#define FUSED_FUSED_SUPERVISOR_H_

#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace fused {

// Each is nothing where nobody supervises. `line` is one for `systemctl
// status`.
void TellReady(std::string_view line);
void TellStatus(std::string_view line);
void TellReloading();
void TellStopping();

// Whether there is one.
bool Supervised();

// How often the supervisor wants a sign of life; zero: it wants none.
absl::Duration WatchdogInterval();

// Feeds the supervisor's watchdog: asks each mount's root for its attributes,
// by a request through the kernel, on a thread of its own, and tells of life
// when all have answered, whatever they did. One that does not answer keeps the
// thread, so that nothing is told and the supervisor ends the daemon.
class Watchdog {
 public:
  Watchdog(absl::Duration interval, std::vector<std::string> mountpoints);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  // Waits for a request that is under way: it comes back with the end of the
  // connection at the latest.
  ~Watchdog();

  // Begins no further request.
  void Stop();

 private:
  bool StoppedWithin(absl::Duration interval);

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace fused

#endif  // FUSED_FUSED_SUPERVISOR_H_
