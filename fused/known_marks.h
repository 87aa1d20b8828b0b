// What lower files were found to say of their owners.
#ifndef FUSED_FUSED_KNOWN_MARKS_H_
#define FUSED_FUSED_KNOWN_MARKS_H_

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "fused/lower_node_parts.h"
#include "fused/ref.h"
#include "fused/shards.h"
#include "kernel/lower.h"

namespace fused {

// Reading an owner's mark, an extended attribute, takes a descriptor of the
// file and a walk through /proc: most of what it costs to list a file that
// nobody has a node of. So it is remembered what the mark was, by file handle
// and the time of the file's last change (ctime), which nobody can set: a mark
// cannot change without it. Where that time is too coarse, and the change too
// fresh, for that to hold, nothing is. Files are told apart by hashes of 64
// bits, of a seed that nobody knows. So many of them are known, the latest
// ones. For a tree whose file system keeps to that, of which handles are
// stable. Thread-safe.
class KnownMarks {
 public:
  using Mark = Ref<const SharedOwner>;  // null: it has none

  // `settled`: seconds for which two changes may be of one time.
  explicit KnownMarks(time_t settled) : settled_(settled) {}
  KnownMarks(const KnownMarks&) = delete;
  KnownMarks& operator=(const KnownMarks&) = delete;

  // False: it is no use asking.
  bool any() const { return any_.load(std::memory_order_relaxed); }

  // Nothing: it is not known what the file says that `stat` is of.
  std::optional<Mark> Find(const kernel::FileHandle& handle,
                           const struct stat& stat) const {
    const uint64_t file = HashOf(handle);
    const Shard& shard = shards_[ShardOfHash(file)];
    absl::MutexLock lock(&shard.mutex);
    if (shard.entries == nullptr) return std::nullopt;
    const Entry& entry = shard.entries[file % kEntries];
    if (entry.file != file || entry.changed != Changed(stat)) {
      return std::nullopt;
    }
    return entry.mark;
  }

  // `stat` was taken before the mark was read.
  void Note(const kernel::FileHandle& handle, const struct stat& stat,
            Mark mark) {
    if (time(nullptr) - stat.st_ctim.tv_sec < settled_) return;
    Put(handle, Changed(stat), std::move(mark));
    any_.store(true, std::memory_order_relaxed);
  }

  // It may have changed.
  void Forget(const kernel::FileHandle& handle) {
    if (any()) Put(handle, kNever, nullptr);
  }

 private:
  static constexpr size_t kEntries = 4096;  // of a shard
  static constexpr int64_t kNever = INT64_MIN;

  struct Entry {
    uint64_t file = 0;
    int64_t changed = kNever;
    Mark mark;
  };
  struct Shard {
    mutable absl::Mutex mutex;
    std::unique_ptr<Entry[]> entries ABSL_GUARDED_BY(mutex);
  };

  static uint64_t HashOf(const kernel::FileHandle& handle) {
    return absl::HashOf(
        handle.type,
        std::string_view(reinterpret_cast<const char*>(handle.bytes),
                         handle.size));
  }
  static int64_t Changed(const struct stat& stat) {
    return stat.st_ctim.tv_sec * int64_t{1'000'000'000} + stat.st_ctim.tv_nsec;
  }

  void Put(const kernel::FileHandle& handle, int64_t changed, Mark mark) {
    const uint64_t file = HashOf(handle);
    // Let go of outside the lock.
    Mark old;
    Shard& shard = shards_[ShardOfHash(file)];
    absl::MutexLock lock(&shard.mutex);
    if (shard.entries == nullptr) {
      if (changed == kNever) return;
      shard.entries = std::make_unique<Entry[]>(kEntries);
    }
    Entry& entry = shard.entries[file % kEntries];
    if (changed == kNever && entry.file != file) return;
    old = std::exchange(entry.mark, std::move(mark));
    entry.file = file;
    entry.changed = changed;
  }

  const time_t settled_;
  std::atomic<bool> any_{false};
  Shard shards_[kShards];
};

}  // namespace fused

#endif  // FUSED_FUSED_KNOWN_MARKS_H_
