// The records of one lower tree, in memory.
#ifndef FUSED_FUSED_MEDIA_TABLE_H_
#define FUSED_FUSED_MEDIA_TABLE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "fused/media/key.h"
#include "fused/media/record.h"
#include "fused/shards.h"

namespace fused::media {

// Thread-safe. Its mutexes are leaves.
class Table {
 public:
  explicit Table(TreeName name) : name_(std::move(name)) {}
  Table(const Table&) = delete;
  Table& operator=(const Table&) = delete;

  const TreeName& name() const { return name_; }

  std::optional<Record> Find(const FileKey& key) const;

  // Lets `change` change the record, a blank one where there is none; what is
  // empty then is let go. True: something changed that is kept on disk.
  // `change` locks nothing.
  bool Update(const FileKey& key, absl::FunctionRef<void(Record&)> change);
  // Where there is none yet: what was on disk.
  void Load(FileKey key, const Record& record);
  bool Erase(const FileKey& key);

  // What is to stand on disk of a key: in place of what Find() gives for as
  // long as it is staged. Staged by several, the last one's counts.
  void Stage(const FileKey& key, const Record& record);
  void Unstage(const FileKey& key);
  std::optional<Record> ForDisk(const FileKey& key) const;
  // All that ForDisk() has.
  void ForEachOnDisk(
      absl::FunctionRef<void(const FileKey&, const Record&)> visit) const;

  // One shard after the other: what changes meanwhile may be seen or not.
  void ForEach(
      absl::FunctionRef<void(const FileKey&, const Record&)> visit) const;
  // Those whose keys begin so.
  std::vector<std::pair<FileKey, Record>> WithPrefix(
      std::string_view prefix) const;

  size_t size() const { return size_.load(std::memory_order_relaxed); }
  size_t owned() const { return owned_.load(std::memory_order_relaxed); }

 private:
  struct Staged {
    Record record;
    int count = 0;
  };
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<FileKey, Record> records ABSL_GUARDED_BY(mutex);
    absl::flat_hash_map<FileKey, Staged> staged ABSL_GUARDED_BY(mutex);
  };

  Shard& ShardOf(const FileKey& key) {
    return shards_[ShardOfHash(absl::HashOf(key))];
  }
  const Shard& ShardOf(const FileKey& key) const {
    return shards_[ShardOfHash(absl::HashOf(key))];
  }
  void Count(const Record* before, const Record* after);

  const TreeName name_;
  std::atomic<size_t> size_{0};
  std::atomic<size_t> owned_{0};
  Shard shards_[kShards];
};

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_TABLE_H_
