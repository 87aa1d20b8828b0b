// A directory of a test's own, below $TEST_TMPDIR, which goes with it.
#ifndef FUSED_KERNEL_TESTING_SCRATCH_H_
#define FUSED_KERNEL_TESTING_SCRATCH_H_

#include <string>
#include <string_view>

namespace fused::kernel {

// What is mounted below it is unmounted first.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory();

  const std::string& path() const { return path_; }
  // "PATH/NAME".
  std::string Path(std::string_view name) const;
  // Makes a directory and gives its path.
  std::string MakeDirectory(std::string_view name) const;
  // Makes a file that holds `content` and gives its path.
  std::string MakeFile(std::string_view name, std::string_view content) const;

 private:
  std::string path_;
};

// Whether real mounts can be made here: as root, with /dev/fuse. The first call
// moves the process into a mount namespace of its own, so that no mount
// outlives it; to be made before there are other threads.
bool CanMount();

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TESTING_SCRATCH_H_
