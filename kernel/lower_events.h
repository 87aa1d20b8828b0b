// Tells what is changed in a file system, by whatever process (fanotify(7)).
#ifndef FUSED_KERNEL_LOWER_EVENTS_H_
#define FUSED_KERNEL_LOWER_EVENTS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"
#include "kernel/lower.h"

namespace fused::kernel {

// One change.
struct LowerEvent {
  enum class Kind {
    // A name was made; removed; moved away; moved there.
    kMade,
    kRemoved,
    kMovedFrom,
    kMovedTo,
    // Attributes changed, or what was open for writing was closed.
    kChanged,
    // There were more than could be kept: anything may have changed.
    kLost,
  };
  Kind kind = Kind::kLost;
  bool is_directory = false;
  // Where the name is. Not of kChanged.
  std::optional<FileHandle> directory;
  std::string name;
  // What it is about, where the kernel tells.
  std::optional<FileHandle> object;
};

// The parts of the kernel's report of one change: several kinds may stand in
// one mask. Nothing where the report makes no sense.
std::vector<LowerEvent> ParseLowerEvents(std::string_view report);

// Thread-compatible.
class LowerEvents {
 public:
  // Of the file system that `root` lies in. Errors say what it lacks.
  static absl::StatusOr<std::unique_ptr<LowerEvents>> Open(int root);

  // What is closed after writing on the mount that `root` lies in is not told
  // of any more: where it is this process's alone, it writes, or has the kernel
  // write for others, what it knows of. An error: it goes on being told.
  absl::Status LeaveOutWritesOn(int root);

  // Readable while there are events.
  int descriptor() const { return fd_.get(); }

  // Gives what there is, oldest first, and does not wait; nothing of what the
  // process `except` did, as the reader's pid namespace knows it, unless that
  // is 0. False: there was nothing at all.
  bool Read(pid_t except, const std::function<void(const LowerEvent&)>& take);

 private:
  explicit LowerEvents(Fd fd) : fd_(std::move(fd)) {}

  const Fd fd_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_LOWER_EVENTS_H_
