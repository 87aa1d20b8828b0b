#include "fused/locks.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>

#include "absl/base/no_destructor.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "kernel/status.h"

namespace fused {
namespace {

using Owner = LockTable::Owner;

// The last byte that a file can have; a range that reaches it has no end.
constexpr uint64_t kLastByte = std::numeric_limits<int64_t>::max();

// Which owner waits for which, over all tables: a process that waits in one
// file for another that waits in a second file for the first is a deadlock too.
class WaitGraph {
 public:
  static WaitGraph& Get() {
    static absl::NoDestructor<WaitGraph> graph;
    return *graph;
  }

  // False, and nothing is added, where `waiter` would wait for itself.
  bool Add(const void* table, uint64_t ticket, Owner waiter,
           std::vector<Owner> blockers) {
    absl::MutexLock lock(&mutex_);
    if (Reaches(blockers, waiter)) return false;
    waits_[waiter].push_back({table, ticket, std::move(blockers)});
    return true;
  }

  void Update(const void* table, uint64_t ticket, Owner waiter,
              std::vector<Owner> blockers) {
    absl::MutexLock lock(&mutex_);
    for (Wait& wait : waits_[waiter]) {
      if (wait.table == table && wait.ticket == ticket) {
        wait.blockers = std::move(blockers);
        return;
      }
    }
  }

  void Remove(const void* table, uint64_t ticket, Owner waiter) {
    absl::MutexLock lock(&mutex_);
    auto found = waits_.find(waiter);
    if (found == waits_.end()) return;
    std::erase_if(found->second, [&](const Wait& wait) {
      return wait.table == table && wait.ticket == ticket;
    });
    if (found->second.empty()) waits_.erase(found);
  }

 private:
  struct Wait {
    const void* table;
    uint64_t ticket;
    std::vector<Owner> blockers;
  };

  bool Reaches(const std::vector<Owner>& from, Owner goal) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<Owner> open = from;
    absl::flat_hash_set<Owner> seen;
    while (!open.empty()) {
      const Owner owner = open.back();
      open.pop_back();
      if (owner == goal) return true;
      if (!seen.insert(owner).second) continue;
      auto found = waits_.find(owner);
      if (found == waits_.end()) continue;
      for (const Wait& wait : found->second) {
        open.insert(open.end(), wait.blockers.begin(), wait.blockers.end());
      }
    }
    return false;
  }

  absl::Mutex mutex_;
  absl::flat_hash_map<Owner, std::vector<Wait>> waits_ ABSL_GUARDED_BY(mutex_);
};

bool Excludes(int held, int wanted) {
  return held == F_WRLCK || wanted == F_WRLCK;
}

// Sets [first, last], or says why the range is none.
absl::Status Bounds(const kernel::LockRange& range, uint64_t& first,
                    uint64_t& last) {
  if (range.start > kLastByte) return kernel::ErrnoStatus(EINVAL);
  first = range.start;
  last = kLastByte;
  if (range.length != 0) {
    if (range.length - 1 > kLastByte - first) {
      return kernel::ErrnoStatus(EOVERFLOW);
    }
    last = first + (range.length - 1);
  }
  return absl::OkStatus();
}

// The first of an owner's segments that touches [first, last].
template <typename Map>
auto FirstTouching(Map& segments, uint64_t first) {
  auto at = segments.upper_bound(first);
  if (at != segments.begin() && std::prev(at)->second.last >= first) --at;
  return at;
}

}  // namespace

LockTable::~LockTable() { CancelAll(); }

void LockTable::CancelAll() {
  Answers answers;
  {
    absl::MutexLock lock(&mutex_);
    for (Waiter& waiter : waiters_) {
      if (!waiter.flock) {
        WaitGraph::Get().Remove(this, waiter.ticket, waiter.owner);
      }
      answers.emplace_back(std::move(waiter.done), kernel::ErrnoStatus(EINTR));
    }
    waiters_.clear();
  }
  Send(answers);
}

void LockTable::Send(Answers& answers) {
  for (auto& [done, status] : answers) done(status);
}

kernel::LockRange LockTable::Test(Owner owner,
                                  const kernel::LockRange& range) const {
  kernel::LockRange answer = range;
  answer.type = F_UNLCK;
  uint64_t first = 0;
  uint64_t last = 0;
  if (!Bounds(range, first, last).ok()) return answer;
  absl::MutexLock lock(&mutex_);
  uint64_t lowest = 0;
  for (const auto& [holder, segments] : posix_) {
    if (holder == owner) continue;
    for (auto at = FirstTouching(segments, first);
         at != segments.end() && at->first <= last; ++at) {
      if (!Excludes(at->second.type, range.type)) continue;
      if (answer.type != F_UNLCK && at->first >= lowest) break;
      lowest = at->first;
      answer.type = at->second.type;
      answer.start = at->first;
      answer.length =
          at->second.last == kLastByte ? 0 : at->second.last - at->first + 1;
      answer.pid = at->second.pid;
      break;
    }
  }
  return answer;
}

uint64_t LockTable::Set(Owner owner, const kernel::LockRange& range, bool wait,
                        Done done) {
  Waiter request;
  request.owner = owner;
  request.type = range.type;
  request.pid = range.pid;
  absl::Status status = Bounds(range, request.first, request.last);
  if (range.type != F_RDLCK && range.type != F_WRLCK && range.type != F_UNLCK) {
    status = kernel::ErrnoStatus(EINVAL);
  }
  if (!status.ok()) {
    done(status);
    return 0;
  }
  request.done = std::move(done);
  Answers answers;
  uint64_t ticket = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (!Conflicts(request)) {
      status = Apply(request);
      answers.emplace_back(std::move(request.done), status);
      Wake(answers);
    } else if (!wait) {
      answers.emplace_back(std::move(request.done),
                           kernel::ErrnoStatus(EAGAIN));
    } else {
      ticket = Enqueue(std::move(request), answers);
    }
  }
  Send(answers);
  return ticket;
}

uint64_t LockTable::Flock(Owner owner, int operation, Done done) {
  const bool wait = (operation & LOCK_NB) == 0;
  Waiter request;
  request.owner = owner;
  request.flock = true;
  switch (operation & ~LOCK_NB) {
    case LOCK_SH:
      request.type = F_RDLCK;
      break;
    case LOCK_EX:
      request.type = F_WRLCK;
      break;
    case LOCK_UN:
      request.type = F_UNLCK;
      break;
    default:
      done(kernel::ErrnoStatus(EINVAL));
      return 0;
  }
  request.done = std::move(done);
  Answers answers;
  uint64_t ticket = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (Conflicts(request) && flock_.erase(owner) != 0) {
      // A conversion that is in the way of others gives up what it has; those
      // that were before it may go first.
      Wake(answers);
    }
    if (!Conflicts(request)) {
      const absl::Status status = Apply(request);
      answers.emplace_back(std::move(request.done), status);
      Wake(answers);
    } else if (!wait) {
      answers.emplace_back(std::move(request.done),
                           kernel::ErrnoStatus(EAGAIN));
    } else {
      ticket = Enqueue(std::move(request), answers);
    }
  }
  Send(answers);
  return ticket;
}

void LockTable::Cancel(uint64_t ticket) {
  Answers answers;
  {
    absl::MutexLock lock(&mutex_);
    auto found = std::find_if(
        waiters_.begin(), waiters_.end(),
        [&](const Waiter& waiter) { return waiter.ticket == ticket; });
    if (found == waiters_.end()) return;
    if (!found->flock) WaitGraph::Get().Remove(this, ticket, found->owner);
    answers.emplace_back(std::move(found->done), kernel::ErrnoStatus(EINTR));
    waiters_.erase(found);
  }
  Send(answers);
}

void LockTable::ReleasePosix(Owner owner) {
  Answers answers;
  {
    absl::MutexLock lock(&mutex_);
    auto found = posix_.find(owner);
    if (found == posix_.end()) return;
    segments_ -= found->second.size();
    posix_.erase(found);
    Wake(answers);
  }
  Send(answers);
}

void LockTable::ReleaseFlock(Owner owner) {
  Answers answers;
  {
    absl::MutexLock lock(&mutex_);
    if (flock_.erase(owner) == 0) return;
    Wake(answers);
  }
  Send(answers);
}

void LockTable::ReleaseView(uint64_t view) {
  Answers answers;
  {
    absl::MutexLock lock(&mutex_);
    // Owners are in the order of their views.
    const Owner from{view, 0};
    auto posix = posix_.lower_bound(from);
    while (posix != posix_.end() && posix->first.view == view) {
      segments_ -= posix->second.size();
      posix = posix_.erase(posix);
    }
    auto flock = flock_.lower_bound(from);
    while (flock != flock_.end() && flock->first.view == view) {
      flock = flock_.erase(flock);
    }
    std::erase_if(waiters_, [&](Waiter& waiter) {
      if (waiter.owner.view != view) return false;
      if (!waiter.flock) {
        WaitGraph::Get().Remove(this, waiter.ticket, waiter.owner);
      }
      answers.emplace_back(std::move(waiter.done), kernel::ErrnoStatus(EINTR));
      return true;
    });
    Wake(answers);
  }
  Send(answers);
}

bool LockTable::empty() const {
  absl::MutexLock lock(&mutex_);
  return posix_.empty() && flock_.empty() && waiters_.empty();
}

bool LockTable::Conflicts(const Waiter& request) const {
  if (request.type == F_UNLCK) return false;
  if (request.flock) {
    return std::any_of(flock_.begin(), flock_.end(), [&](const auto& held) {
      return held.first != request.owner && Excludes(held.second, request.type);
    });
  }
  for (const auto& [holder, segments] : posix_) {
    if (holder == request.owner) continue;
    for (auto at = FirstTouching(segments, request.first);
         at != segments.end() && at->first <= request.last; ++at) {
      if (Excludes(at->second.type, request.type)) return true;
    }
  }
  return false;
}

std::vector<LockTable::Owner> LockTable::Blockers(const Waiter& request) const {
  std::vector<Owner> blockers;
  for (const auto& [holder, segments] : posix_) {
    if (holder == request.owner) continue;
    for (auto at = FirstTouching(segments, request.first);
         at != segments.end() && at->first <= request.last; ++at) {
      if (Excludes(at->second.type, request.type)) {
        blockers.push_back(holder);
        break;
      }
    }
  }
  return blockers;
}

absl::Status LockTable::Apply(const Waiter& request) {
  if (!request.flock) return ApplyPosix(request);
  if (request.type == F_UNLCK) {
    flock_.erase(request.owner);
  } else {
    flock_[request.owner] = request.type;
  }
  return absl::OkStatus();
}

absl::Status LockTable::ApplyPosix(const Waiter& request) {
  auto holder = posix_.find(request.owner);
  if (holder == posix_.end()) {
    if (request.type == F_UNLCK) return absl::OkStatus();
    if (segments_ >= kMaxSegments) return kernel::ErrnoStatus(ENOLCK);
    holder = posix_.emplace(request.owner, Segments()).first;
  }
  Segments& segments = holder->second;
  const size_t before = segments.size();

  // [begin, end) goes: what the range cuts, and neighbours of its own type,
  // which become one with it. What is left of others stays.
  const bool unlock = request.type == F_UNLCK;
  uint64_t first = request.first;
  uint64_t last = request.last;
  auto begin = FirstTouching(segments, first == 0 ? 0 : first - 1);
  if (begin != segments.end() && begin->second.last < request.first &&
      begin->second.type != request.type) {
    ++begin;
  }
  auto end = begin;
  size_t cut = 0;
  Segments rest;
  for (; end != segments.end() && end->first <= request.last + 1; ++end) {
    const uint64_t from = end->first;
    const Segment& segment = end->second;
    if (segment.type == request.type) {
      first = std::min(first, from);
      last = std::max(last, segment.last);
    } else if (from > request.last) {
      break;
    } else {
      if (from < request.first) {
        rest[from] = {request.first - 1, segment.type, segment.pid};
      }
      if (segment.last > request.last) rest[request.last + 1] = segment;
    }
    ++cut;
  }
  const size_t added = rest.size() + (unlock ? 0 : 1);
  if (added > cut && segments_ + (added - cut) > kMaxSegments) {
    return kernel::ErrnoStatus(ENOLCK);
  }
  segments.erase(begin, end);
  segments.insert(rest.begin(), rest.end());
  if (!unlock) segments[first] = {last, request.type, request.pid};
  segments_ = segments_ - before + segments.size();
  if (segments.empty()) posix_.erase(holder);
  return absl::OkStatus();
}

uint64_t LockTable::Enqueue(Waiter request, Answers& answers) {
  request.ticket = ++last_ticket_;
  if (!request.flock &&
      !WaitGraph::Get().Add(this, request.ticket, request.owner,
                            Blockers(request))) {
    answers.emplace_back(std::move(request.done), kernel::ErrnoStatus(EDEADLK));
    return 0;
  }
  const uint64_t ticket = request.ticket;
  waiters_.push_back(std::move(request));
  return ticket;
}

void LockTable::Wake(Answers& answers) {
  // A grant may be a downgrade, which lets an earlier one through: until a
  // round grants nothing.
  bool granted = true;
  while (granted) {
    granted = false;
    for (auto at = waiters_.begin(); at != waiters_.end();) {
      if (Conflicts(*at)) {
        ++at;
        continue;
      }
      if (!at->flock) WaitGraph::Get().Remove(this, at->ticket, at->owner);
      const absl::Status status = Apply(*at);
      answers.emplace_back(std::move(at->done), status);
      at = waiters_.erase(at);
      granted = true;
    }
  }
  for (const Waiter& waiter : waiters_) {
    if (!waiter.flock) {
      WaitGraph::Get().Update(this, waiter.ticket, waiter.owner,
                              Blockers(waiter));
    }
  }
}

}  // namespace fused
