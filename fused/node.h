// The nodes of one view: what its nodeids name.
#ifndef FUSED_FUSED_NODE_H_
#define FUSED_FUSED_NODE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/synchronization/mutex.h"
#include "fused/kept_rights.h"
#include "fused/lower_node.h"
#include "fused/ref.h"
#include "fused/shards.h"
#include "kernel/types.h"
#include "policy/types.h"

namespace fused {

// What tells the nodes apart that one view has of a lower node. A directory has
// one, whatever its class; a file has one for each I/O mode that it is served
// in, for the kernel takes one mode an inode, and in the media profile one for
// each class that its names lie in.
struct NodeKey {
  // One more than the class; 0: whatever it is.
  uint16_t path_class : 9 = 0;
  policy::IoMode io : 2 = policy::IoMode::kPassthrough;

  friend bool operator==(const NodeKey&, const NodeKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const NodeKey& key) {
    return H::combine(std::move(h), static_cast<int>(key.path_class),
                      static_cast<int>(key.io));
  }
};

// How the kernel holds a file's node open: see anchors of fs/fuse/iomode.c. All
// handles of a node are of one mode.
enum class NodeMode : uint8_t { kIdle, kPassthrough, kDaemon };

// There is one for each name that the kernel knows, so its size counts: see
// node_memory_test.cc.
class Node : public RefCounted {
 public:
  // `place`: for a key with a class, and no other.
  static Ref<Node> Make(kernel::NodeId id, Ref<LowerNode> lower,
                        const NodeKey& key, std::optional<Place> place);
  // Ref's.
  static void Delete(const Node* node);

  kernel::NodeId id() const { return id_; }

  // Of a file with several names, the one that it was looked up by: its class
  // is that name's. Null: it stands where the lower node does.
  const Place* place() const;

  Facts Classify(const policy::Snapshot& snapshot) const {
    const Place* const place = this->place();
    return place != nullptr ? lower->ClassifyAt(snapshot, *place)
                            : lower->Classify(snapshot);
  }

  // Handles that may write; read without the mutex by the attribute cache.
  std::atomic<int> writers{0};
  uint32_t handles ABSL_GUARDED_BY(open_mutex) = 0;
  const NodeKey key;
  NodeMode mode ABSL_GUARDED_BY(open_mutex) = NodeMode::kIdle;
  // The errno that kept its open handles from passthrough; 0: none did.
  uint8_t refusal ABSL_GUARDED_BY(open_mutex) = 0;
  const Ref<LowerNode> lower;
  // Serialises opens and releases of this node: the mode is chosen, the backing
  // id taken and the mode entered as one step.
  absl::Mutex open_mutex;
  // The name that the kernel was first told it by; 0: none. ToldNames' own.
  std::atomic<uint64_t> told{0};
  // Under its lower node's changes(). Of a node with a place of its own: none.
  mutable KeptRights rights;

 protected:
  Node(kernel::NodeId id, Ref<LowerNode> lower, const NodeKey& key)
      : key(key), lower(std::move(lower)), id_(id) {}
  ~Node() = default;

 private:
  friend class NodeTable;
  // What must be known of a node across a restart, but for its lower file
  // handle.
  const kernel::NodeId id_;
  // The kernel's. Changed under the table's mutex for counts; 0: the kernel has
  // forgotten it, the table has not.
  std::atomic<uint64_t> lookups_{0};
};

// Thread-safe.
class NodeTable {
 public:
  // The root is there from the start and never forgotten. Of `remembered` nodes
  // at most the ids outlive the kernel's knowledge of them: for the file
  // handles of an exported mount. They hold no descriptor, so that none keeps a
  // removed file's space.
  NodeTable(Ref<const Peer> view, Ref<LowerNode> root, size_t remembered = 0);
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;
  // Forgets all.
  ~NodeTable();

  // Null for an id that the kernel was never given, or forgot.
  Ref<Node> Find(kernel::NodeId id) const;
  // The same, or what is remembered of an id that the kernel forgot.
  Ref<Node> FindRemembered(kernel::NodeId id) const;

  // The node of `lower` for `key`, made where there is none, with one lookup
  // more.
  Ref<Node> Enter(const Ref<LowerNode>& lower, const NodeKey& key,
                  std::optional<Place> place);

  // Takes `lookups` back. True: the kernel knows the node no more.
  bool Forget(kernel::NodeId id, uint64_t lookups);

  // Forgets all but the root, and remembers nothing.
  void Clear();

  // Those that the kernel knows; so does size().
  std::vector<Ref<Node>> All() const;

  size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  // Hashes and compares nodes by their ids, which are not kept a second time.
  struct ById {
    using is_transparent = void;
    static kernel::NodeId Of(kernel::NodeId id) { return id; }
    static kernel::NodeId Of(const Ref<Node>& node) { return node->id(); }
    template <typename T>
    size_t operator()(const T& node) const {
      return absl::HashOf(Of(node));
    }
    template <typename T, typename U>
    bool operator()(const T& a, const U& b) const {
      return Of(a) == Of(b);
    }
  };
  struct IdShard {
    mutable absl::Mutex mutex;
    absl::flat_hash_set<Ref<Node>, ById, ById> nodes ABSL_GUARDED_BY(mutex);
    // See CountsOf().
    absl::Mutex counts;
  };
  using Memory = std::list<Ref<Node>>;
  using MemoryKey = std::pair<const LowerNode*, NodeKey>;

  // Guards the lookup counts of a lower node's nodes, and which there are.
  // Locked before an IdShard's.
  absl::Mutex& CountsOf(const LowerNode& lower) {
    return ids_[absl::HashOf(&lower) % kShards].counts;
  }

  Ref<Node> FindKey(const LowerNode& lower, const NodeKey& key) const;
  void Insert(Ref<Node> node);
  // Of a node without lookups.
  void Erase(const Node& node);
  void Remember(const Ref<Node>& node);
  // False: it was not remembered.
  bool Recall(const Node& node);
  // Remembers a node no more, but where the kernel knows it again.
  void Drop(const Ref<Node>& node);
  // Drops the oldest until `most` are left.
  void Shrink(size_t most);

  const Ref<const Peer> view_;
  const size_t most_remembered_;
  std::atomic<kernel::NodeId> next_{kernel::kRootNode + 1};
  std::atomic<size_t> size_{0};
  IdShard ids_[kShards];
  // Locked after one for counts.
  mutable absl::Mutex memory_mutex_;
  // Oldest first.
  Memory memory_ ABSL_GUARDED_BY(memory_mutex_);
  absl::flat_hash_map<MemoryKey, Memory::iterator> remembered_
      ABSL_GUARDED_BY(memory_mutex_);
};

}  // namespace fused

#endif  // FUSED_FUSED_NODE_H_
