// What is in a session's buffer. For the use of the session.
#ifndef FUSED_KERNEL_SESSION_BUFFER_H_
#define FUSED_KERNEL_SESSION_BUFFER_H_

#include <cstddef>
#include <cstdlib>
#include <memory>

#include "kernel/libfuse.h"
#include "kernel/session.h"

namespace fused::kernel {

// One request with its header, as large as it can be.
inline constexpr size_t kPage = 4096;
inline constexpr size_t kBufferSize = kMaxTransfer + kPage;
// A WRITE's data begins on a page, so that it can be written with O_DIRECT.
inline constexpr size_t kWriteHeader =
    sizeof(fuse_in_header) + sizeof(fuse_write_in);

struct Session::Buffer::Impl {
  // For a packet of any kind.
  Impl() : Impl(kPage, kPage + kBufferSize, kPage - kWriteHeader) {}
  Impl(size_t alignment, size_t room, size_t offset)
      : allocated((room + alignment - 1) / alignment * alignment),
        memory(static_cast<char*>(std::aligned_alloc(alignment, allocated))),
        start(memory.get() + offset) {}

  enum Borrowed { kBorrowed };
  explicit Impl(Borrowed) : allocated(0), start(nullptr) {}

  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  const size_t allocated;
  std::unique_ptr<char, Free> memory;
  char* start;
  size_t size = 0;  // of the packet in it
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_SESSION_BUFFER_H_
