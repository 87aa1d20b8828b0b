// The daemon's process: settings, signals, readiness, exit codes.
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "fused/background.h"
#include "fused/check.h"
#include "fused/daemon.h"
#include "fused/flags.h"
#include "fused/settings.h"
#include "fused/supervisor.h"
#include "kernel/fd.h"
#include "policy/issue.h"

namespace {

using fused::Daemon;
using fused::Settings;
using fused::StartError;

// How late a supervisor may be told of a push.
constexpr int kStatusMilliseconds = 5000;

int Complain(const std::string& message, int exit_code) {
  // Issues are a line each as they are, so that tools find file and line.
  if (exit_code == fused::kExitPolicyRefused) {
    std::fprintf(stderr, "%s\n", message.c_str());
  } else {
    std::fprintf(stderr, "fused: %s\n", message.c_str());
  }
  return exit_code;
}

// Signals come to signalfd(2), on whatever thread: blocked before the first one
// starts.
fused::kernel::Fd BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  // A control client that hangs up is an error of write(2), no more.
  signal(SIGPIPE, SIG_IGN);
  return fused::kernel::Fd(signalfd(-1, &signals, SFD_CLOEXEC));
}

enum class Event { kStop, kReload, kLost, kTime };

Event WaitForEvent(const fused::kernel::Fd& signals, const Daemon& daemon,
                   int milliseconds) {
  pollfd ready[] = {
      {.fd = signals.get(), .events = POLLIN, .revents = 0},
      {.fd = daemon.lost().get(), .events = POLLIN, .revents = 0}};
  int count = 0;
  do {
    count = poll(ready, 2, milliseconds);
  } while (count < 0 && errno == EINTR);
  if (count == 0) return Event::kTime;
  if (ready[0].revents == 0) return Event::kLost;
  struct signalfd_siginfo info = {};
  if (read(signals.get(), &info, sizeof(info)) == sizeof(info) &&
      info.ssi_signo == SIGHUP) {
    return Event::kReload;
  }
  return Event::kStop;
}

// For whoever looks at the service.
std::string DescribeInOneLine(Daemon& daemon) {
  const fused::control::v1::Status status = daemon.GetStatus();
  return absl::StrCat("policy ", status.policy().name(), " version ",
                      status.policy().version(), ", ", status.apps().count(),
                      " apps, ", status.volumes_size(),
                      status.volumes_size() == 1 ? " volume" : " volumes");
}

void Reload(Daemon& daemon) {
  fused::TellReloading();
  std::string line;
  if (daemon.Reload(line)) {
    LOG(INFO) << "reloaded: " << line;
    fused::TellReady(DescribeInOneLine(daemon));
  } else {
    LOG(ERROR) << "reload: " << line;
    fused::TellReady(absl::StrCat("reload: ", line));
  }
}

// Until it is told to stop, or has nothing more to serve. Returns the exit
// code.
int Run(const Settings& settings, Daemon& daemon,
        const fused::kernel::Fd& signals) {
  std::optional<fused::Watchdog> watchdog;
  const absl::Duration interval = fused::WatchdogInterval();
  if (interval > absl::ZeroDuration()) {
    std::vector<std::string> mountpoints;
    for (const fused::VolumeSettings& volume : settings.volumes) {
      mountpoints.push_back(volume.config.mountpoint());
    }
    watchdog.emplace(interval, std::move(mountpoints));
  }
  const int pause = fused::Supervised() ? kStatusMilliseconds : -1;
  std::string told = DescribeInOneLine(daemon);
  Event event = Event::kTime;
  while (event == Event::kTime || event == Event::kReload) {
    event = WaitForEvent(signals, daemon, pause);
    if (event == Event::kReload) Reload(daemon);
    std::string line = event == Event::kTime ? DescribeInOneLine(daemon) : told;
    if (line != told) fused::TellStatus(line);
    told = std::move(line);
  }
  fused::TellStopping();
  LOG(INFO) << (event == Event::kLost ? "unmounted: stopping" : "stopping");
  if (watchdog.has_value()) watchdog->Stop();
  const bool aborted = event == Event::kLost && daemon.RemoveAborted();
  // Before the watchdog goes: a request of its that is stuck comes back with
  // the end of its connection.
  daemon.Stop();
  return aborted ? fused::kExitInternal : 0;
}

// `starter` waits until it serves, where there is one.
int Serve(const Settings& settings, fused::kernel::Fd starter) {
  const fused::kernel::Fd signals = BlockSignals();
  StartError error;
  std::unique_ptr<Daemon> daemon = Daemon::Start(settings, error);
  if (daemon == nullptr) return Complain(error.message, error.exit_code);
  const std::string line = DescribeInOneLine(*daemon);
  LOG(INFO) << "serving: " << line;
  fused::TellReady(line);
  if (starter.valid() && !fused::TellStarter(std::move(starter), 0)) {
    return fused::kExitInternal;
  }
  return Run(settings, *daemon, signals);
}

// --check: 0, or the exit code that a start would end with.
int Check(const fused::Invocation& invocation) {
  fused::policy::Issues issues = invocation.issues;
  int code = fused::kExitUsage;
  if (invocation.settings.has_value()) {
    code = fused::CheckSettings(*invocation.settings, issues);
  }
  for (const fused::policy::Issue& issue : issues) {
    std::fprintf(stderr, "%s\n", issue.ToString().c_str());
  }
  return code;
}

int Start(const fused::Invocation& invocation) {
  if (!invocation.settings.has_value()) {
    return Complain(fused::OneLine(invocation.issues.front()),
                    fused::kExitUsage);
  }
  const Settings& settings = *invocation.settings;
  fused::policy::Issues issues;
  fused::CheckApart(settings, issues);
  if (fused::policy::HasErrors(issues)) {
    return Complain(fused::OneLine(issues.front()), fused::kExitUsage);
  }
  if (!settings.daemonize) return Serve(settings, fused::kernel::Fd());
  return fused::RunInBackground([&settings](fused::kernel::Fd starter) {
    return Serve(settings, std::move(starter));
  });
}

// What mount(8) wants of a helper: 1 wrong usage, 2 an error of our own, 32 the
// mount failed.
int MountStatus(const fused::Invocation& invocation, int code) {
  if (code == 0) return 0;
  if (!invocation.settings.has_value()) return 1;
  return code == fused::kExitInternal ? 2 : 32;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfo);
  absl::InitializeLog();
  const fused::Invocation invocation = fused::ParseCommandLine(argc, argv);
  if (invocation.check) return Check(invocation);
  if (!invocation.mount_helper) return Start(invocation);
  const bool fake = invocation.fake && invocation.settings.has_value();
  return MountStatus(invocation, fake ? 0 : Start(invocation));
}
