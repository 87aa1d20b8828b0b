#include "kernel/direct.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <optional>
#include <string_view>

#include "absl/types/span.h"
#include "fuse_kernel.h"
#include "kernel/core.h"
#include "kernel/dispatch.h"
#include "kernel/operations.h"
#include "kernel/reply.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

// The structure at the front of `bytes`, which hold it.
template <typename T>
T As(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

Caller CallerOf(const fuse_in_header& header) {
  return {header.uid, header.gid, static_cast<pid_t>(header.pid), 0};
}

void GetAttributes(SessionCore& core, const fuse_in_header& header,
                   std::string_view body) {
  const auto in = As<fuse_getattr_in>(body);
  std::optional<HandleId> handle;
  if ((in.getattr_flags & FUSE_GETATTR_FH) != 0) handle = in.fh;
  core.operations()->GetAttributes(CallerOf(header), header.nodeid, handle,
                                   AttributesReply(&core));
}

void Open(SessionCore& core, const fuse_in_header& header,
          std::string_view body) {
  const auto in = As<fuse_open_in>(body);
  OpenRequest request;
  request.flags = static_cast<int>(in.flags) & kOpenFlags;
  request.kill_suidgid =
      core.settings().posix && (in.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  core.operations()->Open(CallerOf(header), header.nodeid, request,
                          OpenReply(&core));
}

void Release(SessionCore& core, const fuse_in_header& header,
             std::string_view body) {
  const auto in = As<fuse_release_in>(body);
  std::optional<uint64_t> flock_owner;
  if ((in.release_flags & FUSE_RELEASE_FLOCK_UNLOCK) != 0) {
    flock_owner = in.lock_owner;
  }
  core.operations()->Release(header.nodeid, in.fh, flock_owner,
                             StatusReply(nullptr, &core));
}

void Flush(SessionCore& core, const fuse_in_header& header,
           std::string_view body) {
  const auto in = As<fuse_flush_in>(body);
  core.operations()->Flush(CallerOf(header), header.nodeid, in.fh,
                           in.lock_owner, StatusReply(nullptr, &core));
}

// Of a CREATE, whose caller makes the file with his own umask.
void Create(SessionCore& core, const fuse_in_header& header,
            std::string_view body) {
  const auto in = As<fuse_create_in>(body);
  OpenRequest request;
  request.flags = static_cast<int>(in.flags) & (kOpenFlags | O_EXCL);
  request.kill_suidgid =
      core.settings().posix && (in.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  Caller caller = CallerOf(header);
  caller.umask = in.umask;
  core.operations()->Create(caller, header.nodeid, body.data() + sizeof(in),
                            in.mode, request, CreateReply(nullptr, &core));
}

void MakeDirectory(SessionCore& core, const fuse_in_header& header,
                   std::string_view body) {
  const auto in = As<fuse_mkdir_in>(body);
  Caller caller = CallerOf(header);
  caller.umask = in.umask;
  core.operations()->Mkdir(caller, header.nodeid, body.data() + sizeof(in),
                           in.mode, EntryReply(nullptr, &core));
}

// `names` are the two of a RENAME.
void Rename(SessionCore& core, const fuse_in_header& header,
            uint64_t new_parent, uint32_t flags, std::string_view names) {
  const char* const old_name = names.data();
  const char* const new_name = old_name + std::strlen(old_name) + 1;
  core.operations()->Rename(CallerOf(header), header.nodeid, old_name,
                            new_parent, new_name, flags,
                            StatusReply(nullptr, &core));
}

struct timespec Time(uint64_t seconds, uint32_t nanoseconds) {
  struct timespec time = {};
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = nanoseconds;
  return time;
}

void SetAttr(SessionCore& core, const fuse_in_header& header,
             std::string_view body) {
  const auto in = As<fuse_setattr_in>(body);
  const auto has = [&in](uint32_t bit) { return (in.valid & bit) != 0; };
  SetAttributes values;
  values.set_mode = has(FATTR_MODE);
  values.set_uid = has(FATTR_UID);
  values.set_gid = has(FATTR_GID);
  values.set_size = has(FATTR_SIZE);
  values.set_atime = has(FATTR_ATIME);
  values.set_mtime = has(FATTR_MTIME);
  values.atime_now = has(FATTR_ATIME_NOW);
  values.mtime_now = has(FATTR_MTIME_NOW);
  values.set_ctime = has(FATTR_CTIME);
  values.kill_suidgid = has(FATTR_KILL_SUIDGID);
  values.mode = in.mode;
  values.uid = in.uid;
  values.gid = in.gid;
  values.size = static_cast<off_t>(in.size);
  values.atime = Time(in.atime, in.atimensec);
  values.mtime = Time(in.mtime, in.mtimensec);
  values.ctime = Time(in.ctime, in.ctimensec);
  std::optional<HandleId> handle;
  if (has(FATTR_FH)) handle = in.fh;
  core.operations()->SetAttributes(CallerOf(header), header.nodeid, handle,
                                   values, AttributesReply(&core));
}

void ReadDirectory(SessionCore& core, const fuse_in_header& header,
                   std::string_view body, bool plus) {
  const auto in = As<fuse_read_in>(body);
  core.operations()->ReadDirectory(CallerOf(header), header.nodeid, in.fh,
                                   static_cast<off_t>(in.offset),
                                   DirectoryReply(&core, in.size, plus));
}

void ForgetMany(SessionCore& core, std::string_view body) {
  size_t left = As<fuse_batch_forget_in>(body).count;
  body.remove_prefix(sizeof(fuse_batch_forget_in));
  std::array<Forget, 64> some;
  while (left > 0) {
    const size_t count = std::min(left, some.size());
    for (size_t i = 0; i < count; ++i) {
      const auto one = As<fuse_forget_one>(body);
      body.remove_prefix(sizeof(one));
      some[i] = {one.nodeid, one.nlookup};
    }
    core.operations()->Forget(absl::MakeConstSpan(some.data(), count));
    left -= count;
  }
}

// What is asked of names in a directory. False: it is something else.
bool ServeName(SessionCore& core, const fuse_in_header& header,
               std::string_view body) {
  Operations& operations = *core.operations();
  switch (header.opcode) {
    case FUSE_LOOKUP:
      operations.Lookup(CallerOf(header), header.nodeid, body.data(),
                        EntryReply(nullptr, &core));
      return true;
    case FUSE_CREATE:
      Create(core, header, body);
      return true;
    case FUSE_MKDIR:
      MakeDirectory(core, header, body);
      return true;
    case FUSE_UNLINK:
      operations.Unlink(CallerOf(header), header.nodeid, body.data(),
                        StatusReply(nullptr, &core));
      return true;
    case FUSE_RMDIR:
      operations.Rmdir(CallerOf(header), header.nodeid, body.data(),
                       StatusReply(nullptr, &core));
      return true;
    case FUSE_RENAME:
      Rename(core, header, As<fuse_rename_in>(body).newdir, 0,
             body.substr(sizeof(fuse_rename_in)));
      return true;
    case FUSE_RENAME2: {
      const auto in = As<fuse_rename2_in>(body);
      Rename(core, header, in.newdir, in.flags, body.substr(sizeof(in)));
      return true;
    }
    default:
      return false;
  }
}

// What is asked of a directory. False: it is something else.
bool ServeDirectory(SessionCore& core, const fuse_in_header& header,
                    std::string_view body) {
  switch (header.opcode) {
    case FUSE_OPENDIR:
      core.operations()->OpenDirectory(CallerOf(header), header.nodeid,
                                       OpenDirectoryReply(&core));
      return true;
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      ReadDirectory(core, header, body, header.opcode == FUSE_READDIRPLUS);
      return true;
    case FUSE_RELEASEDIR:
      core.operations()->ReleaseDirectory(header.nodeid,
                                          As<fuse_release_in>(body).fh,
                                          StatusReply(nullptr, &core));
      return true;
    default:
      return false;
  }
}

}  // namespace

bool ServeDirectly(SessionCore& core, const fuse_in_header& header,
                   std::string_view packet) {
  const std::string_view body = packet.substr(sizeof(header));
  switch (header.opcode) {
    case FUSE_GETATTR:
      GetAttributes(core, header, body);
      return true;
    case FUSE_SETATTR:
      SetAttr(core, header, body);
      return true;
    case FUSE_OPEN:
      Open(core, header, body);
      return true;
    case FUSE_FLUSH:
      Flush(core, header, body);
      return true;
    case FUSE_RELEASE:
      Release(core, header, body);
      return true;
    case FUSE_FORGET: {
      const Forget forget = {header.nodeid, As<fuse_forget_in>(body).nlookup};
      core.operations()->Forget(absl::MakeConstSpan(&forget, 1));
      return true;
    }
    case FUSE_BATCH_FORGET:
      ForgetMany(core, body);
      return true;
    default:
      return ServeName(core, header, body) ||
             ServeDirectory(core, header, body);
  }
}

}  // namespace fused::kernel
