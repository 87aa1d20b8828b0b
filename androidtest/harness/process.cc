#include "androidtest/harness/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ostream>
#include <utility>

#include "absl/time/clock.h"

namespace fused::androidtest {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& s : strings) {
    pointers.push_back(const_cast<char*>(s.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> Environment(const std::vector<std::string>& more) {
  std::vector<std::string> all = more;
  for (char** e = environ; *e != nullptr; ++e) all.emplace_back(*e);
  return all;
}

// An anonymous file that collects what a command prints.
class Collector {
 public:
  Collector() : fd_(memfd_create("output", MFD_CLOEXEC)) {}
  ~Collector() { close(fd_); }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  int fd() const { return fd_; }

  std::string Text() const {
    std::string text(lseek(fd_, 0, SEEK_END), '\0');
    const ssize_t n = pread(fd_, text.data(), text.size(), 0);
    text.resize(n < 0 ? 0 : n);
    return text;
  }

 private:
  int fd_;
};

bool Redirect(int from, int to) { return from < 0 || dup2(from, to) == to; }

}  // namespace

Child::Child(const Arguments& argv, const Options& options) {
  const std::vector<std::string> environment = Environment(options.environment);
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> variables = Pointers(environment);
  pid_ = fork();
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (!Redirect(options.input, 0) || !Redirect(options.output, 1) ||
      !Redirect(options.error, 2) || (options.prepare && !options.prepare())) {
    _exit(125);
  }
  execve(arguments[0], arguments.data(), variables.data());
  _exit(127);
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  return *this;
}

Child::~Child() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Child::Signal(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

std::optional<int> Child::Wait(absl::Duration timeout) {
  if (pid_ <= 0) return std::nullopt;
  const auto descriptor = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  pollfd ended = {.fd = descriptor, .events = POLLIN, .revents = 0};
  const int ready =
      poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  close(descriptor);
  if (ready <= 0) return std::nullopt;
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

Completed RunCommand(const Arguments& argv, absl::Duration timeout,
                     const std::vector<std::string>& environment) {
  const Collector output;
  const Collector error;
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  Completed completed;
  {
    Child child(argv, {.input = nothing,
                       .output = output.fd(),
                       .error = error.fd(),
                       .environment = environment,
                       .prepare = nullptr});
    completed.exit = child.Wait(timeout).value_or(-1);
  }
  close(nothing);
  completed.output = output.Text();
  completed.error = error.Text();
  return completed;
}

bool Eventually(const std::function<bool()>& condition,
                absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    sched_yield();
  }
  return true;
}

void PrintTo(const Completed& completed, std::ostream* os) {
  *os << "exit " << completed.exit << "\n--- output\n"
      << completed.output << "--- error\n"
      << completed.error;
}

}  // namespace fused::androidtest
