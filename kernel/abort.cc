#include "kernel/abort.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernel/fd.h"
#include "kernel/status.h"

namespace fused::kernel {
absl::Status AbortConnection(unsigned connection) {
  const Fd context(fsopen("fusectl", FSOPEN_CLOEXEC));
  if (!context.valid()) return ErrnoStatus(errno, "fsopen fusectl");
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return ErrnoStatus(errno, "fsconfig fusectl");
  }
  const Fd tree(fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!tree.valid()) return ErrnoStatus(errno, "fsmount fusectl");
  const std::string name = absl::StrCat(connection, "/abort");
  const Fd file(openat(tree.get(), name.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, name);
  if (write(file.get(), "1", 1) != 1) return ErrnoStatus(errno, name);
  return absl::OkStatus();
}

}  // namespace fused::kernel
