// Which open directories of a view may use what its kernel keeps of listings,
// and which listings it may have kept.
//
// The kernel keeps a listing in pages of the directory's inode, which all share
// who open it. A name gets there when the one who asked runs again after the
// answer, and by then rules may have been pushed, or another view have changed
// the directory: names that hold no more come in behind the back of who dropped
// the pages. So what an opener may do is decided by what is known of those
// before it. A listing grows old when who changed something takes it (Take()):
//
//  - Whoever was answered before that may still be entering the answer, until
//    it asks again or closes. As long as there is one that would enter it into
//    the kernel's pages, nobody else is given them.
//  - Then the first who opens is given them empty: the kernel drops them in
//    open(2), which has returned when READDIR or RELEASEDIR comes. So from then
//    on they hold nothing that is older, and others are given them as they are.
//
// That is right whenever the pages are dropped by invalidation, or if they
// never are; that is for directories that are held open.
// Sources: Linux fs/fuse/readdir.c, and fuse_dir_open() in fs/fuse/dir.c.
#ifndef FUSED_FUSED_LISTINGS_H_
#define FUSED_FUSED_LISTINGS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "kernel/types.h"

namespace fused {

// Thread-safe. Remembers directories that were read and not taken since, and
// those that are open with the kernel's pages.
class Listings {
 public:
  // Of one open directory. Belongs to Listings from Open() to Close().
  class Reader {
   public:
    // Whether it reads and fills the kernel's pages. Does not change after
    // Open().
    bool keeps() const { return keeps_; }

   private:
    friend class Listings;
    static constexpr uint64_t kNever = 0;

    bool keeps_ = false;
    // The pages were dropped in its open.
    bool drops_ = false;
    // The directory's age when it was opened, and when it was last answered.
    uint64_t opened_ = kNever;
    uint64_t answered_ = kNever;
  };

  // A directory is opened by who may use the kernel's pages: whether it does.
  // Before the reply. One that is not asked about uses none.
  kernel::DirectoryCache Open(kernel::NodeId directory, Reader& reader);
  // It is about to be read: to be called before that by which it is answered
  // is looked at, so that a change which comes later finds it.
  void Read(kernel::NodeId directory, Reader& reader);
  // It was closed.
  void Close(kernel::NodeId directory, Reader& reader);
  // The kernel did not take the answer to its open.
  void Abandon(kernel::NodeId directory, Reader& reader);

  // Whether there may be something to take. To be asked after a change.
  bool Has(kernel::NodeId directory) const;
  // What was listed holds no more; to be called when that is so for who reads
  // from now on. True: it is to be dropped.
  bool Take(kernel::NodeId directory);
  std::vector<kernel::NodeId> TakeAll();

  // Directories that are remembered.
  size_t size() const;

 private:
  enum class Pages {
    // There may be names that hold no more.
    kUnknown,
    // Somebody was given them empty, and has perhaps not come to drop them.
    kDropping,
    kRight,
  };
  struct Directory {
    uint64_t age = Reader::kNever + 1;
    Pages pages = Pages::kUnknown;
    // It was read since it was last taken.
    bool read = false;
    // Who was refused the pages because of one who is dropping them.
    uint8_t refused = 0;
    // Open with the pages; of those, answered at this age; answered before.
    uint32_t keeping = 0;
    uint32_t answered = 0;
    uint32_t late = 0;
  };
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<kernel::NodeId, Directory> directories
        ABSL_GUARDED_BY(mutex);
  };

  static constexpr size_t kShards = 16;

  static void GrowOld(Directory& directory);
  // The reader's last answer has been entered.
  static void Settle(Directory& directory, Reader& reader);
  // Its open(2) has returned.
  static void Dropped(Directory& directory, const Reader& reader);
  void Leave(kernel::NodeId directory, Reader& reader, bool opened);

  Shard& ShardOf(kernel::NodeId directory) {
    return shards_[directory % kShards];
  }
  const Shard& ShardOf(kernel::NodeId directory) const {
    return shards_[directory % kShards];
  }

  Shard shards_[kShards];
};

}  // namespace fused

#endif  // FUSED_FUSED_LISTINGS_H_
