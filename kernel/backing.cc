#include "kernel/backing.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
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

struct BackingRegistry::Impl {
  struct Entry {
    int32_t id = 0;  // 0: being registered
    uint64_t uses = 0;
    bool doomed = false;
    bool warm = false;
    std::list<NodeId>::iterator place;  // in `lru`, where warm
  };

  Impl(const Options& limits, BackingDevice* target)
      : options(limits), device(target) {}

  // The entry's id is to be closed by the caller, without the lock.
  int32_t Erase(NodeId node, Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    const int32_t id = entry.id;
    if (entry.warm) lru.erase(entry.place);
    entries.erase(node);
    ++stats.closed;
    return id;
  }

  void Use(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    ++entry.uses;
    if (entry.warm) {
      lru.erase(entry.place);
      entry.warm = false;
    }
  }

  // Drops warm ids until at most `most` are left.
  void Shrink(size_t most, std::vector<int32_t>* closed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    while (lru.size() > most) {
      const NodeId oldest = lru.front();
      closed->push_back(Erase(oldest, entries.at(oldest)));
    }
  }

  void Close(const std::vector<int32_t>& ids) ABSL_LOCKS_EXCLUDED(mu) {
    for (int32_t id : ids) device->Close(id);
  }

  const Options options;
  BackingDevice* const device;

  // Never held over an ioctl, so that one lock is enough: what it guards
  // takes less than an upcall's hundredth.
  mutable absl::Mutex mu;
  absl::CondVar registered ABSL_GUARDED_BY(mu);
  absl::flat_hash_map<NodeId, Entry> entries ABSL_GUARDED_BY(mu);
  std::list<NodeId> lru ABSL_GUARDED_BY(mu);  // oldest first
  Stats stats ABSL_GUARDED_BY(mu);
};

BackingRegistry::BackingRegistry(Options options, BackingDevice* device)
    : impl_(std::make_unique<Impl>(options, device)) {}

BackingRegistry::~BackingRegistry() { Trim(); }

absl::StatusOr<BackingRef> BackingRegistry::Acquire(NodeId node, int fd) {
  std::vector<int32_t> closed;
  {
    absl::MutexLock lock(&impl_->mu);
    for (;;) {
      auto found = impl_->entries.find(node);
      if (found == impl_->entries.end()) break;
      if (found->second.id != 0) {
        impl_->Use(found->second);
        ++impl_->stats.reused;
        return BackingRef(this, node, found->second.id);
      }
      // Another thread registers this very node. If it fails, the node is
      // tried again with this thread's descriptor.
      impl_->registered.Wait(&impl_->mu);
    }
    if (impl_->entries.size() >= impl_->options.limit) {
      impl_->Shrink(impl_->lru.empty() ? 0 : impl_->lru.size() - 1, &closed);
    }
    if (impl_->entries.size() >= impl_->options.limit) {
      ++impl_->stats.refused;
      return ErrnoStatus(ENOSPC);
    }
    impl_->entries[node].uses = 1;
  }
  impl_->Close(closed);

  absl::StatusOr<int32_t> id = impl_->device->Open(fd);
  if (!id.ok() &&
      (IsErrno(id.status(), ENOSPC) || IsErrno(id.status(), ENOMEM))) {
    // What is only kept warm is worth less than this open.
    Trim();
    id = impl_->device->Open(fd);
  }

  absl::MutexLock lock(&impl_->mu);
  impl_->registered.SignalAll();
  if (!id.ok()) {
    impl_->entries.erase(node);
    ++impl_->stats.refused;
    return id.status();
  }
  impl_->entries[node].id = *id;
  ++impl_->stats.registered;
  return BackingRef(this, node, *id);
}

BackingRef BackingRegistry::AcquireWarm(NodeId node) {
  absl::MutexLock lock(&impl_->mu);
  auto found = impl_->entries.find(node);
  if (found == impl_->entries.end() || found->second.id == 0) {
    return BackingRef();
  }
  impl_->Use(found->second);
  ++impl_->stats.reused;
  return BackingRef(this, node, found->second.id);
}

void BackingRegistry::Release(NodeId node) {
  std::vector<int32_t> closed;
  {
    absl::MutexLock lock(&impl_->mu);
    auto found = impl_->entries.find(node);
    if (found == impl_->entries.end()) return;
    Impl::Entry& entry = found->second;
    if (--entry.uses > 0) return;
    if (entry.doomed) {
      closed.push_back(impl_->Erase(node, entry));
    } else {
      entry.warm = true;
      entry.place = impl_->lru.insert(impl_->lru.end(), node);
      impl_->Shrink(impl_->options.warm, &closed);
    }
  }
  impl_->Close(closed);
}

void BackingRegistry::Doom(NodeId node) {
  std::vector<int32_t> closed;
  {
    absl::MutexLock lock(&impl_->mu);
    auto found = impl_->entries.find(node);
    if (found == impl_->entries.end()) return;
    if (found->second.uses > 0) {
      found->second.doomed = true;
    } else {
      closed.push_back(impl_->Erase(node, found->second));
    }
  }
  impl_->Close(closed);
}

void BackingRegistry::Trim() {
  std::vector<int32_t> closed;
  {
    absl::MutexLock lock(&impl_->mu);
    impl_->Shrink(0, &closed);
  }
  impl_->Close(closed);
}

BackingRegistry::Stats BackingRegistry::stats() const {
  absl::MutexLock lock(&impl_->mu);
  Stats stats = impl_->stats;
  stats.warm = impl_->lru.size();
  stats.ids = stats.registered - stats.closed;
  return stats;
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
