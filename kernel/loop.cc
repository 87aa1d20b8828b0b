#include "kernel/loop.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernel/fd.h"
#include "kernel/session.h"
#include "kernel/status.h"

namespace fused::kernel {
namespace {

constexpr uint64_t kWakeKey = 0;

// Edge-triggered: one request wakes one thread. A level-triggered set would
// wake a second one each time, to find nothing left.
constexpr uint32_t kEvents = EPOLLIN | EPOLLET;

bool HasMore(int descriptor) {
  struct pollfd ready = {descriptor, POLLIN, 0};
  return poll(&ready, 1, 0) > 0;
}

}  // namespace

struct Loop::Impl {
  struct Entry {
    uint64_t key = 0;
    std::shared_ptr<Session> session;
    std::function<void()> ended;
    // Both guarded by `mu`.
    int users = 0;
    bool gone = false;
  };

  absl::Status Open();
  void Run(const Options& options, int index);
  void ServeOne(uint64_t key, Session::Buffer& buffer);
  // Null where it has gone.
  std::shared_ptr<Entry> Enter(uint64_t key) ABSL_LOCKS_EXCLUDED(mu);
  void Leave(const std::shared_ptr<Entry>& entry, bool gone)
      ABSL_LOCKS_EXCLUDED(mu);
  // Has the set report the session again, to any thread, if it is readable.
  void Rearm(const Entry& entry);

  Fd set;
  Fd wake;
  std::atomic<bool> stopping{false};

  absl::Mutex mu;
  uint64_t next_key ABSL_GUARDED_BY(mu) = kWakeKey + 1;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Entry>> entries
      ABSL_GUARDED_BY(mu);
  std::vector<std::thread> threads;
};

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
  return absl::OkStatus();
}

std::shared_ptr<Loop::Impl::Entry> Loop::Impl::Enter(uint64_t key) {
  absl::MutexLock lock(&mu);
  auto found = entries.find(key);
  if (found == entries.end() || found->second->gone) return nullptr;
  ++found->second->users;
  return found->second;
}

void Loop::Impl::Leave(const std::shared_ptr<Entry>& entry, bool gone) {
  {
    absl::MutexLock lock(&mu);
    if (gone) entry->gone = true;
    if (--entry->users > 0 || !entry->gone) return;
    entries.erase(entry->key);
  }
  // Nobody can enter any more: this is the last thread.
  epoll_ctl(set.get(), EPOLL_CTL_DEL, entry->session->descriptor(), nullptr);
  if (entry->ended) entry->ended();
  entry->ended = nullptr;
  entry->session.reset();
}

void Loop::Impl::Rearm(const Entry& entry) {
  struct epoll_event event = {};
  event.events = kEvents;
  event.data.u64 = entry.key;
  epoll_ctl(set.get(), EPOLL_CTL_MOD, entry.session->descriptor(), &event);
}

// Takes one request, and sees to it that what waits behind it is reported to
// another thread before this one starts on it: it may take long.
void Loop::Impl::ServeOne(uint64_t key, Session::Buffer& buffer) {
  const std::shared_ptr<Entry> entry = Enter(key);
  if (entry == nullptr) return;
  Session& session = *entry->session;
  const Session::Progress progress = session.Receive(buffer);
  if (progress == Session::Progress::kServed) {
    if (HasMore(session.descriptor())) Rearm(*entry);
    session.Process(buffer);
  }
  // FUSE_DESTROY ends a session whose descriptor has nothing more to tell.
  Leave(entry, progress == Session::Progress::kEnded || session.ended());
}

void Loop::Impl::Run(const Options& options, int index) {
  char name[16];
  std::snprintf(name, sizeof(name), "fused-loop-%d", index);
  pthread_setname_np(pthread_self(), name);
  if (options.own_umask && unshare(CLONE_FS) != 0) {
    LOG(ERROR) << "unshare(CLONE_FS): " << Describe(ErrnoStatus(errno));
  }
  Session::Buffer buffer;
  while (!stopping.load(std::memory_order_acquire)) {
    struct epoll_event event;
    if (epoll_wait(set.get(), &event, 1, -1) != 1) continue;
    if (event.data.u64 != kWakeKey) ServeOne(event.data.u64, buffer);
  }
}

Loop::Loop() : impl_(std::make_unique<Impl>()) {}

Loop::~Loop() { Stop(); }

absl::StatusOr<std::unique_ptr<Loop>> Loop::Start(const Options& options) {
  if (options.threads < 1) {
    return absl::InvalidArgumentError("a loop needs a thread");
  }
  std::unique_ptr<Loop> loop(new Loop());
  if (absl::Status status = loop->impl_->Open(); !status.ok()) return status;
  for (int i = 0; i < options.threads; ++i) {
    loop->impl_->threads.emplace_back(
        [impl = loop->impl_.get(), options, i] { impl->Run(options, i); });
  }
  return loop;
}

absl::Status Loop::Add(std::shared_ptr<Session> session,
                       std::function<void()> ended) {
  const int descriptor = session->descriptor();
  auto entry = std::make_shared<Impl::Entry>();
  entry->session = std::move(session);
  entry->ended = std::move(ended);
  {
    absl::MutexLock lock(&impl_->mu);
    entry->key = impl_->next_key++;
    impl_->entries[entry->key] = entry;
  }
  struct epoll_event event = {};
  event.events = kEvents;
  event.data.u64 = entry->key;
  if (epoll_ctl(impl_->set.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) {
    const int error = errno;
    absl::MutexLock lock(&impl_->mu);
    impl_->entries.erase(entry->key);
    return ErrnoStatus(error, "epoll_ctl");
  }
  return absl::OkStatus();
}

void Loop::Stop() {
  impl_->stopping.store(true, std::memory_order_release);
  const uint64_t one = 1;
  (void)!write(impl_->wake.get(), &one, sizeof(one));
  for (std::thread& thread : impl_->threads) thread.join();
  impl_->threads.clear();
  absl::flat_hash_map<uint64_t, std::shared_ptr<Impl::Entry>> entries;
  {
    absl::MutexLock lock(&impl_->mu);
    entries.swap(impl_->entries);
  }
  // Sessions may be destroyed here, without the lock.
}

}  // namespace fused::kernel
