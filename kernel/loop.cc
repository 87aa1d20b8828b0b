#include "kernel/loop.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernel/fd.h"
#include "kernel/libfuse.h"
#include "kernel/loop_impl.h"
#include "kernel/ring.h"
#include "kernel/session.h"
#include "kernel/spin_gauge.h"
#include "kernel/status.h"
#include "kernel/worker_table.h"

namespace fused::kernel {
namespace {

// Of all uids, whatever each may have.
constexpr size_t kMostParked = 4096;

// How long one that stands in for a stuck thread waits for something to do.
constexpr int kSpareMilliseconds = 1000;

// Edge-triggered: one request wakes one thread. A level-triggered set would
// wake a second one each time, to find nothing left.
constexpr uint32_t kEvents = EPOLLIN | EPOLLET;

bool HasMore(int descriptor) {
  struct pollfd ready = {descriptor, POLLIN, 0};
  return poll(&ready, 1, 0) > 0;
}

// For so long one session's may be served before others', if they want
// something, have their turn: whatever is asked for here, and by however many.
constexpr int64_t kTurn = 500'000;

bool EndsHandle(uint32_t opcode) {
  return opcode == FUSE_RELEASE || opcode == FUSE_RELEASEDIR;
}

}  // namespace

absl::Status Loop::Impl::Open() {
  set.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!set.valid()) return ErrnoStatus(errno, "epoll_create1");
  wake.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return ErrnoStatus(errno, "eventfd");
  struct epoll_event event = {};
  // Level-triggered: every thread is to see it.
  event.events = EPOLLIN;
  event.data.u64 = kWakeKey;
  if (epoll_ctl(set.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  unparked.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!unparked.valid()) return ErrnoStatus(errno, "eventfd");
  event.events = kEvents;
  event.data.u64 = kUnparkedKey;
  if (epoll_ctl(set.get(), EPOLL_CTL_ADD, unparked.get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

Loop::Impl::~Impl() {
  for (std::atomic<Entry*>& chunk : chunks) delete[] chunk.load();
}

Loop::Impl::Entry* Loop::Impl::At(uint32_t index) const {
  return &chunks[index / kChunk].load(
      std::memory_order_acquire)[index % kChunk];
}

Loop::Impl::Entry* Loop::Impl::NewEntry() {
  absl::MutexLock lock(&mu);
  if (!entries_free.empty()) {
    Entry* const entry = entries_free.back();
    entries_free.pop_back();
    entry->key += kFirstKey;
    return entry;
  }
  if (entries_made == kChunk * kChunks) return nullptr;
  const uint32_t index = entries_made++;
  if (index % kChunk == 0) {
    chunks[index / kChunk].store(new Entry[kChunk], std::memory_order_release);
  }
  Entry* const entry = At(index);
  entry->key = kFirstKey | index;
  return entry;
}

void Loop::Impl::Free(Entry& entry) {
  entry.ended = nullptr;
  entry.session.reset();
  absl::MutexLock lock(&mu);
  entries_free.push_back(&entry);
}

Loop::Impl::Entry* Loop::Impl::Enter(uint64_t key) {
  Entry* const entry = At(static_cast<uint32_t>(key));
  uint64_t state = entry->state.load(std::memory_order_acquire);
  do {
    if (state >> 32 != key >> 32 || (state & kGone) != 0) return nullptr;
  } while (!entry->state.compare_exchange_weak(state, state + 1));
  return entry;
}

void Loop::Impl::Leave(Entry& entry, bool gone) {
  if (gone) entry.state.fetch_or(kGone);
  const uint64_t before = entry.state.fetch_sub(1);
  if ((before & kGone) == 0 || (before & kUsers) != 1) return;
  // Nobody can enter any more: this is the last thread.
  epoll_ctl(set.get(), EPOLL_CTL_DEL, entry.session->descriptor(), nullptr);
  if (entry.ended) entry.ended();
  Free(entry);
}

void Loop::Impl::Rearm(const Entry& entry) {
  struct epoll_event event = {};
  event.events = kEvents;
  event.data.u64 = entry.key;
  epoll_ctl(set.get(), EPOLL_CTL_MOD, entry.session->descriptor(), &event);
}

// Takes one request, and sees to it that what waits behind it is reported to
// another thread before this one starts on it: it may take long. The end of a
// handle does not (where it does, the watching thread reports what waits), and
// who closed a file mostly asks for something else at once: that is taken as
// well.
void Loop::Impl::ServeOne(size_t index, uint64_t key, Session::Buffer& buffer) {
  Entry* const entry = Enter(key);
  if (entry == nullptr) return;
  Session& session = *entry->session;
  Session::Progress progress = Session::Progress::kServed;
  int64_t until = 0;
  for (bool quick = true; quick && progress == Session::Progress::kServed;) {
    progress = session.Receive(buffer);
    if (progress != Session::Progress::kServed) break;
    quick = EndsHandle(buffer.request().opcode);
    if (!quick && HasMore(session.descriptor())) Rearm(*entry);
    if (kept.load(std::memory_order_relaxed) > 0 &&
        Park(index, *entry, buffer)) {
      return;
    }
    if (!roused.load(std::memory_order_relaxed)) Rouse();
    Work(index, *entry, buffer);
    if (!quick) break;
    const int64_t now = NowNanoseconds();
    if (until == 0) until = now + kTurn;
    if (now < until) continue;
    // Who ends has closed very many files.
    Rearm(*entry);
    break;
  }
  // FUSE_DESTROY ends a session whose descriptor has nothing more to tell.
  Leave(*entry, progress == Session::Progress::kEnded || session.ended());
}

void Loop::Impl::Work(size_t index, Entry& entry, Session::Buffer& buffer) {
  const RequestId request = buffer.request();
  table.Begin({index, entry.key, request, NowNanoseconds()});
  entry.session->Process(buffer);
  table.End(index);
  if (request.opcode == FUSE_INIT) StartSeats(entry);
}

bool Loop::Impl::HasRoom(uid_t uid, size_t bytes) const {
  if (parked.size() >= kMostParked ||
      parked_bytes.load() + bytes > options.max_parked_bytes) {
    return false;
  }
  int count = 0;
  for (const Parked& one : parked) {
    if (one.request.uid != uid) continue;
    ++count;
    bytes += one.buffer->bytes();
  }
  return count < options.max_parked && bytes <= options.max_parked_bytes / 4;
}

// Who may is counted from here on, so that of two who come at once the second
// sees the first.
bool Loop::Impl::MayBegin(size_t slot, const Entry& entry,
                          const RequestId& request) {
  if (table.BusyFor(request.uid) >= options.threads_per_uid) return false;
  table.Begin({slot, entry.key, request, NowNanoseconds()});
  return true;
}

bool Loop::Impl::Park(size_t slot, Entry& entry,
                      const Session::Buffer& buffer) {
  const RequestId request = buffer.request();
  if (!Session::MayBeRefused(request)) return false;
  {
    absl::MutexLock lock(&park_mu);
    if (MayBegin(slot, entry, request)) return false;
  }
  // A thread's own buffer holds the largest request.
  std::unique_ptr<Session::Buffer> copy = buffer.Copy();
  // One from a ring keeps its place there.
  const Ring* const ring = entry.session->ring();
  if (ring == nullptr || ring->HasRoom()) {
    absl::MutexLock lock(&park_mu);
    const size_t bytes = copy->bytes();
    if (HasRoom(request.uid, bytes)) {
      parked.push_back({&entry, std::move(copy), request, NowNanoseconds()});
      parked_count.fetch_add(1);
      parked_bytes.fetch_add(bytes);
      return true;
    }
  }
  refused.fetch_add(1, std::memory_order_relaxed);
  entry.session->Refuse(*copy, EBUSY);
  Leave(entry, entry.session->ended());
  return true;
}

Loop::Impl::Parked Loop::Impl::Take(const std::deque<Parked>::iterator& one) {
  Parked taken = std::move(*one);
  parked.erase(one);
  parked_count.fetch_sub(1);
  parked_bytes.fetch_sub(taken.buffer->bytes());
  return taken;
}

bool Loop::Impl::Unpark(size_t slot, Parked& found) {
  absl::MutexLock lock(&park_mu);
  // Asked once for each: an app's many must not cost the others.
  absl::flat_hash_set<uid_t> at_limit;
  for (auto one = parked.begin(); one != parked.end(); ++one) {
    const uid_t uid = one->request.uid;
    if (at_limit.contains(uid)) continue;
    if (!MayBegin(slot, *one->entry, one->request)) {
      at_limit.insert(uid);
      continue;
    }
    found = Take(one);
    return true;
  }
  return false;
}

void Loop::Impl::ServeParked(size_t index) {
  while (parked_count.load() > 0 && !stopping.load()) {
    Parked one;
    if (!Unpark(index, one)) return;
    Work(index, *one.entry, *one.buffer);
    Leave(*one.entry, one.entry->session->ended());
  }
}

bool Loop::Impl::IsSpare() {
  int now = running.load();
  while (now > serving.load() + kept.load()) {
    if (running.compare_exchange_weak(now, now - 1)) return true;
  }
  return false;
}

Session::Progress Loop::Impl::Spin(const Entry& entry, Session::Buffer& buffer,
                                   std::optional<uint64_t>& other) const {
  // Of the looks, for what comes from elsewhere.
  constexpr int kLooks = 4;
  const int64_t until =
      NowNanoseconds() + absl::ToInt64Nanoseconds(options.spin);
  for (int look = 1;; ++look) {
    const Session::Progress progress = entry.session->Receive(buffer);
    if (progress != Session::Progress::kIdle) return progress;
    if (look % kLooks == 0) {
      other = Elsewhere(entry);
      if (other.has_value()) return progress;
      // It may have been this one's.
      continue;
    }
    if (NowNanoseconds() >= until) return progress;
    // To who is to ask, if he has been put on this processor.
    sched_yield();
  }
}

std::optional<uint64_t> Loop::Impl::Elsewhere(const Entry& entry) const {
  struct epoll_event event;
  while (epoll_wait(set.get(), &event, 1, 0) == 1) {
    // What it reports it reports once: this one's is to be looked for again.
    if (event.data.u64 != entry.key) return uint64_t{event.data.u64};
  }
  return std::nullopt;
}

// By the only thread, which nothing has to be reported to: it takes one request
// after the other, and looks for the next one for a moment. What the only
// thread has not seen when it is slow, the watching thread reports to the next.
std::optional<uint64_t> Loop::Impl::ServeAlone(size_t index, uint64_t key,
                                               Session::Buffer& buffer,
                                               SpinGauge& gauge) {
  Entry* const entry = Enter(key);
  if (entry == nullptr) return std::nullopt;
  Session& session = *entry->session;
  std::optional<uint64_t> other;
  Session::Progress progress = Session::Progress::kServed;
  int64_t until = NowNanoseconds() + kTurn;
  for (bool first = true; !other.has_value() && IsAlone(); first = false) {
    progress = session.Receive(buffer);
    if (progress == Session::Progress::kIdle && !first && gauge.Pays()) {
      progress = Spin(*entry, buffer, other);
      gauge.Note(progress == Session::Progress::kServed);
    }
    if (progress != Session::Progress::kServed) break;
    if (!roused.load(std::memory_order_relaxed)) Rouse();
    if (kept.load(std::memory_order_relaxed) > 0) {
      // First: what is parked may be over, and its session gone.
      Rearm(*entry);
      if (Park(index, *entry, buffer)) return std::nullopt;
    }
    Work(index, *entry, buffer);
    if (session.ended()) break;
    if (const int64_t now = NowNanoseconds(); now >= until) {
      other = Elsewhere(*entry);
      until = now + kTurn;
    }
  }
  // What comes from elsewhere may have been reported together with more of this
  // one's, and that is not reported again.
  if ((progress == Session::Progress::kServed || other.has_value()) &&
      !session.ended()) {
    Rearm(*entry);
  }
  Leave(*entry, progress == Session::Progress::kEnded || session.ended());
  return other;
}

void Loop::Impl::Run(size_t index) {
  char name[16];
  std::snprintf(name, sizeof(name), "fused-loop-%d", static_cast<int>(index));
  pthread_setname_np(pthread_self(), name);
  if (options.own_umask && unshare(CLONE_FS) != 0) {
    LOG(ERROR) << "unshare(CLONE_FS): " << Describe(ErrnoStatus(errno));
  }
  const bool stands_in = index >= static_cast<size_t>(options.threads);
  Session::Buffer buffer;
  SpinGauge gauge;
  std::optional<uint64_t> next;
  while (!stopping.load(std::memory_order_acquire)) {
    if (!next.has_value()) {
      struct epoll_event event;
      const int wait = stands_in ? kSpareMilliseconds : -1;
      if (epoll_wait(set.get(), &event, 1, wait) == 1) {
        next = uint64_t{event.data.u64};
      }
    }
    const uint64_t key = std::exchange(next, std::nullopt).value_or(kWakeKey);
    if (key >= kFirstKey && IsAlone()) {
      next = ServeAlone(index, key, buffer, gauge);
    } else if (key >= kFirstKey) {
      ServeOne(index, key, buffer);
    }
    if (parked_count.load(std::memory_order_relaxed) > 0) {
      // That may take long, and what was reported to this thread alone is to be
      // seen by another then.
      const uint64_t other =
          std::exchange(next, std::nullopt).value_or(kWakeKey);
      if (other >= kFirstKey) Report(other);
      ServeParked(index);
    }
    if (stands_in && IsSpare()) break;
  }
}

Loop::Loop(const Options& options) : impl_(std::make_unique<Impl>(options)) {}

Loop::~Loop() { Stop(); }

absl::StatusOr<std::unique_ptr<Loop>> Loop::Start(const Options& options) {
  if (options.threads < 1) {
    return absl::InvalidArgumentError("a loop needs a thread");
  }
  std::unique_ptr<Loop> loop(new Loop(options));
  Impl& impl = *loop->impl_;
  if (absl::Status status = impl.Open(); !status.ok()) return status;
  impl.most_threads =
      std::min<int>(std::max(options.threads, options.max_threads),
                    static_cast<int>(WorkerTable::kMost));
  impl.serving.store(options.threads);
  for (int i = 0; i < options.threads; ++i) impl.AddWorker();
  impl.watcher = std::thread([&impl] { impl.Watch(); });
  return loop;
}

Loop::Stats Loop::stats() const {
  Stats stats;
  stats.threads = impl_->running.load();
  stats.stuck = impl_->stuck.load();
  stats.parked = impl_->parked_count.load();
  stats.parked_bytes = impl_->parked_bytes.load();
  impl_->CountRings(stats);
  stats.expired = impl_->expired.load();
  stats.refused = impl_->refused.load();
  stats.aborted = impl_->aborted.load();
  stats.not_aborted = impl_->not_aborted.load();
  return stats;
}

absl::Status Loop::Add(std::shared_ptr<Session> session,
                       std::function<void()> ended) {
  const int descriptor = session->descriptor();
  Impl::Entry* const entry = impl_->NewEntry();
  if (entry == nullptr) {
    return absl::ResourceExhaustedError("too many sessions");
  }
  entry->session = std::move(session);
  entry->ended = std::move(ended);
  const uint64_t generation = entry->key & ~uint64_t{UINT32_MAX};
  entry->state.store(generation, std::memory_order_release);
  struct epoll_event event = {};
  event.events = kEvents;
  event.data.u64 = entry->key;
  if (epoll_ctl(impl_->set.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
    const int error = errno;
    entry->state.store(generation | Impl::kGone);
    impl_->Free(*entry);
    return ErrnoStatus(error, "epoll_ctl");
  }
  return absl::OkStatus();
}

void Loop::Stop() {
  Impl& impl = *impl_;
  if (impl.watcher.joinable()) {
    {
      absl::MutexLock lock(&impl.watch_mu);
      impl.watch_ends = true;
    }
    impl.watcher.join();
  }
  impl.stopping.store(true, std::memory_order_release);
  const uint64_t one = 1;
  (void)!write(impl.wake.get(), &one, sizeof(one));
  for (std::unique_ptr<Impl::Worker>& worker : impl.workers) {
    if (worker != nullptr) worker->thread.join();
    worker = nullptr;
  }
  impl.JoinSeats(/*all=*/true);
  std::deque<Impl::Parked> parked;
  {
    absl::MutexLock lock(&impl.park_mu);
    parked.swap(impl.parked);
    impl.parked_count.store(0);
    impl.parked_bytes.store(0);
  }
  for (const Impl::Parked& waiting : parked) {
    waiting.entry->session->Refuse(*waiting.buffer, ENOTCONN);
  }
  uint32_t made;
  {
    absl::MutexLock lock(&impl.mu);
    made = impl.entries_made;
  }
  // Sessions may be destroyed here, without the lock.
  for (uint32_t i = 0; i < made; ++i) {
    Impl::Entry& entry = *impl.At(i);
    entry.state.fetch_or(Impl::kGone);
    entry.session.reset();
    entry.ended = nullptr;
  }
}

}  // namespace fused::kernel
