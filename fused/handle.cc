#include "fused/handle.h"

#include <fcntl.h>

#include <algorithm>

#include "kernel/lower.h"

namespace fused {

Intent Intent::FromFlags(int flags) {
  const int mode = flags & O_ACCMODE;
  Intent intent;
  intent.read = mode == O_RDONLY || mode == O_RDWR;
  intent.write = mode == O_WRONLY || mode == O_RDWR;
  // Linux' fourth mode, 3: "check for both, allow ioctl only".
  if (mode == O_ACCMODE) intent.read = intent.write = true;
  intent.truncate = (flags & O_TRUNC) != 0;
  intent.append = (flags & O_APPEND) != 0;
  intent.create = (flags & O_CREAT) != 0;
  return intent;
}

policy::OperationSet Intent::operations() const {
  policy::OperationSet all;
  if (read) all = all | policy::Operation::kRead;
  // An O_RDONLY | O_TRUNC is a write.
  if (write || truncate) all = all | policy::Operation::kWrite;
  if (create) all = all | policy::Operation::kCreate;
  return all;
}

kernel::Access Intent::access() const {
  if (read && write) return kernel::Access::kReadWrite;
  return write ? kernel::Access::kWrite : kernel::Access::kRead;
}

absl::StatusOr<int> Handle::Descriptor() {
  {
    absl::MutexLock lock(&mutex_);
    if (fd_.valid()) return fd_.get();
  }
  absl::StatusOr<Pin> pin = node->lower->Descriptor();
  if (!pin.ok()) return pin.status();
  constexpr int kDone = O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_NOFOLLOW;
  absl::StatusOr<kernel::Fd> fd =
      kernel::Reopen((*pin)->get(), (record.flags & ~kDone) | O_CLOEXEC);
  if (!fd.ok()) return fd.status();
  absl::MutexLock lock(&mutex_);
  // Another request may have been as quick; a descriptor that was handed out
  // must stay.
  if (!fd_.valid()) fd_ = *std::move(fd);
  return fd_.get();
}

void Handle::SetDescriptor(kernel::Fd fd) {
  absl::MutexLock lock(&mutex_);
  fd_ = std::move(fd);
}

void Handle::NoteLockOwner(uint64_t owner) {
  absl::MutexLock lock(&mutex_);
  if (std::find(lock_owners_.begin(), lock_owners_.end(), owner) ==
      lock_owners_.end()) {
    lock_owners_.push_back(owner);
  }
}

std::vector<uint64_t> Handle::lock_owners() const {
  absl::MutexLock lock(&mutex_);
  return std::vector<uint64_t>(lock_owners_.begin(), lock_owners_.end());
}

absl::StatusOr<DirectoryReader*> DirectoryHandle::Reader() {
  if (!reader_.has_value()) {
    absl::StatusOr<kernel::Fd> fd =
        kernel::OpenBeneath(pin_->get(), ".", O_RDONLY | O_DIRECTORY);
    if (!fd.ok()) return fd.status();
    reader_.emplace(*std::move(fd));
  }
  return &*reader_;
}

absl::StatusOr<int> DirectoryHandle::Descriptor() {
  absl::MutexLock lock(&read_mutex);
  absl::StatusOr<DirectoryReader*> reader = Reader();
  if (!reader.ok()) return reader.status();
  return (*reader)->descriptor();
}

}  // namespace fused
