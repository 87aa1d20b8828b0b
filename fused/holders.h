// Who has a file open or mapped.
#ifndef FUSED_FUSED_HOLDERS_H_
#define FUSED_FUSED_HOLDERS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace fused {

// A file as processes see it, by one mount, and the uid whose processes are
// asked for.
struct HeldFile {
  dev_t device = 0;
  ino_t inode = 0;
  uid_t uid = 0;
};

// For each file the processes of its uid, by real uid, of which a thread has it
// open or mapped; ascending. Looks through `proc` without asking any file
// system.
std::vector<std::vector<pid_t>> FindHolders(absl::Span<const HeldFile> files,
                                            const std::string& proc = "/proc");

// Kills the processes that still hold one of the files, each by a descriptor
// that is no other's when its number has been given anew, and those that they
// have made meanwhile. Returns how many.
uint64_t KillHolders(absl::Span<const HeldFile> files);

}  // namespace fused

#endif  // FUSED_FUSED_HOLDERS_H_
