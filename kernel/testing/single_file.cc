#include "kernel/testing/single_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernel/backing.h"
#include "kernel/lower.h"
#include "kernel/reply.h"
#include "kernel/status.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

Access AccessOf(int flags) {
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return Access::kRead;
    case O_WRONLY:
      return Access::kWrite;
    default:
      return Access::kReadWrite;
  }
}

}  // namespace

Attributes SingleFile::AttributesOf(NodeId node) const {
  Attributes attributes;
  if (node == kRootNode) {
    attributes.stat.st_mode = S_IFDIR | 0755;
    attributes.stat.st_nlink = 2;
  } else if (fstat(lower_.get(), &attributes.stat) != 0) {
    attributes.stat.st_mode = S_IFREG;
  }
  attributes.stat.st_ino = node;
  return attributes;
}

void SingleFile::Lookup(const Caller&, NodeId parent, const char* name,
                        EntryReply reply) {
  if (parent != kRootNode || std::string_view(name) != "file") {
    reply.Error(ErrnoStatus(ENOENT));
    return;
  }
  Entry entry;
  entry.node = kFileNode;
  entry.attributes = AttributesOf(kFileNode);
  (void)reply.Send(entry);
}

void SingleFile::GetAttributes(const Caller&, NodeId node,
                               std::optional<HandleId>, AttributesReply reply) {
  reply.Send(AttributesOf(node));
}

void SingleFile::Open(const Caller&, NodeId node, const OpenRequest& request,
                      OpenReply reply) {
  const kernel::Access access = AccessOf(request.flags);
  BackingRef backing;
  if (Session* session = session_.load()) {
    absl::StatusOr<BackingRef> acquired =
        session->backing().Acquire(node, lower_.get());
    if (acquired.ok()) {
      backing = *std::move(acquired);
    } else {
      absl::MutexLock lock(&mu_);
      refusal_ = acquired.status();
    }
  }
  const bool passthrough = backing.valid();
  (passthrough ? passthrough_opens_ : daemon_opens_).fetch_add(1);
  HandleId handle;
  OpenFlags flags = OpenFlags::Daemon(0, access);
  {
    absl::MutexLock lock(&mu_);
    handle = next_handle_++;
    flags = passthrough ? OpenFlags::Passthrough(handle, backing, access)
                        : OpenFlags::Daemon(handle, access);
    handles_[handle] = std::move(backing);
  }
  if (reply.Send(flags)) return;
  absl::MutexLock lock(&mu_);
  handles_.erase(handle);
}

void SingleFile::Read(const Caller&, NodeId, HandleId, size_t size,
                      off_t offset, DataReply reply) {
  std::string data(size, '\0');
  const ssize_t got = pread(lower_.get(), data.data(), size, offset);
  if (got < 0) {
    reply.Error(ErrnoStatus(errno));
    return;
  }
  data.resize(static_cast<size_t>(got));
  reply.Send(data);
}

void SingleFile::Write(const Caller&, NodeId, HandleId, std::string_view data,
                       off_t offset, bool, WriteReply reply) {
  const ssize_t put = pwrite(lower_.get(), data.data(), data.size(), offset);
  if (put < 0) {
    reply.Error(ErrnoStatus(errno));
    return;
  }
  reply.Send(static_cast<size_t>(put));
}

void SingleFile::Release(NodeId, HandleId handle, std::optional<uint64_t>,
                         StatusReply reply) {
  BackingRef released;
  {
    absl::MutexLock lock(&mu_);
    auto found = handles_.find(handle);
    if (found != handles_.end()) {
      released = std::move(found->second);
      handles_.erase(found);
    }
  }
  released.Reset();
  reply.Ok();
}

void SingleFile::Destroy() {
  {
    absl::MutexLock lock(&mu_);
    handles_.clear();
  }
  FakeOperations::Destroy();
}

}  // namespace fused::kernel
