#include "kernel/testing/scratch.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernel/mount.h"

namespace fused::kernel {

ScratchDirectory::ScratchDirectory() {
  path_ = absl::StrCat(testing::TempDir(), "/fused.XXXXXX");
  PCHECK(mkdtemp(path_.data()) != nullptr);
  // As the mount table will have it.
  path_ = std::filesystem::canonical(path_).string();
}

ScratchDirectory::~ScratchDirectory() {
  // A dead mount cannot be walked over.
  if (absl::StatusOr<std::vector<MountInfo>> mounts = ListMounts();
      mounts.ok()) {
    for (auto mount = mounts->rbegin(); mount != mounts->rend(); ++mount) {
      if (absl::StartsWith(mount->path, path_)) {
        umount2(mount->path.c_str(), MNT_DETACH);
      }
    }
  }
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string ScratchDirectory::Path(std::string_view name) const {
  return absl::StrCat(path_, "/", name);
}

std::string ScratchDirectory::MakeDirectory(std::string_view name) const {
  std::string path = Path(name);
  PCHECK(mkdir(path.c_str(), 0755) == 0);
  return path;
}

std::string ScratchDirectory::MakeFile(std::string_view name,
                                       std::string_view content) const {
  std::string path = Path(name);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  PCHECK(fd >= 0);
  PCHECK(write(fd, content.data(), content.size()) ==
         static_cast<ssize_t>(content.size()));
  close(fd);
  return path;
}

bool CanMount() {
  if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0) return false;
  static const bool own_namespace =
      unshare(CLONE_NEWNS) == 0 &&
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  return own_namespace;
}

}  // namespace fused::kernel
