#include "fused/node.h"

#include <utility>

#include "absl/hash/hash.h"
#include "absl/log/check.h"

namespace fused {
namespace {

// Few have a place of their own.
class PlacedNode final : public Node {
 public:
  PlacedNode(kernel::NodeId id, Ref<LowerNode> lower, const NodeKey& key,
             Place place)
      : Node(id, std::move(lower), key), place(std::move(place)) {}
  ~PlacedNode() = default;

  const Place place;
};

class PlainNode final : public Node {
 public:
  PlainNode(kernel::NodeId id, Ref<LowerNode> lower, const NodeKey& key)
      : Node(id, std::move(lower), key) {}
  ~PlainNode() = default;
};

bool IsPlaced(const NodeKey& key) { return key.path_class != 0; }

// All that malloc(3) has in 80 bytes.
static_assert(sizeof(PlainNode) <= 72);

}  // namespace

Ref<Node> Node::Make(kernel::NodeId id, Ref<LowerNode> lower,
                     const NodeKey& key, std::optional<Place> place) {
  CHECK_EQ(place.has_value(), IsPlaced(key));
  if (!place.has_value()) return MakeRef<PlainNode>(id, std::move(lower), key);
  return MakeRef<PlacedNode>(id, std::move(lower), key, *std::move(place));
}

void Node::Delete(const Node* node) {
  if (IsPlaced(node->key)) {
    delete static_cast<const PlacedNode*>(node);
  } else {
    delete static_cast<const PlainNode*>(node);
  }
}

const Place* Node::place() const {
  return IsPlaced(key) ? &static_cast<const PlacedNode*>(this)->place : nullptr;
}

NodeTable::NodeTable(Ref<const Peer> view, Ref<LowerNode> root,
                     size_t remembered)
    : view_(std::move(view)), most_remembered_(remembered) {
  Ref<Node> node =
      Node::Make(kernel::kRootNode, std::move(root), NodeKey(), std::nullopt);
  node->lower->AddSighting({view_, node->id()});
  // The kernel never looks the root up, and never forgets it.
  node->lookups_.store(1, std::memory_order_relaxed);
  Insert(std::move(node));
  size_.store(1, std::memory_order_relaxed);
}

NodeTable::~NodeTable() {
  Clear();
  const Ref<Node> root = Find(kernel::kRootNode);
  root->lower->RemoveSighting({view_, kernel::kRootNode});
}

Ref<Node> NodeTable::FindRemembered(kernel::NodeId id) const {
  const size_t hash = absl::HashOf(id);
  const IdShard& ids = ids_[ShardOfHash(hash)];
  absl::MutexLock lock(&ids.mutex);
  const auto found = ids.nodes.find(id, hash);
  return found == ids.nodes.end() ? nullptr : *found;
}

Ref<Node> NodeTable::Find(kernel::NodeId id) const {
  Ref<Node> node = FindRemembered(id);
  if (node != nullptr && node->lookups_.load(std::memory_order_acquire) == 0) {
    return nullptr;
  }
  return node;
}

// The lower node tells where it is to be seen, so that no table has to.
Ref<Node> NodeTable::FindKey(const LowerNode& lower, const NodeKey& key) const {
  for (const kernel::NodeId id : lower.NodesIn(*view_)) {
    Ref<Node> node = FindRemembered(id);
    // Other lower trees' roots have the root's id too.
    if (node != nullptr && node->lower.get() == &lower && node->key == key) {
      return node;
    }
  }
  if (most_remembered_ == 0) return nullptr;
  absl::MutexLock lock(&memory_mutex_);
  const auto found = remembered_.find(MemoryKey(&lower, key));
  return found == remembered_.end() ? nullptr : *found->second;
}

Ref<Node> NodeTable::Enter(const Ref<LowerNode>& lower, const NodeKey& key,
                           std::optional<Place> place) {
  Ref<Node> node;
  {
    absl::MutexLock lock(&CountsOf(*lower));
    node = FindKey(*lower, key);
    if (node != nullptr) {
      if (node->lookups_.fetch_add(1, std::memory_order_acq_rel) != 0) {
        return node;
      }
      Recall(*node);
    } else {
      node = Node::Make(next_.fetch_add(1, std::memory_order_relaxed), lower,
                        key, std::move(place));
      node->lookups_.store(1, std::memory_order_relaxed);
      Insert(node);
    }
    // Before anyone can forget it.
    lower->AddSighting({view_, node->id()});
  }
  size_.fetch_add(1, std::memory_order_relaxed);
  return node;
}

bool NodeTable::Forget(kernel::NodeId id, uint64_t lookups) {
  if (id == kernel::kRootNode) return false;
  const Ref<Node> node = Find(id);
  if (node == nullptr) return false;
  {
    absl::MutexLock lock(&CountsOf(*node->lower));
    const uint64_t count = node->lookups_.load(std::memory_order_relaxed);
    if (count == 0) return false;
    const uint64_t left = count - (count < lookups ? count : lookups);
    node->lookups_.store(left, std::memory_order_release);
    if (left != 0) return false;
    if (most_remembered_ > 0) {
      Remember(node);
    } else {
      Erase(*node);
    }
  }
  size_.fetch_sub(1, std::memory_order_relaxed);
  node->lower->RemoveSighting({view_, id});
  if (most_remembered_ > 0) {
    // The last view to forget it gives its descriptor up.
    if (node->lower->sightings().empty() && !node->lower->GiveUp()) Drop(node);
    Shrink(most_remembered_);
  }
  return true;
}

void NodeTable::Insert(Ref<Node> node) {
  IdShard& ids = ids_[ShardOfHash(absl::HashOf(node->id()))];
  absl::MutexLock lock(&ids.mutex);
  ids.nodes.insert(std::move(node));
}

void NodeTable::Erase(const Node& node) {
  IdShard& ids = ids_[ShardOfHash(absl::HashOf(node.id()))];
  absl::MutexLock lock(&ids.mutex);
  // Not the last use: the caller has one.
  ids.nodes.erase(node.id());
}

void NodeTable::Remember(const Ref<Node>& node) {
  absl::MutexLock lock(&memory_mutex_);
  remembered_[MemoryKey(node->lower.get(), node->key)] =
      memory_.insert(memory_.end(), node);
}

bool NodeTable::Recall(const Node& node) {
  absl::MutexLock lock(&memory_mutex_);
  const auto found = remembered_.find(MemoryKey(node.lower.get(), node.key));
  if (found == remembered_.end() || found->second->get() != &node) return false;
  memory_.erase(found->second);
  remembered_.erase(found);
  return true;
}

void NodeTable::Drop(const Ref<Node>& node) {
  absl::MutexLock lock(&CountsOf(*node->lower));
  // The kernel may know it again, or another thread have been as quick.
  if (Recall(*node)) Erase(*node);
}

void NodeTable::Shrink(size_t most) {
  for (;;) {
    Ref<Node> oldest;
    {
      absl::MutexLock lock(&memory_mutex_);
      if (memory_.size() <= most) return;
      oldest = memory_.front();
    }
    Drop(oldest);
  }
}

std::vector<Ref<Node>> NodeTable::All() const {
  std::vector<Ref<Node>> all;
  all.reserve(size());
  for (const IdShard& ids : ids_) {
    absl::MutexLock lock(&ids.mutex);
    for (const Ref<Node>& node : ids.nodes) {
      if (node->lookups_.load(std::memory_order_acquire) != 0) {
        all.push_back(node);
      }
    }
  }
  return all;
}

void NodeTable::Clear() {
  for (const Ref<Node>& node : All()) Forget(node->id(), UINT64_MAX);
  Shrink(0);
}

}  // namespace fused
