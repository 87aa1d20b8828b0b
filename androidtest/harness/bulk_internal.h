// What the ways to move bytes have in common.
#ifndef FUSED_ANDROIDTEST_HARNESS_BULK_INTERNAL_H_
#define FUSED_ANDROIDTEST_HARNESS_BULK_INTERNAL_H_

#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "androidtest/harness/bulk.h"

namespace fused::androidtest::bulk {

struct Task {
  int fd = -1;
  uint64_t size = 0;
  uint64_t seed = 0;
};

// Empty: done. Else what went wrong; errno where a call failed.
using Result = std::string;

struct FreeDeleter {
  void operator()(char* p) const { free(p); }
};
using Buffer = std::unique_ptr<char, FreeDeleter>;

// Aligned for O_DIRECT.
inline Buffer AllocateBuffer(size_t size) {
  return Buffer(static_cast<char*>(aligned_alloc(4096, size)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// "" if the bytes are those of [offset, offset + size).
Result Verify(const char* data, size_t size, uint64_t offset, uint64_t seed);

// A call failed or moved too little.
Result Short(std::string_view call, int64_t moved, uint64_t offset);

Result ByAioWrite(const Task& task);
Result ByAioRead(const Task& task);
Result ByUringWrite(const Task& task);
Result ByUringRead(const Task& task);

}  // namespace fused::androidtest::bulk

#endif  // FUSED_ANDROIDTEST_HARNESS_BULK_INTERNAL_H_
