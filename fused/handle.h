// The open files and directories of one view: what its fhs name.
#ifndef FUSED_FUSED_HANDLE_H_
#define FUSED_FUSED_HANDLE_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fused/app_limits.h"
#include "fused/directory_reader.h"
#include "fused/listings.h"
#include "fused/lower_node_parts.h"
#include "fused/node.h"
#include "fused/recycler.h"
#include "kernel/backing.h"
#include "kernel/fd.h"
#include "kernel/types.h"
#include "policy/types.h"

namespace fused {

// What an open is for, derived once; everything later is judged by it.
struct Intent {
  bool read = false;
  bool write = false;
  bool truncate = false;
  bool append = false;
  bool create = false;

  // From open(2)'s flags.
  static Intent FromFlags(int flags);

  policy::OperationSet operations() const;
  kernel::Access access() const;
};

// What a table must remember of a handle across a restart.
struct HandleRecord {
  kernel::HandleId id = 0;
  kernel::NodeId node = 0;
  uid_t uid = 0;  // the subject's
  int flags = 0;  // open(2)'s
  Intent intent;
  policy::IoMode io = policy::IoMode::kPassthrough;
  uint64_t epoch = 0;
  policy::RuleId rule = policy::kNoRule;
};

// An open regular file.
class Handle {
 public:
  Handle(const HandleRecord& record, Ref<Node> node)
      : record(record), node(std::move(node)), judged(record.epoch << 1 | 1) {}

  const HandleRecord record;
  const Ref<Node> node;

  // The epoch that it was last judged under, twice, plus one where it may go
  // on.
  mutable std::atomic<uint64_t> judged;

  // Reads see no location. Never with a backing id.
  bool redacted() const { return record.io == policy::IoMode::kRedacted; }

  // Of a passthrough one.
  kernel::BackingRef backing;

  // What its app is charged for it.
  AppLimits::Share share;

  // The daemon's own descriptor of the lower file, opened as the app did, at
  // the first request that needs it.
  absl::StatusOr<int> Descriptor();
  // Spares that, where opening has made one.
  void SetDescriptor(kernel::Fd fd);

  // An owner has asked for a lock through this handle: let go at RELEASE.
  void NoteLockOwner(uint64_t owner);
  std::vector<uint64_t> lock_owners() const;

 private:
  mutable absl::Mutex mutex_;
  kernel::Fd fd_ ABSL_GUARDED_BY(mutex_);
  absl::InlinedVector<uint64_t, 1> lock_owners_ ABSL_GUARDED_BY(mutex_);
};

// An open directory.
class DirectoryHandle {
 public:
  // `pin`: the node's descriptor, which stays for as long as the handle, so
  // that the directory can be read when its last name has gone.
  DirectoryHandle(kernel::HandleId id, Ref<Node> node, uid_t uid, Pin pin,
                  AppLimits::Share share = {})
      : id(id),
        node(std::move(node)),
        uid(uid),
        share(std::move(share)),
        pin_(std::move(pin)) {}

  const kernel::HandleId id;
  const Ref<Node> node;
  const uid_t uid;
  // What its app is charged for it.
  const AppLimits::Share share;
  // The view's listings'.
  Listings::Reader listing;
  // The epoch of the last listing whose names the kernel entered; 0: none.
  std::atomic<uint64_t> listed{0};

  // One reading at a time: the lower descriptor has one position. A mutex that
  // system calls are made under, of this handle alone.
  absl::Mutex read_mutex;

  // Opened at the first request that needs it: none does where the kernel has
  // the names.
  absl::StatusOr<DirectoryReader*> Reader()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(read_mutex);
  // The reader's, for fsync.
  absl::StatusOr<int> Descriptor() ABSL_LOCKS_EXCLUDED(read_mutex);

 private:
  const Pin pin_;
  std::optional<DirectoryReader> reader_ ABSL_GUARDED_BY(read_mutex);
};

// Thread-safe. Ids are never used again.
template <typename T>
class HandleTable {
 public:
  // Not yet in the table. One that is made for an id takes the memory of one
  // that had an id of the same part of the table.
  template <typename... Args>
  std::shared_ptr<T> Make(kernel::HandleId id, Args&&... args) {
    return std::allocate_shared<T>(
        RecyclingAllocator<T>(shards_[id % kShards].recycler),
        std::forward<Args>(args)...);
  }

  kernel::HandleId NewId() {
    return next_.fetch_add(1, std::memory_order_relaxed);
  }

  void Insert(kernel::HandleId id, std::shared_ptr<T> handle) {
    Shard& shard = shards_[id % kShards];
    absl::MutexLock lock(&shard.mutex);
    shard.handles.emplace(id, std::move(handle));
  }

  std::shared_ptr<T> Find(kernel::HandleId id) const {
    const Shard& shard = shards_[id % kShards];
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.handles.find(id);
    return found == shard.handles.end() ? nullptr : found->second;
  }

  std::shared_ptr<T> Remove(kernel::HandleId id) {
    Shard& shard = shards_[id % kShards];
    absl::MutexLock lock(&shard.mutex);
    auto found = shard.handles.extract(id);
    return found.empty() ? nullptr : std::move(found.mapped());
  }

  std::vector<std::shared_ptr<T>> All() const {
    std::vector<std::shared_ptr<T>> all;
    for (const Shard& shard : shards_) {
      absl::MutexLock lock(&shard.mutex);
      for (const auto& [id, handle] : shard.handles) all.push_back(handle);
    }
    return all;
  }

  size_t size() const {
    size_t count = 0;
    for (const Shard& shard : shards_) {
      absl::MutexLock lock(&shard.mutex);
      count += shard.handles.size();
    }
    return count;
  }

 private:
  static constexpr size_t kShards = 16;
  struct Shard {
    const std::shared_ptr<Recycler> recycler = std::make_shared<Recycler>();
    mutable absl::Mutex mutex;
    absl::flat_hash_map<kernel::HandleId, std::shared_ptr<T>> handles
        ABSL_GUARDED_BY(mutex);
  };

  std::atomic<kernel::HandleId> next_{1};
  Shard shards_[kShards];
};

}  // namespace fused

#endif  // FUSED_FUSED_HANDLE_H_
