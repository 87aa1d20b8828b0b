#include "kernel/backing.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/node_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fuse_kernel.h"
#include "kernel/status.h"
#include "kernel/types.h"

namespace fused::kernel {
namespace {

class IoctlBackingDevice final : public BackingDevice {
 public:
  explicit IoctlBackingDevice(int device) : device_(device) {}

  absl::StatusOr<int32_t> Open(int fd) override {
    struct fuse_backing_map map = {};
    map.fd = fd;
    const int id = ioctl(device_, FUSE_DEV_IOC_BACKING_OPEN, &map);
    if (id < 0) return ErrnoStatus(errno);
    // 0 stands for "no backing file" in an open reply.
    if (id == 0) return ErrnoStatus(EIO);
    return id;
  }

  void Close(int32_t id) override {
    auto value = static_cast<uint32_t>(id);
    // Fails where the superblock has gone, and the ids with it.
    (void)ioctl(device_, FUSE_DEV_IOC_BACKING_CLOSE, &value);
  }

 private:
  const int device_;
};

}  // namespace

std::unique_ptr<BackingDevice> MakeIoctlBackingDevice(int device) {
  return std::make_unique<IoctlBackingDevice>(device);
}

namespace {

// Of all connections: more are not kept warm, whatever each may keep.
constexpr size_t kMostWarm = 1 << 16;
std::atomic<size_t> all_warm{0};

// A registry this large is worth so many locks.
constexpr size_t kShards = 16;
constexpr size_t kWorthShards = 1024;

struct Registration {
  NodeId node = 0;
  int32_t id = 0;  // 0: being registered
  uint64_t uses = 0;
  bool doomed = false;
  bool warm = false;
  // In the LRU, where warm.
  Registration* older = nullptr;
  Registration* newer = nullptr;
};

// Entries without a use, oldest first. Links them: nothing is allocated.
class Lru {
 public:
  size_t size() const { return size_; }
  Registration* oldest() const { return oldest_; }

  void Add(Registration& entry) {
    entry.warm = true;
    entry.older = newest_;
    entry.newer = nullptr;
    (newest_ == nullptr ? oldest_ : newest_->newer) = &entry;
    newest_ = &entry;
    ++size_;
    all_warm.fetch_add(1, std::memory_order_relaxed);
  }

  void Remove(Registration& entry) {
    entry.warm = false;
    (entry.older == nullptr ? oldest_ : entry.older->newer) = entry.newer;
    (entry.newer == nullptr ? newest_ : entry.newer->older) = entry.older;
    --size_;
    all_warm.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  Registration* oldest_ = nullptr;
  Registration* newest_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

struct BackingRegistry::Impl {
  // Its mutex is never held over an ioctl.
  struct alignas(64) Shard {
    mutable absl::Mutex mu;
    absl::CondVar registered ABSL_GUARDED_BY(mu);
    // Their addresses are the LRU's.
    absl::node_hash_map<NodeId, Registration> entries ABSL_GUARDED_BY(mu);
    Lru lru ABSL_GUARDED_BY(mu);
    Stats stats ABSL_GUARDED_BY(mu);

    // The id is to be closed by the caller, without the lock.
    int32_t Erase(Registration& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
      const int32_t id = entry.id;
      if (entry.warm) lru.Remove(entry);
      entries.erase(entry.node);
      ++stats.closed;
      return id;
    }

    void Use(Registration& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
      ++entry.uses;
      if (entry.warm) lru.Remove(entry);
    }

    // Drops warm ids until at most `most` are left.
    void Shrink(size_t most, std::vector<int32_t>* closed)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
      while (lru.size() > most) closed->push_back(Erase(*lru.oldest()));
    }
  };

  Impl(const Options& limits, BackingDevice* target)
      : options(limits),
        device(target),
        count(limits.warm < kWorthShards ? 1 : kShards),
        warm_each((limits.warm + count - 1) / count) {}

  Shard& ShardOf(NodeId node) { return shards[node % count]; }

  void Close(const std::vector<int32_t>& closed) {
    for (const int32_t id : closed) device->Close(id);
    ids.fetch_sub(closed.size(), std::memory_order_relaxed);
  }

  // Room for one id more, if need be by closing a warm one.
  bool Reserve() {
    if (ids.fetch_add(1, std::memory_order_relaxed) < options.limit) {
      return true;
    }
    for (size_t i = 0; i < count; ++i) {
      std::vector<int32_t> closed;
      {
        absl::MutexLock lock(&shards[i].mu);
        const size_t warm = shards[i].lru.size();
        shards[i].Shrink(warm == 0 ? 0 : warm - 1, &closed);
      }
      Close(closed);
      // Another thread may have taken it.
      if (!closed.empty() &&
          ids.load(std::memory_order_relaxed) <= options.limit) {
        return true;
      }
    }
    ids.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }

  const Options options;
  BackingDevice* const device;
  const size_t count;
  const size_t warm_each;
  // Registered, or being so.
  std::atomic<size_t> ids{0};
  std::array<Shard, kShards> shards;
};

BackingRegistry::BackingRegistry(Options options, BackingDevice* device)
    : impl_(std::make_unique<Impl>(options, device)) {}

BackingRegistry::~BackingRegistry() { Trim(); }

absl::StatusOr<BackingRef> BackingRegistry::Acquire(NodeId node, int fd) {
  Impl::Shard& shard = impl_->ShardOf(node);
  {
    absl::MutexLock lock(&shard.mu);
    for (;;) {
      auto found = shard.entries.find(node);
      if (found == shard.entries.end()) break;
      if (found->second.id != 0) {
        shard.Use(found->second);
        ++shard.stats.reused;
        return BackingRef(this, node, found->second.id);
      }
      // Another thread registers this very node. If it fails, the node is
      // tried again with this thread's descriptor.
      shard.registered.Wait(&shard.mu);
    }
    Registration& entry = shard.entries[node];
    entry.node = node;
    entry.uses = 1;
  }
  absl::StatusOr<int32_t> id = ErrnoStatus(ENOSPC);
  if (impl_->Reserve()) {
    id = impl_->device->Open(fd);
    if (!id.ok() &&
        (IsErrno(id.status(), ENOSPC) || IsErrno(id.status(), ENOMEM))) {
      // What is only kept warm is worth less than this open.
      Trim();
      id = impl_->device->Open(fd);
    }
    if (!id.ok()) impl_->ids.fetch_sub(1, std::memory_order_relaxed);
  }

  absl::MutexLock lock(&shard.mu);
  shard.registered.SignalAll();
  if (!id.ok()) {
    shard.entries.erase(node);
    ++shard.stats.refused;
    return id.status();
  }
  shard.entries.at(node).id = *id;
  ++shard.stats.registered;
  return BackingRef(this, node, *id);
}

BackingRef BackingRegistry::AcquireWarm(NodeId node) {
  Impl::Shard& shard = impl_->ShardOf(node);
  absl::MutexLock lock(&shard.mu);
  auto found = shard.entries.find(node);
  if (found == shard.entries.end() || found->second.id == 0) {
    return BackingRef();
  }
  shard.Use(found->second);
  ++shard.stats.reused;
  return BackingRef(this, node, found->second.id);
}

void BackingRegistry::Release(NodeId node) {
  std::vector<int32_t> closed;
  Impl::Shard& shard = impl_->ShardOf(node);
  {
    absl::MutexLock lock(&shard.mu);
    auto found = shard.entries.find(node);
    if (found == shard.entries.end()) return;
    Registration& entry = found->second;
    if (--entry.uses > 0) return;
    if (entry.doomed) {
      closed.push_back(shard.Erase(entry));
    } else {
      shard.lru.Add(entry);
      size_t most = impl_->warm_each;
      if (all_warm.load(std::memory_order_relaxed) > kMostWarm) {
        most = std::min(most, shard.lru.size() - 1);
      }
      shard.Shrink(most, &closed);
    }
  }
  impl_->Close(closed);
}

void BackingRegistry::Doom(NodeId node) {
  std::vector<int32_t> closed;
  Impl::Shard& shard = impl_->ShardOf(node);
  {
    absl::MutexLock lock(&shard.mu);
    auto found = shard.entries.find(node);
    if (found == shard.entries.end()) return;
    if (found->second.uses > 0) {
      found->second.doomed = true;
    } else {
      closed.push_back(shard.Erase(found->second));
    }
  }
  impl_->Close(closed);
}

void BackingRegistry::Trim() {
  for (size_t i = 0; i < impl_->count; ++i) {
    std::vector<int32_t> closed;
    {
      absl::MutexLock lock(&impl_->shards[i].mu);
      impl_->shards[i].Shrink(0, &closed);
    }
    impl_->Close(closed);
  }
}

BackingRegistry::Stats BackingRegistry::stats() const {
  Stats all;
  for (const Impl::Shard& shard : impl_->shards) {
    absl::MutexLock lock(&shard.mu);
    all.warm += shard.lru.size();
    all.registered += shard.stats.registered;
    all.closed += shard.stats.closed;
    all.reused += shard.stats.reused;
    all.refused += shard.stats.refused;
  }
  all.ids = all.registered - all.closed;
  return all;
}

BackingRef::BackingRef(BackingRef&& other) noexcept
    : registry_(std::exchange(other.registry_, nullptr)),
      node_(other.node_),
      id_(std::exchange(other.id_, 0)) {}

BackingRef& BackingRef::operator=(BackingRef&& other) noexcept {
  if (this != &other) {
    Reset();
    registry_ = std::exchange(other.registry_, nullptr);
    node_ = other.node_;
    id_ = std::exchange(other.id_, 0);
  }
  return *this;
}

BackingRef::~BackingRef() { Reset(); }

void BackingRef::Reset() {
  BackingRegistry* registry = std::exchange(registry_, nullptr);
  id_ = 0;
  if (registry != nullptr) registry->Release(node_);
}

}  // namespace fused::kernel
