// LowerTree's part of lower_node.h.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_join.h"
#include "fused/circle_guard.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "kernel/status.h"

namespace fused {
namespace {

bool FoldsCase(int root) {
  constexpr int64_t kExfatMagic = 0x2011bab0;
  constexpr int64_t kNtfs3Magic = 0x7366746e;
  constexpr int64_t kHfsPlusMagic = 0x482b;
  struct statfs stat = {};
  if (fstatfs(root, &stat) != 0) return true;
  switch (static_cast<int64_t>(stat.f_type)) {
    case MSDOS_SUPER_MAGIC:
    case ISOFS_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
    case kExfatMagic:
    case kNtfs3Magic:
    case kHfsPlusMagic:
      return true;
    default:
      break;
  }
  // ext4 and f2fs: a directory's own, which those below it inherit.
  absl::StatusOr<kernel::Fd> fd =
      kernel::OpenBeneath(root, ".", O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return true;
  int flags = 0;
  return ioctl(fd->get(), FS_IOC_GETFLAGS, &flags) == 0 &&
         (flags & FS_CASEFOLD_FL) != 0;
}

// Those that share no blocks between files, and ask no server to copy.
bool CopiesBytes(int root) {
  constexpr int64_t kExfatMagic = 0x2011bab0;
  struct statfs stat = {};
  if (fstatfs(root, &stat) != 0) return false;
  switch (static_cast<int64_t>(stat.f_type)) {
    case EXT4_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case MSDOS_SUPER_MAGIC:
    case RAMFS_MAGIC:
    case TMPFS_MAGIC:
    case kExfatMagic:
      return true;
    default:
      return false;
  }
}

// Where an attribute that is set, by whomever, changes the ctime.
bool KeepsMarks(int root) {
  struct statfs stat = {};
  if (fstatfs(root, &stat) != 0) return false;
  switch (static_cast<int64_t>(stat.f_type)) {
    case BTRFS_SUPER_MAGIC:
    case EXT4_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC:
    case XFS_SUPER_MAGIC:
      return true;
    default:
      return false;
  }
}

}  // namespace

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
  tree->folds_case_ = FoldsCase(tree->root_descriptor());
  tree->copies_bytes_ = CopiesBytes(tree->root_descriptor());
  tree->keeps_marks_ = tree->has_handles_ && tree->has_xattrs_ &&
                       KeepsMarks(tree->root_descriptor());
  if (options.index != nullptr) {
    tree->media_ = options.index->Attach(
        {.name = {.volume = options.volume, .user = options.user},
         .root = tree->root_descriptor(),
         .xattrs = tree->has_xattrs_,
         .describe = options.describe});
    if (tree->media_->by_path()) tree->keeps_marks_ = false;
  }
  return tree;
}

LowerTree::LowerTree(kernel::Fd root, const Options& options)
    : options_(options), root_fd_(std::move(root)), marks_(options.settled) {}

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

LowerTree::~LowerTree() {
  if (media_ != nullptr) options_.index->Detach(media_.get());
  std::deque<Ref<LowerNode>> warm;
  {
    absl::MutexLock lock(&warm_mutex_);
    warm.swap(warm_);
  }
  warm.clear();
  root_ = nullptr;
}

void LowerTree::KeepWarm(Ref<LowerNode> node) {
  constexpr size_t kMost = 1024;
  // Let go of outside the lock.
  Ref<LowerNode> oldest;
  absl::MutexLock lock(&warm_mutex_);
  warm_.push_back(std::move(node));
  if (warm_.size() <= kMost) return;
  oldest = std::move(warm_.front());
  warm_.pop_front();
}

LowerTree::Shard& LowerTree::ShardOf(const Key& key) {
  return shards_[ShardOfHash(absl::HashOf(key))];
}

absl::StatusOr<std::optional<LowerTree::Found>> LowerTree::Glance(
    int parent, const char* name) {
  // Nothing is mounted below the root (kernel::CloneTree()).
  absl::StatusOr<struct stat> stat = kernel::StatChild(parent, name);
  if (kernel::IsErrno(stat.status(), ENOENT)) return stat.status();
  if (!stat.ok()) return std::nullopt;
  const Key key{stat->st_dev, stat->st_ino};
  Ref<LowerNode> known;
  {
    Shard& shard = ShardOf(key);
    absl::MutexLock lock(&shard.mutex);
    known = shard.Find(key);
  }
  if (known == nullptr) return Recognize(parent, name, *stat);
  std::optional<kernel::FileHandle> handle;
  {
    absl::MutexLock lock(&known->mutex_);
    // The number is the node's while it holds a descriptor; one that it has had
    // since the look was made was opened by file handle, which tells as much.
    if (known->fd_ != nullptr) return Found{known, *stat};
    if (known->handle_.has_value()) handle = known->handle_.value();
  }
  if (!handle.has_value()) return std::nullopt;
  // It gave its descriptor up, and need not have it back for this.
  const absl::StatusOr<kernel::FileHandle> now =
      kernel::HandleOfChild(parent, name);
  if (!now.ok() || !(*now == *handle)) return std::nullopt;
  return Found{known, *stat};
}

// Between the two looks another file may have taken the name: then it is the
// handle's file by all that is known of it but its number, by which it can't be
// opened (LowerNode::Descriptor()) and which its own node takes over
// (Intern()).
std::optional<LowerTree::Found> LowerTree::Recognize(int parent,
                                                     const char* name,
                                                     const struct stat& stat) {
  if (!marks_.any() || !S_ISREG(stat.st_mode)) return std::nullopt;
  const absl::StatusOr<kernel::FileHandle> handle =
      kernel::HandleOfChild(parent, name);
  if (!handle.ok()) return std::nullopt;
  const std::optional<KnownMarks::Mark> mark = marks_.Find(*handle, stat);
  if (!mark.has_value()) return std::nullopt;
  Ref<LowerNode> fresh = LowerNode::Make(this, stat, kernel::Fd());
  {
    absl::MutexLock lock(&fresh->mutex_);
    fresh->handle_.Set(*handle);
  }
  fresh->TakeMark(*mark);
  const Key key = KeyOfNode(fresh.get());
  Shard& shard = ShardOf(key);
  // Let go of outside the lock, as is what was made.
  Ref<LowerNode> other;
  absl::MutexLock lock(&shard.mutex);
  other = shard.Find(key);
  // Another thread has been as quick.
  if (other != nullptr) return std::nullopt;
  shard.nodes.erase(key);
  shard.nodes.insert(fresh.get());
  return Found{std::move(fresh), stat};
}

absl::StatusOr<LowerTree::Found> LowerTree::InternMade(
    kernel::Fd made, const Ref<LowerNode>& parent, std::string_view name) {
  absl::StatusOr<Found> found = Intern(std::move(made));
  if (found.ok()) found->node->SetPlace(parent, name);
  return found;
}

absl::StatusOr<LowerTree::Found> LowerTree::Lookup(const Ref<LowerNode>& parent,
                                                   const char* name,
                                                   bool look) {
  absl::StatusOr<Pin> pin = parent->Descriptor();
  if (!pin.ok()) return pin.status();
  constexpr int kAttempts = 16;
  for (int attempt = 1;; ++attempt) {
    // In this order: where both are the same no move was under way.
    const uint64_t over = moves_over_.load();
    std::optional<uint64_t> moves = moves_begun_.load();
    if (over != *moves) moves.reset();
    std::optional<Found> found;
    if (look || marks_.any()) {
      absl::StatusOr<std::optional<Found>> seen = Glance((*pin)->get(), name);
      if (!seen.ok()) return seen.status();
      found = *std::move(seen);
    }
    if (!found.has_value()) {
      absl::StatusOr<kernel::Fd> fd =
          kernel::OpenChild((*pin)->get(), name, O_PATH | O_NOFOLLOW);
      if (!fd.ok()) return fd.status();
      absl::StatusOr<Found> opened = Intern(*std::move(fd));
      if (!opened.ok()) return opened.status();
      found = *std::move(opened);
    }
    switch (found->node->Settle(parent, name, moves)) {
      case LowerNode::Settled::kStays:
        return *std::move(found);
      case LowerNode::Settled::kMoved:
        // Behind the daemon's back: what is below it is found again.
        if (found->node->is_directory()) BumpGeneration();
        return *std::move(found);
      case LowerNode::Settled::kOvertaken:
        // Moves without end: the place that is known stays until later.
        if (attempt == kAttempts) return *std::move(found);
        break;
      case LowerNode::Settled::kUnplaced:
        if (attempt == kAttempts) {
          found->node->SetPlace(parent, name);
          return *std::move(found);
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

  Ref<LowerNode> known;
  std::optional<kernel::FileHandle> handle;
  {
    absl::MutexLock lock(&shard.mutex);
    known = shard.Find(key);
  }
  if (known != nullptr) {
    absl::MutexLock lock(&known->mutex_);
    // While a descriptor is held, the inode number can't be another's.
    if (known->fd_ != nullptr) return Found{known, *stat};
    if (known->handle_.has_value()) handle = known->handle_.value();
  }
  if (known != nullptr) {
    absl::StatusOr<kernel::FileHandle> now = kernel::HandleOf(fd.get());
    if (now.ok() && handle.has_value() && *now == *handle) {
      {
        absl::MutexLock lock(&known->mutex_);
        if (known->fd_ == nullptr) {
          known->fd_ = MakeRef<const OpenFd>(std::move(fd));
          held_.fetch_add(1, std::memory_order_relaxed);
        }
      }
      Sweep();
      return Found{known, *stat};
    }
    // The number has been given to a new inode; the old node is stale.
  }

  Ref<LowerNode> fresh = LowerNode::Make(this, *stat, std::move(fd));
  {
    absl::MutexLock lock(&shard.mutex);
    Ref<LowerNode> other = shard.Find(key);
    if (other != nullptr && other != known) {
      // Another thread was as quick, for the same inode: `fresh` holds it open.
      known = std::move(other);
    } else {
      shard.nodes.erase(key);
      shard.nodes.insert(fresh.get());
      known = nullptr;
    }
  }
  if (known != nullptr) return Found{std::move(known), *stat};
  Sweep();
  return Found{std::move(fresh), *stat};
}

absl::StatusOr<LowerTree::Found> LowerTree::FindHandle(
    const kernel::FileHandle& handle) {
  if (!has_handles_) return kernel::ErrnoStatus(ESTALE);
  absl::StatusOr<kernel::Fd> fd =
      kernel::OpenHandle(handle_root_.get(), handle, O_PATH);
  if (!fd.ok()) return fd.status();
  return Intern(*std::move(fd));
}

Ref<LowerNode> LowerTree::FindKnown(const kernel::FileHandle& handle) {
  if (!has_handles_) return nullptr;
  absl::StatusOr<kernel::Fd> fd =
      kernel::OpenHandle(handle_root_.get(), handle, O_PATH);
  if (!fd.ok()) return nullptr;
  absl::StatusOr<struct stat> stat = kernel::Stat(fd->get());
  if (!stat.ok()) return nullptr;
  const Key key{stat->st_dev, stat->st_ino};
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  return shard.Find(key);
}

namespace {

// Of this thread.
thread_local int makings = 0;

}  // namespace

LowerTree::Making::Making(LowerTree& tree)
    : tree_(tree), number_([&tree] {
        absl::MutexLock lock(&tree.making_mutex_);
        tree.makings_.insert(++tree.last_making_);
        return tree.last_making_;
      }()) {
  ++makings;
}

LowerTree::Making::~Making() {
  --makings;
  absl::MutexLock lock(&tree_.making_mutex_);
  tree_.makings_.erase(number_);
  tree_.makings_over_.fetch_add(1, std::memory_order_acq_rel);
}

bool LowerTree::AwaitMakings(uint64_t over) {
  if (makings != 0) return false;
  absl::MutexLock lock(&making_mutex_);
  const uint64_t last = last_making_;
  const auto done = [this, last] {
    making_mutex_.AssertHeld();
    return makings_.empty() || *makings_.begin() > last;
  };
  making_mutex_.Await(absl::Condition(&done));
  return makings_over() != over;
}

void LowerTree::Remove(LowerNode* node) {
  const Key key = KeyOfNode(node);
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.nodes.find(key);
  // A new node of that number may have taken the place.
  if (found != shard.nodes.end() && *found == node) shard.nodes.erase(found);
}

Ref<const SharedOwner> LowerTree::Share(const Owner& owner) {
  // Of more apps than that some are the same twice.
  constexpr size_t kMost = 1 << 16;
  {
    absl::MutexLock lock(&owners_mutex_);
    const auto known = owners_.find(owner);
    if (known != owners_.end()) return *known;
  }
  auto shared = MakeRef<const SharedOwner>(owner);
  absl::MutexLock lock(&owners_mutex_);
  if (owners_.size() >= kMost) owners_.clear();
  return *owners_.insert(std::move(shared)).first;
}

Ref<const Standing> LowerTree::Share(const Standing& standing) {
  const size_t hash =
      absl::HashOf(standing.location.state, standing.location.capture[0],
                   standing.location.capture[1], standing.location.depth);
  // Let go of outside the lock.
  Ref<const Standing> old;
  absl::MutexLock lock(&standings_mutex_);
  // Two places, of which the first is the one that was asked for last.
  Ref<const Standing>& first = standings_[hash % kStandings & ~size_t{1}];
  Ref<const Standing>& second = standings_[hash % kStandings | 1];
  if (first != nullptr && first->Same(standing)) return first;
  if (second == nullptr || !second->Same(standing)) {
    old = std::exchange(second, MakeRef<const Standing>(standing));
  }
  std::swap(first, second);
  return first;
}

void LowerTree::Sweep() {
  while (held_.load(std::memory_order_relaxed) > options_.descriptor_budget) {
    if (sweeping_.exchange(true)) return;
    const bool swept = SweepOnce();
    // Who came meanwhile has left what he added to this thread, which sees it
    // now: not a store, for it is his exchange that tells of it.
    sweeping_.exchange(false);
    // All that is held is in use.
    if (!swept) return;
  }
}

bool LowerTree::SweepOnce() {
  // Twice around: the first visit takes the mark of use, the second evicts.
  const size_t target = options_.descriptor_budget / 8 * 7;
  bool evicted = false;
  for (size_t step = 0; step < 2 * kShards; ++step) {
    Shard& shard = shards_[hand_.fetch_add(1) % kShards];
    std::vector<Ref<LowerNode>> nodes;
    {
      absl::MutexLock lock(&shard.mutex);
      nodes.reserve(shard.nodes.size());
      for (LowerNode* const held : shard.nodes) {
        if (Ref<LowerNode> node = Ref<LowerNode>::IfUsed(held)) {
          nodes.push_back(std::move(node));
        }
      }
    }
    for (const Ref<LowerNode>& node : nodes) {
      if (!node->used_.exchange(false) && node->Evict()) evicted = true;
    }
    if (held_.load(std::memory_order_relaxed) <= target) break;
  }
  return evicted;
}

std::string LowerTree::PathOf(const LowerNode& node) const {
  return PathAt(node.place());
}

std::string LowerTree::PathAt(const Place& of) const {
  std::vector<std::string> names;
  Place place = of;
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
