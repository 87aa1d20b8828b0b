#include "kernel/fd.h"

#include <unistd.h>

#include <cerrno>

namespace fused::kernel {

void Fd::Reset(int fd) {
  if (fd_ >= 0) {
    // A caller may be about to report an errno of its own.
    const int saved = errno;
    close(fd_);
    errno = saved;
  }
  fd_ = fd;
}

}  // namespace fused::kernel
