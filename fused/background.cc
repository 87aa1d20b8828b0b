#include "fused/background.h"

#include <fcntl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#include "fused/daemon.h"

namespace fused {
namespace {

class Syslog : public absl::LogSink {
 public:
  Syslog() { openlog("fused", LOG_PID, LOG_DAEMON); }
  void Send(const absl::LogEntry& entry) override {
    const absl::LogSeverity severity = entry.log_severity();
    const int priority = severity == absl::LogSeverity::kInfo      ? LOG_INFO
                         : severity == absl::LogSeverity::kWarning ? LOG_WARNING
                                                                   : LOG_ERR;
    const std::string text(entry.text_message());
    syslog(priority, "%s", text.c_str());
  }
};

// The exit status is what comes down the pipe, or the child's own where it died
// first.
int WaitForChild(pid_t child, const kernel::Fd& ready) {
  unsigned char code = 0;
  ssize_t got = 0;
  do {
    got = read(ready.get(), &code, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) return code;
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kExitInternal;
}

}  // namespace

int RunInBackground(const std::function<int(kernel::Fd starter)>& serve) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return kExitInternal;
  kernel::Fd read_end(ends[0]);
  kernel::Fd write_end(ends[1]);
  const pid_t child = fork();
  if (child < 0) return kExitInternal;
  if (child > 0) {
    write_end.Reset();
    return WaitForChild(child, read_end);
  }
  read_end.Reset();
  setsid();
  // Not back to the caller, who makes the parent's exit code of what we return.
  std::exit(chdir("/") != 0 ? kExitInternal : serve(std::move(write_end)));
}

bool TellStarter(kernel::Fd starter, unsigned char code) {
  static auto& syslog_sink = *new Syslog;
  absl::AddLogSink(&syslog_sink);
  absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfinity);
  const kernel::Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.valid()) {
    for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
      dup2(null.get(), stream);
    }
  }
  return write(starter.get(), &code, 1) == 1;
}

}  // namespace fused
