#include "androidtest/harness/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace fused::androidtest {

std::string ReadFile(const std::string& path) {
  std::string content;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return content;
  char buffer[65536];
  ssize_t n = 0;
  while ((n = read(fd, buffer, sizeof(buffer))) > 0) content.append(buffer, n);
  close(fd);
  return content;
}

bool MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string directory = path.substr(0, slash);
    if (mkdir(directory.c_str(), mode) == 0) {
      // Past the umask.
      if (chmod(directory.c_str(), mode) != 0) return false;
    } else if (errno != EEXIST) {
      return false;
    }
    if (slash == std::string::npos) return true;
  }
}

bool WriteFile(const std::string& path, std::string_view content, mode_t mode) {
  const size_t slash = path.rfind('/');
  if (slash != std::string::npos && slash > 0 &&
      !MakeDirectories(path.substr(0, slash))) {
    return false;
  }
  const int fd =
      open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return false;
  const ssize_t n = write(fd, content.data(), content.size());
  const bool done =
      n == static_cast<ssize_t>(content.size()) && fchmod(fd, mode) == 0;
  close(fd);
  return done;
}

bool Exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

}  // namespace fused::androidtest
