// Brings what changed in the tables to disk, behind everybody's back.
#ifndef FUSED_FUSED_MEDIA_WRITER_H_
#define FUSED_FUSED_MEDIA_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "fused/media/key.h"
#include "fused/media/store.h"
#include "fused/media/table.h"

namespace fused::media {

// One thread has the store; nobody else runs SQL. What is queued is the keys
// that changed: the writer reads their records when it commits, many at once,
// and a store that fails is tried again until it works. Thread-safe. Its mutex
// is locked before the tables', never the other way round.
class Writer {
 public:
  struct Stats;
  struct Options {
    Storage* storage = nullptr;  // outlives it
    // How long changes nobody waits for are gathered.
    absl::Duration gather = absl::Milliseconds(50);
    // After an error.
    absl::Duration retry = absl::Seconds(1);
    // Keys that are queued at most: beyond that all tables are written anew.
    size_t most_queued = 1 << 17;
    // What is on disk was loaded into the tables, or given up for lost; `whole`
    // where it is known to be what the tables were when the daemon ended. On
    // the writer's thread.
    std::function<void(bool whole)> loaded;
    // The table of a tree that is on disk. Any thread.
    std::function<Table*(const TreeName&)> table;
    // Those of all trees.
    std::function<std::vector<Table*>()> tables;
    // May be null. The store stopped working, for another reason than before,
    // works again, or was set aside. On the writer's thread, with no lock.
    std::function<void(const Stats&)> changed;
  };

  // Whether, and since what, the store does not work.
  struct Stats {
    bool degraded = false;
    std::string reason;
    // The last corrupt store's new name.
    std::string set_aside;
    size_t pending = 0;
    uint64_t statements = 0;
  };

  explicit Writer(Options options);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  // Stop().
  ~Writer();

  // Starts, and waits until the store was tried once.
  void Start();
  // Commits what is queued if that can be done, marks the store as clean, and
  // ends. Idempotent.
  void Stop();

  // The key's record changed. Returns what to wait for.
  uint64_t Touch(Table* table, const FileKey& key);
  // OK: what was queued up to `ticket` survives this process. Else it was tried
  // and failed, and the error is store.h's; what was touched stays queued.
  absl::Status Wait(uint64_t ticket);
  // Waits for all that is queued now.
  absl::Status Flush();

  Stats stats() const;

 private:
  using Item = std::pair<Table*, FileKey>;
  struct Batch {
    absl::flat_hash_set<Item> touched;
    bool all = false;
    uint64_t ticket = 0;
  };

  void Run();
  // Both keep `mutex_` locked but for the store's own work.
  bool OpenStore() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool CommitBatch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Status LoadStore(Store& store,
                         const absl::flat_hash_set<Item>& changed);
  std::vector<Change> ChangesOf(const Batch& batch) const;
  void GiveBack(Batch batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Failed(const absl::Status& status, uint64_t ticket)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After an error: until it is time, or somebody waits for more.
  void Pause() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellChange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetAsideStore() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Close();
  bool HasWork() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return !queue_.touched.empty() || queue_.all;
  }

  const Options options_;
  // Of the writer's thread.
  std::unique_ptr<Store> store_;
  Stats told_;
  std::thread thread_;

  mutable absl::Mutex mutex_;
  Batch queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool tried_ ABSL_GUARDED_BY(mutex_) = false;
  // Whether what was on disk at the start is in the tables.
  bool loaded_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t committed_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t failed_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  // Somebody waits for it.
  uint64_t urgent_ ABSL_GUARDED_BY(mutex_) = 0;
  Stats stats_ ABSL_GUARDED_BY(mutex_);
  // Of stores that were closed.
  uint64_t statements_before_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_WRITER_H_
