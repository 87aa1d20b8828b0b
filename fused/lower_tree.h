// All that the daemon knows of one lower tree.
#ifndef FUSED_FUSED_LOWER_TREE_H_
#define FUSED_FUSED_LOWER_TREE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fused/known_marks.h"
#include "fused/lower_node.h"
#include "fused/lower_node_parts.h"
#include "fused/media/index.h"
#include "fused/media/tree.h"
#include "fused/owner.h"
#include "fused/ref.h"
#include "fused/shards.h"
#include "kernel/fd.h"
#include "kernel/lower.h"

namespace fused {

// All that is known of a volume's lower tree. Must outlive its nodes.
// Thread-safe.
class LowerTree {
 public:
  struct Options {
    // Whose tree it is.
    uint32_t user = 0;
    // Descriptors that nodes may hold.
    size_t descriptor_budget = 8192;
    // Outlives the tree. Null: owners are on the lower files alone.
    media::Index* index = nullptr;
    // For the index.
    std::string volume;
    std::function<media::Described(std::string_view name)> describe;
    // Seconds after which a changed file's time of change (ctime) is no other
    // change's.
    time_t settled = 3;
  };

  // `root` is an O_PATH descriptor of a directory, cloned so that nothing
  // mounted below shows (kernel::CloneTree()).
  static absl::StatusOr<std::unique_ptr<LowerTree>> Create(
      kernel::Fd root, const Options& options);
  LowerTree(const LowerTree&) = delete;
  LowerTree& operator=(const LowerTree&) = delete;
  ~LowerTree();

  uint32_t user() const { return options_.user; }
  const Ref<LowerNode>& root() const { return root_; }
  int root_descriptor() const { return root_fd_.get(); }

  struct Found {
    Ref<LowerNode> node;
    struct stat stat;
  };

  // The child `name` of a directory, found without following anything. `look`:
  // before it is opened; likely it is held already, or absent.
  absl::StatusOr<Found> Lookup(const Ref<LowerNode>& parent, const char* name,
                               bool look = false);

  // The node of an inode that `fd` (O_PATH or not) has opened; `fd` is taken
  // as its descriptor where it has none. Its place is not set.
  absl::StatusOr<Found> Intern(kernel::Fd fd);
  // Of a file that was made there just now, under the locks of that.
  absl::StatusOr<Found> InternMade(kernel::Fd made,
                                   const Ref<LowerNode>& parent,
                                   std::string_view name);

  // The node of a file handle; ESTALE: its inode is gone. Its place is not set.
  absl::StatusOr<Found> FindHandle(const kernel::FileHandle& handle);

  // The node of a file handle, if there is one; null: nobody knows it.
  Ref<LowerNode> FindKnown(const kernel::FileHandle& handle);

  // Keeps a node, and what was found out of it, beyond its last use, until many
  // others have been kept since: a shared mount forgets a file between the
  // answer to an open that it must look up again and that lookup.
  void KeepWarm(Ref<LowerNode> node);

  // The path relative to the root, as far as it is known; for people.
  std::string PathOf(const LowerNode& node) const;
  std::string PathAt(const Place& place) const;

  // Counts renames of directories: a location of an older generation is found
  // again.
  uint64_t generation() const {
    return generation_.load(std::memory_order_acquire);
  }
  void BumpGeneration() { generation_.fetch_add(1, std::memory_order_acq_rel); }

  // How often anybody was told that attributes have changed. Who has found a
  // file, and is to tell its kernel of it, has to look again where they have
  // grown until he can be told.
  struct Tellings {
    uint64_t directories = 0;
    uint64_t others = 0;
  };
  Tellings tellings() const {
    return {tellings_[1].load(), tellings_[0].load()};
  }
  // To be called before it is looked who is to be told.
  void NoteTelling(bool directory) { ++tellings_[directory ? 1 : 0]; }

  uint64_t nomedia_changes() const {
    return nomedia_changes_.load(std::memory_order_acquire);
  }
  // A `.nomedia` was made, removed or renamed: what is hidden is found again.
  void NomediaChanged() {
    nomedia_changes_.fetch_add(1, std::memory_order_acq_rel);
    BumpGeneration();
  }

  // Lives from before nodes are moved in the lower tree until their new places
  // are set: a lookup that began earlier must not set the old ones again.
  class Moving {
   public:
    explicit Moving(LowerTree& tree) : tree_(tree) { ++tree_.moves_begun_; }
    Moving(const Moving&) = delete;
    Moving& operator=(const Moving&) = delete;
    ~Moving() { ++tree_.moves_over_; }

   private:
    LowerTree& tree_;
  };

  // Lives from before a file is made in the lower tree until it is recorded
  // whose it is: who looks it up meanwhile waits for that. To be made with all
  // locks held that the making takes.
  class Making {
   public:
    explicit Making(LowerTree& tree);
    Making(const Making&) = delete;
    Making& operator=(const Making&) = delete;
    ~Making();

   private:
    LowerTree& tree_;
    const uint64_t number_;
  };

  // Held shared where a name is made, exclusively where a directory is renamed:
  // what was judged below it stays all there is until it has moved.
  absl::Mutex& shape_mutex() ABSL_LOCK_RETURNED(shape_mutex_) {
    return shape_mutex_;
  }

  // Null where there is none.
  media::Tree* media() const { return media_.get(); }
  media::Index* index() const { return options_.index; }
  // For moves, where the index goes by path: what stands there; null: nothing.
  media::Tree::End EndOf(const Place& place, const Ref<LowerNode>& node) const;
  // Waits until what RecordOwner() gave survives the daemon, where nothing else
  // tells owners. ENOSPC, EACCES: it does not. With no lock held.
  absl::Status AwaitIndex(uint64_t ticket);

  size_t nodes() const;
  size_t descriptors() const { return held_.load(std::memory_order_relaxed); }
  bool has_handles() const { return has_handles_; }
  bool has_xattrs() const { return has_xattrs_; }
  // One file may be found by several spellings of its name. Told by the file
  // system; of one that can't tell, yes.
  bool folds_case() const { return folds_case_; }
  // Copying within the file system takes as long as reading and writing.
  // Told by the file system; of one that can't tell, no.
  bool copies_bytes() const { return copies_bytes_; }
  // What owners' marks said may be remembered: no mark changes without the
  // file's ctime. Told by the file system; of one that can't tell, no.
  bool keeps_marks() const { return keeps_marks_; }
  KnownMarks& marks() { return marks_; }

 private:
  friend class LowerNode;
  static constexpr size_t kStandings = 64;

  using Key = InodeKey;
  static Key KeyOfNode(const Key& key) { return key; }
  static Key KeyOfNode(const LowerNode* node) {
    return {node->device(), node->inode()};
  }
  struct KeyHash {
    using is_transparent = void;
    template <typename T>
    size_t operator()(const T& node) const {
      return absl::HashOf(KeyOfNode(node));
    }
  };
  struct KeyEqual {
    using is_transparent = void;
    template <typename T, typename U>
    bool operator()(const T& a, const U& b) const {
      return KeyOfNode(a) == KeyOfNode(b);
    }
  };
  struct Shard {
    mutable absl::Mutex mutex;
    // A node that goes takes itself out: what is here may be looked at under
    // the mutex, and used if it can still be shared.
    absl::flat_hash_set<LowerNode*, KeyHash, KeyEqual> nodes
        ABSL_GUARDED_BY(mutex);

    Ref<LowerNode> Find(const Key& key) const
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      const auto found = nodes.find(key);
      return found == nodes.end() ? nullptr : Ref<LowerNode>::IfUsed(*found);
    }
  };

  LowerTree(kernel::Fd root, const Options& options);

  // How many makings are over; and a wait for those under way, after which it
  // is true if what was looked at since may have been made by then. At once
  // false for who makes something himself.
  uint64_t makings_over() const {
    return makings_over_.load(std::memory_order_acquire);
  }
  bool AwaitMakings(uint64_t over) ABSL_LOCKS_EXCLUDED(making_mutex_);

  // What stands there, if it is a node's: a look tells which. Nothing: it has
  // to be opened. ENOENT: nothing stands there.
  absl::StatusOr<std::optional<Found>> Glance(int parent, const char* name);
  // A node of what nobody has one of, and whose mark is known: without a
  // descriptor. Nothing: it has to be opened.
  std::optional<Found> Recognize(int parent, const char* name,
                                 const struct stat& stat);
  // Whether descriptors can be given up and had again by file handles.
  void FindHandles();
  Shard& ShardOf(const Key& key);
  void Remove(LowerNode* node);
  // One for all files that it owns.
  Ref<const SharedOwner> Share(const Owner& owner);
  // One for all nodes that stand so, as far as is remembered.
  Ref<const Standing> Share(const Standing& standing);
  // Gives descriptors up until the budget is kept again.
  void Sweep();
  // False: there was none to give up.
  bool SweepOnce();

  const Options options_;
  const kernel::Fd root_fd_;
  // What handles are opened by; not O_PATH.
  kernel::Fd handle_root_;
  bool has_handles_ = false;
  bool has_xattrs_ = false;
  bool folds_case_ = false;
  bool copies_bytes_ = false;
  bool keeps_marks_ = false;
  KnownMarks marks_;
  std::unique_ptr<media::Tree> media_;
  std::atomic<uint64_t> generation_{1};
  // How often a place or an owner was set, of those nodes each that share one.
  static constexpr size_t kChanges = 1024;
  std::atomic<uint64_t> changes_[kChanges] = {};
  std::atomic<uint64_t> nomedia_changes_{1};
  // Of all but directories, and of directories; no count is 0.
  std::atomic<uint64_t> tellings_[2] = {1, 1};
  std::atomic<uint64_t> moves_begun_{0};
  std::atomic<uint64_t> moves_over_{0};
  std::atomic<size_t> held_{0};
  std::atomic<size_t> hand_{0};
  std::atomic<bool> sweeping_{false};
  absl::Mutex shape_mutex_;
  // A leaf.
  absl::Mutex making_mutex_;
  uint64_t last_making_ ABSL_GUARDED_BY(making_mutex_) = 0;
  absl::btree_set<uint64_t> makings_ ABSL_GUARDED_BY(making_mutex_);
  std::atomic<uint64_t> makings_over_{0};
  // A leaf.
  absl::Mutex owners_mutex_;
  SharedOwner::Set owners_ ABSL_GUARDED_BY(owners_mutex_);
  // A leaf.
  absl::Mutex standings_mutex_;
  Ref<const Standing> standings_[kStandings] ABSL_GUARDED_BY(standings_mutex_);
  absl::Mutex warm_mutex_;
  std::deque<Ref<LowerNode>> warm_ ABSL_GUARDED_BY(warm_mutex_);
  Shard shards_[kShards];
  Ref<LowerNode> root_;
};

inline void LowerNode::NoteChange() {
  tree_->changes_[inode_ % LowerTree::kChanges].fetch_add(
      1, std::memory_order_release);
}

inline uint64_t LowerNode::changes() const {
  // Both only grow: so does the sum, whenever either does.
  return tree_->generation() +
         tree_->changes_[inode_ % LowerTree::kChanges].load(
             std::memory_order_acquire);
}

}  // namespace fused

#endif  // FUSED_FUSED_LOWER_TREE_H_
