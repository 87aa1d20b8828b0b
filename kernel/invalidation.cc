#include "kernel/invalidation.h"

#include <pthread.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

// A caller can hold a directory's lock in the kernel for as long as it likes,
// by having a listing written to memory that does not answer. What it holds up
// then is its own session: for the others there is another thread.
constexpr absl::Duration kStuck = absl::Milliseconds(100);

enum class Kind {
  kEntry,
  kRemoved,
  kLookup,
  kAttributes,
  kData,
  kListing,
  kEpoch
};

bool IsName(Kind kind) {
  return kind == Kind::kEntry || kind == Kind::kRemoved;
}

// What is to be told. Two that are equal are told once.
struct Item {
  Kind kind = Kind::kEpoch;
  NodeId node = 0;    // of an entry and of a lookup: the parent
  std::string name;   // of these
  NodeId looked = 0;  // of a lookup: what was found

  friend bool operator==(const Item&, const Item&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Item& item) {
    return H::combine(std::move(h), item.kind, item.node, item.name,
                      item.looked);
  }
};

struct Queued {
  uint64_t number = 0;  // in the order of posting, over all sessions
  Item item;
  absl::Time posted;
};

// No name has it, so nothing is found under it.
constexpr char kNoName[] = "/";

// What waits for one session.
struct Lane {
  std::weak_ptr<Session> session;
  std::deque<Queued> items;
  absl::flat_hash_set<Item> known;  // what is in `items`
  size_t names = 0;                 // entries in it
  uint64_t sending = 0;             // number of what a thread is sending; or 0

  // The oldest that is not done with.
  uint64_t oldest() const {
    if (sending != 0) return sending;
    return items.empty() ? UINT64_MAX : items.front().number;
  }

  // Whether something queued does `item`'s work.
  bool Covers(const Item& item) const {
    if (known.contains(item)) return true;
    switch (item.kind) {
      case Kind::kEntry:
        // Makes the kernel ask for every name again, but does not reach the
        // inodes of open files.
        return known.contains(Item{Kind::kEpoch, 0, {}, 0}) ||
               known.contains(Item{Kind::kRemoved, item.node, item.name, 0});
      case Kind::kAttributes:
        return known.contains(Item{Kind::kData, item.node, {}, 0}) ||
               known.contains(Item{Kind::kListing, item.node, {}, 0});
      default:
        return false;
    }
  }

  void Push(uint64_t number, Item item) {
    if (IsName(item.kind)) ++names;
    known.insert(item);
    items.push_back({number, std::move(item), absl::Now()});
  }

  Queued Pop() {
    Queued next = std::move(items.front());
    sending = next.number;
    items.pop_front();
    // What is posted from now on may be about a change that this one, being on
    // its way, does not tell of.
    known.erase(next.item);
    if (IsName(next.item.kind)) --names;
    return next;
  }

  void DropNames() {
    std::erase_if(items, [this](const Queued& queued) {
      if (!IsName(queued.item.kind)) return false;
      known.erase(queued.item);
      return true;
    });
    names = 0;
  }
};

}  // namespace

struct InvalidationWorker::Impl {
  explicit Impl(const Options& given) : options(given) {}

  void Post(const std::weak_ptr<Session>& session, Item item)
      ABSL_LOCKS_EXCLUDED(mu);
  // Sends what comes, one item of a session at a time.
  void Work() ABSL_LOCKS_EXCLUDED(mu);
  // Adds a thread where all others are stuck.
  void Watch() ABSL_LOCKS_EXCLUDED(mu);
  void Send(Session& session, const Item& item) ABSL_LOCKS_EXCLUDED(mu);
  void Count(const Queued& sent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The oldest item that is not done with.
  uint64_t Oldest() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);

  const Options options;
  mutable absl::Mutex mu;
  bool stopping ABSL_GUARDED_BY(mu) = false;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Lane>> lanes
      ABSL_GUARDED_BY(mu);
  // The lanes, by session, that have items and no thread; next one first.
  std::deque<uint64_t> turns ABSL_GUARDED_BY(mu);
  uint64_t last_number ABSL_GUARDED_BY(mu) = 0;
  uint64_t taken ABSL_GUARDED_BY(mu) = 0;  // turns
  Stats stats ABSL_GUARDED_BY(mu);
  std::vector<std::thread> workers ABSL_GUARDED_BY(mu);
  std::thread watcher;
};

void InvalidationWorker::Impl::Post(const std::weak_ptr<Session>& session,
                                    Item item) {
  // Held to the end: the last reference is better dropped by its owner.
  const std::shared_ptr<Session> live = session.lock();
  if (live == nullptr || !live->initialized()) return;
  absl::MutexLock lock(&mu);
  if (stopping) return;
  std::unique_ptr<Lane>& lane = lanes[live->id()];
  if (lane == nullptr) {
    lane = std::make_unique<Lane>();
    lane->session = session;
  }
  if (lane->Covers(item)) {
    ++stats.coalesced;
    return;
  }
  const bool was_idle = lane->items.empty() && lane->sending == 0;
  const bool can_epoch =
      live->connection().inc_epoch || options.expire_all != nullptr;
  if (IsName(item.kind) && can_epoch && lane->names >= options.limit) {
    lane->DropNames();
    ++stats.overflows;
    item = Item{Kind::kEpoch, 0, {}, 0};
  }
  lane->Push(++last_number, std::move(item));
  if (was_idle) turns.push_back(live->id());
}

void InvalidationWorker::Impl::Send(Session& session, const Item& item) {
  if (session.ended()) return;
  absl::Status status;
  switch (item.kind) {
    case Kind::kEntry:
      status = session.ExpireEntry(item.node, item.name);
      break;
    case Kind::kRemoved:
      status = session.InvalidateEntry(item.node, item.name);
      break;
    case Kind::kLookup:
      // The first waits for the directory's lock.
      status = session.ExpireEntry(item.node, item.name);
      status.Update(session.InvalidateInode(item.looked, false));
      break;
    case Kind::kAttributes:
      status = session.InvalidateInode(item.node, false);
      break;
    case Kind::kData:
      status = session.InvalidateInode(item.node, true);
      break;
    case Kind::kListing:
      // The first takes the directory's lock, and so waits for those who are
      // reading it: what they were told is entered then.
      status = session.ExpireEntry(item.node, kNoName);
      status.Update(session.InvalidateInode(item.node, true));
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

void InvalidationWorker::Impl::Count(const Queued& sent) {
  const absl::Duration lag =
      std::max(absl::Now() - sent.posted, absl::ZeroDuration());
  stats.lag += lag;
  stats.longest_lag = std::max(stats.longest_lag, lag);
  switch (sent.item.kind) {
    case Kind::kEntry:
    case Kind::kRemoved:
    case Kind::kLookup:
      ++stats.entries;
      break;
    case Kind::kAttributes:
    case Kind::kData:
      ++stats.inodes;
      break;
    case Kind::kListing:
      ++stats.listings;
      break;
    case Kind::kEpoch:
      ++stats.epochs;
      break;
  }
}

void InvalidationWorker::Impl::Work() {
  pthread_setname_np(pthread_self(), "fused-inval");
  const auto ready = [this] {
    mu.AssertHeld();
    return stopping || !turns.empty();
  };
  for (;;) {
    std::shared_ptr<Session> session;
    Queued next;
    uint64_t id;
    {
      absl::MutexLock lock(&mu, absl::Condition(&ready));
      if (stopping) return;
      id = turns.front();
      turns.pop_front();
      ++taken;
      Lane& lane = *lanes.at(id);
      session = lane.session.lock();
      next = lane.Pop();
    }
    if (session != nullptr) Send(*session, next.item);
    {
      absl::MutexLock lock(&mu);
      Count(next);
      auto lane = lanes.find(id);
      lane->second->sending = 0;
      if (lane->second->items.empty()) {
        lanes.erase(lane);
      } else {
        turns.push_back(id);
      }
    }
    // The session may be destroyed here, where it was the last reference.
  }
}

void InvalidationWorker::Impl::Watch() {
  uint64_t seen = 0;
  const auto waiting = [this] {
    mu.AssertHeld();
    return stopping || !turns.empty();
  };
  const auto moved = [this, &seen] {
    mu.AssertHeld();
    return stopping || turns.empty() || taken != seen;
  };
  absl::MutexLock lock(&mu);
  while (!stopping) {
    mu.Await(absl::Condition(&waiting));
    seen = taken;
    if (mu.AwaitWithTimeout(absl::Condition(&moved), kStuck)) continue;
    if (workers.size() < options.max_threads) {
      workers.emplace_back([this] { Work(); });
    }
  }
}

uint64_t InvalidationWorker::Impl::Oldest() const {
  uint64_t oldest = UINT64_MAX;
  for (const auto& [id, lane] : lanes) {
    oldest = std::min(oldest, lane->oldest());
  }
  return oldest;
}

InvalidationWorker::InvalidationWorker(const Options& options)
    : impl_(std::make_unique<Impl>(options)) {
  absl::MutexLock lock(&impl_->mu);
  impl_->workers.emplace_back([impl = impl_.get()] { impl->Work(); });
  impl_->watcher = std::thread([impl = impl_.get()] { impl->Watch(); });
}

InvalidationWorker::~InvalidationWorker() { Stop(); }

void InvalidationWorker::Stop() {
  {
    absl::MutexLock lock(&impl_->mu);
    if (impl_->stopping) return;
    impl_->stopping = true;
  }
  // Makes all the threads that there are.
  impl_->watcher.join();
  std::vector<std::thread> workers;
  {
    absl::MutexLock lock(&impl_->mu);
    workers.swap(impl_->workers);
  }
  for (std::thread& worker : workers) worker.join();
}

void InvalidationWorker::PostEntry(const std::weak_ptr<Session>& session,
                                   NodeId parent, std::string_view name) {
  impl_->Post(session, {Kind::kEntry, parent, std::string(name), 0});
}

void InvalidationWorker::PostRemoved(const std::weak_ptr<Session>& session,
                                     NodeId parent, std::string_view name) {
  impl_->Post(session, {Kind::kRemoved, parent, std::string(name), 0});
}

void InvalidationWorker::PostLookup(const std::weak_ptr<Session>& session,
                                    NodeId parent, std::string_view name,
                                    NodeId node) {
  impl_->Post(session, {Kind::kLookup, parent, std::string(name), node});
}

void InvalidationWorker::PostInode(const std::weak_ptr<Session>& session,
                                   NodeId node, bool data) {
  impl_->Post(session, {data ? Kind::kData : Kind::kAttributes, node, {}, 0});
}

void InvalidationWorker::PostListing(const std::weak_ptr<Session>& session,
                                     NodeId directory) {
  impl_->Post(session, {Kind::kListing, directory, {}, 0});
}

void InvalidationWorker::PostEpoch(const std::weak_ptr<Session>& session) {
  impl_->Post(session, {Kind::kEpoch, 0, {}, 0});
}

bool InvalidationWorker::Sync(absl::Duration timeout) {
  absl::MutexLock lock(&impl_->mu);
  const uint64_t target = impl_->last_number;
  const auto reached = [this, target] {
    impl_->mu.AssertHeld();
    return impl_->Oldest() > target;
  };
  return impl_->mu.AwaitWithTimeout(absl::Condition(&reached), timeout);
}

InvalidationWorker::Stats InvalidationWorker::stats() const {
  absl::MutexLock lock(&impl_->mu);
  Stats stats = impl_->stats;
  for (const auto& [id, lane] : impl_->lanes) {
    stats.queued += lane->items.size();
  }
  return stats;
}

}  // namespace fused::kernel
