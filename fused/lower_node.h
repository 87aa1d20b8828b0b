// The lower tree as the daemon knows it: one object for each lower inode, which
// all views of a volume share.
#ifndef FUSED_FUSED_LOWER_NODE_H_
#define FUSED_FUSED_LOWER_NODE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fused/known_marks.h"
#include "fused/listings.h"
#include "fused/locks.h"
#include "fused/lower_node_parts.h"
#include "fused/media/index.h"
#include "fused/media/key.h"
#include "fused/media/record.h"
#include "fused/media/tree.h"
#include "fused/owner.h"
#include "fused/peer.h"
#include "fused/ref.h"
#include "fused/shards.h"
#include "kernel/fd.h"
#include "kernel/lower.h"
#include "kernel/types.h"
#include "policy/engine.h"

namespace fused {

class LowerNode;
class LowerTree;
struct Redaction;

// A name in the lower tree. The root has no parent.
struct Place {
  Ref<LowerNode> parent;
  std::string name;
};

// How the policy sees a node: where it stands, and what stands there.
struct Facts {
  policy::Location location;
  policy::Object object;
};

// A lower inode. Thread-safe. Its mutexes are leaves: nothing is locked, and no
// system call made, under them, but for Descriptor()'s. There is one for each
// file that a kernel knows, so its size counts: see node_memory_test.cc.
class LowerNode : public RefCounted {
 public:
  // By LowerTree only.
  static Ref<LowerNode> Make(LowerTree* tree, const struct stat& stat,
                             kernel::Fd fd);
  // Ref's.
  static void Delete(const LowerNode* node);

  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }
  bool is_directory() const { return S_ISDIR(type()); }
  bool is_regular() const { return S_ISREG(type()); }
  mode_t type() const { return static_cast<mode_t>(type_) << kTypeShift; }
  LowerTree& tree() const { return *tree_; }
  // What policy::Object knows it by: no other's for as long as it lives.
  uint64_t file_id() const { return reinterpret_cast<uintptr_t>(this); }

  // The descriptor: O_PATH, or for reading the one that made the file. Opened
  // by its file handle where it has none. ESTALE: the inode is gone.
  absl::StatusOr<Pin> Descriptor();

  absl::StatusOr<struct stat> Stat();
  // Whether it has no name any more.
  bool IsGone();

  // Its file handle. Nothing where the tree has none.
  std::optional<kernel::FileHandle> Handle();

  // Gives the descriptor up, if it can be had again and nobody uses it. True:
  // none is held.
  bool GiveUp();

  // Where it stands: for a directory the one place; for a file with several
  // names the last one that was used.
  Place place() const;
  // It was made or moved there. True: it stood elsewhere. For a move within a
  // LowerTree::Moving.
  bool SetPlace(const Ref<LowerNode>& parent, std::string_view name);

  // The facts by place(), as of the snapshot; kept until the snapshot, the
  // place, the owner or a directory above changes.
  Facts Classify(const policy::Snapshot& snapshot);
  // Whether what Classify() says is kept, and holds until changes() does not.
  bool KeepsFacts(const policy::Snapshot& snapshot) const;
  // Grows whenever the facts may be others by the same snapshot.
  uint64_t changes() const;
  // The same as if it stood at `place`.
  Facts ClassifyAt(const policy::Snapshot& snapshot, const Place& place);

  // Of a directory: whether a `.nomedia` is in it.
  bool HasNomedia();
  // None is: it was made after `changes` (LowerTree::nomedia_changes()).
  void NoteEmpty(uint64_t changes);

  // Who made it. Asked of the lower file and the media index once.
  std::optional<Owner> owner();
  // Of a file that was just made.
  void SetOwner(std::optional<Owner> owner);

  // What follows is in lower_media.cc, and does nothing where the tree has no
  // media index.

  // As SetOwner(), and told to the index; under the locks that the file was
  // made under, so that nothing moves it meanwhile. What to wait for, with
  // LowerTree::AwaitIndex(), before the maker is told. EACCES: another's record
  // is in the way.
  absl::StatusOr<uint64_t> RecordOwner(const std::optional<Owner>& owner);
  // It has lost the name that it stood under, in the lower tree, and with
  // `gone` (IsGone()) the last one; under the locks of that.
  void ForgetRecord(bool gone);
  // It has this name now.
  void RecordName(std::string_view name);
  // Whether the file as `stat` has it carries a location, as it was told in an
  // earlier life of the daemon or of this node.
  media::Location KnownLocation(const struct stat& stat);
  // False: it may yet change without a change of its times; tell it later.
  bool RecordLocation(bool has, const struct stat& stat);

  // What was last found to be hidden of it; null where nobody has looked since
  // a writer came or went. See redaction.h.
  std::shared_ptr<const Redaction> redaction() const;
  // False, and nothing is kept, where a writer is there or has been since
  // `writings` were counted.
  bool SetRedaction(std::shared_ptr<const Redaction> redaction,
                    uint64_t writings);

  // The view (Peer::id()) that took its last name away; 0: none did.
  uint64_t removed_by() const;
  void SetRemovedBy(uint64_t view);

  // Handles that may write, of all views.
  int writers() const;
  // Both drop what was found in it: times are too coarse to tell what was
  // written before a look from what was after, and stores through a mapping
  // change none.
  void AddWriter();
  void RemoveWriter();
  // How often either was called.
  uint64_t writings() const;

  void AddSighting(const Sighting& sighting);
  void RemoveSighting(const Sighting& sighting);
  absl::InlinedVector<Sighting, 4> sightings() const;
  // The nodes of one view that show it.
  absl::InlinedVector<kernel::NodeId, 2> NodesIn(const Peer& peer) const;
  // Whether any but `own` shows it: spares the copy.
  bool SeenElsewhere(const Sighting& own) const;

  // Made at the first use.
  LockTable& locks();
  // Null where no lock was ever asked for.
  LockTable* locks_or_null() const;

  // Serialises what is checked and then changed among the names of a
  // directory: UNLINK, RMDIR, RENAME. The only mutex that system calls are made
  // under: it plays the part of the kernel's directory lock among views. With
  // two directories the one at the lower address is locked first.
  absl::Mutex& names_mutex();

 protected:
  LowerNode(LowerTree* tree, const struct stat& stat, kernel::Fd fd);
  ~LowerNode();

 private:
  friend class LowerTree;
  // The bits of a type in a mode begin here.
  static constexpr int kTypeShift = 12;

  class Directory;
  class Other;

  // What few have. Once made it stays.
  struct Rare {
    std::atomic<int> writers{0};
    std::atomic<uint64_t> writings{0};
    std::atomic<uint64_t> removed_by{0};
    // These under the node's mutex.
    std::shared_ptr<const Redaction> redaction;
    std::unique_ptr<LockTable> locks;
    // All but one, by peer.
    std::vector<Sighting> sightings;
  };
  Rare& rare();
  const Rare* rare_or_null() const {
    return rare_.load(std::memory_order_acquire);
  }

  // A directory's alone.
  std::atomic<uint64_t>& nomedia();

  bool StandsAt(const LowerNode* parent, std::string_view name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return parent_.get() == parent && name_.view() == name;
  }
  // Returns the parent before, to let go of outside the lock: it may be its
  // last use.
  Ref<LowerNode> PutAt(const Ref<LowerNode>& parent, std::string_view name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The facts if they are known, else the place to find them by.
  std::optional<Facts> Known(uint64_t epoch, uint64_t generation,
                             Place& place) const;
  void Keep(uint64_t epoch, uint64_t generation, const Place& place,
            const Facts& facts);
  Facts FactsAt(const policy::Snapshot& snapshot,
                const policy::Location& location, std::string_view name);
  // Who the lower file, or else the index, says; `sure` false where it is to be
  // asked again.
  std::optional<Owner> FindOwner(int fd, bool& sure);
  // Who the lower file says; that is noted in the tree's marks.
  std::optional<Owner> ReadMark(int fd, bool& sure);
  // Of one that is new: it is known what the lower file says.
  void TakeMark(const KnownMarks::Mark& mark);

  // A lookup found it there, with `moves` begun before. What a move has
  // overtaken changes nothing: kOvertaken, and kUnplaced where no place is
  // known at all.
  enum class Settled { kStays, kMoved, kOvertaken, kUnplaced };
  Settled Settle(const Ref<LowerNode>& parent, const char* name,
                 std::optional<uint64_t> moves);

  // Gives the descriptor up, if it can be had again and nobody uses it. True:
  // it did.
  bool Evict();

  void DropRedaction();
  // Has the facts found again.
  void VoidFacts() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    standing_ = nullptr;
    NoteChange();
  }
  void NoteChange();

  // The kernel's device numbers have 32 bits.
  const uint32_t device_;
  LowerTree* const tree_;
  const ino_t inode_;
  std::atomic<Rare*> rare_{nullptr};

  mutable absl::Mutex mutex_;
  Pin fd_ ABSL_GUARDED_BY(mutex_);
  Ref<LowerNode> parent_ ABSL_GUARDED_BY(mutex_);
  SmallName name_ ABSL_GUARDED_BY(mutex_);
  // Null: the facts are void.
  Ref<const Standing> standing_ ABSL_GUARDED_BY(mutex_);
  OwnFacts own_ ABSL_GUARDED_BY(mutex_);
  Ref<const SharedOwner> owner_ ABSL_GUARDED_BY(mutex_);
  // Most are seen once.
  Sighting sighting_ ABSL_GUARDED_BY(mutex_);
  SmallHandle handle_ ABSL_GUARDED_BY(mutex_);
  const uint8_t type_;
  // Used since the last sweep for descriptors.
  std::atomic<bool> used_{true};
};

// What names the file for as long as it lives, or is not moved where the lower
// tree has no stable inode numbers (see media/key.h).
absl::StatusOr<media::FileKey> KeyOf(LowerNode& node);

}  // namespace fused

#endif  // FUSED_FUSED_LOWER_NODE_H_
