// What the machine says of rings.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"
#include "kernel/ring.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

// Whether the file has another number than 0.
bool IsSet(const char* path) {
  const Fd file(open(path, O_RDONLY | O_CLOEXEC));
  char text[24] = {};
  return file.valid() && read(file.get(), text, sizeof(text) - 1) > 0 &&
         std::atoi(text) != 0;
}

}  // namespace

bool RequestsTimeOut() {
  return IsSet("/proc/sys/fs/fuse/default_request_timeout") ||
         IsSet("/proc/sys/fs/fuse/max_request_timeout");
}

absl::StatusOr<int> ProcessorsPossible() {
  const Fd file(open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC));
  char text[64] = {};
  if (!file.valid() || read(file.get(), text, sizeof(text) - 1) <= 0) {
    return ErrnoStatus(errno, "/sys/devices/system/cpu/possible");
  }
  // "0-3": the last number counts.
  size_t end = std::strlen(text);
  while (end > 0 && (text[end - 1] < '0' || text[end - 1] > '9')) --end;
  size_t start = end;
  while (start > 0 && text[start - 1] >= '0' && text[start - 1] <= '9') {
    --start;
  }
  if (start == end) return absl::InternalError("no processors");
  return std::atoi(std::string(text + start, end - start).c_str()) + 1;
}

}  // namespace fused::kernel
