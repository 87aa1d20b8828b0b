#include "fused/lower_node.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "fused/circle_guard.h"
#include "kernel/status.h"
#include "policy/names.h"

namespace fused {
namespace {

// No user's number: what lies there is nobody's.
constexpr uint32_t kNowhere = UINT32_MAX;

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
  tree_->Remove(this);
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

std::optional<kernel::FileHandle> LowerNode::Handle() {
  if (!tree_->has_handles()) return std::nullopt;
  {
    absl::MutexLock lock(&mutex_);
    if (handle_.has_value()) return handle_;
  }
  absl::StatusOr<Pin> pin = Descriptor();
  if (!pin.ok()) return std::nullopt;
  absl::StatusOr<kernel::FileHandle> handle = kernel::HandleOf((*pin)->get());
  if (!handle.ok()) return std::nullopt;
  absl::MutexLock lock(&mutex_);
  handle_ = *handle;
  return handle_;
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

bool LowerNode::GiveUp() {
  if (Evict()) return true;
  absl::MutexLock lock(&mutex_);
  return fd_ == nullptr;
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
                         std::string_view name) {
  // Let go of outside the lock: it may be the parent's last use.
  std::shared_ptr<LowerNode> old;
  absl::MutexLock lock(&mutex_);
  if (place_.parent == parent && place_.name == name) return false;
  const bool moved = place_.parent != nullptr;
  old = std::exchange(place_.parent, parent);
  place_.name = name;
  VoidFacts();
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
  VoidFacts();
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
  // Whose it is is to be asked again.
  if (is_regular() && !owner_known_) return;
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
  Facts facts = {location,
                 snapshot.ObjectAt(location, name, is_directory(), app)};
  if (is_regular()) facts.object.file = file_id();
  if (is_directory() && !location.hidden && snapshot.NomediaHides(location) &&
      HasNomedia()) {
    facts.location = policy::Snapshot::Hidden(location);
  }
  return facts;
}

bool LowerNode::HasNomedia() {
  // Before the lower tree is asked: a change that comes later voids the answer.
  const uint64_t changes =
      tree_->nomedia_changes_.load(std::memory_order_acquire);
  const uint64_t known = nomedia_.load(std::memory_order_relaxed);
  if (known >> 1 == changes) return (known & 1) != 0;
  absl::StatusOr<Pin> pin = Descriptor();
  // What can't be told is hidden.
  if (!pin.ok()) return true;
  struct stat stat = {};
  const bool has = fstatat((*pin)->get(), policy::kNomedia, &stat,
                           AT_SYMLINK_NOFOLLOW) == 0 ||
                   errno != ENOENT;
  nomedia_.store(changes << 1 | (has ? 1 : 0), std::memory_order_relaxed);
  return has;
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

bool LowerNode::KeepsFacts(const policy::Snapshot& snapshot) const {
  absl::MutexLock lock(&mutex_);
  return facts_epoch_ == snapshot.epoch() &&
         facts_generation_ == tree_->generation();
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
  bool sure = true;
  if (is_regular()) {
    const uint64_t over = tree_->makings_over();
    found = FindOwner((*pin)->get(), sure);
    // It may be one that is just being made, through another view.
    if (!found.has_value() && tree_->AwaitMakings(over)) {
      found = FindOwner((*pin)->get(), sure);
    }
  }
  std::shared_ptr<const Owner> shared;
  if (found.has_value()) shared = tree_->Share(*found);
  absl::MutexLock lock(&mutex_);
  if (!owner_known_) {
    owner_known_ = sure;
    if (found.has_value()) owner_ = std::move(shared);
  }
  if (owner_ == nullptr) return std::nullopt;
  return *owner_;
}

void LowerNode::SetOwner(std::optional<Owner> owner) {
  std::shared_ptr<const Owner> value;
  if (owner.has_value()) value = tree_->Share(*owner);
  absl::MutexLock lock(&mutex_);
  owner_known_ = true;
  owner_ = std::move(value);
  VoidFacts();
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

absl::InlinedVector<Sighting, 4> LowerNode::sightings() const {
  absl::MutexLock lock(&mutex_);
  return {sightings_.begin(), sightings_.end()};
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

}  // namespace fused
