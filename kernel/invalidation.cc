#include "kernel/invalidation.h"

#include <pthread.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

enum class Kind { kEntry, kAttributes, kData, kEpoch };

// What is to be told to whom. Two that are equal are told once.
struct Item {
  uint64_t session = 0;
  Kind kind = Kind::kEpoch;
  NodeId node = 0;   // of an entry: the parent
  std::string name;  // of an entry

  friend bool operator==(const Item&, const Item&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Item& item) {
    return H::combine(std::move(h), item.session, item.kind, item.node,
                      item.name);
  }
};

struct Queued {
  std::weak_ptr<Session> session;
  Item item;
};

}  // namespace

struct InvalidationWorker::Impl {
  explicit Impl(const Options& given) : options(given) {}

  void Post(const std::weak_ptr<Session>& session, Kind kind, NodeId node,
            std::string_view name) ABSL_LOCKS_EXCLUDED(mu);
  // Whether something queued does `item`'s work.
  bool Covered(const Item& item) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  void Push(const std::weak_ptr<Session>& session, Item item)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Forgets the names of the session that are queued.
  void DropNames(uint64_t session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  bool Pop(Queued* next) ABSL_LOCKS_EXCLUDED(mu);
  void Send(Session& session, const Item& item);
  void Run();

  const Options options;
  mutable absl::Mutex mu;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  std::deque<Queued> queue ABSL_GUARDED_BY(mu);
  absl::flat_hash_set<Item> known ABSL_GUARDED_BY(mu);  // what `queue` holds
  // Names queued, by session.
  absl::flat_hash_map<uint64_t, size_t> names ABSL_GUARDED_BY(mu);
  // Items ever queued, and of these done with, in the same order: Sync().
  uint64_t pushed ABSL_GUARDED_BY(mu) = 0;
  uint64_t done ABSL_GUARDED_BY(mu) = 0;
  Stats stats ABSL_GUARDED_BY(mu);
  std::thread thread;
};

bool InvalidationWorker::Impl::Covered(const Item& item) const {
  if (known.contains(item)) return true;
  // An epoch that is still to come makes the kernel ask for every name again,
  // but does not reach the inodes of open files.
  if (item.kind == Kind::kEntry) {
    return known.contains(Item{item.session, Kind::kEpoch, 0, {}});
  }
  if (item.kind == Kind::kAttributes) {
    return known.contains(Item{item.session, Kind::kData, item.node, {}});
  }
  return false;
}

void InvalidationWorker::Impl::Push(const std::weak_ptr<Session>& session,
                                    Item item) {
  if (item.kind == Kind::kEntry) ++names[item.session];
  known.insert(item);
  queue.push_back({session, std::move(item)});
  ++pushed;
}

void InvalidationWorker::Impl::DropNames(uint64_t session) {
  for (Queued& queued : queue) {
    if (queued.item.kind != Kind::kEntry || queued.item.session != session) {
      continue;
    }
    known.erase(queued.item);
    // Stays as an empty turn, so that `done` goes on in step.
    queued.session.reset();
    queued.item.name.clear();
    queued.item.session = 0;
  }
  names.erase(session);
}

void InvalidationWorker::Impl::Post(const std::weak_ptr<Session>& session,
                                    Kind kind, NodeId node,
                                    std::string_view name) {
  // Held to the end: the last reference is better dropped by its owner.
  const std::shared_ptr<Session> live = session.lock();
  if (live == nullptr || !live->initialized()) return;
  Item item{live->id(), kind, node, std::string(name)};
  absl::MutexLock lock(&mu);
  if (Covered(item)) {
    ++stats.coalesced;
    return;
  }
  const bool can_epoch =
      live->connection().inc_epoch || options.expire_all != nullptr;
  if (kind == Kind::kEntry && can_epoch &&
      names[item.session] >= options.limit) {
    DropNames(item.session);
    ++stats.overflows;
    item = Item{live->id(), Kind::kEpoch, 0, {}};
  }
  Push(session, std::move(item));
}

bool InvalidationWorker::Impl::Pop(Queued* next) {
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    return stopping || !queue.empty();
  };
  absl::MutexLock lock(&mu, absl::Condition(&ready));
  if (stopping) return false;
  *next = std::move(queue.front());
  queue.pop_front();
  // What is posted from now on may be about a change that this one, being on
  // its way, does not tell of.
  known.erase(next->item);
  if (next->item.kind == Kind::kEntry) {
    auto counted = names.find(next->item.session);
    if (counted != names.end() && --counted->second == 0) names.erase(counted);
  }
  return true;
}

void InvalidationWorker::Impl::Send(Session& session, const Item& item) {
  if (session.ended()) return;
  absl::Status status;
  switch (item.kind) {
    case Kind::kEntry:
      status = session.ExpireEntry(item.node, item.name);
      break;
    case Kind::kAttributes:
      status = session.InvalidateInode(item.node, false);
      break;
    case Kind::kData:
      status = session.InvalidateInode(item.node, true);
      break;
    case Kind::kEpoch:
      status = session.IncrementEpoch();
      if (absl::IsUnimplemented(status) && options.expire_all != nullptr) {
        options.expire_all(session);
        status = absl::OkStatus();
      }
      break;
  }
  if (!status.ok() && !session.ended()) {
    LOG_EVERY_N_SEC(WARNING, 10) << "invalidation: " << Describe(status);
  }
}

void InvalidationWorker::Impl::Run() {
  pthread_setname_np(pthread_self(), "fused-inval");
  Queued next;
  while (Pop(&next)) {
    const bool superfluous = next.item.session == 0;
    // The session may be destroyed here, where it was the last reference.
    if (std::shared_ptr<Session> session = next.session.lock()) {
      Send(*session, next.item);
    }
    absl::MutexLock lock(&mu);
    ++done;
    if (superfluous) continue;
    switch (next.item.kind) {
      case Kind::kEntry:
        ++stats.entries;
        break;
      case Kind::kAttributes:
      case Kind::kData:
        ++stats.inodes;
        break;
      case Kind::kEpoch:
        ++stats.epochs;
        break;
    }
  }
}

InvalidationWorker::InvalidationWorker(const Options& options)
    : impl_(std::make_unique<Impl>(options)) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->Run(); });
}

InvalidationWorker::~InvalidationWorker() {
  {
    absl::MutexLock lock(&impl_->mu);
    impl_->stopping = true;
  }
  impl_->thread.join();
}

void InvalidationWorker::PostEntry(std::weak_ptr<Session> session,
                                   NodeId parent, std::string_view name) {
  impl_->Post(session, Kind::kEntry, parent, name);
}

void InvalidationWorker::PostInode(std::weak_ptr<Session> session, NodeId node,
                                   bool data) {
  impl_->Post(session, data ? Kind::kData : Kind::kAttributes, node, {});
}

void InvalidationWorker::PostEpoch(std::weak_ptr<Session> session) {
  impl_->Post(session, Kind::kEpoch, 0, {});
}

bool InvalidationWorker::Sync(absl::Duration timeout) {
  absl::MutexLock lock(&impl_->mu);
  const uint64_t target = impl_->pushed;
  const auto reached = [this, target] {
    impl_->mu.AssertHeld();
    return impl_->done >= target;
  };
  return impl_->mu.AwaitWithTimeout(absl::Condition(&reached), timeout);
}

InvalidationWorker::Stats InvalidationWorker::stats() const {
  absl::MutexLock lock(&impl_->mu);
  Stats stats = impl_->stats;
  stats.queued = impl_->queue.size();
  return stats;
}

}  // namespace fused::kernel
