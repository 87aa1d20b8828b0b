#include "fused/media/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fused/directory_reader.h"
#include "kernel/fd.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused::media {
namespace {

// Each level keeps a descriptor.
constexpr size_t kDeepest = 512;

struct Level {
  DirectoryReader reader;
  std::string path;
};

unsigned char TypeOf(int directory, const std::string& name,
                     unsigned char told) {
  if (told != DT_UNKNOWN) return told;
  absl::StatusOr<struct stat> stat = kernel::StatChild(directory, name.c_str());
  return stat.ok() ? IFTODT(stat->st_mode) : told;
}

class Walker {
 public:
  Walker(const std::atomic<bool>& stop,
         absl::FunctionRef<void(const Walked&)> visit)
      : stop_(stop), visit_(visit) {}

  bool Go(int root) {
    Enter(kernel::OpenBeneath(root, ".", O_RDONLY | O_DIRECTORY), "");
    while (!levels_.empty()) {
      if (stop_.load(std::memory_order_relaxed)) return false;
      Step();
    }
    return complete_;
  }

 private:
  void Enter(absl::StatusOr<kernel::Fd> fd, std::string path) {
    if (!fd.ok()) {
      // What is gone needs no visit.
      if (!kernel::IsErrno(fd.status(), ENOENT)) complete_ = false;
      return;
    }
    levels_.push_back(std::make_unique<Level>(
        Level{DirectoryReader(*std::move(fd)), std::move(path)}));
  }

  void Step() {
    Level& level = *levels_.back();
    absl::StatusOr<DirectoryName> next = level.reader.Peek();
    if (!next.ok() || next->name == nullptr) {
      if (!next.ok()) complete_ = false;
      levels_.pop_back();
      return;
    }
    const std::string name = next->name;
    const unsigned char told = next->type;
    level.reader.Pop();
    if (name == "." || name == "..") return;
    const int directory = level.reader.descriptor();
    const unsigned char type = TypeOf(directory, name, told);
    if (type == DT_REG) visit_({directory, level.path, name});
    if (type != DT_DIR) return;
    if (levels_.size() >= kDeepest) {
      complete_ = false;
      return;
    }
    std::string path =
        level.path.empty() ? name : absl::StrCat(level.path, "/", name);
    Enter(kernel::OpenChild(directory, name.c_str(), O_RDONLY | O_DIRECTORY),
          std::move(path));
  }

  const std::atomic<bool>& stop_;
  const absl::FunctionRef<void(const Walked&)> visit_;
  std::vector<std::unique_ptr<Level>> levels_;
  bool complete_ = true;
};

}  // namespace

bool Walk(int root, const std::atomic<bool>& stop,
          absl::FunctionRef<void(const Walked&)> visit) {
  return Walker(stop, visit).Go(root);
}

}  // namespace fused::media
