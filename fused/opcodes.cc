#include "fused/opcodes.h"

#include <linux/fuse.h>

#include <algorithm>

namespace fused {
namespace {

// Younger than some systems' header.
constexpr uint32_t kStatx = 52;
constexpr uint32_t kCopyFileRange64 = 53;

using enum ServedBy;

constexpr OpcodeRow kRows[] = {
    {FUSE_LOOKUP, "LOOKUP", "LOOKUP", kDaemon},
    {FUSE_FORGET, "FORGET", "-", kTables},
    {FUSE_GETATTR, "GETATTR", "LOOKUP, or handle", kDaemon},
    {FUSE_SETATTR, "SETATTR", "WRITE (size, times), SETATTR, or handle",
     kDaemon},
    {FUSE_READLINK, "READLINK", "- (none exists in media)", kDaemon},
    {FUSE_SYMLINK, "SYMLINK", "SYMLINK (EPERM in media)", kDaemon},
    {FUSE_MKNOD, "MKNOD", "CREATE, or MKNOD (EPERM in media)", kDaemon},
    {FUSE_MKDIR, "MKDIR", "MKDIR", kDaemon},
    {FUSE_UNLINK, "UNLINK", "UNLINK", kDaemon},
    {FUSE_RMDIR, "RMDIR", "RMDIR", kDaemon},
    {FUSE_RENAME, "RENAME", "RENAME_FROM, RENAME_TO, CREATE or MKDIR, UNLINK",
     kDaemon},
    {FUSE_LINK, "LINK", "LINK (EPERM in media)", kDaemon},
    {FUSE_OPEN, "OPEN", "READ, WRITE", kDaemon},
    {FUSE_READ, "READ", "handle", kKernelOnPassthrough},
    {FUSE_WRITE, "WRITE", "handle", kKernelOnPassthrough},
    {FUSE_STATFS, "STATFS", "-", kDaemon},
    {FUSE_RELEASE, "RELEASE", "-", kTables},
    {FUSE_FSYNC, "FSYNC", "handle", kDaemon},
    {FUSE_SETXATTR, "SETXATTR", "- (ENOSYS in media)", kDaemon},
    {FUSE_GETXATTR, "GETXATTR", "- (ENOSYS in media)", kDaemon},
    {FUSE_LISTXATTR, "LISTXATTR", "- (ENOSYS in media)", kDaemon},
    {FUSE_REMOVEXATTR, "REMOVEXATTR", "- (ENOSYS in media)", kDaemon},
    {FUSE_FLUSH, "FLUSH", "-", kTables},
    {FUSE_INIT, "INIT", "-", kConnection},
    {FUSE_OPENDIR, "OPENDIR", "LIST", kDaemon},
    {FUSE_READDIR, "READDIR", "LOOKUP of each name", kDaemon},
    {FUSE_RELEASEDIR, "RELEASEDIR", "-", kTables},
    {FUSE_FSYNCDIR, "FSYNCDIR", "handle", kDaemon},
    {FUSE_GETLK, "GETLK", "handle", kTables},
    {FUSE_SETLK, "SETLK", "handle", kTables},
    {FUSE_SETLKW, "SETLKW", "handle", kTables},
    {FUSE_ACCESS, "ACCESS", "LOOKUP, READ or LIST, WRITE", kTables},
    {FUSE_CREATE, "CREATE", "CREATE, READ, WRITE", kDaemon},
    {FUSE_INTERRUPT, "INTERRUPT", "-", kConnection},
    {FUSE_BMAP, "BMAP", "-", kNobody},
    {FUSE_DESTROY, "DESTROY", "-", kConnection},
    {FUSE_IOCTL, "IOCTL", "handle", kDaemon},
    {FUSE_POLL, "POLL", "-", kNobody},
    {FUSE_NOTIFY_REPLY, "NOTIFY_REPLY", "-", kConnection},
    {FUSE_BATCH_FORGET, "BATCH_FORGET", "-", kTables},
    {FUSE_FALLOCATE, "FALLOCATE", "handle", kDaemon},
    {FUSE_READDIRPLUS, "READDIRPLUS", "LOOKUP of each name", kDaemon},
    {FUSE_RENAME2, "RENAME2", "as RENAME; EXCHANGE both ways", kDaemon},
    {FUSE_LSEEK, "LSEEK", "handle", kDaemon},
    {FUSE_COPY_FILE_RANGE, "COPY_FILE_RANGE", "both handles", kDaemon},
    {FUSE_SETUPMAPPING, "SETUPMAPPING", "-", kNobody},
    {FUSE_REMOVEMAPPING, "REMOVEMAPPING", "-", kNobody},
    {FUSE_SYNCFS, "SYNCFS", "-", kNobody},
    {FUSE_TMPFILE, "TMPFILE", "CREATE, READ, WRITE", kDaemon},
    {kStatx, "STATX", "LOOKUP, or handle", kDaemon},
    {kCopyFileRange64, "COPY_FILE_RANGE_64", "both handles", kDaemon},
};

}  // namespace

absl::Span<const OpcodeRow> OpcodeTable() { return kRows; }

const OpcodeRow* FindOpcode(uint32_t opcode) {
  const auto* const found = std::find_if(
      std::begin(kRows), std::end(kRows),
      [opcode](const OpcodeRow& row) { return row.opcode == opcode; });
  return found == std::end(kRows) ? nullptr : found;
}

}  // namespace fused
