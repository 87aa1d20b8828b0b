#include "kernel/fd.h"

#include <unistd.h>

#include <cerrno>

namespace fused::kernel {

void Fd::Close() const {
  // A caller may be about to report an errno of its own.
  const int saved = errno;
  close(fd_);
  errno = saved;
}

}  // namespace fused::kernel
