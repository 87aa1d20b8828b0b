#include "fused/lower_node.h"
#include "fused/lower_tree.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <vector>

#include "absl/log/check.h"
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
void LetGo(Ref<LowerNode> parent) {
  thread_local std::vector<Ref<LowerNode>>* waiting = nullptr;
  if (parent == nullptr) return;
  if (waiting != nullptr) {
    waiting->push_back(std::move(parent));
    return;
  }
  std::vector<Ref<LowerNode>> mine;
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

// What directories alone have. Nothing is virtual, to spare each node a
// pointer: the type tells.
class LowerNode::Directory final : public LowerNode {
 public:
  Directory(LowerTree* tree, const struct stat& stat, kernel::Fd fd)
      : LowerNode(tree, stat, std::move(fd)) {}
  ~Directory() = default;

  // What HasNomedia() found, below the tree's count of changes; 0: unknown.
  std::atomic<uint64_t> nomedia{0};
  absl::Mutex names_mutex;
};

class LowerNode::Other final : public LowerNode {
 public:
  Other(LowerTree* tree, const struct stat& stat, kernel::Fd fd)
      : LowerNode(tree, stat, std::move(fd)) {}
  ~Other() = default;
};

Ref<LowerNode> LowerNode::Make(LowerTree* tree, const struct stat& stat,
                               kernel::Fd fd) {
  // All that malloc(3) has in 128 bytes.
  static_assert(sizeof(Other) <= 120);
  if (S_ISDIR(stat.st_mode)) {
    return MakeRef<Directory>(tree, stat, std::move(fd));
  }
  return MakeRef<Other>(tree, stat, std::move(fd));
}

void LowerNode::Delete(const LowerNode* node) {
  if (node->is_directory()) {
    delete static_cast<const Directory*>(node);
  } else {
    delete static_cast<const Other*>(node);
  }
}

LowerNode::LowerNode(LowerTree* tree, const struct stat& stat, kernel::Fd fd)
    : device_(static_cast<uint32_t>(stat.st_dev)),
      tree_(tree),
      inode_(stat.st_ino),
      fd_(fd.valid() ? MakeRef<const OpenFd>(std::move(fd)) : Pin()),
      type_(static_cast<uint8_t>((stat.st_mode & S_IFMT) >> kTypeShift)) {
  if (fd_ != nullptr) tree_->held_.fetch_add(1, std::memory_order_relaxed);
}

LowerNode::~LowerNode() {
  Ref<LowerNode> parent;
  {
    absl::MutexLock lock(&mutex_);
    if (fd_ != nullptr) tree_->held_.fetch_sub(1, std::memory_order_relaxed);
    parent = std::move(parent_);
  }
  tree_->Remove(this);
  delete rare_.load(std::memory_order_acquire);
  LetGo(std::move(parent));
}

LowerNode::Rare& LowerNode::rare() {
  Rare* known = rare_.load(std::memory_order_acquire);
  if (known != nullptr) return *known;
  auto made = std::make_unique<Rare>();
  // Another thread may be as quick.
  if (!rare_.compare_exchange_strong(known, made.get(),
                                     std::memory_order_acq_rel)) {
    return *known;
  }
  return *made.release();
}

std::atomic<uint64_t>& LowerNode::nomedia() {
  CHECK(is_directory());
  return static_cast<Directory*>(this)->nomedia;
}

absl::Mutex& LowerNode::names_mutex() {
  CHECK(is_directory());
  return static_cast<Directory*>(this)->names_mutex;
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
    handle = handle_.value();
  }
  absl::StatusOr<kernel::Fd> opened =
      kernel::OpenHandle(tree_->handle_root_.get(), handle, O_PATH);
  if (!opened.ok()) return opened.status();
  // What was never held may have been another's handle (LowerTree::Recognize).
  const absl::StatusOr<struct stat> stat = kernel::Stat(opened->get());
  if (!stat.ok()) return stat.status();
  if (stat->st_ino != inode_ ||
      static_cast<uint32_t>(stat->st_dev) != device_) {
    return kernel::ErrnoStatus(ESTALE);
  }
  Pin pin = MakeRef<const OpenFd>(*std::move(opened));
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
    if (handle_.has_value()) return handle_.value();
  }
  absl::StatusOr<Pin> pin = Descriptor();
  if (!pin.ok()) return std::nullopt;
  absl::StatusOr<kernel::FileHandle> handle = kernel::HandleOf((*pin)->get());
  if (!handle.ok()) return std::nullopt;
  absl::MutexLock lock(&mutex_);
  handle_.Set(*handle);
  return *handle;
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
    handle_.Set(*handle);
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
  return {parent_, std::string(name_.view())};
}

Ref<LowerNode> LowerNode::PutAt(const Ref<LowerNode>& parent,
                                std::string_view name) {
  Ref<LowerNode> old = std::exchange(parent_, parent);
  name_.Set(name);
  VoidFacts();
  return old;
}

bool LowerNode::SetPlace(const Ref<LowerNode>& parent, std::string_view name) {
  Ref<LowerNode> old;
  absl::MutexLock lock(&mutex_);
  if (StandsAt(parent.get(), name)) return false;
  const bool moved = parent_ != nullptr;
  old = PutAt(parent, name);
  return moved;
}

LowerNode::Settled LowerNode::Settle(const Ref<LowerNode>& parent,
                                     const char* name,
                                     std::optional<uint64_t> moves) {
  Ref<LowerNode> old;
  absl::MutexLock lock(&mutex_);
  if (StandsAt(parent.get(), name)) return Settled::kStays;
  // Under the mutex: a move that begins now sets its place after this.
  if (moves != tree_->moves_begun_.load()) {
    return parent_ == nullptr ? Settled::kUnplaced : Settled::kOvertaken;
  }
  const bool moved = parent_ != nullptr;
  old = PutAt(parent, name);
  return moved ? Settled::kMoved : Settled::kStays;
}

std::optional<Facts> LowerNode::Known(uint64_t epoch, uint64_t generation,
                                      Place& place) const {
  absl::MutexLock lock(&mutex_);
  if (standing_ == nullptr || standing_->epoch != epoch ||
      standing_->generation != generation) {
    place = {parent_, std::string(name_.view())};
    return std::nullopt;
  }
  Facts facts = {standing_->location, {}};
  facts.location.hidden = own_.hidden;
  facts.location.dotted = own_.dotted;
  facts.object = {.path_class = standing_->path_class,
                  .path_owner = standing_->path_owner,
                  .file_owner = own_.file_owner,
                  .user = standing_->user,
                  .facts = own_.facts,
                  .file = is_regular() ? file_id() : 0};
  return facts;
}

void LowerNode::Keep(uint64_t epoch, uint64_t generation, const Place& place,
                     const Facts& facts) {
  Ref<const Standing> standing =
      tree_->Share(Standing(epoch, generation, facts.location, facts.object));
  absl::MutexLock lock(&mutex_);
  // The place may have changed meanwhile.
  if (!StandsAt(place.parent.get(), place.name)) return;
  // Whose it is is to be asked again.
  if (is_regular() && !own_.owner_known) return;
  standing_ = std::move(standing);
  own_.facts = facts.object.facts;
  own_.hidden = facts.location.hidden;
  own_.dotted = facts.location.dotted;
  own_.file_owner = facts.object.file_owner;
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
  const uint64_t known = nomedia().load(std::memory_order_relaxed);
  if (known >> 1 == changes) return (known & 1) != 0;
  absl::StatusOr<Pin> pin = Descriptor();
  // What can't be told is hidden.
  if (!pin.ok()) return true;
  struct stat stat = {};
  const bool has = fstatat((*pin)->get(), policy::kNomedia, &stat,
                           AT_SYMLINK_NOFOLLOW) == 0 ||
                   errno != ENOENT;
  nomedia().store(changes << 1 | (has ? 1 : 0), std::memory_order_relaxed);
  return has;
}

void LowerNode::NoteEmpty(uint64_t changes) {
  nomedia().store(changes << 1, std::memory_order_relaxed);
}

Facts LowerNode::Classify(const policy::Snapshot& snapshot) {
  const uint64_t generation = tree_->generation();
  const uint64_t epoch = snapshot.epoch();
  Place place;
  std::optional<Facts> facts = Known(epoch, generation, place);
  if (facts.has_value()) return *facts;
  // One that is new, in a directory that is known.
  if (place.parent != nullptr && place.parent->KeepsFacts(snapshot)) {
    facts = ClassifyAt(snapshot, place);
    Keep(epoch, generation, place, *facts);
    return *facts;
  }

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
  return standing_ != nullptr && standing_->epoch == snapshot.epoch() &&
         standing_->generation == tree_->generation();
}

Facts LowerNode::ClassifyAt(const policy::Snapshot& snapshot,
                            const Place& place) {
  const Facts parent = place.parent->Classify(snapshot);
  return FactsAt(snapshot, snapshot.Child(parent.location, place.name),
                 place.name);
}

namespace {

struct ByPeer {
  bool operator()(const Sighting& a, const Peer* b) const {
    return std::less<>()(a.peer.get(), b);
  }
  bool operator()(const Peer* a, const Sighting& b) const {
    return std::less<>()(a, b.peer.get());
  }
};

}  // namespace

void LowerNode::AddSighting(const Sighting& sighting) {
  absl::MutexLock lock(&mutex_);
  if (sighting_.peer == nullptr) {
    sighting_ = sighting;
    return;
  }
  std::vector<Sighting>& others = rare().sightings;
  others.insert(std::upper_bound(others.begin(), others.end(),
                                 sighting.peer.get(), ByPeer()),
                sighting);
}

void LowerNode::RemoveSighting(const Sighting& sighting) {
  // Let go of outside the lock.
  Sighting removed;
  absl::MutexLock lock(&mutex_);
  if (sighting_ == sighting) {
    removed = std::exchange(sighting_, {});
    return;
  }
  if (rare_or_null() == nullptr) return;
  std::vector<Sighting>& others = rare().sightings;
  const auto [begin, end] = std::equal_range(others.begin(), others.end(),
                                             sighting.peer.get(), ByPeer());
  const auto found = std::find(begin, end, sighting);
  if (found == end) return;
  removed = std::move(*found);
  others.erase(found);
}

absl::InlinedVector<Sighting, 4> LowerNode::sightings() const {
  absl::InlinedVector<Sighting, 4> all;
  absl::MutexLock lock(&mutex_);
  if (sighting_.peer != nullptr) all.push_back(sighting_);
  if (const Rare* const rare = rare_or_null()) {
    all.insert(all.end(), rare->sightings.begin(), rare->sightings.end());
  }
  return all;
}

absl::InlinedVector<kernel::NodeId, 2> LowerNode::NodesIn(
    const Peer& peer) const {
  absl::InlinedVector<kernel::NodeId, 2> nodes;
  absl::MutexLock lock(&mutex_);
  if (sighting_.peer.get() == &peer) nodes.push_back(sighting_.node);
  if (const Rare* const rare = rare_or_null()) {
    const auto [begin, end] = std::equal_range(
        rare->sightings.begin(), rare->sightings.end(), &peer, ByPeer());
    for (auto at = begin; at != end; ++at) nodes.push_back(at->node);
  }
  return nodes;
}

bool LowerNode::SeenElsewhere(const Sighting& own) const {
  absl::MutexLock lock(&mutex_);
  if (sighting_.peer != nullptr && !(sighting_ == own)) return true;
  const Rare* const rare = rare_or_null();
  return rare != nullptr &&
         std::any_of(rare->sightings.begin(), rare->sightings.end(),
                     [&own](const Sighting& s) { return !(s == own); });
}

LockTable& LowerNode::locks() {
  absl::MutexLock lock(&mutex_);
  Rare& rare = this->rare();
  if (rare.locks == nullptr) rare.locks = std::make_unique<LockTable>();
  return *rare.locks;
}

LockTable* LowerNode::locks_or_null() const {
  const Rare* const rare = rare_or_null();
  if (rare == nullptr) return nullptr;
  absl::MutexLock lock(&mutex_);
  return rare->locks.get();
}

}  // namespace fused
