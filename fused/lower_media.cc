// What nodes and the media index tell each other. See lower_node.h.
#include <sys/stat.h>

#include <cerrno>
#include <ctime>

#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused {
namespace {

// A file may change again without a change of its times for as long as these
// are coarse: two seconds on FAT.
constexpr time_t kSettled = 3;

}  // namespace

absl::StatusOr<media::FileKey> KeyOf(LowerNode& node) {
  const media::Tree* const media = node.tree().media();
  if (media == nullptr || !media->by_path()) {
    // Asked for once.
    const std::optional<kernel::FileHandle> handle = node.Handle();
    if (handle.has_value()) return media::HandleKey(*handle);
  }
  absl::StatusOr<Pin> pin = node.Descriptor();
  if (!pin.ok()) return pin.status();
  const auto path = [&node] { return node.tree().PathOf(node); };
  if (media == nullptr) {
    return media::MakeKey(media::KeyKind::kHandle, (*pin)->get(), path);
  }
  if (media->by_path() && node.place().parent == nullptr) {
    // It never stood anywhere, or nobody knows where.
    return kernel::ErrnoStatus(ESTALE);
  }
  return media->KeyOf((*pin)->get(), path);
}

std::optional<Owner> LowerNode::ReadMark(int fd, bool& sure) {
  if (!tree_->has_xattrs()) return std::nullopt;
  std::optional<kernel::FileHandle> handle;
  if (tree_->keeps_marks()) handle = Handle();
  // First: what changes after it has another time.
  absl::StatusOr<struct stat> stat = kernel::ErrnoStatus(ESTALE);
  if (handle.has_value()) stat = kernel::Stat(fd);
  const absl::StatusOr<std::optional<Owner>> mark = AskOwner(fd);
  if (!mark.ok()) {
    sure = false;
    return std::nullopt;
  }
  if (stat.ok()) {
    tree_->marks().Note(*handle, *stat,
                        mark->has_value() ? tree_->Share(**mark) : nullptr);
  }
  return *mark;
}

void LowerNode::TakeMark(const KnownMarks::Mark& mark) {
  if (const media::Tree* const media = tree_->media()) {
    const absl::StatusOr<media::FileKey> key = KeyOf(*this);
    if (!key.ok()) return;
    const std::optional<Owner> recorded = media->OwnerOf(*key);
    // Else it is found the long way, which sees to it that both say the same.
    const bool same = mark != nullptr
                          ? recorded == static_cast<const Owner&>(*mark)
                          : !recorded.has_value() && tree_->index()->loaded();
    if (!same) return;
  }
  absl::MutexLock lock(&mutex_);
  own_.owner_known = true;
  owner_ = mark;
}

std::optional<Owner> LowerNode::FindOwner(int fd, bool& sure) {
  sure = true;
  const std::optional<Owner> marked = ReadMark(fd, sure);
  // What it says would count.
  if (!sure) return std::nullopt;
  media::Tree* const media = tree_->media();
  if (media == nullptr) return marked;
  const absl::StatusOr<media::FileKey> key = KeyOf(*this);
  if (!key.ok()) return marked;
  if (marked.has_value()) {
    // What the file itself says counts.
    if (media->OwnerOf(*key) != marked) {
      media->SetOwner(*key, place().name, *marked);
    }
    return marked;
  }
  std::optional<Owner> recorded = media->OwnerOf(*key);
  if (!recorded.has_value()) {
    sure = tree_->index()->loaded();
  } else if (tree_->has_xattrs()) {
    kernel::SetXattr(fd, kOwnerXattr, EncodeOwner(*recorded)).IgnoreError();
  }
  return recorded;
}

std::optional<Owner> LowerNode::owner() {
  {
    absl::MutexLock lock(&mutex_);
    if (own_.owner_known) {
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
  Ref<const SharedOwner> shared;
  if (found.has_value()) shared = tree_->Share(*found);
  absl::MutexLock lock(&mutex_);
  if (!own_.owner_known) {
    own_.owner_known = sure;
    if (found.has_value()) owner_ = std::move(shared);
  }
  if (owner_ == nullptr) return std::nullopt;
  return *owner_;
}

void LowerNode::SetOwner(std::optional<Owner> owner) {
  Ref<const SharedOwner> value;
  if (owner.has_value()) value = tree_->Share(*owner);
  absl::MutexLock lock(&mutex_);
  own_.owner_known = true;
  owner_ = std::move(value);
  VoidFacts();
}

absl::StatusOr<uint64_t> LowerNode::RecordOwner(
    const std::optional<Owner>& owner) {
  media::Tree* const media = tree_->media();
  uint64_t ticket = 0;
  if (media != nullptr) {
    const absl::StatusOr<media::FileKey> key = KeyOf(*this);
    if (!key.ok()) {
      // The lower file has it, then.
      if (media->rows_alone()) return key.status();
    } else if (!owner.has_value()) {
      // An older file's, of that path.
      ticket = media->Drop(*key);
    } else {
      absl::StatusOr<uint64_t> told =
          media->ClaimOwner(*key, place().name, *owner);
      if (!told.ok()) return told.status();
      ticket = *told;
    }
  }
  SetOwner(owner);
  return ticket;
}

absl::Status LowerTree::AwaitIndex(uint64_t ticket) {
  // Where the lower file has it, the index may follow.
  if (media_ == nullptr || !media_->rows_alone()) return absl::OkStatus();
  return media_->Wait(ticket);
}

media::Tree::End LowerTree::EndOf(const Place& place,
                                  const Ref<LowerNode>& node) const {
  media::Tree::End end;
  end.path = PathAt(place);
  if (node == nullptr) return end;
  end.directory = node->is_directory();
  absl::StatusOr<Pin> pin = node->Descriptor();
  if (media_ == nullptr || end.directory || !pin.ok()) return end;
  absl::StatusOr<media::FileKey> key =
      media_->KeyOf((*pin)->get(), [&end] { return end.path; });
  if (key.ok()) end.file = *std::move(key);
  return end;
}

bool LowerNode::IsGone() {
  const absl::StatusOr<struct stat> stat = Stat();
  return !stat.ok() || stat->st_nlink == 0;
}

void LowerNode::ForgetRecord(bool gone) {
  media::Tree* const media = tree_->media();
  if (media == nullptr || !is_regular()) return;
  // Another name keeps it.
  if (!media->by_path() && !gone) return;
  const absl::StatusOr<media::FileKey> key = KeyOf(*this);
  if (key.ok()) media->Drop(*key);
}

void LowerNode::RecordName(std::string_view name) {
  media::Tree* const media = tree_->media();
  // By path, the move has done so.
  if (media == nullptr || !is_regular() || media->by_path()) return;
  const absl::StatusOr<media::FileKey> key = KeyOf(*this);
  if (key.ok()) media->SetName(*key, name);
}

std::shared_ptr<const Redaction> LowerNode::redaction() const {
  const Rare* const rare = rare_or_null();
  if (rare == nullptr) return nullptr;
  absl::MutexLock lock(&mutex_);
  return rare->redaction;
}

bool LowerNode::SetRedaction(std::shared_ptr<const Redaction> redaction,
                             uint64_t writings) {
  Rare& rare = this->rare();
  absl::MutexLock lock(&mutex_);
  if (writers() != 0 || this->writings() != writings) return false;
  rare.redaction.swap(redaction);
  return true;
}

int LowerNode::writers() const {
  const Rare* const rare = rare_or_null();
  return rare == nullptr ? 0 : rare->writers.load(std::memory_order_acquire);
}

uint64_t LowerNode::writings() const {
  const Rare* const rare = rare_or_null();
  return rare == nullptr ? 0 : rare->writings.load(std::memory_order_acquire);
}

uint64_t LowerNode::removed_by() const {
  const Rare* const rare = rare_or_null();
  return rare == nullptr ? 0 : rare->removed_by.load(std::memory_order_acquire);
}

void LowerNode::SetRemovedBy(uint64_t view) {
  rare().removed_by.store(view, std::memory_order_release);
}

void LowerNode::DropRedaction() {
  Rare& rare = this->rare();
  std::shared_ptr<const Redaction> dropped;
  absl::MutexLock lock(&mutex_);
  rare.writings.fetch_add(1, std::memory_order_acq_rel);
  rare.redaction.swap(dropped);
}

void LowerNode::AddWriter() {
  rare().writers.fetch_add(1, std::memory_order_acq_rel);
  DropRedaction();
}

void LowerNode::RemoveWriter() {
  DropRedaction();
  rare().writers.fetch_sub(1, std::memory_order_acq_rel);
}

media::Location LowerNode::KnownLocation(const struct stat& stat) {
  const media::Tree* const media = tree_->media();
  if (media == nullptr) return media::Location::kUnknown;
  const absl::StatusOr<media::FileKey> key = KeyOf(*this);
  if (!key.ok()) return media::Location::kUnknown;
  return media->LocationOf(*key, stat);
}

bool LowerNode::RecordLocation(bool has, const struct stat& stat) {
  media::Tree* const media = tree_->media();
  if (media == nullptr) return true;
  if (writers() != 0 || time(nullptr) - stat.st_ctim.tv_sec < kSettled) {
    return false;
  }
  const absl::StatusOr<media::FileKey> key = KeyOf(*this);
  if (!key.ok()) return false;
  media->SetLocation(*key, place().name,
                     has ? media::Location::kHas : media::Location::kNone,
                     stat);
  return true;
}

}  // namespace fused
