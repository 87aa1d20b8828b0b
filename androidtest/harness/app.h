// An app that a test acts as: a process with the app's identity, which makes
// system calls through one of the views.
#ifndef FUSED_ANDROIDTEST_HARNESS_APP_H_
#define FUSED_ANDROIDTEST_HARNESS_APP_H_

#include <fcntl.h>
#include <sys/types.h>

#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "androidtest/harness/agent.pb.h"
#include "androidtest/harness/outcome.h"
#include "androidtest/harness/process.h"

namespace fused::androidtest {

// The agent's end of an App: shared with the files that it has open.
class Agent {
 public:
  // Takes the socket over.
  Agent(Child child, int socket, std::string name);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // ECONNRESET: the agent is gone.
  Outcome Perform(const v1::Call& call);
  // The two halves of Perform(), for calls that wait.
  bool Begin(const v1::Call& call);
  Outcome Finish();
  // Whether Finish() would return at once.
  bool Answered() const;

  Child& child() { return child_; }
  const std::string& name() const { return name_; }

 private:
  Child child_;
  int socket_;
  std::string name_;
};

// What came of an open: the file, closed with the object, or the error.
class File {
 public:
  File(std::shared_ptr<Agent> agent, int fd, int error)
      : agent_(std::move(agent)), fd_(fd), error_(error) {}
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  bool ok() const { return fd_ >= 0; }
  int error() const { return error_; }
  int fd() const { return fd_; }

  Outcome Read(int64_t length) const { return ReadAt(-1, length); }
  Outcome ReadAt(int64_t offset, int64_t length) const;
  Outcome Write(std::string_view data) const { return WriteAt(-1, data); }
  Outcome WriteAt(int64_t offset, std::string_view data) const;
  Outcome Stat() const;
  Outcome List() const;
  Outcome Truncate(int64_t length) const;
  Outcome Seek(int64_t offset, int whence) const;
  Outcome Sync() const;
  Outcome Allocate(int mode, int64_t offset, int64_t length) const;
  Outcome CopyTo(const File& to, int64_t length) const;
  // linkat(2) of the descriptor itself.
  Outcome LinkAs(std::string_view path) const;
  Outcome ChangeMode(mode_t mode) const;
  // `operation` as flock(2)'s.
  Outcome Flock(int operation) const;
  // fcntl(2) with F_SETLK and so on; `type` F_RDLCK and so on. F_GETLK
  // returns the type of what is in the way.
  Outcome Lock(int command, int type, int64_t start = 0,
               int64_t length = 0) const;
  // As Lock(F_SETLKW) and Flock() without an answer: ask for that with
  // App::Finish().
  void BeginLock(int type, int64_t start = 0, int64_t length = 0) const;
  void BeginFlock(int operation) const;
  Outcome Close();

 private:
  std::shared_ptr<Agent> agent_;
  int fd_;
  int error_;
};

void PrintTo(const File& file, std::ostream* os);

class App {
 public:
  // Relative paths are below `root`.
  App(std::shared_ptr<Agent> agent, std::string root)
      : agent_(std::move(agent)), root_(std::move(root)) {}

  // The path as the app's process names it.
  std::string At(std::string_view path) const;
  const std::string& name() const { return agent_->name(); }
  pid_t pid() const { return agent_->child().pid(); }

  File Open(std::string_view path, int flags, mode_t mode = 0600) const;
  // open(O_WRONLY | O_CREAT | O_EXCL), write, close.
  Outcome Create(std::string_view path, std::string_view content = "") const;
  // open(O_RDONLY), read all, close.
  Outcome Read(std::string_view path) const;
  // open(O_WRONLY), pwrite at 0, close.
  Outcome Overwrite(std::string_view path, std::string_view content) const;

  Outcome Stat(std::string_view path) const;
  Outcome LinkStat(std::string_view path) const;
  Outcome List(std::string_view path) const;
  Outcome MakeDirectory(std::string_view path, mode_t mode = 0777) const;
  Outcome RemoveDirectory(std::string_view path) const;
  Outcome Unlink(std::string_view path) const;
  Outcome Rename(std::string_view from, std::string_view to,
                 unsigned flags = 0) const;
  Outcome MakeNode(std::string_view path, mode_t mode,
                   int64_t device = 0) const;
  Outcome Link(std::string_view from, std::string_view to) const;
  // `target` is taken as it is.
  Outcome Symlink(std::string_view target, std::string_view path) const;
  Outcome ReadLink(std::string_view path) const;
  Outcome Truncate(std::string_view path, int64_t length) const;
  Outcome ChangeMode(std::string_view path, mode_t mode) const;
  Outcome ChangeOwner(std::string_view path, int64_t uid, int64_t gid) const;
  Outcome SetTimes(std::string_view path, int64_t nanoseconds) const;
  Outcome Access(std::string_view path, int mode) const;
  Outcome GetXattr(std::string_view path, std::string_view name) const;
  Outcome SetXattr(std::string_view path, std::string_view name,
                   std::string_view value) const;
  Outcome FileSystemType(std::string_view path) const;
  Outcome Umask(mode_t mask) const;
  Outcome ChangeDirectory(std::string_view path) const;
  Outcome WorkingDirectory() const;

  // A program of the test's binary (program.h).
  Outcome Run(std::string_view program, const Arguments& arguments) const;
  // The same in two halves, so that several apps run at once.
  void Begin(std::string_view program, const Arguments& arguments) const;
  Outcome Finish() const { return agent_->Finish(); }
  bool Answered() const { return agent_->Answered(); }

  void Signal(int signal) const { agent_->child().Signal(signal); }
  void Kill() const;

 private:
  Outcome OnPath(v1::Call::Operation operation, std::string_view path,
                 int64_t mode = 0, int64_t flags = 0) const;

  std::shared_ptr<Agent> agent_;
  std::string root_;
};

void PrintTo(const App& app, std::ostream* os);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_APP_H_
