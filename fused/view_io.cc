// What the daemon does with an open file's bytes: for handles that the kernel
// does not serve, and for the operations that it never serves.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "fused/errors.h"
#include "fused/identity.h"
#include "fused/redaction.h"
#include "fused/view.h"
#include "kernel/lower.h"

namespace fused {
namespace {

// The most that one READ asks for.
constexpr size_t kMaxRead = 1 << 20;

// Where O_DIRECT descriptors want their bytes.
constexpr size_t kAlignment = 4096;

// One a thread, kept: reading makes no allocation.
char* ReadBuffer() {
  thread_local std::vector<char> buffer(kMaxRead + kAlignment);
  void* start = buffer.data();
  size_t space = buffer.size();
  return static_cast<char*>(std::align(kAlignment, kMaxRead, start, space));
}

}  // namespace

absl::StatusOr<std::shared_ptr<Handle>> View::FileFor(kernel::HandleId handle,
                                                      bool write) const {
  std::shared_ptr<Handle> found = files_.Find(handle);
  if (found == nullptr) return BadHandle();
  const Intent& intent = found->record.intent;
  if (write ? !intent.write : !intent.read) return BadHandle();
  const absl::Status status = Recheck(*found);
  if (!status.ok()) return status;
  return found;
}

// For the writes that the kernel sends without saying whether the caller may
// keep the set-id bits.
absl::Status View::ClearSetIdUnlessRoot(const kernel::Caller& caller,
                                        int fd) const {
  if (!posix() || caller.uid == 0) return absl::OkStatus();
  return ClearSetId(caller, fd);
}

void View::Read(const kernel::Caller& caller, kernel::NodeId node,
                kernel::HandleId handle_id, size_t size, off_t offset,
                kernel::DataReply reply) {
  absl::StatusOr<std::shared_ptr<Handle>> handle = FileFor(handle_id, false);
  if (!handle.ok()) return reply.Error(handle.status());
  absl::StatusOr<int> fd = (*handle)->Descriptor();
  if (!fd.ok()) return reply.Error(fd.status());
  char* const buffer = ReadBuffer();
  const size_t wanted = std::min(size, kMaxRead);
  if ((*handle)->redacted()) {
    absl::StatusOr<size_t> got = ReadRedacted(
        *(*handle)->node->lower, *fd, offset, absl::MakeSpan(buffer, wanted));
    if (!got.ok()) return reply.Error(got.status());
    return reply.Send({buffer, *got});
  }
  size_t done = 0;
  while (done < wanted) {
    const ssize_t got = pread(*fd, buffer + done, wanted - done,
                              offset + static_cast<off_t>(done));
    if (got < 0) {
      if (errno == EINTR) continue;
      if (done > 0) break;
      return reply.Error(kernel::ErrnoStatus(errno));
    }
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  reply.Send({buffer, done});
}

void View::Write(const kernel::Caller& caller, kernel::NodeId node,
                 kernel::HandleId handle_id, std::string_view data,
                 off_t offset, bool kill_suidgid, kernel::WriteReply reply) {
  absl::StatusOr<std::shared_ptr<Handle>> handle = FileFor(handle_id, true);
  if (!handle.ok()) return reply.Error(handle.status());
  absl::StatusOr<int> fd = (*handle)->Descriptor();
  if (!fd.ok()) return reply.Error(fd.status());
  if ((*handle)->record.flags & O_DIRECT) {
    // The packet's bytes are not aligned as the lower file wants them.
    char* const buffer = ReadBuffer();
    if (data.size() <= kMaxRead) {
      std::memcpy(buffer, data.data(), data.size());
      data = {buffer, data.size()};
    }
  }
  size_t done = 0;
  while (done < data.size()) {
    // With O_APPEND the lower file system appends, whatever the offset: the
    // size that the app's kernel knows may be old.
    const ssize_t put = pwrite(*fd, data.data() + done, data.size() - done,
                               offset + static_cast<off_t>(done));
    if (put < 0) {
      if (errno == EINTR) continue;
      if (done > 0) break;
      return reply.Error(kernel::ErrnoStatus(errno));
    }
    done += static_cast<size_t>(put);
  }
  const LowerNode& lower = *(*handle)->node->lower;
  if (kill_suidgid && posix()) {
    const absl::Status status = ClearSetId(caller, *fd);
    if (!status.ok()) return reply.Error(status);
  }
  InvalidateElsewhere(lower, node, false);
  reply.Send(done);
}

void View::Fsync(const kernel::Caller& caller, kernel::NodeId node,
                 kernel::HandleId handle_id, bool data_only,
                 kernel::StatusReply reply) {
  const std::shared_ptr<Handle> handle = files_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  absl::StatusOr<int> fd = handle->Descriptor();
  if (!fd.ok()) return reply.Error(fd.status());
  if ((data_only ? fdatasync(*fd) : fsync(*fd)) != 0) {
    return reply.Error(kernel::ErrnoStatus(errno));
  }
  reply.Ok();
}

void View::Fallocate(const kernel::Caller& caller, kernel::NodeId node,
                     kernel::HandleId handle_id, int mode, off_t offset,
                     off_t length, kernel::StatusReply reply) {
  absl::StatusOr<std::shared_ptr<Handle>> handle = FileFor(handle_id, true);
  if (!handle.ok()) return reply.Error(handle.status());
  absl::StatusOr<int> fd = (*handle)->Descriptor();
  if (!fd.ok()) return reply.Error(fd.status());
  if (fallocate(*fd, mode, offset, length) != 0) {
    return reply.Error(kernel::ErrnoStatus(errno));
  }
  const absl::Status cleared = ClearSetIdUnlessRoot(caller, *fd);
  if (!cleared.ok()) return reply.Error(cleared);
  InvalidateElsewhere(*(*handle)->node->lower, node, true);
  reply.Ok();
}

void View::Lseek(const kernel::Caller& caller, kernel::NodeId node,
                 kernel::HandleId handle_id, off_t offset, int whence,
                 kernel::LseekReply reply) {
  const std::shared_ptr<Handle> handle = files_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    return reply.Error(Invalid());
  }
  const absl::Status status = Recheck(*handle);
  if (!status.ok()) return reply.Error(status);
  absl::StatusOr<int> fd = handle->Descriptor();
  if (!fd.ok()) return reply.Error(fd.status());
  const off_t found = lseek(*fd, offset, whence);
  if (found < 0) return reply.Error(kernel::ErrnoStatus(errno));
  reply.Send(found);
}

void View::CopyFileRange(const kernel::Caller& caller, kernel::NodeId node_in,
                         kernel::HandleId handle_in, off_t offset_in,
                         kernel::NodeId node_out, kernel::HandleId handle_out,
                         off_t offset_out, size_t length,
                         kernel::WriteReply reply) {
  absl::StatusOr<std::shared_ptr<Handle>> from = FileFor(handle_in, false);
  if (!from.ok()) return reply.Error(from.status());
  absl::StatusOr<std::shared_ptr<Handle>> to = FileFor(handle_out, true);
  if (!to.ok()) return reply.Error(to.status());
  // The kernel copies then, and for good: by reading and writing, which are its
  // own on passthrough, and spare a request and two descriptors a file.
  if ((*from)->backing.valid() && (*to)->backing.valid() &&
      (*to)->node->lower->tree().copies_bytes()) {
    return reply.Error(kernel::ErrnoStatus(ENOSYS));
  }
  // The kernel reads then, which is redacted.
  if ((*from)->redacted()) return reply.Error(CrossDevice());
  if ((*to)->record.intent.append) return reply.Error(BadHandle());
  absl::StatusOr<int> fd_in = (*from)->Descriptor();
  if (!fd_in.ok()) return reply.Error(fd_in.status());
  absl::StatusOr<int> fd_out = (*to)->Descriptor();
  if (!fd_out.ok()) return reply.Error(fd_out.status());
  // The answer's field is 32 bits wide.
  constexpr size_t kMost = 1u << 30;
  const ssize_t copied = copy_file_range(
      *fd_in, &offset_in, *fd_out, &offset_out, std::min(length, kMost), 0);
  if (copied < 0) return reply.Error(kernel::ErrnoStatus(errno));
  const absl::Status cleared = ClearSetIdUnlessRoot(caller, *fd_out);
  if (!cleared.ok()) return reply.Error(cleared);
  InvalidateElsewhere(*(*to)->node->lower, node_out, true);
  reply.Send(static_cast<size_t>(copied));
}

void View::Ioctl(const kernel::Caller& caller, kernel::NodeId node,
                 kernel::HandleId handle_id, uint32_t command, bool directory,
                 std::string_view input, size_t output_size,
                 kernel::IoctlReply reply) {
  // The harmless few: they tell of the file, or of its allocation, and change
  // nothing.
  if (directory || (command != FS_IOC_GETFLAGS &&
                    command != FS_IOC_GETVERSION && command != FIGETBSZ)) {
    return reply.Error(NotThatIoctl());
  }
  const std::shared_ptr<Handle> handle = files_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  absl::StatusOr<int> fd = handle->Descriptor();
  if (!fd.ok()) return reply.Error(fd.status());
  // The kernel's types are long for two of them by name, int by deed.
  long value = 0;  // NOLINT(google-runtime-int)
  const int result = ioctl(*fd, command, &value);
  if (result < 0) return reply.Error(kernel::ErrnoStatus(errno));
  const char* const bytes = reinterpret_cast<const char*>(&value);
  reply.Send(result, {bytes, std::min(output_size, sizeof(value))});
}

void View::Poll(const kernel::Caller& caller, kernel::NodeId node,
                kernel::HandleId handle, kernel::PollReply reply) {
  // Regular files are always ready: the kernel knows, once it is told so, for
  // the whole connection. An answer would bring a request for each poll, which
  // io_uring makes by the hundred for a write.
  reply.Error(NotImplemented());
}

}  // namespace fused
