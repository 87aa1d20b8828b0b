// Advisory locks on one lower node, for all views of it.
#ifndef FUSED_FUSED_LOCKS_H_
#define FUSED_FUSED_LOCKS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kernel/types.h"

namespace fused {

// POSIX byte-range locks as fcntl(2) has them, and flock(2)'s, which do not see
// each other. A request that must wait is an object in a queue, not a thread:
// it is granted in the order of arrival as soon as what it conflicts with is
// gone.
//
// Thread-safe. Callbacks are called with no lock held, on the thread of the
// call that decided them, before that call returns.
class LockTable {
 public:
  // OK, or an errno status of kernel/status.h: EAGAIN (it conflicts and may not
  // wait), EINTR (cancelled, or its view went), EDEADLK, EINVAL, ENOLCK (more
  // than kMaxSegments).
  using Done = std::function<void(absl::Status)>;

  // A lock's owner: the id is the one that the view's kernel connection gave.
  struct Owner {
    uint64_t view = 0;
    uint64_t id = 0;

    friend auto operator<=>(const Owner&, const Owner&) = default;
    template <typename H>
    friend H AbslHashValue(H h, const Owner& owner) {
      return H::combine(std::move(h), owner.view, owner.id);
    }
  };

  // Byte ranges that one table holds at most; an app that wants more gets
  // ENOLCK.
  static constexpr size_t kMaxSegments = 1 << 16;

  LockTable() = default;
  LockTable(const LockTable&) = delete;
  LockTable& operator=(const LockTable&) = delete;
  // Requests that still wait are answered with EINTR.
  ~LockTable();

  // GETLK: the first lock of another owner that `range` would conflict with,
  // with its holder's pid; `range` with type F_UNLCK where there is none.
  kernel::LockRange Test(Owner owner, const kernel::LockRange& range) const;

  // SETLK, and SETLKW with `wait`. Returns 0 where it is answered (`done` has
  // been called), else a ticket for Cancel(); another thread may answer it
  // before this returns.
  uint64_t Set(Owner owner, const kernel::LockRange& range, bool wait,
               Done done);

  // `operation` is LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB or without. A
  // conversion is atomic where nobody is in the way; else the old lock is lost,
  // as in flock(2).
  uint64_t Flock(Owner owner, int operation, Done done);

  // EINTR for a request that still waits; nothing for another ticket.
  void Cancel(uint64_t ticket);

  // EINTR for all that waits.
  void CancelAll();

  // Drops what an owner holds: at FLUSH, at the last RELEASE. Requests that
  // wait go on waiting.
  void ReleasePosix(Owner owner);
  void ReleaseFlock(Owner owner);

  // Drops what a view's owners hold and cancels what they wait for.
  void ReleaseView(uint64_t view);

  // Whether nothing is held and nothing waits.
  bool empty() const;

 private:
  // [key, last] of a map from first bytes.
  struct Segment {
    uint64_t last = 0;
    int type = 0;
    pid_t pid = 0;
  };
  using Segments = absl::btree_map<uint64_t, Segment>;

  struct Waiter {
    uint64_t ticket = 0;
    Owner owner;
    bool flock = false;
    // POSIX: [first, last]. flock: only `type`, F_RDLCK or F_WRLCK.
    uint64_t first = 0;
    uint64_t last = 0;
    int type = 0;
    pid_t pid = 0;
    Done done;
  };

  // What to call when the mutex is free again.
  using Answers = std::vector<std::pair<Done, absl::Status>>;
  static void Send(Answers& answers);

  bool Conflicts(const Waiter& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Owner> Blockers(const Waiter& request) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Apply(const Waiter& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ApplyPosix(const Waiter& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t Enqueue(Waiter request, Answers& answers)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Grants what can be granted now, and tells the wait graph about the rest.
  void Wake(Answers& answers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  absl::btree_map<Owner, Segments> posix_ ABSL_GUARDED_BY(mutex_);
  size_t segments_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::btree_map<Owner, int> flock_ ABSL_GUARDED_BY(mutex_);
  std::deque<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace fused

#endif  // FUSED_FUSED_LOCKS_H_
