// Posts invalidations to kernels' caches, from threads of its own.
//
// INVAL_ENTRY and EXPIRE_ENTRY take the parent directory's lock in the kernel:
// sent on a request thread, they may deadlock. So they are posted to one
// bounded and coalescing queue, before the reply, so that who has been answered
// can wait for them; one that overflows becomes an epoch of that session.
#ifndef FUSED_KERNEL_INVALIDATION_H_
#define FUSED_KERNEL_INVALIDATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "kernel/session.h"

namespace fused::kernel {

// One session is served by one thread at a time; one that is held up (a caller
// can hold a directory's lock) holds up no other for more than a moment. For
// one session the order of posting is the order of sending, but for what
// an overflow or a later, wider item makes superfluous. Thread-safe. Post*()
// never wait and make no system call.
class InvalidationWorker {
 public:
  struct Options {
    // Names queued for one session; beyond it they are replaced by one epoch.
    // Nodes are not counted: there is at most one item for each.
    size_t limit = 4096;
    // There is one, but where sessions are held up.
    size_t max_threads = 64;
    // Stands in for an epoch on kernels without it: is to ExpireEntry() all
    // names that the session's kernel may know. Called on the worker's thread.
    // Where it is null, such a session's names are queued beyond the limit:
    // right before small.
    std::function<void(Session&)> expire_all;
  };

  struct Stats {
    uint64_t entries = 0;
    uint64_t inodes = 0;
    uint64_t listings = 0;
    uint64_t epochs = 0;
    uint64_t coalesced = 0;
    uint64_t overflows = 0;
    uint64_t queued = 0;
    // From the posting of what was sent until it was sent.
    absl::Duration lag;
    absl::Duration longest_lag;
  };

  explicit InvalidationWorker(const Options& options);
  InvalidationWorker(const InvalidationWorker&) = delete;
  InvalidationWorker& operator=(const InvalidationWorker&) = delete;
  // Drops what is queued; waits for what is being sent.
  ~InvalidationWorker();

  // Drops what is queued and all that is posted from now on, and returns when
  // nothing is on its way. To be called while the sessions are served: what is
  // on its way may wait for a request to be answered. Idempotent; not to be
  // called by two threads at once.
  void Stop();

  // The name may have changed: the kernel is made to look it up again.
  // `session` is skipped if it has ended by then.
  void PostEntry(const std::weak_ptr<Session>& session, NodeId parent,
                 std::string_view name);
  // What had that name has moved or gone: the kernel is made to forget the
  // name. One that it is only made to look up again may just be looked up, with
  // no lock held, and that answer be entered after this. And a directory's
  // stays known as the directory's, and while it is, the kernel answers ESTALE
  // to a RENAME that finds the directory at its new name (__d_unalias() in
  // fs/dcache.c).
  void PostRemoved(const std::weak_ptr<Session>& session, NodeId parent,
                   std::string_view name);
  // Attributes of a node of which the kernel may be about to take older ones,
  // from the answer to a lookup of `name` that is on its way: it is waited for
  // (a lookup holds the directory) and the name looked up again.
  void PostLookup(const std::weak_ptr<Session>& session, NodeId parent,
                  std::string_view name, NodeId node);
  // Attributes, and with `data` cached pages and mappings too.
  void PostInode(const std::weak_ptr<Session>& session, NodeId node, bool data);
  // What the kernel has kept of a directory's listing, or is about to keep of
  // one that was begun before. Attributes too.
  void PostListing(const std::weak_ptr<Session>& session, NodeId directory);
  // All names. Listings stay.
  void PostEpoch(const std::weak_ptr<Session>& session);

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
