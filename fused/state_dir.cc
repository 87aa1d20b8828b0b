#include "fused/state_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernel/status.h"

namespace fused {
namespace {

absl::Status Errno(std::string_view what) {
  return kernel::ErrnoStatus(errno, what);
}

absl::Status WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t put = write(fd, content.data(), content.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Errno("write");
    content.remove_prefix(static_cast<size_t>(put));
  }
  return absl::OkStatus();
}

}  // namespace

StateDir::StateDir(std::string path, kernel::Fd directory, kernel::Fd lock)
    : path_(std::move(path)),
      directory_(std::move(directory)),
      lock_(std::move(lock)) {}

absl::StatusOr<std::unique_ptr<StateDir>> StateDir::Open(
    const std::string& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) return kernel::ErrnoStatus(error.value(), path);
  if (made && chmod(path.c_str(), 0700) != 0) return Errno(path);
  kernel::Fd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return Errno(path);
  kernel::Fd lock(openat(directory.get(), "lock",
                         O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return Errno(absl::StrCat(path, "/lock"));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Errno(absl::StrCat(path, "/lock"));
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": another daemon uses this state directory"));
  }
  return std::unique_ptr<StateDir>(
      new StateDir(path, std::move(directory), std::move(lock)));
}

absl::Status StateDir::Write(const std::string& name,
                             std::string_view content) {
  const std::string fresh = absl::StrCat(name, ".new");
  kernel::Fd fd(openat(directory_.get(), fresh.c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                       0600));
  if (!fd.valid()) return Errno(absl::StrCat(path_, "/", fresh));
  absl::Status status = WriteAll(fd.get(), content);
  if (status.ok() && fsync(fd.get()) != 0) status = Errno("fsync");
  if (status.ok() && renameat(directory_.get(), fresh.c_str(), directory_.get(),
                              name.c_str()) != 0) {
    status = Errno("rename");
  }
  // The name itself must last too.
  if (status.ok() && fsync(directory_.get()) != 0) status = Errno("fsync");
  if (!status.ok()) unlinkat(directory_.get(), fresh.c_str(), 0);
  return status;
}

absl::StatusOr<std::optional<std::string>> StateDir::Read(
    const std::string& name) {
  const kernel::Fd fd(
      openat(directory_.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    if (errno == ENOENT) return std::optional<std::string>();
    return Errno(absl::StrCat(path_, "/", name));
  }
  std::string content;
  char buffer[64 << 10];
  while (true) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Errno(absl::StrCat(path_, "/", name));
    if (got == 0) return std::optional<std::string>(std::move(content));
    content.append(buffer, static_cast<size_t>(got));
  }
}

}  // namespace fused
