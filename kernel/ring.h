// FUSE over io_uring: requests and answers of one connection without read and
// write on /dev/fuse.
//
// The kernel has one queue for each processor. A seat is a thread with an
// io_uring of its own, which holds one entry of a queue: its commit of an
// answer is its wait for the next request, one system call for both. A thread
// that is stuck so has no entry that the kernel could put a request into, and
// another seat at the same queue stands in for it.
//
// An entry belongs to its request until that is answered. Where the answer
// comes from elsewhere and later (a lock that is waited for, a request that is
// parked or late), the seat goes on with another entry, and some seat commits
// the answer: of the same queue, as every queue has to have an entry of its own
// that the kernel can put a request into. Then it has one entry too many, which
// the kernel would put a request into while it is at another: that one is set
// aside, with a request in it that nobody waits for (RingSeat::Impl::Retire()),
// until an entry is wanted.
#ifndef FUSED_KERNEL_RING_H_
#define FUSED_KERNEL_RING_H_

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernel/fd.h"

namespace fused::kernel {

class RingSeat;

// Thread-safe.
class Ring {
 public:
  // Requests of one connection that are unanswered, and entries of a queue.
  static constexpr size_t kMostEntries = 1024;
  // Of these, what only those that are answered at once may have.
  static constexpr size_t kReserved = 64;

  // Where a request comes in and its answer goes out.
  class Entry;

  // `device`: /dev/fuse, which must stay open for as long as seats live.
  // `queues`: as many as ProcessorsPossible(). `payload`: the most bytes that a
  // request or an answer has behind its header.
  static absl::StatusOr<std::unique_ptr<Ring>> Create(int device, int queues,
                                                      size_t payload);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  // No seat may be left.
  ~Ring();

  int queues() const { return queues_; }

  // Answers the request `unique`, from any thread. 0 or an errno; nothing where
  // it is no request of the ring's that is unanswered.
  std::optional<int> Answer(uint64_t unique, const struct iovec* parts,
                            int count);

  // All seats leave.
  void Stop();
  // As Stop(), for an error that the connection cannot go on with.
  void Fail();
  bool failed() const { return failed_.load(); }
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }

  // Whether there is room for a request that may be unanswered for long.
  bool HasRoom() const {
    return unanswered_.load(std::memory_order_relaxed) + kReserved <=
           kMostEntries;
  }

  struct Stats {
    size_t seats = 0;
    size_t entries = 0;
    // Of memory, at most.
    size_t bytes = 0;
  };
  Stats stats() const;

 private:
  friend class RingSeat;

  // Where answers wait for one of a queue's seats.
  struct Queue {
    // Readable: something was posted, or the ring has stopped.
    Fd wake;
    absl::Mutex mu;
    std::vector<Entry*> posted ABSL_GUARDED_BY(mu);
    std::atomic<size_t> posted_count{0};  // written under `mu`
    std::atomic<size_t> made{0};          // written under Ring::mu_
    // Set aside.
    std::vector<Entry*> spare ABSL_GUARDED_BY(mu);
  };

  Ring(int device, int queues, size_t payload);

  // Null where there may be no more.
  Entry* NewEntry(int queue) ABSL_LOCKS_EXCLUDED(mu_);
  Entry* Find(uint64_t unique) const;
  void NoteFile(uint64_t node);
  // The request that is in it is answered: 0 from now on. False: it is not
  // `unique`, or it was answered before.
  bool Finish(Entry& entry, uint64_t unique);
  // Has some seat commit the answer that is in it.
  void Post(Entry* entry);
  // What was posted.
  std::vector<Entry*> TakePosted(int queue);
  // One that was set aside, or null.
  Entry* TakeSpare(int queue);

  const int device_;
  const int queues_;
  const size_t payload_;
  const std::unique_ptr<Queue[]> at_;  // by number
  // No request may stay unanswered for long: the kernel would abort the
  // connection.
  bool times_out_ = false;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> failed_{false};
  std::atomic<size_t> seats_{0};
  std::atomic<uint64_t> kicks_{0};
  // Nodes of regular files that the kernel knew a moment ago, or 0.
  std::array<std::atomic<uint64_t>, 8> files_{};
  std::atomic<size_t> next_file_{0};

  std::atomic<size_t> unanswered_{0};
  absl::Mutex mu_;
  // Set once each, in order, under `mu_`.
  std::vector<std::atomic<Entry*>> entries_;
  std::atomic<size_t> entry_count_{0};
};

// One thread's; not thread-safe, and to be made, used and destroyed by that
// thread.
class RingSeat {
 public:
  // `stands_in`: there are other seats at the queue, and requests that wait.
  // The thread must run on the queue's processor.
  static absl::StatusOr<std::unique_ptr<RingSeat>> Create(Ring* ring, int queue,
                                                          bool stands_in);
  RingSeat(const RingSeat&) = delete;
  RingSeat& operator=(const RingSeat&) = delete;
  ~RingSeat();

  // Sends the answers that are due, and waits for the next request. Its packet,
  // as it would have been read from /dev/fuse, stays until the next call.
  // Nothing when the ring has stopped or the connection has gone.
  std::optional<std::string_view> Next();

 private:
  friend class Ring;
  struct Impl;
  explicit RingSeat(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

// How many queues the kernel has for each connection: processors that there may
// ever be.
absl::StatusOr<int> ProcessorsPossible();

// Whether the kernel aborts a connection of which a request stays unanswered.
//
// Source: Linux, Documentation/admin-guide/sysctl/fs.rst.
bool RequestsTimeOut();

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_RING_H_
