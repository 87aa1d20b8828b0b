// The test's own view of files: what it plants, and what it finds, as root and
// past the daemon.
#ifndef FUSED_ANDROIDTEST_HARNESS_FILES_H_
#define FUSED_ANDROIDTEST_HARNESS_FILES_H_

#include <sys/types.h>
#include <unistd.h>

#include <string>
#include <string_view>

namespace fused::androidtest {

// Empty where it cannot be read. /proc's files too.
std::string ReadFile(const std::string& path);
// Makes the directories above it. Modes are open to all: what a test hides, the
// daemon has to hide.
bool WriteFile(const std::string& path, std::string_view content,
               mode_t mode = 0666);
bool MakeDirectories(const std::string& path, mode_t mode = 0777);
bool Exists(const std::string& path);

// What open(2) returned, until this goes.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_FILES_H_
