#include "kernel/negotiate.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/log/log.h"
#include "absl/status/statusor.h"
#include "kernel/core.h"
#include "kernel/libfuse.h"
#include "kernel/packet.h"
#include "kernel/ring.h"
#include "kernel/status.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

// INC_EPOCH came with this protocol minor.
constexpr uint32_t kEpochMinor = 44;

// Never asked for:
//  - WRITEBACK_CACHE: passthrough is silently off with it;
//  - ALLOW_IDMAP: requests would no longer carry the caller's uid;
//  - SPLICE_*: pages shared with a caller can change while they are judged;
//  - AUTO_INVAL_DATA, EXPLICIT_INVAL_DATA: the page cache of a FUSE inode
//    holds shared mappings alone, which are coherent at the next open.
constexpr uint64_t kWanted =
    FUSE_CAP_ASYNC_READ | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
    FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_IOCTL_DIR | FUSE_CAP_READDIRPLUS |
    FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS |
    FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_DIRECT_IO_ALLOW_MMAP;

// HANDLE_KILLPRIV_V2 without `posix` would leave set-id bits standing on
// passthrough writes.
constexpr uint64_t kWantedPosix = FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK |
                                  FUSE_CAP_POSIX_ACL |
                                  FUSE_CAP_HANDLE_KILLPRIV_V2;

// What a request over io_uring carries at most: each entry of a ring has room
// for it, and passthrough takes most data.
constexpr uint32_t kRingTransfer = 256 << 10;

const char* AskForPassthrough(const SessionCore::Settings& settings,
                              fuse_conn_info* conn) {
  if (!settings.passthrough) return "turned off";
  if (!fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH)) {
    return "the kernel does not offer it";
  }
  // Libfuse counts the layers below, the wire this one too.
  conn->max_backing_stack_depth =
      std::clamp<uint32_t>(settings.max_stack_depth, 1, 2) - 1;
  return "";
}

// Libfuse is not told: it would start rings of its own. Once the kernel has
// been told, there is no way back to the device: so all that may fail comes
// first.
void AskForRing(SessionCore& core, fuse_conn_info* conn) {
  if (!core.settings().uring ||
      (conn->capable_ext & FUSE_CAP_OVER_IO_URING) == 0) {
    return;
  }
  const uint32_t most = std::min(conn->max_write, kRingTransfer);
  const absl::StatusOr<int> queues = ProcessorsPossible();
  absl::StatusOr<std::unique_ptr<Ring>> ring =
      queues.ok() ? Ring::Create(core.device(), *queues, most)
                  : queues.status();
  if (!ring.ok()) {
    LOG(ERROR) << "FUSE over io_uring: " << Describe(ring.status());
    return;
  }
  conn->max_write = most;
  core.ring = *std::move(ring);
  core.answers_init = true;
  core.connection.uring = true;
}

}  // namespace

void Negotiate(void* user_data, fuse_conn_info* conn) {
  auto* core = static_cast<SessionCore*>(user_data);
  const SessionCore::Settings& settings = core->settings();

  fuse_unset_feature_flag(conn, ~uint64_t{0});
  const uint64_t wanted = kWanted | (settings.posix ? kWantedPosix : 0);
  for (uint64_t flag = 1; flag != 0; flag <<= 1) {
    if ((wanted & flag) != 0) fuse_set_feature_flag(conn, flag);
  }
  Connection& connection = core->connection;
  conn->max_write = std::min(conn->max_write, kMaxTransfer);
  AskForRing(*core, conn);
  connection.major = conn->proto_major;
  connection.minor = conn->proto_minor;
  connection.passthrough_reason = AskForPassthrough(settings, conn);
  connection.passthrough = connection.passthrough_reason[0] == '\0';
  connection.max_write = conn->max_write;
  connection.inc_epoch = conn->proto_minor >= kEpochMinor;
  core->can_expire = fuse_get_feature_flag(conn, FUSE_CAP_EXPIRE_ONLY);
  core->negotiated = true;
}

}  // namespace fused::kernel
