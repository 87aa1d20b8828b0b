// Posts invalidations to kernels' caches, from a thread of its own.
//
// INVAL_ENTRY and EXPIRE_ENTRY take the parent directory's lock in the kernel:
// sent on a request thread, or before the answer of a request that holds that
// lock, they deadlock. So they are posted after the reply, to one bounded and
// coalescing queue; one that overflows becomes an epoch of that session.
#ifndef FUSED_KERNEL_INVALIDATION_H_
#define FUSED_KERNEL_INVALIDATION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "kernel/session.h"

namespace fused::kernel {

// Thread-safe. Post*() never wait and make no system call.
class InvalidationWorker {
 public:
  struct Options {
    // Names queued for one session; beyond it the queue of that session is
    // replaced by one epoch (or, on kernels without it, by a flag to expire
    // all names that the session's `fallback` gives).
    size_t limit = 4096;
  };

  struct Stats {
    uint64_t entries = 0;
    uint64_t inodes = 0;
    uint64_t epochs = 0;
    uint64_t coalesced = 0;
    uint64_t overflows = 0;
    uint64_t queued = 0;
  };

  explicit InvalidationWorker(const Options& options);
  InvalidationWorker(const InvalidationWorker&) = delete;
  InvalidationWorker& operator=(const InvalidationWorker&) = delete;
  // Drops what is queued.
  ~InvalidationWorker();

  // The name may have changed: the kernel is made to look it up again.
  // `session` is skipped if it has ended by then.
  void PostEntry(std::weak_ptr<Session> session, NodeId parent,
                 std::string_view name);
  // Attributes, and with `data` cached pages and mappings too.
  void PostInode(std::weak_ptr<Session> session, NodeId node, bool data);
  // Everything.
  void PostEpoch(std::weak_ptr<Session> session);

  // Waits until all that was posted before the call has been sent. False:
  // `timeout` ran out.
  bool Sync(absl::Duration timeout);

  Stats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_INVALIDATION_H_
