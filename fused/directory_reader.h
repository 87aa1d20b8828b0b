// Reads the names of a lower directory.
#ifndef FUSED_FUSED_DIRECTORY_READER_H_
#define FUSED_FUSED_DIRECTORY_READER_H_

#include <sys/types.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused {

// One name, as the lower directory has it.
struct DirectoryName {
  const char* name = nullptr;  // lives until the next call of the reader
  ino_t inode = 0;
  // DT_* of dirent.h; DT_UNKNOWN where the lower file system does not say.
  unsigned char type = 0;
  // Where the next one is: for Seek().
  off_t next = 0;
};

// Not thread-safe.
class DirectoryReader {
 public:
  // `fd` is a directory opened for reading, at its start.
  explicit DirectoryReader(kernel::Fd fd) : fd_(std::move(fd)) {}

  int descriptor() const { return fd_.get(); }

  // Makes Peek() give the name that follows `offset`; 0 is the start.
  absl::Status Seek(off_t offset);

  // The next name, which stays the next until Pop(); a null name at the end.
  absl::StatusOr<DirectoryName> Peek();
  void Pop();

 private:
  kernel::Fd fd_;
  std::vector<char> buffer_;
  size_t position_ = 0;
  size_t filled_ = 0;
  off_t offset_ = 0;
};

}  // namespace fused

#endif  // FUSED_FUSED_DIRECTORY_READER_H_
