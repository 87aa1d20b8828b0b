#include "fused/state_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fused/directories.h"
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

// What a name is called in its own directory.
const char* BaseOf(const std::string& name) {
  const size_t slash = name.rfind('/');
  return name.c_str() + (slash == std::string::npos ? 0 : slash + 1);
}

}  // namespace

StateDir::StateDir(std::string path, kernel::Fd directory, kernel::Fd history,
                   kernel::Fd lock)
    : path_(std::move(path)),
      directory_(std::move(directory)),
      history_(std::move(history)),
      lock_(std::move(lock)) {}

absl::StatusOr<std::unique_ptr<StateDir>> StateDir::Open(
    const std::string& path) {
  absl::Status status = MakeDirectories(path, 0700);
  if (!status.ok()) return status;
  kernel::Fd directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  struct stat stat = {};
  if (!directory.valid() || fstat(directory.get(), &stat) != 0) {
    return Errno(path);
  }
  status = CheckOwnDirectory(path, stat);
  if (!status.ok()) return status;
  kernel::Fd lock(openat(directory.get(), "lock",
                         O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return Errno(absl::StrCat(path, "/lock"));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Errno(absl::StrCat(path, "/lock"));
    return absl::AlreadyExistsError(
        absl::StrCat(path, ": another daemon uses this state directory"));
  }
  if (mkdirat(directory.get(), "history", 0700) != 0 && errno != EEXIST) {
    return Errno(absl::StrCat(path, "/history"));
  }
  kernel::Fd history(openat(directory.get(), "history",
                            O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!history.valid()) return Errno(absl::StrCat(path, "/history"));
  if (fsync(directory.get()) != 0) return Errno(path);
  return std::unique_ptr<StateDir>(new StateDir(
      path, std::move(directory), std::move(history), std::move(lock)));
}

int StateDir::DirectoryOf(const std::string& name) const {
  return absl::StartsWith(name, kHistoryDirectory) ? history_.get()
                                                   : directory_.get();
}

absl::Status StateDir::Step(std::string_view what,
                            const std::string& name) const {
  return steps_ ? steps_(absl::StrCat(what, " ", name)) : absl::OkStatus();
}

absl::Status StateDir::Prepare(const std::string& name,
                               std::string_view content) {
  const std::string fresh = absl::StrCat(name, ".new");
  const int directory = DirectoryOf(name);
  absl::Status status = Step("create", name);
  if (!status.ok()) return status;
  kernel::Fd fd(openat(directory, BaseOf(fresh),
                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                       0600));
  if (!fd.valid()) return Errno(absl::StrCat(path_, "/", fresh));
  status = Step("write", name);
  if (status.ok()) status = WriteAll(fd.get(), content);
  if (status.ok()) status = Step("fsync", name);
  if (status.ok() && fsync(fd.get()) != 0) status = Errno("fsync");
  if (!status.ok()) unlinkat(directory, BaseOf(fresh), 0);
  return status;
}

absl::Status StateDir::Promote(const std::string& name) {
  const std::string fresh = absl::StrCat(name, ".new");
  const int directory = DirectoryOf(name);
  absl::Status status = Step("rename", name);
  if (status.ok() &&
      renameat(directory, BaseOf(fresh), directory, BaseOf(name)) != 0) {
    status = Errno("rename");
  }
  // The name itself must last too.
  if (status.ok()) status = Step("fsync the directory of", name);
  if (status.ok() && fsync(directory) != 0) status = Errno("fsync");
  if (!status.ok()) unlinkat(directory, BaseOf(fresh), 0);
  return status;
}

absl::Status StateDir::Write(const std::string& name,
                             std::string_view content) {
  absl::Status status = Prepare(name, content);
  return status.ok() ? Promote(name) : status;
}

absl::StatusOr<std::optional<std::string>> StateDir::Read(
    const std::string& name) {
  const kernel::Fd fd(
      openat(DirectoryOf(name), BaseOf(name), O_RDONLY | O_CLOEXEC));
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

absl::Status StateDir::Remove(const std::string& name) {
  if (absl::Status status = Step("remove", name); !status.ok()) return status;
  if (unlinkat(DirectoryOf(name), BaseOf(name), 0) != 0 && errno != ENOENT) {
    return Errno(absl::StrCat(path_, "/", name));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> StateDir::History() {
  const int fd =
      openat(history_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const directory = fd < 0 ? nullptr : fdopendir(fd);
  if (directory == nullptr) {
    absl::Status status = Errno(absl::StrCat(path_, "/history"));
    if (fd >= 0) close(fd);
    return status;
  }
  std::vector<std::string> names;
  while (const struct dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    names.push_back(absl::StrCat(kHistoryDirectory, entry->d_name));
  }
  closedir(directory);
  return names;
}

absl::StatusOr<kernel::Fd> StateDir::OpenAppend(const std::string& name) {
  if (absl::Status status = Step("create", name); !status.ok()) return status;
  kernel::Fd fd(openat(DirectoryOf(name), BaseOf(name),
                       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                       0600));
  if (!fd.valid()) return Errno(absl::StrCat(path_, "/", name));
  absl::Status status = Step("fsync the directory of", name);
  if (status.ok() && fsync(DirectoryOf(name)) != 0) status = Errno("fsync");
  if (!status.ok()) return status;
  return fd;
}

absl::Status StateDir::Append(const kernel::Fd& file,
                              std::string_view content) {
  absl::Status status = Step("append", "");
  if (status.ok()) status = WriteAll(file.get(), content);
  if (status.ok()) status = Step("fdatasync", "");
  if (status.ok() && fdatasync(file.get()) != 0) status = Errno("fdatasync");
  return status;
}

absl::Status StateDir::Truncate(const kernel::Fd& file, size_t size) {
  absl::Status status = Step("truncate", "");
  if (!status.ok()) return status;
  if (ftruncate(file.get(), static_cast<off_t>(size)) != 0 ||
      fdatasync(file.get()) != 0) {
    return Errno("truncate");
  }
  return absl::OkStatus();
}

}  // namespace fused
