#include "fused/supervisor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace fused {
namespace {

void Probe(const std::string& mountpoint) {
  struct statx attributes = {};
  // By path: a descriptor would keep umount(8) from its work.
  (void)statx(AT_FDCWD, mountpoint.c_str(),
              AT_STATX_FORCE_SYNC | AT_NO_AUTOMOUNT, STATX_BASIC_STATS,
              &attributes);
}

}  // namespace

void TellReady(std::string_view line) {
  sd_notify(0, absl::StrCat("READY=1\nSTATUS=", line).c_str());
}

void TellStatus(std::string_view line) {
  sd_notify(0, absl::StrCat("STATUS=", line).c_str());
}

bool Supervised() { return std::getenv("NOTIFY_SOCKET") != nullptr; }

void TellReloading() {
  // By which a supervisor tells this reload's READY=1 from an earlier one.
  struct timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t usec = int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  sd_notify(0, absl::StrCat("RELOADING=1\nMONOTONIC_USEC=", usec).c_str());
}

void TellStopping() { sd_notify(0, "STOPPING=1"); }

absl::Duration WatchdogInterval() {
  uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0) return absl::ZeroDuration();
  return absl::Microseconds(static_cast<int64_t>(usec));
}

Watchdog::Watchdog(absl::Duration interval,
                   std::vector<std::string> mountpoints)
    : thread_([this, interval, mountpoints = std::move(mountpoints)] {
        // Two may be late before the supervisor acts.
        const absl::Duration pause = interval / 3;
        do {
          const absl::Time start = absl::Now();
          for (const std::string& mountpoint : mountpoints) {
            Probe(mountpoint);
            // Each by itself: a mount whose lower file system hangs is answered
            // late, by its deadline, and must not end the others.
            sd_notify(0, "WATCHDOG=1");
          }
          const absl::Duration took = absl::Now() - start;
          if (took > pause) {
            LOG(WARNING) << "a request through each mount took "
                         << absl::FormatDuration(took);
          }
        } while (!StoppedWithin(pause));
      }) {}

Watchdog::~Watchdog() {
  Stop();
  thread_.join();
}

void Watchdog::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

bool Watchdog::StoppedWithin(absl::Duration interval) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stopping_), interval);
}

}  // namespace fused
