// The inside of a loop, which its two halves share: those who serve, and the
// one who watches over them. For the use of this room.
#ifndef FUSED_KERNEL_LOOP_IMPL_H_
#define FUSED_KERNEL_LOOP_IMPL_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "kernel/fd.h"
#include "kernel/loop.h"
#include "kernel/session.h"
#include "kernel/spin_gauge.h"
#include "kernel/worker_table.h"

namespace fused::kernel {

// In the epoll set.
inline constexpr uint64_t kWakeKey = 0;
inline constexpr uint64_t kUnparkedKey = 1;
// A session's: its entry's generation, which is not 0, and index.
inline constexpr uint64_t kFirstKey = uint64_t{1} << 32;

// CLOCK_MONOTONIC.
inline int64_t NowNanoseconds() {
  struct timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

struct Loop::Impl {
  // In an entry's state.
  static constexpr uint64_t kGone = uint64_t{1} << 31;
  static constexpr uint64_t kUsers = kGone - 1;

  struct Entry {
    // Its generation, kGone, and how many threads are in it.
    std::atomic<uint64_t> state{kGone};
    // Not written while `state` lets threads in.
    uint64_t key = 0;
    std::shared_ptr<Session> session;
    std::function<void()> ended;
  };

  struct Worker {
    std::thread thread;
    std::atomic<bool> left{false};
  };

  // A thread at a queue of a session's ring, or at the device of one that has a
  // ring.
  struct Seat {
    static constexpr int kDevice = -1;
    size_t slot = 0;  // in the table
    uint64_t key = 0;
    int queue = 0;
    bool stands_in = false;
    std::weak_ptr<Session> session;
    std::thread thread;
    std::atomic<bool> left{false};
  };

  // A request that waits for others of its uid.
  struct Parked {
    Entry* entry = nullptr;                   // entered
    std::unique_ptr<Session::Buffer> buffer;  // of the request's own size
    RequestId request;
    int64_t since = 0;
  };

  explicit Impl(const Options& options) : options(options) {}
  ~Impl();
  absl::Status Open();
  void Run(size_t index);
  // Whether the calling thread of the set is the only one, and looks for what
  // comes next (Options::spin).
  bool IsAlone() const {
    return running.load(std::memory_order_relaxed) == 1 &&
           options.spin > absl::ZeroDuration();
  }
  // What else the set has reported meanwhile, if anything.
  std::optional<uint64_t> ServeAlone(size_t index, uint64_t key,
                                     Session::Buffer& buffer, SpinGauge& gauge);
  // What the set reports of others.
  std::optional<uint64_t> Elsewhere(const Entry& entry) const;
  // As Receive(), for a moment; until the set reports another: `other`.
  Session::Progress Spin(const Entry& entry, Session::Buffer& buffer,
                         std::optional<uint64_t>& other) const;
  void ServeOne(size_t index, uint64_t key, Session::Buffer& buffer);
  void Work(size_t index, Entry& entry, Session::Buffer& buffer);
  // A place for one more session; null where there are too many.
  Entry* NewEntry() ABSL_LOCKS_EXCLUDED(mu);
  Entry* At(uint32_t index) const;
  // Null where it has gone. Takes no lock.
  Entry* Enter(uint64_t key);
  void Leave(Entry& entry, bool gone) ABSL_LOCKS_EXCLUDED(mu);
  void Free(Entry& entry) ABSL_LOCKS_EXCLUDED(mu);
  // Has the set report the session again, to any thread, if it is readable.
  void Rearm(const Entry& entry);
  // The same, by a thread that is not in it. Not where it has a ring.
  void Report(uint64_t key);

  // False: it is to be served now.
  bool Park(size_t slot, Entry& entry, const Session::Buffer& buffer)
      ABSL_LOCKS_EXCLUDED(park_mu);
  // Whether the uid has a thread left for it. Then `slot` is at it already.
  bool MayBegin(size_t slot, const Entry& entry, const RequestId& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(park_mu);
  bool HasRoom(uid_t uid, size_t bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(park_mu);
  // Takes it out of those that wait.
  Parked Take(const std::deque<Parked>::iterator& one)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(park_mu);
  // One that may be served, if there is one.
  bool Unpark(size_t slot, Parked& parked) ABSL_LOCKS_EXCLUDED(park_mu);
  void ServeParked(size_t index);
  void ExpireParked(int64_t now) ABSL_LOCKS_EXCLUDED(park_mu);

  // Seats at the queues of the session's ring, where it has one. loop_ring.cc.
  void StartSeats(Entry& entry);
  bool AddSeat(const Entry& entry, int queue, bool stands_in)
      ABSL_LOCKS_EXCLUDED(seats_mu);
  void RunSeat(const Seat& seat, Session& session);
  void RunRingSeat(const Seat& seat, Session& session);
  void RunDeviceSeat(const Seat& seat, Session& session);
  void ServeSeat(const Seat& seat, Session& session, Session::Buffer& buffer);
  // One more for each that is stuck, and what a queue with a slow one has.
  // Whether a session has as many as it may, and all of them are stuck.
  bool StaffSeats(const std::vector<WorkerTable::Work>& slow_seats,
                  int64_t stuck_since) ABSL_LOCKS_EXCLUDED(seats_mu);
  void CountRings(Stats& stats) ABSL_LOCKS_EXCLUDED(seats_mu);
  // Joins those that have left, or makes all leave.
  void JoinSeats(bool all) ABSL_LOCKS_EXCLUDED(seats_mu);

  // A thread has something to do: the watching one is to look often enough to
  // see whether it is slow.
  void Rouse() ABSL_LOCKS_EXCLUDED(watch_mu);

  // Of the watching thread.
  void Watch();
  // Until somebody rouses it, or the end: true.
  // `woken`: by who rouses it.
  bool Doze(absl::Duration most, bool& woken) ABSL_LOCKS_EXCLUDED(watch_mu);
  // Whether anybody was busy.
  bool Look();
  void Expire(const WorkerTable::Work& work);
  // How many are to serve, with so many that are slow and not stuck.
  void Size(int slow_now, int64_t now);
  void Staff(int stuck_now);
  // What is kept ready for those that were stuck lately.
  int Keep(int stuck_now, int64_t now);
  bool AddWorker();
  void AbortStuck(const std::vector<WorkerTable::Work>& stuck_now);
  // Whether a thread that stands in for another is needed no more.
  bool IsSpare();

  const Options options;
  Fd set;
  Fd wake;
  // Readable: a parked request may be served.
  Fd unparked;
  std::atomic<bool> stopping{false};
  WorkerTable table;
  std::atomic<int> running{0};
  // How many there are to be, but for those that stand in for stuck ones.
  std::atomic<int> serving{0};
  std::atomic<int> stuck{0};
  // The most that were stuck lately (Options::wary).
  std::atomic<int> kept{0};
  std::atomic<uint64_t> expired{0};
  std::atomic<uint64_t> refused{0};
  std::atomic<uint64_t> aborted{0};
  std::atomic<uint64_t> not_aborted{0};

  // Entries are never freed while the loop lives, and used again: who has a key
  // can ask for its entry without a lock.
  static constexpr uint32_t kChunk = 64;
  static constexpr uint32_t kChunks = 4096;
  std::array<std::atomic<Entry*>, kChunks> chunks{};
  absl::Mutex mu;
  uint32_t entries_made ABSL_GUARDED_BY(mu) = 0;
  std::vector<Entry*> entries_free ABSL_GUARDED_BY(mu);

  absl::Mutex seats_mu;
  std::array<std::unique_ptr<Seat>, WorkerTable::kSeats> seats
      ABSL_GUARDED_BY(seats_mu);
  bool seats_end ABSL_GUARDED_BY(seats_mu) = false;

  absl::Mutex park_mu;
  std::deque<Parked> parked ABSL_GUARDED_BY(park_mu);
  // Written under `park_mu`.
  std::atomic<int> parked_count{0};
  std::atomic<size_t> parked_bytes{0};

  // The watching thread's, and Start()'s and Stop()'s before and after it.
  std::array<std::unique_ptr<Worker>, WorkerTable::kMost> workers;
  std::array<int64_t, WorkerTable::kMost + WorkerTable::kSeats> told_late{};
  int most_threads = 0;
  int64_t wary_until = 0;
  int64_t slow_until = 0;
  uint64_t done_before = 0;
  int64_t moved = 0;

  std::thread watcher;
  // It looks often; set by who rouses it.
  std::atomic<bool> roused{false};
  absl::Mutex watch_mu;
  bool watch_ends ABSL_GUARDED_BY(watch_mu) = false;
  bool wake_watch ABSL_GUARDED_BY(watch_mu) = false;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_LOOP_IMPL_H_
