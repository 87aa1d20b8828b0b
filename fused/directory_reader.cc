#include "fused/directory_reader.h"

#include <dirent.h>
#include <unistd.h>

#include <cerrno>

#include "kernel/status.h"

namespace fused {
namespace {

constexpr size_t kBufferSize = 32 << 10;

const dirent64& EntryAt(const std::vector<char>& buffer, size_t position) {
  return *reinterpret_cast<const dirent64*>(buffer.data() + position);
}

}  // namespace

absl::Status DirectoryReader::Seek(off_t offset) {
  if (offset == offset_ && offset != 0) return absl::OkStatus();
  if (lseek(fd_.get(), offset, SEEK_SET) < 0) return kernel::ErrnoStatus(errno);
  position_ = filled_ = 0;
  offset_ = offset;
  return absl::OkStatus();
}

absl::StatusOr<DirectoryName> DirectoryReader::Peek() {
  if (position_ == filled_) {
    buffer_.resize(kBufferSize);
    const ssize_t got = getdents64(fd_.get(), buffer_.data(), buffer_.size());
    if (got < 0) return kernel::ErrnoStatus(errno);
    position_ = 0;
    filled_ = static_cast<size_t>(got);
    if (got == 0) return DirectoryName{};
  }
  const dirent64& entry = EntryAt(buffer_, position_);
  return DirectoryName{.name = entry.d_name,
                       .inode = entry.d_ino,
                       .type = entry.d_type,
                       .next = entry.d_off};
}

void DirectoryReader::Pop() {
  if (position_ == filled_) return;
  const dirent64& entry = EntryAt(buffer_, position_);
  offset_ = entry.d_off;
  position_ += entry.d_reclen;
}

}  // namespace fused
