// Who made which file, and whether it carries a location: remembered beyond the
// daemon's life.
#ifndef FUSED_FUSED_MEDIA_INDEX_H_
#define FUSED_FUSED_MEDIA_INDEX_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "fused/media/interner.h"
#include "fused/media/record.h"
#include "fused/media/store.h"
#include "fused/media/table.h"
#include "fused/media/tree.h"
#include "fused/media/writer.h"

namespace fused::media {

// The index of all trees: one database, one thread that writes it, one that
// scans trees. Thread-safe.
class Index {
 public:
  struct Options {
    absl::Duration gather = absl::Milliseconds(50);
    absl::Duration retry = absl::Seconds(1);
    size_t most_queued = 1 << 17;
    // Writer::Options::changed.
    std::function<void(const Writer::Stats&)> changed;
  };
  struct TreeStats {
    // Of the scan under way, or the last.
    Tree::ScanStats scan;
    bool scanning = false;  // or about to
    uint64_t scans_begun = 0;
    uint64_t scans_done = 0;
  };

  // In the file `path`.
  static std::unique_ptr<Index> OnDisk(const std::string& path,
                                       const Options& options);
  // `storage` makes its records with `interner`.
  Index(std::unique_ptr<Interner> interner, std::unique_ptr<Storage> storage,
        const Options& options);
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;
  ~Index();

  // Loads what is on disk. Where that fails the index starts empty, and is
  // filled when it can be: then `late` is called, on a thread of the index's.
  void Start(std::function<void()> late);
  // Commits and closes. The trees must be gone.
  void Stop();

  // A tree's index, which must go before the index. Its files are looked
  // through soon where the index may not be what they are.
  std::unique_ptr<Tree> Attach(Tree::Options options);
  // Before it goes: no scan uses it any more.
  void Detach(Tree* tree);

  // Scans it soon; returns which scan that will be, counted from 1.
  uint64_t RequestScan(Tree* tree, bool drop);
  TreeStats StatsOf(const Tree* tree) const;

  // Whether what is on disk is in memory.
  bool loaded() const { return loaded_.load(std::memory_order_acquire); }
  Writer::Stats stats() const { return writer_.stats(); }
  absl::Status Flush() { return writer_.Flush(); }

 private:
  struct Attached {
    uint64_t wanted = 0;
    uint64_t begun = 0;
    uint64_t done = 0;
    bool drop = false;
  };

  Table* TableOf(const TreeName& name);
  void Loaded(bool whole);
  void Want(Tree* tree, bool drop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Tree* NextToScan() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void ScanTrees();

  const std::unique_ptr<Interner> interner_;
  const std::unique_ptr<Storage> storage_;
  std::atomic<bool> loaded_{false};
  std::function<void()> late_;

  mutable absl::Mutex mutex_;
  // Only ever added to.
  std::map<TreeName, std::unique_ptr<Table>> tables_ ABSL_GUARDED_BY(mutex_);
  std::map<const Tree*, Attached> attached_ ABSL_GUARDED_BY(mutex_);
  // Whether trees that are attached are to be scanned.
  bool suspect_ ABSL_GUARDED_BY(mutex_) = false;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Tree* scanning_ ABSL_GUARDED_BY(mutex_) = nullptr;
  // Of the scan that is under way.
  std::atomic<bool> stop_scan_{false};
  std::thread scanner_;
  Writer writer_;
};

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_INDEX_H_
