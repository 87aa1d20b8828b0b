#include "kernel/dispatch.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

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

OpenRequest ToOpenRequest(const fuse_file_info* info, int more) {
  OpenRequest request;
  request.flags = info->flags & (kOpenFlags | more);
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

SetAttributes ToSetAttributes(const struct stat& stat, int set) {
  const auto has = [set](int bit) { return (set & bit) != 0; };
  SetAttributes values;
  values.set_mode = has(FUSE_SET_ATTR_MODE);
  values.set_uid = has(FUSE_SET_ATTR_UID);
  values.set_gid = has(FUSE_SET_ATTR_GID);
  values.set_size = has(FUSE_SET_ATTR_SIZE);
  values.set_atime = has(FUSE_SET_ATTR_ATIME);
  values.set_mtime = has(FUSE_SET_ATTR_MTIME);
  values.atime_now = has(FUSE_SET_ATTR_ATIME_NOW);
  values.mtime_now = has(FUSE_SET_ATTR_MTIME_NOW);
  values.set_ctime = has(FUSE_SET_ATTR_CTIME);
  values.kill_suidgid =
      has(FUSE_SET_ATTR_KILL_SUID) || has(FUSE_SET_ATTR_KILL_SGID);
  values.mode = stat.st_mode;
  values.uid = stat.st_uid;
  values.gid = stat.st_gid;
  values.size = stat.st_size;
  values.atime = stat.st_atim;
  values.mtime = stat.st_mtim;
  values.ctime = stat.st_ctim;
  return values;
}

void DoLookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const Context c(req);
  c.operations->Lookup(c.caller, parent, name, EntryReply(req, c.core));
}

void DoForget(fuse_req_t req, fuse_ino_t node, uint64_t lookups) {
  const Context c(req);
  const Forget forget = {node, lookups};
  c.operations->Forget(absl::MakeConstSpan(&forget, 1));
  fuse_reply_none(req);
}

void DoForgetMulti(fuse_req_t req, size_t count, fuse_forget_data* forgets) {
  const Context c(req);
  std::vector<Forget> list;
  list.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    list.push_back({forgets[i].ino, forgets[i].nlookup});
  }
  c.operations->Forget(list);
  fuse_reply_none(req);
}

void DoGetattr(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  const Context c(req);
  c.operations->GetAttributes(c.caller, node, HandleIn(info),
                              AttributesReply(req, c.core));
}

void DoStatx(fuse_req_t req, fuse_ino_t node, int flags, int mask,
             fuse_file_info* info) {
  const Context c(req);
  c.operations->Statx(c.caller, node, HandleIn(info),
                      static_cast<uint32_t>(flags), static_cast<uint32_t>(mask),
                      StatxReply(req, c.core));
}

void DoSetattr(fuse_req_t req, fuse_ino_t node, struct stat* stat, int set,
               fuse_file_info* info) {
  const Context c(req);
  c.operations->SetAttributes(c.caller, node, HandleIn(info),
                              ToSetAttributes(*stat, set),
                              AttributesReply(req, c.core));
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

void DoMkdir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  const Context c(req);
  c.operations->Mkdir(c.caller, parent, name, mode, EntryReply(req, c.core));
}

void DoUnlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const Context c(req);
  c.operations->Unlink(c.caller, parent, name, StatusReply(req, c.core));
}

void DoRmdir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const Context c(req);
  c.operations->Rmdir(c.caller, parent, name, StatusReply(req, c.core));
}

void DoRename(fuse_req_t req, fuse_ino_t parent, const char* name,
              fuse_ino_t new_parent, const char* new_name, unsigned flags) {
  const Context c(req);
  c.operations->Rename(c.caller, parent, name, new_parent, new_name, flags,
                       StatusReply(req, c.core));
}

void DoLink(fuse_req_t req, fuse_ino_t node, fuse_ino_t new_parent,
            const char* new_name) {
  const Context c(req);
  c.operations->Link(c.caller, node, new_parent, new_name,
                     EntryReply(req, c.core));
}

void DoOpen(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  const Context c(req);
  c.operations->Open(c.caller, node, ToOpenRequest(info, 0),
                     OpenReply(req, c.core));
}

void DoCreate(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
              fuse_file_info* info) {
  const Context c(req);
  c.operations->Create(c.caller, parent, name, mode,
                       ToOpenRequest(info, O_EXCL), CreateReply(req, c.core));
}

void DoTmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
               fuse_file_info* info) {
  const Context c(req);
  c.operations->Tmpfile(c.caller, parent, mode, ToOpenRequest(info, O_EXCL),
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

void DoFlush(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  const Context c(req);
  c.operations->Flush(c.caller, node, info->fh, info->lock_owner,
                      StatusReply(req, c.core));
}

void DoRelease(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  const Context c(req);
  std::optional<uint64_t> flock_owner;
  if (info->flock_release != 0) flock_owner = info->lock_owner;
  c.operations->Release(node, info->fh, flock_owner, StatusReply(req, c.core));
}

void DoFsync(fuse_req_t req, fuse_ino_t node, int data_only,
             fuse_file_info* info) {
  const Context c(req);
  c.operations->Fsync(c.caller, node, info->fh, data_only != 0,
                      StatusReply(req, c.core));
}

void DoOpendir(fuse_req_t req, fuse_ino_t node, fuse_file_info* /*info*/) {
  const Context c(req);
  c.operations->OpenDirectory(c.caller, node, OpenDirectoryReply(req, c.core));
}

void ReadDirectory(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                   const fuse_file_info* info, bool plus) {
  const Context c(req);
  c.operations->ReadDirectory(c.caller, node, info->fh, offset,
                              DirectoryReply(req, c.core, size, plus));
}

void DoReaddir(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
               fuse_file_info* info) {
  ReadDirectory(req, node, size, offset, info, false);
}

void DoReaddirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t offset,
                   fuse_file_info* info) {
  ReadDirectory(req, node, size, offset, info, true);
}

void DoReleasedir(fuse_req_t req, fuse_ino_t node, fuse_file_info* info) {
  const Context c(req);
  c.operations->ReleaseDirectory(node, info->fh, StatusReply(req, c.core));
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

// Destroy stays null: the session answers FUSE_DESTROY itself, when the last
// thread has left. So do write_buf and retrieve_reply: no splicing, no
// retrieving.
fuse_lowlevel_ops MakeTable() {
  fuse_lowlevel_ops ops = {};
  ops.init = Negotiate;
  ops.lookup = DoLookup;
  ops.forget = DoForget;
  ops.forget_multi = DoForgetMulti;
  ops.getattr = DoGetattr;
  ops.statx = DoStatx;
  ops.setattr = DoSetattr;
  ops.readlink = DoReadlink;
  ops.symlink = DoSymlink;
  ops.mknod = DoMknod;
  ops.mkdir = DoMkdir;
  ops.unlink = DoUnlink;
  ops.rmdir = DoRmdir;
  ops.rename = DoRename;
  ops.link = DoLink;
  ops.open = DoOpen;
  ops.create = DoCreate;
  ops.tmpfile = DoTmpfile;
  ops.read = DoRead;
  ops.write = DoWrite;
  ops.flush = DoFlush;
  ops.release = DoRelease;
  ops.fsync = DoFsync;
  ops.opendir = DoOpendir;
  ops.readdir = DoReaddir;
  ops.readdirplus = DoReaddirplus;
  ops.releasedir = DoReleasedir;
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
