#include "fused/node.h"

#include <utility>

#include "absl/hash/hash.h"

namespace fused {

NodeTable::NodeTable(std::shared_ptr<const Peer> view,
                     std::shared_ptr<LowerNode> root, size_t remembered)
    : view_(std::move(view)), most_remembered_(remembered) {
  const NodeKey key{.lower = root.get()};
  auto node = std::make_shared<Node>(kernel::kRootNode, std::move(root), key,
                                     std::nullopt);
  node->lower->AddSighting({view_, node->id()});
  {
    KeyShard& keys = ShardOf(key);
    absl::MutexLock lock(&keys.mutex);
    // The kernel never looks the root up, and never forgets it.
    node->record_.lookups = 1;
    keys.nodes.insert(node.get());
  }
  IdShard& ids = ShardOf(kernel::kRootNode);
  absl::MutexLock lock(&ids.mutex);
  ids.nodes.insert(std::move(node));
  size_.store(1, std::memory_order_relaxed);
}

NodeTable::~NodeTable() {
  Clear();
  const std::shared_ptr<Node> root = Find(kernel::kRootNode);
  root->lower->RemoveSighting({view_, kernel::kRootNode});
}

NodeTable::KeyShard& NodeTable::ShardOf(const NodeKey& key) {
  return keys_[absl::HashOf(key) % kShards];
}

std::shared_ptr<Node> NodeTable::Find(kernel::NodeId id) const {
  std::shared_ptr<Node> node = FindRemembered(id);
  if (node != nullptr && node->remembered_.load(std::memory_order_acquire)) {
    return nullptr;
  }
  return node;
}

std::shared_ptr<Node> NodeTable::FindRemembered(kernel::NodeId id) const {
  IdShard& ids = ShardOf(id);
  absl::MutexLock lock(&ids.mutex);
  const auto found = ids.nodes.find(id);
  return found == ids.nodes.end() ? nullptr : *found;
}

std::shared_ptr<Node> NodeTable::Enter(const std::shared_ptr<LowerNode>& lower,
                                       const NodeKey& key,
                                       std::optional<Place> place) {
  KeyShard& keys = ShardOf(key);
  std::shared_ptr<Node> made;
  {
    absl::MutexLock lock(&keys.mutex);
    const auto known = keys.nodes.find(key);
    if (known != keys.nodes.end()) {
      Node* const node = *known;
      if (node->record_.lookups++ == 0) {
        Recall(*node);
        size_.fetch_add(1, std::memory_order_relaxed);
        lower->AddSighting({view_, node->id()});
      }
      IdShard& ids = ShardOf(node->id());
      absl::MutexLock id_lock(&ids.mutex);
      return *ids.nodes.find(node->id());
    }
    made = std::make_shared<Node>(next_.fetch_add(1, std::memory_order_relaxed),
                                  lower, key, std::move(place));
    made->record_.lookups = 1;
    keys.nodes.insert(made.get());
    IdShard& ids = ShardOf(made->id());
    absl::MutexLock id_lock(&ids.mutex);
    ids.nodes.insert(made);
    // Before anyone can forget it.
    lower->AddSighting({view_, made->id()});
  }
  size_.fetch_add(1, std::memory_order_relaxed);
  return made;
}

bool NodeTable::Forget(kernel::NodeId id, uint64_t lookups) {
  if (id == kernel::kRootNode) return false;
  const std::shared_ptr<Node> node = Find(id);
  if (node == nullptr) return false;
  KeyShard& keys = ShardOf(node->key);
  {
    absl::MutexLock lock(&keys.mutex);
    uint64_t& count = node->record_.lookups;
    if (count == 0) return false;
    count -= count < lookups ? count : lookups;
    if (count != 0) return false;
    if (most_remembered_ > 0) {
      Remember(node);
    } else {
      Erase(keys, *node);
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

void NodeTable::Erase(KeyShard& keys, const Node& node) {
  keys.nodes.erase(node.key);
  IdShard& ids = ShardOf(node.id());
  absl::MutexLock lock(&ids.mutex);
  // Not the last use: the caller has one.
  ids.nodes.erase(node.id());
}

void NodeTable::Remember(const std::shared_ptr<Node>& node) {
  node->remembered_.store(true, std::memory_order_release);
  absl::MutexLock lock(&memory_mutex_);
  node->place_in_memory_ = memory_.insert(memory_.end(), node);
}

void NodeTable::Recall(Node& node) {
  node.remembered_.store(false, std::memory_order_release);
  absl::MutexLock lock(&memory_mutex_);
  memory_.erase(node.place_in_memory_);
}

void NodeTable::Drop(const std::shared_ptr<Node>& node) {
  KeyShard& keys = ShardOf(node->key);
  absl::MutexLock lock(&keys.mutex);
  // The kernel may know it again, or another thread have been as quick.
  if (!node->remembered_.load(std::memory_order_acquire)) return;
  Recall(*node);
  Erase(keys, *node);
}

void NodeTable::Shrink(size_t most) {
  for (;;) {
    std::shared_ptr<Node> oldest;
    {
      absl::MutexLock lock(&memory_mutex_);
      if (memory_.size() <= most) return;
      oldest = memory_.front();
    }
    Drop(oldest);
  }
}

std::vector<std::shared_ptr<Node>> NodeTable::All() const {
  std::vector<std::shared_ptr<Node>> all;
  all.reserve(size());
  for (const IdShard& ids : ids_) {
    absl::MutexLock lock(&ids.mutex);
    for (const std::shared_ptr<Node>& node : ids.nodes) {
      if (!node->remembered_.load(std::memory_order_acquire)) {
        all.push_back(node);
      }
    }
  }
  return all;
}

void NodeTable::Clear() {
  for (const std::shared_ptr<Node>& node : All()) {
    Forget(node->id(), UINT64_MAX);
  }
  Shrink(0);
}

}  // namespace fused
