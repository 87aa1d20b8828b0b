// The daemon's process: settings, signals, readiness, exit codes.
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>

#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "fused/check.h"
#include "fused/daemon.h"
#include "fused/flags.h"
#include "kernel/fd.h"
#include "policy/issue.h"

namespace {

using fused::Daemon;
using fused::Settings;
using fused::StartError;

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
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  // A control client that hangs up is an error of write(2), no more.
  signal(SIGPIPE, SIG_IGN);
  return fused::kernel::Fd(signalfd(-1, &signals, SFD_CLOEXEC));
}

void WaitForSignal(const fused::kernel::Fd& signals) {
  struct signalfd_siginfo info = {};
  ssize_t got = 0;
  do {
    got = read(signals.get(), &info, sizeof(info));
  } while (got < 0 && errno == EINTR);
}

// The starting process waits here until the daemon serves: its exit status is
// what came down the pipe, or the child's own where it died first.
int WaitForChild(pid_t child, const fused::kernel::Fd& ready) {
  unsigned char code = 0;
  ssize_t got = 0;
  do {
    got = read(ready.get(), &code, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) return code;
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : fused::kExitInternal;
}

int Serve(const Settings& settings, fused::kernel::Fd ready) {
  const fused::kernel::Fd signals = BlockSignals();
  StartError error;
  std::unique_ptr<Daemon> daemon = Daemon::Start(settings, error);
  if (daemon == nullptr) return Complain(error.message, error.exit_code);
  const fused::control::v1::Status status = daemon->GetStatus();
  const std::string line = absl::StrCat(
      "policy ", status.policy().name(), " version ", status.policy().version(),
      ", ", status.apps().count(), " apps, ", status.volumes_size(),
      status.volumes_size() == 1 ? " volume" : " volumes");
  LOG(INFO) << "serving: " << line;
  sd_notifyf(0, "READY=1\nSTATUS=%s", line.c_str());
  if (ready.valid()) {
    const char ok = 0;
    if (write(ready.get(), &ok, 1) != 1) return fused::kExitInternal;
    ready.Reset();
  }
  WaitForSignal(signals);
  sd_notify(0, "STOPPING=1");
  LOG(INFO) << "stopping";
  daemon->Stop();
  return 0;
}

// Returns in the parent when the child serves.
int Daemonize(const Settings& settings) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return Complain("pipe2", fused::kExitInternal);
  }
  fused::kernel::Fd read_end(ends[0]);
  fused::kernel::Fd write_end(ends[1]);
  const pid_t child = fork();
  if (child < 0) return Complain("fork", fused::kExitInternal);
  if (child > 0) {
    write_end.Reset();
    return WaitForChild(child, read_end);
  }
  read_end.Reset();
  setsid();
  if (chdir("/") != 0) return Complain("chdir", fused::kExitInternal);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
  }
  return Serve(settings, std::move(write_end));
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

}  // namespace

int main(int argc, char** argv) {
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfo);
  absl::InitializeLog();
  const fused::Invocation invocation = fused::ParseCommandLine(argc, argv);
  if (invocation.check) return Check(invocation);
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
  if (settings.daemonize) return Daemonize(settings);
  return Serve(settings, fused::kernel::Fd());
}
