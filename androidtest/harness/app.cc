#include "androidtest/harness/app.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "androidtest/harness/frame.h"

namespace fused::androidtest {
namespace {

using v1::Call;

Call OnDescriptor(Call::Operation operation, int fd) {
  Call call;
  call.set_operation(operation);
  call.set_fd(fd);
  return call;
}

Call LockCall(int fd, int command, int type, int64_t start, int64_t length) {
  Call call = OnDescriptor(Call::LOCK, fd);
  call.set_mode(command);
  call.set_flags(type);
  call.set_offset(start);
  call.set_length(length);
  return call;
}

Outcome Gone() {
  v1::Reply reply;
  reply.set_value(-1);
  reply.set_error(ECONNRESET);
  reply.set_detail("the agent is gone");
  return Outcome(reply);
}

}  // namespace

Agent::Agent(Child child, int socket, std::string name)
    : child_(std::move(child)), socket_(socket), name_(std::move(name)) {}

Agent::~Agent() {
  // It exits when it reads the end, and closes what it has open.
  close(socket_);
  child_.Wait(absl::Seconds(5));
}

bool Agent::Begin(const Call& call) { return SendMessage(socket_, call); }

Outcome Agent::Finish() {
  v1::Reply reply;
  return ReceiveMessage(socket_, &reply) ? Outcome(reply) : Gone();
}

bool Agent::Answered() const {
  pollfd ready = {.fd = socket_, .events = POLLIN, .revents = 0};
  return poll(&ready, 1, 0) == 1;
}

Outcome Agent::Perform(const Call& call) {
  return Begin(call) ? Finish() : Gone();
}

File::File(File&& other) noexcept
    : agent_(std::move(other.agent_)),
      fd_(std::exchange(other.fd_, -1)),
      error_(other.error_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(agent_, other.agent_);
  std::swap(fd_, other.fd_);
  std::swap(error_, other.error_);
  return *this;
}

File::~File() {
  if (fd_ >= 0) Close();
}

Outcome File::Close() {
  return agent_->Perform(OnDescriptor(Call::CLOSE, std::exchange(fd_, -1)));
}

Outcome File::ReadAt(int64_t offset, int64_t length) const {
  Call call = OnDescriptor(Call::READ, fd_);
  call.set_offset(offset);
  call.set_length(length);
  return agent_->Perform(call);
}

Outcome File::WriteAt(int64_t offset, std::string_view data) const {
  Call call = OnDescriptor(Call::WRITE, fd_);
  call.set_offset(offset);
  call.set_data(std::string(data));
  return agent_->Perform(call);
}

Outcome File::Stat() const {
  return agent_->Perform(OnDescriptor(Call::FSTAT, fd_));
}

Outcome File::List() const {
  return agent_->Perform(OnDescriptor(Call::FLISTDIR, fd_));
}

Outcome File::Truncate(int64_t length) const {
  Call call = OnDescriptor(Call::FTRUNCATE, fd_);
  call.set_length(length);
  return agent_->Perform(call);
}

Outcome File::Seek(int64_t offset, int whence) const {
  Call call = OnDescriptor(Call::LSEEK, fd_);
  call.set_offset(offset);
  call.set_flags(whence);
  return agent_->Perform(call);
}

Outcome File::Sync() const {
  return agent_->Perform(OnDescriptor(Call::FSYNC, fd_));
}

Outcome File::Allocate(int mode, int64_t offset, int64_t length) const {
  Call call = OnDescriptor(Call::FALLOCATE, fd_);
  call.set_flags(mode);
  call.set_offset(offset);
  call.set_length(length);
  return agent_->Perform(call);
}

Outcome File::CopyTo(const File& to, int64_t length) const {
  Call call = OnDescriptor(Call::COPY_FILE_RANGE, fd_);
  call.set_fd2(to.fd_);
  call.set_length(length);
  return agent_->Perform(call);
}

Outcome File::LinkAs(std::string_view path) const {
  Call call = OnDescriptor(Call::LINK_FD, fd_);
  call.set_path(std::string(path));
  return agent_->Perform(call);
}

Outcome File::ChangeMode(mode_t mode) const {
  Call call = OnDescriptor(Call::FCHMOD, fd_);
  call.set_mode(mode);
  return agent_->Perform(call);
}

Outcome File::Flock(int operation) const {
  Call call = OnDescriptor(Call::FLOCK, fd_);
  call.set_flags(operation);
  return agent_->Perform(call);
}

Outcome File::Lock(int command, int type, int64_t start, int64_t length) const {
  return agent_->Perform(LockCall(fd_, command, type, start, length));
}

void File::BeginLock(int type, int64_t start, int64_t length) const {
  agent_->Begin(LockCall(fd_, F_SETLKW, type, start, length));
}

void File::BeginFlock(int operation) const {
  Call call = OnDescriptor(Call::FLOCK, fd_);
  call.set_flags(operation);
  agent_->Begin(call);
}

void PrintTo(const File& file, std::ostream* os) {
  if (file.ok()) {
    *os << "opened";
  } else {
    *os << "failed with " << ErrorName(file.error());
  }
}

std::string App::At(std::string_view path) const {
  if (!path.empty() && path.front() == '/') return std::string(path);
  return path.empty() ? root_ : absl::StrCat(root_, "/", path);
}

Outcome App::OnPath(Call::Operation operation, std::string_view path,
                    int64_t mode, int64_t flags) const {
  Call call;
  call.set_operation(operation);
  call.set_path(At(path));
  call.set_mode(mode);
  call.set_flags(flags);
  return agent_->Perform(call);
}

File App::Open(std::string_view path, int flags, mode_t mode) const {
  const Outcome outcome = OnPath(Call::OPEN, path, mode, flags);
  return {agent_, static_cast<int>(outcome.value), outcome.error};
}

namespace {

Outcome FromOpen(const File& file) {
  v1::Reply reply;
  reply.set_value(-1);
  reply.set_error(file.error());
  reply.set_detail("open");
  return Outcome(reply);
}

}  // namespace

Outcome App::Create(std::string_view path, std::string_view content) const {
  const File file = Open(path, O_WRONLY | O_CREAT | O_EXCL);
  return file.ok() ? file.Write(content) : FromOpen(file);
}

Outcome App::Overwrite(std::string_view path, std::string_view content) const {
  const File file = Open(path, O_WRONLY);
  return file.ok() ? file.WriteAt(0, content) : FromOpen(file);
}

Outcome App::Read(std::string_view path) const {
  const File file = Open(path, O_RDONLY);
  constexpr int64_t kMost = 1 << 20;
  return file.ok() ? file.Read(kMost) : FromOpen(file);
}

Outcome App::Stat(std::string_view path) const {
  return OnPath(Call::STAT, path);
}

Outcome App::LinkStat(std::string_view path) const {
  return OnPath(Call::LSTAT, path);
}

Outcome App::List(std::string_view path) const {
  return OnPath(Call::LIST, path);
}

Outcome App::MakeDirectory(std::string_view path, mode_t mode) const {
  return OnPath(Call::MKDIR, path, mode);
}

Outcome App::RemoveDirectory(std::string_view path) const {
  return OnPath(Call::RMDIR, path);
}

Outcome App::Unlink(std::string_view path) const {
  return OnPath(Call::UNLINK, path);
}

Outcome App::Rename(std::string_view from, std::string_view to,
                    unsigned flags) const {
  Call call;
  call.set_operation(Call::RENAME);
  call.set_path(At(from));
  call.set_target(At(to));
  call.set_flags(flags);
  return agent_->Perform(call);
}

Outcome App::MakeNode(std::string_view path, mode_t mode,
                      int64_t device) const {
  return OnPath(Call::MKNOD, path, mode, device);
}

Outcome App::Link(std::string_view from, std::string_view to) const {
  Call call;
  call.set_operation(Call::LINK);
  call.set_path(At(from));
  call.set_target(At(to));
  return agent_->Perform(call);
}

Outcome App::Symlink(std::string_view target, std::string_view path) const {
  Call call;
  call.set_operation(Call::SYMLINK);
  call.set_path(At(path));
  call.set_target(std::string(target));
  return agent_->Perform(call);
}

Outcome App::ReadLink(std::string_view path) const {
  return OnPath(Call::READLINK, path);
}

Outcome App::Truncate(std::string_view path, int64_t length) const {
  Call call;
  call.set_operation(Call::TRUNCATE);
  call.set_path(At(path));
  call.set_length(length);
  return agent_->Perform(call);
}

Outcome App::ChangeMode(std::string_view path, mode_t mode) const {
  return OnPath(Call::CHMOD, path, mode);
}

Outcome App::ChangeOwner(std::string_view path, int64_t uid,
                         int64_t gid) const {
  Call call;
  call.set_operation(Call::CHOWN);
  call.set_path(At(path));
  call.set_offset(uid);
  call.set_length(gid);
  return agent_->Perform(call);
}

Outcome App::SetTimes(std::string_view path, int64_t nanoseconds) const {
  Call call;
  call.set_operation(Call::UTIMENS);
  call.set_path(At(path));
  call.set_length(nanoseconds);
  return agent_->Perform(call);
}

Outcome App::Access(std::string_view path, int mode) const {
  return OnPath(Call::ACCESS, path, mode);
}

Outcome App::GetXattr(std::string_view path, std::string_view name) const {
  Call call;
  call.set_operation(Call::GETXATTR);
  call.set_path(At(path));
  call.set_target(std::string(name));
  return agent_->Perform(call);
}

Outcome App::SetXattr(std::string_view path, std::string_view name,
                      std::string_view value) const {
  Call call;
  call.set_operation(Call::SETXATTR);
  call.set_path(At(path));
  call.set_target(std::string(name));
  call.set_data(std::string(value));
  return agent_->Perform(call);
}

Outcome App::FileSystemType(std::string_view path) const {
  return OnPath(Call::STATFS, path);
}

Outcome App::Umask(mode_t mask) const {
  Call call;
  call.set_operation(Call::UMASK);
  call.set_mode(mask);
  return agent_->Perform(call);
}

Outcome App::ChangeDirectory(std::string_view path) const {
  return OnPath(Call::CHDIR, path);
}

Outcome App::WorkingDirectory() const {
  Call call;
  call.set_operation(Call::GETCWD);
  return agent_->Perform(call);
}

void App::Begin(std::string_view program, const Arguments& arguments) const {
  Call call;
  call.set_operation(Call::PROGRAM);
  call.set_path(std::string(program));
  for (const std::string& argument : arguments) call.add_arguments(argument);
  agent_->Begin(call);
}

Outcome App::Run(std::string_view program, const Arguments& arguments) const {
  Begin(program, arguments);
  return Finish();
}

void App::Kill() const {
  agent_->child().Signal(SIGKILL);
  agent_->child().Wait(absl::Seconds(10));
}

void PrintTo(const App& app, std::ostream* os) { *os << app.name(); }

}  // namespace fused::androidtest
