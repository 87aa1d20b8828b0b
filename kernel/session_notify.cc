// What a session tells the kernel of its own accord.
#include <sys/uio.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/core.h"
#include "kernel/libfuse.h"
#include "kernel/session.h"
#include "kernel/status.h"

namespace fused::kernel {

namespace {

fuse_notify_inval_inode_out Inode(NodeId node, bool data) {
  fuse_notify_inval_inode_out out = {};
  out.ino = node;
  out.off = data ? 0 : -1;
  out.len = 0;
  return out;
}

std::string_view Bytes(const fuse_notify_inval_inode_out& out) {
  return {reinterpret_cast<const char*>(&out), sizeof(out)};
}

}  // namespace

absl::StatusOr<bool> Session::NotifyKnown(int code, std::string_view fixed,
                                          std::string_view name) {
  if (!initialized()) return ErrnoStatus(ENOTCONN);
  fuse_out_header header = {};
  header.error = code;
  static constexpr char kTerminator = '\0';
  struct iovec parts[] = {
      {&header, sizeof(header)},
      {const_cast<char*>(fixed.data()), fixed.size()},
      {const_cast<char*>(name.data()), name.size()},
      {const_cast<char*>(&kTerminator), name.empty() ? size_t{0} : 1},
  };
  for (const struct iovec& part : parts) {
    header.len += static_cast<uint32_t>(part.iov_len);
  }
  const int error = core_->Write(parts, 4);
  // Nothing cached under it.
  if (error == 0 || error == ENOENT) return error == 0;
  return ErrnoStatus(error);
}

absl::Status Session::Notify(int code, std::string_view fixed,
                             std::string_view name) {
  return NotifyKnown(code, fixed, name).status();
}

absl::Status Session::InvalidateInode(NodeId node, bool data) {
  return Notify(FUSE_NOTIFY_INVAL_INODE, Bytes(Inode(node, data)), {});
}

absl::StatusOr<bool> Session::DropAttributes(NodeId node) {
  return NotifyKnown(FUSE_NOTIFY_INVAL_INODE, Bytes(Inode(node, false)), {});
}

absl::Status Session::NotifyEntry(NodeId parent, std::string_view name,
                                  uint32_t flags) {
  if (name.empty() || name.size() > NAME_MAX) return ErrnoStatus(EINVAL);
  fuse_notify_inval_entry_out out = {};
  out.parent = parent;
  out.namelen = static_cast<uint32_t>(name.size());
  out.flags = flags;
  return Notify(FUSE_NOTIFY_INVAL_ENTRY,
                {reinterpret_cast<const char*>(&out), sizeof(out)}, name);
}

absl::Status Session::InvalidateEntry(NodeId parent, std::string_view name) {
  return NotifyEntry(parent, name, 0);
}

absl::Status Session::ExpireEntry(NodeId parent, std::string_view name) {
  if (!initialized()) return ErrnoStatus(ENOTCONN);
  return NotifyEntry(parent, name, core_->can_expire ? FUSE_EXPIRE_ONLY : 0);
}

absl::Status Session::IncrementEpoch() {
  if (!initialized()) return ErrnoStatus(ENOTCONN);
  if (!core_->connection.inc_epoch) {
    return absl::UnimplementedError("the kernel has no FUSE_NOTIFY_INC_EPOCH");
  }
  return Notify(FUSE_NOTIFY_INC_EPOCH, {}, {});
}

}  // namespace fused::kernel
