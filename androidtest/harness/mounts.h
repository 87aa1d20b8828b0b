// Mounts that tests make, and those that they look for.
#ifndef FUSED_ANDROIDTEST_HARNESS_MOUNTS_H_
#define FUSED_ANDROIDTEST_HARNESS_MOUNTS_H_

#include <string>
#include <string_view>
#include <vector>

namespace fused::androidtest {

struct MountLine {
  std::string path;
  std::string type;
  std::string source;
  std::string options;
};

// As the text of a mountinfo file tells them.
std::vector<MountLine> ParseMountInfo(std::string_view text);
// Those at `path` and below it, in mount order.
std::vector<MountLine> MountsBelow(std::string_view path);

// Gives this process a mount namespace of its own, which dies with it and with
// the processes that it started: no test leaves a mount behind.
bool EnterMountNamespace();

bool MountTmpfs(const std::string& path);
// Makes the directories it needs in `scratch`, which an overlayfs may lie in.
bool MountOverlay(const std::string& scratch, const std::string& path);
bool BindMount(const std::string& from, const std::string& to);
// Lazily, last one first.
void UnmountBelow(std::string_view path);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_MOUNTS_H_
