// Serves many sessions from one small pool of threads.
#ifndef FUSED_KERNEL_LOOP_H_
#define FUSED_KERNEL_LOOP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernel/session.h"

namespace fused::kernel {

// One epoll set; every thread takes requests of any session. Thread-safe.
//
// A request that the lower file system keeps for long takes no thread away from
// the others: one that is stuck is replaced, and goes when it comes back. A
// caller that has many such requests waits for its own, and for nobody else's.
class Loop {
 public:
  struct Options {
    int threads = 2;
    // When a request takes one of them longer than `slow` there are twice as
    // many, until none has for the time of `wary`.
    absl::Duration slow = absl::Milliseconds(10);
    // A thread that is the only one looks for so long for the next request
    // before it sleeps, where it lately found one mostly (spin_gauge.h): who
    // asks for one thing after the other so has no thread to wake. 0: never.
    absl::Duration spin = absl::Microseconds(20);
    // With those that stand in for stuck ones; at most WorkerTable::kMost.
    int max_threads = 32;
    // While threads are stuck, one uid has no more than this many; what else it
    // asks for waits, up to `max_parked` of its requests, and is then EBUSY.
    int threads_per_uid = 8;
    int max_parked = 128;
    // Of memory that those take which wait, of all uids; a fourth of it is the
    // most that one uid's take. Beyond it, EBUSY too.
    size_t max_parked_bytes = size_t{64} << 20;
    // A thread is stuck when a request takes it longer.
    absl::Duration stuck = absl::Milliseconds(250);
    // The loop is staffed, and uids are limited, as for the stuck for so long
    // after them: who comes with many slow requests comes again.
    absl::Duration wary = absl::Seconds(5);
    // Then the request is answered ETIMEDOUT; ten times as much for those that
    // move data or look through a tree (FSYNC, FALLOCATE, COPY_FILE_RANGE,
    // RENAME). The handler goes on; its answer is not taken. Locks that are
    // waited for take no thread, and any time.
    absl::Duration deadline = absl::Seconds(60);
    // When every thread is stuck and none has come back for so long, the
    // connections that hold them are aborted.
    absl::Duration abort_after = absl::Minutes(5);
    // For a session whose requests come over io_uring: threads at each of its
    // queues, of which there is one for each processor. What comes while the
    // thread is at something else, the end of a handle above all, it takes
    // next: with two of them that would take a switch more. But what is slow
    // holds up what is behind it: so a queue whose thread a request has taken
    // longer than `slow` has more of them from then on.
    int seats_per_queue = 1;
    int seats_per_slow_queue = 2;
    // Most threads of a session, with those that stand in for stuck ones.
    int max_seats = 40;
    // Each thread gets a file system context of its own (unshare(CLONE_FS)),
    // so that an operation may set its umask.
    bool own_umask = true;
  };

  static absl::StatusOr<std::unique_ptr<Loop>> Start(const Options& options);
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  // Stops.
  ~Loop();

  // Serves `session` from now on. `ended` is called once on a thread of the
  // loop when its superblock has gone and no thread is in it; the loop keeps
  // the session alive until then and lets go of it after.
  absl::Status Add(std::shared_ptr<Session> session,
                   std::function<void()> ended);

  struct Stats {
    int threads = 0;
    int stuck = 0;
    // Requests that wait for others of their uid.
    int parked = 0;
    size_t parked_bytes = 0;
    // Threads that serve over io_uring.
    int seats = 0;
    int rings = 0;
    size_t ring_bytes = 0;
    // Ever.
    uint64_t expired = 0;
    uint64_t refused = 0;
    uint64_t aborted = 0;
    // Connections that should have been, and could not.
    uint64_t not_aborted = 0;
  };
  Stats stats() const;

  // Returns when every thread has left; sessions that still live are let go
  // of without their `ended`. Must not be called on a thread of the loop.
  void Stop();

 private:
  explicit Loop(const Options& options);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_LOOP_H_
