#include "fused/rules_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernel/fd.h"
#include "kernel/status.h"
#include "policy/parse.h"

namespace fused {
namespace {

constexpr size_t kStep = 64 << 10;

absl::StatusOr<std::string> ReadAll(int fd) {
  std::string content;
  while (content.size() <= policy::kMaxInput) {
    const size_t size = content.size();
    content.resize(std::min(size + kStep, policy::kMaxInput + 1));
    ssize_t got = 0;
    do {
      got = read(fd, content.data() + size, content.size() - size);
    } while (got < 0 && errno == EINTR);
    if (got < 0) return kernel::ErrnoStatus(errno);
    content.resize(size + static_cast<size_t>(got));
    if (got == 0) break;
  }
  return content;
}

}  // namespace

absl::StatusOr<std::string> ReadRulesFile(const std::string& path) {
  const auto failed = [&path](const absl::Status& status) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": can't be read: ", kernel::Describe(status)));
  };
  // A FIFO would be waited for.
  const kernel::Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat stat = {};
  if (!file.valid() || fstat(file.get(), &stat) != 0) {
    return failed(kernel::ErrnoStatus(errno));
  }
  if (S_ISDIR(stat.st_mode)) return failed(kernel::ErrnoStatus(EISDIR));
  if (!S_ISREG(stat.st_mode)) return failed(kernel::ErrnoStatus(EINVAL));
  absl::StatusOr<std::string> content = ReadAll(file.get());
  if (!content.ok()) return failed(content.status());
  return content;
}

}  // namespace fused
