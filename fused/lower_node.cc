#include "fused/lower_node.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_join.h"
#include "kernel/status.h"

namespace fused {
namespace {

// No user's number: what lies there is nobody's.
constexpr uint32_t kNowhere = UINT32_MAX;

// Tells, on a way upwards, that it runs in a circle: moves behind the daemon's
// back, of which it has seen the later one first, can leave places so. (Brent's
// algorithm: no memory, for ways that are long.)
class CircleGuard {
 public:
  bool Closes(const LowerNode* node) {
    if (node == mark_) return true;
    if (++steps_ == limit_) {
      mark_ = node;
      steps_ = 0;
      limit_ *= 2;
    }
    return false;
  }

 private:
  const LowerNode* mark_ = nullptr;
  size_t steps_ = 0;
  size_t limit_ = 1;
};

// Lets go of a parent. Its own parent may go with it, and so on: one after the
// other, not one within the other, for an app may nest directories as deep as
// it likes.
void LetGo(std::shared_ptr<LowerNode> parent) {
  thread_local std::vector<std::shared_ptr<LowerNode>>* waiting = nullptr;
  if (parent == nullptr) return;
  if (waiting != nullptr) {
    waiting->push_back(std::move(parent));
    return;
  }
  std::vector<std::shared_ptr<LowerNode>> mine;
  waiting = &mine;
  mine.push_back(std::move(parent));
  while (!mine.empty()) {
    parent = std::move(mine.back());
    mine.pop_back();
    parent = nullptr;
  }
  waiting = nullptr;
}

}  // namespace

LowerNode::LowerNode(LowerTree* tree, const struct stat& stat, kernel::Fd fd)
    : tree_(tree),
      device_(stat.st_dev),
      inode_(stat.st_ino),
      type_(stat.st_mode & S_IFMT),
      fd_(std::make_shared<const kernel::Fd>(std::move(fd))) {
  tree_->held_.fetch_add(1, std::memory_order_relaxed);
}

LowerNode::~LowerNode() {
  std::shared_ptr<LowerNode> parent;
  {
    absl::MutexLock lock(&mutex_);
    if (fd_ != nullptr) tree_->held_.fetch_sub(1, std::memory_order_relaxed);
    parent = std::move(place_.parent);
  }
  tree_->Remove({device_, inode_});
  LetGo(std::move(parent));
}

absl::StatusOr<Pin> LowerNode::Descriptor() {
  if (!used_.load(std::memory_order_relaxed)) {
    used_.store(true, std::memory_order_relaxed);
  }
  kernel::FileHandle handle;
  {
    absl::MutexLock lock(&mutex_);
    if (fd_ != nullptr) return fd_;
    if (!handle_.has_value()) return kernel::ErrnoStatus(ESTALE);
    handle = *handle_;
  }
  absl::StatusOr<kernel::Fd> opened =
      kernel::OpenHandle(tree_->handle_root_.get(), handle, O_PATH);
  if (!opened.ok()) return opened.status();
  Pin pin = std::make_shared<const kernel::Fd>(*std::move(opened));
  {
    absl::MutexLock lock(&mutex_);
    // Another thread may have been as quick.
    if (fd_ != nullptr) return fd_;
    fd_ = pin;
  }
  tree_->held_.fetch_add(1, std::memory_order_relaxed);
  tree_->Sweep();
  return pin;
}

bool LowerNode::Evict() {
  if (!tree_->has_handles()) return false;
  Pin pin;
  bool has_handle = false;
  {
    absl::MutexLock lock(&mutex_);
    if (fd_ == nullptr || fd_.use_count() > 1) return false;
    pin = fd_;
    has_handle = handle_.has_value();
  }
  if (!has_handle) {
    absl::StatusOr<kernel::FileHandle> handle = kernel::HandleOf(pin->get());
    if (!handle.ok()) return false;
    absl::MutexLock lock(&mutex_);
    handle_ = *handle;
  }
  absl::MutexLock lock(&mutex_);
  // Two uses are this one's and the node's own.
  if (fd_ != pin || fd_.use_count() > 2) return false;
  fd_ = nullptr;
  tree_->held_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

absl::StatusOr<struct stat> LowerNode::Stat() {
  absl::StatusOr<Pin> pin = Descriptor();
  if (!pin.ok()) return pin.status();
  return kernel::Stat((*pin)->get());
}

Place LowerNode::place() const {
  absl::MutexLock lock(&mutex_);
  return place_;
}

bool LowerNode::SetPlace(const std::shared_ptr<LowerNode>& parent,
                         const std::string& name) {
  // Let go of outside the lock: it may be the parent's last use.
  std::shared_ptr<LowerNode> old;
  absl::MutexLock lock(&mutex_);
  if (place_.parent == parent && place_.name == name) return false;
  const bool moved = place_.parent != nullptr;
  old = std::exchange(place_.parent, parent);
  place_.name = name;
  facts_epoch_ = kNoEpoch;
  return moved;
}

LowerNode::Settled LowerNode::Settle(const std::shared_ptr<LowerNode>& parent,
                                     const char* name,
                                     std::optional<uint64_t> moves) {
  std::shared_ptr<LowerNode> old;
  absl::MutexLock lock(&mutex_);
  if (place_.parent == parent && place_.name == name) return Settled::kStays;
  // Under the mutex: a move that begins now sets its place after this.
  if (moves != tree_->moves_begun_.load()) {
    return place_.parent == nullptr ? Settled::kUnplaced : Settled::kOvertaken;
  }
  const bool moved = place_.parent != nullptr;
  old = std::exchange(place_.parent, parent);
  place_.name = name;
  facts_epoch_ = kNoEpoch;
  return moved ? Settled::kMoved : Settled::kStays;
}

std::optional<Facts> LowerNode::Known(uint64_t epoch, uint64_t generation,
                                      Place& place) const {
  absl::MutexLock lock(&mutex_);
  if (facts_epoch_ == epoch && facts_generation_ == generation) return facts_;
  place = place_;
  return std::nullopt;
}

void LowerNode::Keep(uint64_t epoch, uint64_t generation, const Place& place,
                     const Facts& facts) {
  absl::MutexLock lock(&mutex_);
  // The place may have changed meanwhile.
  if (place_.parent != place.parent || place_.name != place.name) return;
  facts_ = facts;
  facts_epoch_ = epoch;
  facts_generation_ = generation;
}

Facts LowerNode::FactsAt(const policy::Snapshot& snapshot,
                         const policy::Location& location,
                         std::string_view name) {
  policy::AppIndex app = policy::kNoApp;
  if (is_regular()) {
    const std::optional<Owner> maker = owner();
    if (maker.has_value()) app = snapshot.AppOf(maker->package, maker->app_id);
  }
  return {location, snapshot.ObjectAt(location, name, is_directory(), app)};
}

Facts LowerNode::Classify(const policy::Snapshot& snapshot) {
  const uint64_t generation = tree_->generation();
  const uint64_t epoch = snapshot.epoch();
  Place place;
  std::optional<Facts> facts = Known(epoch, generation, place);
  if (facts.has_value()) return *facts;

  // Up to where it is known, then down again; no recursion, for an app may
  // nest directories as deep as it likes.
  std::vector<std::pair<LowerNode*, Place>> chain;
  LowerNode* node = this;
  CircleGuard guard;
  // What can't be placed is classed so, and not for long.
  bool keep = true;
  while (!facts.has_value()) {
    const bool root = node == tree_->root().get();
    keep = root || (place.parent != nullptr && !guard.Closes(node));
    if (root || !keep) {
      facts = node->FactsAt(snapshot,
                            snapshot.Root(root ? tree_->user() : kNowhere), "");
      if (keep) node->Keep(epoch, generation, place, *facts);
      break;
    }
    chain.emplace_back(node, place);
    node = place.parent.get();
    facts = node->Known(epoch, generation, place);
  }
  for (auto step = chain.rbegin(); step != chain.rend(); ++step) {
    const auto& [child, at] = *step;
    facts = child->FactsAt(snapshot, snapshot.Child(facts->location, at.name),
                           at.name);
    if (keep) child->Keep(epoch, generation, at, *facts);
  }
  return *facts;
}

Facts LowerNode::ClassifyAt(const policy::Snapshot& snapshot,
                            const Place& place) {
  const Facts parent = place.parent->Classify(snapshot);
  return FactsAt(snapshot, snapshot.Child(parent.location, place.name),
                 place.name);
}

std::optional<Owner> LowerNode::owner() {
  {
    absl::MutexLock lock(&mutex_);
    if (owner_known_) {
      if (owner_ == nullptr) return std::nullopt;
      return *owner_;
    }
  }
  std::optional<Owner> found;
  absl::StatusOr<Pin> pin = Descriptor();
  // What can't be read belongs to nobody, and is asked for again.
  if (!pin.ok()) return std::nullopt;
  if (is_regular() && tree_->has_xattrs()) found = ReadOwner((*pin)->get());
  absl::MutexLock lock(&mutex_);
  if (!owner_known_) {
    owner_known_ = true;
    if (found.has_value()) owner_ = std::make_shared<const Owner>(*found);
  }
  if (owner_ == nullptr) return std::nullopt;
  return *owner_;
}

void LowerNode::SetOwner(std::optional<Owner> owner) {
  std::shared_ptr<const Owner> value;
  if (owner.has_value()) {
    value = std::make_shared<const Owner>(*std::move(owner));
  }
  absl::MutexLock lock(&mutex_);
  owner_known_ = true;
  owner_ = std::move(value);
  facts_epoch_ = kNoEpoch;
}

void LowerNode::AddSighting(const Sighting& sighting) {
  absl::MutexLock lock(&mutex_);
  sightings_.push_back(sighting);
}

void LowerNode::RemoveSighting(const Sighting& sighting) {
  absl::MutexLock lock(&mutex_);
  const auto found = std::find(sightings_.begin(), sightings_.end(), sighting);
  if (found == sightings_.end()) return;
  *found = sightings_.back();
  sightings_.pop_back();
}

std::vector<Sighting> LowerNode::sightings() const {
  absl::MutexLock lock(&mutex_);
  return sightings_;
}

bool LowerNode::SeenElsewhere(const Sighting& own) const {
  absl::MutexLock lock(&mutex_);
  return std::any_of(sightings_.begin(), sightings_.end(),
                     [&own](const Sighting& s) { return !(s == own); });
}

LockTable& LowerNode::locks() {
  absl::MutexLock lock(&mutex_);
  if (locks_ == nullptr) locks_ = std::make_unique<LockTable>();
  return *locks_;
}

LockTable* LowerNode::locks_or_null() const {
  absl::MutexLock lock(&mutex_);
  return locks_.get();
}

absl::StatusOr<std::unique_ptr<LowerTree>> LowerTree::Create(
    kernel::Fd root, const Options& options) {
  absl::StatusOr<struct stat> stat = kernel::Stat(root.get());
  if (!stat.ok()) return stat.status();
  if (!S_ISDIR(stat->st_mode)) return kernel::ErrnoStatus(ENOTDIR);
  // An own description of the root, so that the node's can be given up.
  absl::StatusOr<kernel::Fd> own = kernel::OpenBeneath(root.get(), ".", O_PATH);
  if (!own.ok()) return own.status();

  auto tree =
      std::unique_ptr<LowerTree>(new LowerTree(std::move(root), options));
  absl::StatusOr<Found> found = tree->Intern(*std::move(own));
  if (!found.ok()) return found.status();
  tree->root_ = std::move(found->node);
  tree->FindHandles();
  const kernel::ProcPath path(tree->root_descriptor());
  tree->has_xattrs_ =
      getxattr(path.text, kOwnerXattr, nullptr, 0) >= 0 || errno == ENODATA;
  return tree;
}

LowerTree::LowerTree(kernel::Fd root, const Options& options)
    : options_(options), root_fd_(std::move(root)) {}

void LowerTree::FindHandles() {
  // open_by_handle_at(2) takes no O_PATH descriptor for the mount.
  absl::StatusOr<kernel::Fd> root =
      kernel::OpenBeneath(root_fd_.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!root.ok()) return;
  const absl::StatusOr<kernel::FileHandle> handle =
      kernel::HandleOf(root->get());
  // Having one is not all: opening it takes a privilege.
  if (!handle.ok() || !kernel::OpenHandle(root->get(), *handle, O_PATH).ok()) {
    return;
  }
  handle_root_ = *std::move(root);
  has_handles_ = true;
}

LowerTree::~LowerTree() { root_ = nullptr; }

LowerTree::Shard& LowerTree::ShardOf(const Key& key) {
  return shards_[absl::HashOf(key) % kShards];
}

absl::StatusOr<LowerTree::Found> LowerTree::Lookup(
    const std::shared_ptr<LowerNode>& parent, const char* name) {
  absl::StatusOr<Pin> pin = parent->Descriptor();
  if (!pin.ok()) return pin.status();
  constexpr int kAttempts = 16;
  for (int attempt = 1;; ++attempt) {
    // In this order: where both are the same no move was under way.
    const uint64_t over = moves_over_.load();
    std::optional<uint64_t> moves = moves_begun_.load();
    if (over != *moves) moves.reset();
    absl::StatusOr<kernel::Fd> fd =
        kernel::OpenChild((*pin)->get(), name, O_PATH | O_NOFOLLOW);
    if (!fd.ok()) return fd.status();
    absl::StatusOr<Found> found = Intern(*std::move(fd));
    if (!found.ok()) return found.status();
    switch (found->node->Settle(parent, name, moves)) {
      case LowerNode::Settled::kStays:
        return found;
      case LowerNode::Settled::kMoved:
        // Behind the daemon's back: what is below it is found again.
        if (found->node->is_directory()) BumpGeneration();
        return found;
      case LowerNode::Settled::kOvertaken:
        // Moves without end: the place that is known stays until later.
        if (attempt == kAttempts) return found;
        break;
      case LowerNode::Settled::kUnplaced:
        if (attempt == kAttempts) {
          found->node->SetPlace(parent, name);
          return found;
        }
        break;
    }
  }
}

absl::StatusOr<LowerTree::Found> LowerTree::Intern(kernel::Fd fd) {
  absl::StatusOr<struct stat> stat = kernel::Stat(fd.get());
  if (!stat.ok()) return stat.status();
  const Key key{stat->st_dev, stat->st_ino};
  Shard& shard = ShardOf(key);

  std::shared_ptr<LowerNode> known;
  std::optional<kernel::FileHandle> handle;
  {
    absl::MutexLock lock(&shard.mutex);
    const auto found = shard.nodes.find(key);
    if (found != shard.nodes.end()) known = found->second.lock();
  }
  if (known != nullptr) {
    absl::MutexLock lock(&known->mutex_);
    // While a descriptor is held, the inode number can't be another's.
    if (known->fd_ != nullptr) return Found{known, *stat};
    handle = known->handle_;
  }
  if (known != nullptr) {
    absl::StatusOr<kernel::FileHandle> now = kernel::HandleOf(fd.get());
    if (now.ok() && handle.has_value() && *now == *handle) {
      {
        absl::MutexLock lock(&known->mutex_);
        if (known->fd_ == nullptr) {
          known->fd_ = std::make_shared<const kernel::Fd>(std::move(fd));
          held_.fetch_add(1, std::memory_order_relaxed);
        }
      }
      Sweep();
      return Found{known, *stat};
    }
    // The number has been given to a new inode; the old node is stale.
  }

  auto fresh = std::make_shared<LowerNode>(this, *stat, std::move(fd));
  {
    absl::MutexLock lock(&shard.mutex);
    std::weak_ptr<LowerNode>& slot = shard.nodes[key];
    std::shared_ptr<LowerNode> other = slot.lock();
    if (other != nullptr && other != known) {
      // Another thread was as quick, for the same inode: `fresh` holds it open.
      known = std::move(other);
    } else {
      slot = fresh;
      known = nullptr;
    }
  }
  if (known != nullptr) return Found{std::move(known), *stat};
  Sweep();
  return Found{std::move(fresh), *stat};
}

void LowerTree::Remove(const Key& key) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.nodes.find(key);
  // A new node of that number may have taken the place.
  if (found != shard.nodes.end() && found->second.expired()) {
    shard.nodes.erase(found);
  }
}

void LowerTree::Sweep() {
  if (held_.load(std::memory_order_relaxed) <= options_.descriptor_budget) {
    return;
  }
  if (sweeping_.exchange(true)) return;
  // Twice around: the first visit takes the mark of use, the second evicts.
  const size_t target = options_.descriptor_budget / 8 * 7;
  for (size_t step = 0; step < 2 * kShards; ++step) {
    Shard& shard = shards_[hand_.fetch_add(1) % kShards];
    std::vector<std::shared_ptr<LowerNode>> nodes;
    {
      absl::MutexLock lock(&shard.mutex);
      nodes.reserve(shard.nodes.size());
      for (const auto& [key, weak] : shard.nodes) {
        if (std::shared_ptr<LowerNode> node = weak.lock()) {
          nodes.push_back(std::move(node));
        }
      }
    }
    for (const std::shared_ptr<LowerNode>& node : nodes) {
      if (!node->used_.exchange(false)) node->Evict();
    }
    if (held_.load(std::memory_order_relaxed) <= target) break;
  }
  sweeping_.store(false);
}

std::string LowerTree::PathOf(const LowerNode& node) const {
  std::vector<std::string> names;
  Place place = node.place();
  CircleGuard guard;
  while (place.parent != nullptr && !guard.Closes(place.parent.get())) {
    names.push_back(std::move(place.name));
    place = place.parent->place();
  }
  std::reverse(names.begin(), names.end());
  return absl::StrJoin(names, "/");
}

size_t LowerTree::nodes() const {
  size_t count = 0;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    count += shard.nodes.size();
  }
  return count;
}

}  // namespace fused
