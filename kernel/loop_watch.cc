// Watches over a loop's threads: replaces the stuck, answers what is late, and
// aborts what holds up everything.
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kernel/libfuse.h"
#include "kernel/loop_impl.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

// What a request may take, as a multiple of the deadline.
int64_t Patience(uint32_t opcode) {
  switch (opcode) {
    case FUSE_FSYNC:
    case FUSE_FSYNCDIR:
    case FUSE_SYNCFS:
    case FUSE_FALLOCATE:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_RENAME:
    case FUSE_RENAME2:
      return 10;
    default:
      return 1;
  }
}

}  // namespace

void Loop::Impl::ExpireParked(int64_t now) {
  const int64_t deadline = absl::ToInt64Nanoseconds(options.deadline);
  std::vector<Parked> late;
  {
    absl::MutexLock lock(&park_mu);
    while (!parked.empty() && now - parked.front().since > deadline) {
      late.push_back(Take(parked.begin()));
    }
  }
  for (const Parked& one : late) {
    expired.fetch_add(1, std::memory_order_relaxed);
    one.entry->session->Refuse(*one.buffer, ETIMEDOUT);
    Leave(*one.entry, one.entry->session->ended());
  }
}

void Loop::Impl::Report(uint64_t key) {
  Entry* const entry = Enter(key);
  if (entry == nullptr) return;
  if (entry->session->ring() == nullptr) Rearm(*entry);
  Leave(*entry, false);
}

void Loop::Impl::Expire(const WorkerTable::Work& work) {
  Entry* const entry = Enter(work.session);
  if (entry == nullptr) return;
  if (Session::HasDeadline(work.request)) {
    LOG(WARNING) << "a request (opcode " << work.request.opcode << ", uid "
                 << work.request.uid
                 << ") has taken too long and is answered ETIMEDOUT";
    expired.fetch_add(1, std::memory_order_relaxed);
    entry->session->Expire(work.request);
  }
  Leave(*entry, false);
}

bool Loop::Impl::AddWorker() {
  for (size_t i = 0; i < workers.size(); ++i) {
    if (workers[i] != nullptr) continue;
    workers[i] = std::make_unique<Worker>();
    running.fetch_add(1);
    try {
      workers[i]->thread = std::thread([this, i, worker = workers[i].get()] {
        Run(i);
        worker->left.store(true);
      });
    } catch (const std::system_error& error) {
      // A limit of threads. The next look tries again.
      LOG_EVERY_N_SEC(ERROR, 60)
          << "no thread in place of a stuck one: " << error.what();
      running.fetch_sub(1);
      workers[i] = nullptr;
      return false;
    }
    return true;
  }
  return false;
}

int Loop::Impl::Keep(int stuck_now, int64_t now) {
  if (stuck_now >= kept.load() || now >= wary_until) kept.store(stuck_now);
  if (stuck_now > 0) wary_until = now + absl::ToInt64Nanoseconds(options.wary);
  return kept.load();
}

void Loop::Impl::Size(int slow_now, int64_t now) {
  if (slow_now > 0) slow_until = now + absl::ToInt64Nanoseconds(options.wary);
  serving.store(options.threads * (now < slow_until ? 2 : 1));
}

void Loop::Impl::Staff(int stuck_now) {
  for (std::unique_ptr<Worker>& worker : workers) {
    if (worker == nullptr || !worker->left.load()) continue;
    worker->thread.join();
    worker = nullptr;
  }
  const int wanted = std::min(serving.load() + stuck_now, most_threads);
  while (running.load() < wanted && AddWorker()) {
  }
}

// The rest of the daemon needs threads; those of a connection whose lower file
// system never answers do not come back.
void Loop::Impl::AbortStuck(const std::vector<WorkerTable::Work>& stuck_now) {
  absl::flat_hash_set<uint64_t> sessions;
  for (const WorkerTable::Work& work : stuck_now) sessions.insert(work.session);
  for (const uint64_t key : sessions) {
    Entry* const entry = Enter(key);
    if (entry == nullptr) continue;
    const absl::Status status = entry->session->Abort();
    LOG(ERROR) << "no request has moved for " << options.abort_after
               << (status.ok() ? ": a connection is aborted"
                               : ": a connection can't be aborted: ")
               << (status.ok() ? "" : Describe(status));
    (status.ok() ? aborted : not_aborted)
        .fetch_add(1, std::memory_order_relaxed);
    Leave(*entry, false);
  }
  most_threads = std::min<int>(most_threads + options.threads,
                               static_cast<int>(WorkerTable::kMost));
}

bool Loop::Impl::Look() {
  const int64_t now = NowNanoseconds();
  const int64_t limit = absl::ToInt64Nanoseconds(options.stuck);
  const int64_t deadline = absl::ToInt64Nanoseconds(options.deadline);
  std::vector<WorkerTable::Work> stuck_now;
  std::vector<WorkerTable::Work> slow_seats;
  std::vector<WorkerTable::Work> slow_threads;
  const int64_t slow = absl::ToInt64Nanoseconds(options.slow);
  int stuck_threads = 0;
  bool busy = false;
  table.ForEach([&](const WorkerTable::Work& work) {
    busy = true;
    const bool is_seat = work.worker >= WorkerTable::kMost;
    if (now - work.since >= std::min(slow, limit)) {
      (is_seat ? slow_seats : slow_threads).push_back(work);
    }
    if (now - work.since < limit) return;
    stuck_now.push_back(work);
    if (!is_seat) ++stuck_threads;
  });
  // What waits behind the end of a handle has not been reported (ServeOne()).
  for (const WorkerTable::Work& work : slow_threads) Report(work.session);
  for (const WorkerTable::Work& work : stuck_now) {
    const int64_t patience = Patience(work.request.opcode);
    if (now - work.since < deadline * patience ||
        std::exchange(told_late[work.worker], work.since) == work.since) {
      continue;
    }
    Expire(work);
  }
  ExpireParked(now);
  stuck.store(static_cast<int>(stuck_now.size()));
  Size(static_cast<int>(slow_threads.size()) - stuck_threads, now);
  Staff(Keep(stuck_threads, now));
  const bool full = StaffSeats(slow_seats, now - limit);
  // Whom a thread that came back has made room for.
  if (parked_count.load() > 0) {
    const uint64_t one = 1;
    (void)!write(unparked.get(), &one, sizeof(one));
  }
  const uint64_t done = table.done();
  if (done != done_before || (stuck_threads < most_threads && !full)) {
    done_before = done;
    moved = now;
  } else if (now - moved >= absl::ToInt64Nanoseconds(options.abort_after)) {
    AbortStuck(stuck_now);
    moved = now;
  }
  return busy;
}

void Loop::Impl::Rouse() {
  if (roused.exchange(true)) return;
  absl::MutexLock lock(&watch_mu);
  wake_watch = true;
}

bool Loop::Impl::Doze(absl::Duration most, bool& woken) {
  absl::MutexLock lock(&watch_mu);
  const auto wanted = [this] {
    watch_mu.AssertHeld();
    return watch_ends || wake_watch;
  };
  watch_mu.AwaitWithTimeout(absl::Condition(&wanted), most);
  woken = std::exchange(wake_watch, false);
  return watch_ends;
}

void Loop::Impl::Watch() {
  pthread_setname_np(pthread_self(), "fused-watch");
  moved = NowNanoseconds();
  absl::Duration pause = options.stuck;
  uint64_t done = 0;
  // A seat that began when it was unset need not have seen that: one look more.
  bool unset = false;
  // Who woke it need not have begun when it looks: one look more for him too.
  bool woken = false;
  while (!Doze(pause, woken)) {
    const bool busy = Look();
    const uint64_t before = std::exchange(done, table.done());
    const bool active = busy || woken || done != before;
    if (unset && active) roused.store(true);
    unset = !active && roused.exchange(false);
    if (unset || roused.load()) {
      pause = options.slow / 2;
    } else {
      // Nobody can be stuck who was not there the last time.
      pause = busy ? options.stuck / 2 : options.stuck * 2;
    }
  }
}

}  // namespace fused::kernel
