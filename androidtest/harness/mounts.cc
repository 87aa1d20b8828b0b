#include "androidtest/harness/mounts.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "androidtest/harness/files.h"

namespace fused::androidtest {

std::vector<MountLine> ParseMountInfo(std::string_view text) {
  std::vector<MountLine> mounts;
  for (std::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string_view, std::string_view> halves =
        absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    const std::vector<std::string> first = absl::StrSplit(halves.first, ' ');
    const std::vector<std::string> second = absl::StrSplit(halves.second, ' ');
    if (first.size() < 6 || second.size() < 3) continue;
    mounts.push_back({.path = first[4],
                      .type = second[0],
                      .source = second[1],
                      .options = first[5]});
  }
  return mounts;
}

std::vector<MountLine> MountsBelow(std::string_view path) {
  std::vector<MountLine> found;
  for (MountLine& mount : ParseMountInfo(ReadFile("/proc/self/mountinfo"))) {
    if (mount.path == path ||
        absl::StartsWith(mount.path, absl::StrCat(path, "/"))) {
      found.push_back(std::move(mount));
    }
  }
  return found;
}

bool EnterMountNamespace() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

bool MountTmpfs(const std::string& path) {
  return mount("tmpfs", path.c_str(), "tmpfs", 0, "mode=0755") == 0;
}

bool MountOverlay(const std::string& scratch, const std::string& path) {
  const std::string lower = absl::StrCat(scratch, "/overlay_lower");
  const std::string upper = absl::StrCat(scratch, "/overlay_upper");
  const std::string work = absl::StrCat(scratch, "/overlay_work");
  for (const std::string& directory : {lower, upper, work}) {
    if (mkdir(directory.c_str(), 0755) != 0) return false;
  }
  const std::string options =
      absl::StrCat("lowerdir=", lower, ",upperdir=", upper, ",workdir=", work);
  return mount("overlay", path.c_str(), "overlay", 0, options.c_str()) == 0;
}

bool BindMount(const std::string& from, const std::string& to) {
  return mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0;
}

void UnmountBelow(std::string_view path) {
  const std::vector<MountLine> mounts = MountsBelow(path);
  for (auto it = mounts.rbegin(); it != mounts.rend(); ++it) {
    umount2(it->path.c_str(), MNT_DETACH);
  }
}

}  // namespace fused::androidtest
