// The threads of a loop that serve sessions over io_uring.
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernel/loop_impl.h"
#include "kernel/ring.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/worker_table.h"

namespace fused::kernel {
namespace {

// What the device of a session with a ring has still to say is that nodes are
// forgotten, one wake-up each where nothing else is to be read: so many of them
// are left to come together. (And that somebody waits no longer.)
constexpr int kForgetMilliseconds = 2;

// A queue's requests are those that were made on its processor: there its
// thread finds them in the caches, and wakes no other processor. Where that is
// not this process's to use, the thread runs where it may.
void RunOn(int processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(static_cast<unsigned>(processor), &only);
  (void)pthread_setaffinity_np(pthread_self(), sizeof(only), &only);
}

// Who asks is running there when the thread is woken, and stops by himself
// where he waits for the answer. Where he does not, for a RELEASE above all, he
// is not to be interrupted: the thread would have the processor for a moment,
// and he have it back, for nothing. Batch threads preempt nobody when they
// wake (sched(7)); their share of the processor is the same.
void InterruptNobody() {
  const struct sched_param parameters = {};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameters);
}

}  // namespace

void Loop::Impl::StartSeats(Entry& entry) {
  Session& session = *entry.session;
  if (!session.initialized() || session.ring() == nullptr) return;
  if (AddSeat(entry, Seat::kDevice, /*stands_in=*/false)) {
    // Not only that nothing is to be reported: the kernel does not say what it
    // wakes for, and each node that is forgotten would wake a thread of the
    // set, to find nothing.
    epoll_ctl(set.get(), EPOLL_CTL_DEL, session.descriptor(), nullptr);
  }
  for (int queue = 0; queue < session.ring()->queues(); ++queue) {
    for (int i = 0; i < options.seats_per_queue; ++i) {
      if (AddSeat(entry, queue, /*stands_in=*/false)) continue;
      // The kernel waits for each queue to be served.
      LOG(ERROR) << "FUSE over io_uring: there are too many threads: "
                 << Describe(session.Abort());
      return;
    }
  }
}

bool Loop::Impl::AddSeat(const Entry& entry, int queue, bool stands_in) {
  absl::MutexLock lock(&seats_mu);
  const auto free = std::find(seats.begin(), seats.end(), nullptr);
  if (free == seats.end() || seats_end) return false;
  auto seat = std::make_unique<Seat>();
  seat->slot = WorkerTable::kMost + static_cast<size_t>(free - seats.begin());
  seat->key = entry.key;
  seat->queue = queue;
  seat->stands_in = stands_in;
  seat->session = entry.session;
  try {
    seat->thread = std::thread(
        [this, seat = seat.get(), session = entry.session]() mutable {
          RunSeat(*seat, *session);
          session = nullptr;
          seat->left.store(true);
        });
  } catch (const std::system_error& error) {
    // A limit of threads.
    LOG_EVERY_N_SEC(ERROR, 60)
        << "no thread for FUSE over io_uring: " << error.what();
    return false;
  }
  *free = std::move(seat);
  return true;
}

void Loop::Impl::RunSeat(const Seat& seat, Session& session) {
  pthread_setname_np(pthread_self(), "fused-ring");
  if (options.own_umask) (void)unshare(CLONE_FS);
  if (seat.queue == Seat::kDevice) {
    RunDeviceSeat(seat, session);
  } else {
    RunRingSeat(seat, session);
  }
}

void Loop::Impl::RunDeviceSeat(const Seat& seat, Session& session) {
  Session::Buffer buffer;
  while (!stopping.load()) {
    struct pollfd fds[] = {{wake.get(), POLLIN, 0},
                           {session.descriptor(), POLLIN, 0}};
    poll(fds, 2, -1);
    poll(fds, 1, kForgetMilliseconds);
    for (;;) {
      Entry* const entry = Enter(seat.key);
      if (entry == nullptr) return;
      const Session::Progress progress = session.Receive(buffer);
      const bool served = progress == Session::Progress::kServed;
      if (served) Work(seat.slot, *entry, buffer);
      Leave(*entry, progress == Session::Progress::kEnded || session.ended());
      if (!served) break;
    }
  }
}

void Loop::Impl::RunRingSeat(const Seat& seat, Session& session) {
  RunOn(seat.queue);
  InterruptNobody();
  Ring* const ring = session.ring();
  absl::StatusOr<std::unique_ptr<RingSeat>> place =
      RingSeat::Create(ring, seat.queue, seat.stands_in);
  if (!place.ok()) {
    LOG(ERROR) << "FUSE over io_uring: " << Describe(place.status());
    ring->Fail();
  } else {
    const std::unique_ptr<Session::Buffer> buffer = Session::Buffer::Empty();
    while (const std::optional<std::string_view> packet = (*place)->Next()) {
      buffer->Put(*packet);
      ServeSeat(seat, session, *buffer);
    }
  }
  // Nobody else would answer.
  if (ring->failed()) session.Abort().IgnoreError();
}

void Loop::Impl::ServeSeat(const Seat& seat, Session& session,
                           Session::Buffer& buffer) {
  // First: who has entered is waited for before the session's end is told.
  Entry* const entry = Enter(seat.key);
  const bool accepted = session.Accept(buffer);
  if (entry == nullptr) {
    if (accepted) session.Refuse(buffer, ENOTCONN);
    return;
  }
  if (!accepted) return Leave(*entry, session.ended());
  if (!roused.load(std::memory_order_relaxed)) Rouse();
  if (stuck.load(std::memory_order_relaxed) > 0 &&
      Park(seat.slot, *entry, buffer)) {
    return;
  }
  Work(seat.slot, *entry, buffer);
  Leave(*entry, session.ended());
}

bool Loop::Impl::StaffSeats(const std::vector<WorkerTable::Work>& slow_seats,
                            int64_t stuck_since) {
  JoinSeats(/*all=*/false);
  if (slow_seats.empty()) return false;
  struct Queue {
    int seats = 0;
    int stuck = 0;
    bool slow = false;
  };
  std::map<std::pair<uint64_t, int>, Queue> queues;
  std::map<uint64_t, Queue> sessions;
  {
    absl::MutexLock lock(&seats_mu);
    for (const std::unique_ptr<Seat>& seat : seats) {
      if (seat == nullptr || seat->queue == Seat::kDevice) continue;
      ++queues[{seat->key, seat->queue}].seats;
      ++sessions[seat->key].seats;
    }
    for (const WorkerTable::Work& work : slow_seats) {
      const Seat* const seat = seats[work.worker - WorkerTable::kMost].get();
      if (seat == nullptr || seat->key != work.session ||
          seat->queue == Seat::kDevice) {
        continue;
      }
      Queue& queue = queues[{seat->key, seat->queue}];
      queue.slow = true;
      if (work.since > stuck_since) continue;
      ++queue.stuck;
      ++sessions[seat->key].stuck;
    }
  }
  for (const auto& [which, queue] : queues) {
    Queue& session = sessions[which.first];
    const int wanted = std::max(options.seats_per_queue + queue.stuck,
                                queue.slow ? options.seats_per_slow_queue : 0);
    if (queue.seats >= wanted) continue;
    Entry* const entry = Enter(which.first);
    if (entry == nullptr) continue;
    for (int have = queue.seats;
         have < wanted && session.seats < options.max_seats &&
         AddSeat(*entry, which.second, /*stands_in=*/true);
         ++have) {
      ++session.seats;
    }
    Leave(*entry, false);
  }
  return std::any_of(sessions.begin(), sessions.end(), [](const auto& one) {
    return one.second.seats == one.second.stuck;
  });
}

void Loop::Impl::CountRings(Stats& stats) {
  std::map<uint64_t, std::shared_ptr<Session>> sessions;
  {
    absl::MutexLock lock(&seats_mu);
    for (const std::unique_ptr<Seat>& seat : seats) {
      if (seat == nullptr || seat->left.load()) continue;
      stats.seats += seat->queue == Seat::kDevice ? 0 : 1;
      sessions.try_emplace(seat->key, seat->session.lock());
    }
  }
  for (const auto& [key, session] : sessions) {
    if (session == nullptr) continue;
    ++stats.rings;
    stats.ring_bytes += session->ring()->stats().bytes;
  }
}

void Loop::Impl::JoinSeats(bool all) {
  std::vector<std::unique_ptr<Seat>> leaving;
  {
    absl::MutexLock lock(&seats_mu);
    seats_end = seats_end || all;
    for (std::unique_ptr<Seat>& seat : seats) {
      if (seat == nullptr || (!all && !seat->left.load())) continue;
      leaving.push_back(std::move(seat));
    }
  }
  for (const std::unique_ptr<Seat>& seat : leaving) {
    const std::shared_ptr<Session> session =
        all ? seat->session.lock() : nullptr;
    if (session != nullptr) session->ring()->Stop();
  }
  for (const std::unique_ptr<Seat>& seat : leaving) seat->thread.join();
}

}  // namespace fused::kernel
