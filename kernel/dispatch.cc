#include "kernel/dispatch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "kernel/core.h"
#include "kernel/libfuse.h"
#include "kernel/negotiate.h"
#include "kernel/operations.h"
#include "kernel/reply.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

// One request's way to its method.
struct Context {
  explicit Context(fuse_req_t req)
      : core(static_cast<SessionCore*>(fuse_req_userdata(req))),
        operations(core->operations()) {
    const fuse_ctx* ctx = fuse_req_ctx(req);
    caller = {ctx->uid, ctx->gid, ctx->pid, ctx->umask};
  }

  SessionCore* core;
  Operations* operations;
  Caller caller;
};

std::optional<HandleId> HandleIn(const fuse_file_info* info) {
  if (info == nullptr) return std::nullopt;
  return info->fh;
}

OpenRequest ToOpenRequest(const fuse_file_info* info) {
  OpenRequest request;
  request.flags = info->flags & (kOpenFlags | O_EXCL);
  request.kill_suidgid = info->kill_suidgid != 0;
  return request;
}

LockRequest ToLockRequest(const fuse_file_info* info,
                          const struct flock* lock) {
  LockRequest request;
  request.owner = info->lock_owner;
  request.range.type = lock->l_type;
  request.range.start = static_cast<uint64_t>(lock->l_start);
  request.range.length = static_cast<uint64_t>(lock->l_len);
  request.range.pid = lock->l_pid;
  return request;
}

void DoStatx(fuse_req_t req, fuse_ino_t node, int flags, int mask,
             fuse_file_info* info) {
  const Context c(req);
  c.operations->Statx(c.caller, node, HandleIn(info),
                      static_cast<uint32_t>(flags), static_cast<uint32_t>(mask),
                      StatxReply(req, c.core));
}

void DoReadlink(fuse_req_t req, fuse_ino_t node) {
  const Context c(req);
  c.operations->Readlink(c.caller, node, ReadlinkReply(req, c.core));
}

void DoSymlink(fuse_req_t req, const char* target, fuse_ino_t parent,
               const char* name) {
  const Context c(req);
  c.operations->Symlink(c.caller, target, parent, name,
                        EntryReply(req, c.core));
}

void DoMknod(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
             dev_t device) {
  const Context c(req);
  c.operations->Mknod(c.caller, parent, name, mode, device,
                      EntryReply(req, c.core));
}

void DoLink(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent,
            const char* new_name) {
  const Context c(req);
  c.operations->Link(c.caller, node, new_parent, new_name,
                     EntryReply(req, c.core));
}

void DoTmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
               fuse_file_info* info) {
  const Context c(req);
  c.operations->Tmpfile(c.caller, parent, mode, ToOpenRequest(info),
                        CreateReply(req, c.core));
}

void DoRead(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
            fuse_file_info* info) {
  const Context c(req);
  c.operations->Read(c.caller, node, info->fh, size, offset,
                     DataReply(req, c.core, size));
}

void DoWrite(fuse_req_t req, fuse_ino_t node, const char* data, size_t size,
             off_t offset, fuse_file_info* info) {
  const Context c(req);
  c.operations->Write(c.caller, node, info->fh, std::string_view(data, size),
                      offset, info->kill_suidgid != 0, WriteReply(req, c.core));
}

void DoFsync(fuse_req_t req, fuse_ino_t node, int data_only,
             fuse_file_info* info) {
  const Context c(req);
  c.operations->Fsync(c.caller, node, info->fh, data_only != 0,
                      StatusReply(req, c.core));
}

void DoFsyncdir(fuse_req_t req, fuse_ino_t node, int data_only,
                fuse_file_info* info) {
  const Context c(req);
  c.operations->FsyncDirectory(c.caller, node, info->fh, data_only != 0,
                               StatusReply(req, c.core));
}

void DoStatfs(fuse_req_t req, fuse_ino_t node) {
  const Context c(req);
  c.operations->Statfs(c.caller, node, StatfsReply(req, c.core));
}

void DoAccess(fuse_req_t req, fuse_ino_t node, int mask) {
  const Context c(req);
  c.operations->Access(c.caller, node, mask, StatusReply(req, c.core));
}

void DoSetxattr(fuse_req_t req, fuse_ino_t node, const char* name,
                const char* value, size_t size, int flags) {
  const Context c(req);
  c.operations->SetXattr(c.caller, node, name, std::string_view(value, size),
                         flags, StatusReply(req, c.core));
}

void DoGetxattr(fuse_req_t req, fuse_ino_t node, const char* name,
                size_t size) {
  const Context c(req);
  c.operations->GetXattr(c.caller, node, name, size,
                         XattrReply(req, c.core, size));
}

void DoListxattr(fuse_req_t req, fuse_ino_t node, size_t size) {
  const Context c(req);
  c.operations->ListXattr(c.caller, node, size, XattrReply(req, c.core, size));
}

void DoRemovexattr(fuse_req_t req, fuse_ino_t node, const char* name) {
  const Context c(req);
  c.operations->RemoveXattr(c.caller, node, name, StatusReply(req, c.core));
}

void DoGetlk(fuse_req_t req, fuse_ino_t node, fuse_file_info* info,
             struct flock* lock) {
  const Context c(req);
  c.operations->GetLock(c.caller, node, info->fh, ToLockRequest(info, lock),
                        LockReply(req, c.core));
}

void DoSetlk(fuse_req_t req, fuse_ino_t node, fuse_file_info* info,
             struct flock* lock, int wait) {
  const Context c(req);
  c.operations->SetLock(c.caller, node, info->fh, ToLockRequest(info, lock),
                        wait != 0, StatusReply(req, c.core));
}

void DoFlock(fuse_req_t req, fuse_ino_t node, fuse_file_info* info,
             int operation) {
  const Context c(req);
  c.operations->Flock(c.caller, node, info->fh, info->lock_owner, operation,
                      StatusReply(req, c.core));
}

void DoFallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t offset,
                 off_t length, fuse_file_info* info) {
  const Context c(req);
  c.operations->Fallocate(c.caller, node, info->fh, mode, offset, length,
                          StatusReply(req, c.core));
}

void DoLseek(fuse_req_t req, fuse_ino_t node, off_t offset, int whence,
             fuse_file_info* info) {
  const Context c(req);
  c.operations->Lseek(c.caller, node, info->fh, offset, whence,
                      LseekReply(req, c.core));
}

void DoCopyFileRange(fuse_req_t req, fuse_ino_t node_in, off_t offset_in,
                     fuse_file_info* info_in, fuse_ino_t node_out,
                     off_t offset_out, fuse_file_info* info_out, size_t length,
                     int flags) {
  // None is defined.
  if (flags != 0) {
    fuse_reply_err(req, EINVAL);
    return;
  }
  const Context c(req);
  c.operations->CopyFileRange(c.caller, node_in, info_in->fh, offset_in,
                              node_out, info_out->fh, offset_out, length,
                              WriteReply(req, c.core));
}

void DoIoctl(fuse_req_t req, fuse_ino_t node, unsigned command, void* /*arg*/,
             fuse_file_info* info, unsigned flags, const void* input,
             size_t input_size, size_t output_size) {
  // An unrestricted one may read and write all of the caller's memory; the
  // kernel allows it to CUSE alone.
  if ((flags & FUSE_IOCTL_UNRESTRICTED) != 0) {
    fuse_reply_err(req, ENOTTY);
    return;
  }
  const Context c(req);
  const std::string_view bytes =
      input == nullptr
          ? std::string_view()
          : std::string_view(static_cast<const char*>(input), input_size);
  c.operations->Ioctl(c.caller, node, info->fh, command,
                      (flags & FUSE_IOCTL_DIR) != 0, bytes, output_size,
                      IoctlReply(req, c.core, output_size));
}

void DoPoll(fuse_req_t req, fuse_ino_t node, fuse_file_info* info,
            fuse_pollhandle* handle) {
  // Files of a lower tree are always ready: nobody is ever woken later.
  if (handle != nullptr) fuse_pollhandle_destroy(handle);
  const Context c(req);
  c.operations->Poll(c.caller, node, info->fh, PollReply(req, c.core));
}

// A block device's business; ENOSYS makes the kernel stop asking.
void DoBmap(fuse_req_t req, fuse_ino_t /*node*/, size_t /*block_size*/,
            uint64_t /*index*/) {
  fuse_reply_err(req, ENOSYS);
}

// What kernel/direct.h serves never comes here. Destroy stays null: the session
// answers FUSE_DESTROY itself, when the last thread has left. So do write_buf
// and retrieve_reply: no splicing, no retrieving.
fuse_lowlevel_ops MakeTable() {
  fuse_lowlevel_ops ops = {};
  ops.init = Negotiate;
  ops.statx = DoStatx;
  ops.readlink = DoReadlink;
  ops.symlink = DoSymlink;
  ops.mknod = DoMknod;
  ops.link = DoLink;
  ops.tmpfile = DoTmpfile;
  ops.read = DoRead;
  ops.write = DoWrite;
  ops.fsync = DoFsync;
  ops.fsyncdir = DoFsyncdir;
  ops.statfs = DoStatfs;
  ops.access = DoAccess;
  ops.setxattr = DoSetxattr;
  ops.getxattr = DoGetxattr;
  ops.listxattr = DoListxattr;
  ops.removexattr = DoRemovexattr;
  ops.getlk = DoGetlk;
  ops.setlk = DoSetlk;
  ops.flock = DoFlock;
  ops.fallocate = DoFallocate;
  ops.lseek = DoLseek;
  ops.copy_file_range = DoCopyFileRange;
  ops.ioctl = DoIoctl;
  ops.poll = DoPoll;
  ops.bmap = DoBmap;
  return ops;
}

}  // namespace

const fuse_lowlevel_ops& DispatchTable() {
  static const fuse_lowlevel_ops table = MakeTable();
  return table;
}

}  // namespace fused::kernel
