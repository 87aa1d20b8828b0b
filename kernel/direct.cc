#include "kernel/direct.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

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
                                   AttributesReply(nullptr, &core));
}

void Open(SessionCore& core, const fuse_in_header& header,
          std::string_view body) {
  const auto in = As<fuse_open_in>(body);
  OpenRequest request;
  request.flags = static_cast<int>(in.flags) & kOpenFlags;
  request.kill_suidgid =
      core.settings().posix && (in.open_flags & FUSE_OPEN_KILL_SUIDGID) != 0;
  core.operations()->Open(CallerOf(header), header.nodeid, request,
                          OpenReply(nullptr, &core));
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

}  // namespace

bool ServeDirectly(SessionCore& core, const fuse_in_header& header,
                   std::string_view packet) {
  const std::string_view body = packet.substr(sizeof(header));
  switch (header.opcode) {
    case FUSE_LOOKUP:
      core.operations()->Lookup(CallerOf(header), header.nodeid, body.data(),
                                EntryReply(nullptr, &core));
      return true;
    case FUSE_GETATTR:
      GetAttributes(core, header, body);
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
      return false;
  }
}

}  // namespace fused::kernel
