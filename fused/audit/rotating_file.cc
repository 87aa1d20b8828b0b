#include "fused/audit/rotating_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kernel/status.h"

namespace fused::audit {
namespace {

absl::Status Errno(std::string_view what) {
  return kernel::ErrnoStatus(errno, what);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RotatingFile>> RotatingFile::Open(
    const std::string& directory, const std::string& name,
    const Options& options) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return Errno(directory);
  }
  kernel::Fd fd(
      open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return Errno(directory);
  auto file = std::unique_ptr<RotatingFile>(
      new RotatingFile(name, options, std::move(fd)));
  file->RemoveOld();
  absl::Status status = file->OpenFile();
  if (status.ok()) status = file->EndLine();
  if (!status.ok()) return status;
  return file;
}

std::string RotatingFile::NameOf(uint32_t age) const {
  return age == 0 ? name_ : absl::StrCat(name_, ".", age);
}

absl::Status RotatingFile::OpenFile() {
  file_.Reset(openat(directory_.get(), name_.c_str(),
                     O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                     0600));
  if (!file_.valid()) return Errno(name_);
  struct stat stat = {};
  if (fstat(file_.get(), &stat) != 0) return Errno(name_);
  size_ = static_cast<uint64_t>(stat.st_size);
  return absl::OkStatus();
}

absl::Status RotatingFile::EndLine() {
  char last = '\n';
  if (size_ == 0 ||
      pread(file_.get(), &last, 1, static_cast<off_t>(size_ - 1)) != 1 ||
      last == '\n') {
    return absl::OkStatus();
  }
  // On a full file system it is ended later, or is one line that nobody reads.
  if (write(file_.get(), "\n", 1) == 1) ++size_;
  return absl::OkStatus();
}

// Of a configuration with more files.
void RotatingFile::RemoveOld() const {
  const int fd = openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY);
  DIR* const listing = fd < 0 ? nullptr : fdopendir(fd);
  if (listing == nullptr) return;
  std::vector<std::string> old;
  while (const dirent* entry = readdir(listing)) {
    std::string_view rest = entry->d_name;
    uint32_t age = 0;
    if (absl::ConsumePrefix(&rest, absl::StrCat(name_, ".")) &&
        absl::SimpleAtoi(rest, &age) && age >= options_.max_files) {
      old.emplace_back(entry->d_name);
    }
  }
  closedir(listing);
  for (const std::string& name : old) {
    unlinkat(directory_.get(), name.c_str(), 0);
  }
}

absl::Status RotatingFile::Rotate() {
  const uint32_t last = options_.max_files - 1;
  if (last == 0) {
    if (ftruncate(file_.get(), 0) != 0) return Errno(name_);
    size_ = 0;
    return absl::OkStatus();
  }
  for (uint32_t age = last; age > 0; --age) {
    if (renameat(directory_.get(), NameOf(age - 1).c_str(), directory_.get(),
                 NameOf(age).c_str()) != 0 &&
        errno != ENOENT) {
      return Errno(NameOf(age));
    }
  }
  return OpenFile();
}

absl::Status RotatingFile::Append(std::string_view line) {
  if (line.size() > MaxFile()) {
    return absl::ResourceExhaustedError("a line longer than a file may be");
  }
  if (!file_.valid()) {
    if (absl::Status status = OpenFile(); !status.ok()) return status;
  }
  if (size_ + line.size() > MaxFile()) {
    if (absl::Status status = Rotate(); !status.ok()) return status;
  }
  const ssize_t put = write(file_.get(), line.data(), line.size());
  if (put == static_cast<ssize_t>(line.size())) {
    size_ += line.size();
    return absl::OkStatus();
  }
  const int error = put < 0 ? errno : ENOSPC;
  // Half a line would spoil the next.
  if (put > 0 && ftruncate(file_.get(), static_cast<off_t>(size_)) != 0) {
    size_ += static_cast<uint64_t>(put);
  }
  return kernel::ErrnoStatus(error, name_);
}

absl::StatusOr<std::string> RotatingFile::Tail(uint64_t bytes) const {
  std::string text;
  for (uint32_t age = 0; age < options_.max_files && text.size() < bytes;
       ++age) {
    const kernel::Fd fd(openat(directory_.get(), NameOf(age).c_str(),
                               O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid() && errno == ENOENT) break;
    struct stat stat = {};
    if (!fd.valid() || fstat(fd.get(), &stat) != 0) return Errno(NameOf(age));
    const auto size = static_cast<uint64_t>(stat.st_size);
    const uint64_t wanted = std::min(size, bytes - text.size());
    std::string part(wanted, '\0');
    const ssize_t got =
        pread(fd.get(), part.data(), wanted, static_cast<off_t>(size - wanted));
    if (got < 0) return Errno(NameOf(age));
    part.resize(static_cast<size_t>(got));
    // It begins within a line.
    if (wanted < size) part.erase(0, part.find('\n') + 1);
    text.insert(0, part);
  }
  return text;
}

}  // namespace fused::audit
