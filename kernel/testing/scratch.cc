#include "kernel/testing/scratch.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"

namespace fused::kernel {
namespace {

int Remove(const char* path, const struct stat*, int, struct FTW*) {
  return remove(path);
}

// A dead mount cannot be walked over, so mounts go before the walk.
int Unmount(const char* path, const struct stat*, int type, struct FTW*) {
  if (type != FTW_F) {
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
  }
  return 0;
}

}  // namespace

ScratchDirectory::ScratchDirectory() {
  const char* base = std::getenv("TEST_TMPDIR");
  path_ = absl::StrCat(base == nullptr ? "/tmp" : base, "/fused.XXXXXX");
  PCHECK(mkdtemp(path_.data()) != nullptr);
}

ScratchDirectory::~ScratchDirectory() {
  nftw(path_.c_str(), Unmount, 16, FTW_PHYS | FTW_MOUNT);
  nftw(path_.c_str(), Remove, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
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
  return geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0;
}

}  // namespace fused::kernel
