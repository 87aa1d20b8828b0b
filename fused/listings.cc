#include "fused/listings.h"

namespace fused {
namespace {

using kernel::DirectoryCache;

// One that opens a directory and neither reads nor closes it (for openat(2),
// say) is not waited for any longer. More than one at a time would drop the
// pages under each other's hands, and the kernel begins no listing anew that
// lost its first page halfway.
constexpr uint8_t kPatience = 8;

}  // namespace

DirectoryCache Listings::Open(kernel::NodeId directory, Reader& reader) {
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  Directory& known = shard.directories[directory];
  if (known.late != 0) return DirectoryCache::kNone;
  if (known.pages == Pages::kDropping && known.refused < kPatience) {
    ++known.refused;
    return DirectoryCache::kNone;
  }
  reader.keeps_ = true;
  reader.opened_ = known.age;
  ++known.keeping;
  if (known.pages == Pages::kRight) return DirectoryCache::kKept;
  reader.drops_ = true;
  known.pages = Pages::kDropping;
  known.refused = 0;
  return DirectoryCache::kEmptied;
}

void Listings::Read(kernel::NodeId directory, Reader& reader) {
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  Directory& known = shard.directories[directory];
  known.read = true;
  if (!reader.keeps_) return;
  Settle(known, reader);
  reader.answered_ = known.age;
  ++known.answered;
  Dropped(known, reader);
}

void Listings::Close(kernel::NodeId directory, Reader& reader) {
  Leave(directory, reader, /*opened=*/true);
}

void Listings::Abandon(kernel::NodeId directory, Reader& reader) {
  Leave(directory, reader, /*opened=*/false);
}

void Listings::Leave(kernel::NodeId directory, Reader& reader, bool opened) {
  if (!reader.keeps_) return;
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.directories.find(directory);
  if (found == shard.directories.end()) return;
  Directory& known = found->second;
  Settle(known, reader);
  if (opened) {
    Dropped(known, reader);
  } else if (reader.drops_ && known.pages == Pages::kDropping) {
    known.pages = Pages::kUnknown;
  }
  --known.keeping;
  if (known.keeping == 0 && !known.read) shard.directories.erase(found);
}

bool Listings::Has(kernel::NodeId directory) const {
  const Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.directories.find(directory);
  return found != shard.directories.end() && found->second.read;
}

bool Listings::Take(kernel::NodeId directory) {
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.directories.find(directory);
  if (found == shard.directories.end() || !found->second.read) return false;
  GrowOld(found->second);
  if (found->second.keeping == 0) shard.directories.erase(found);
  return true;
}

std::vector<kernel::NodeId> Listings::TakeAll() {
  std::vector<kernel::NodeId> all;
  for (Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    absl::erase_if(shard.directories, [&](auto& entry) {
      auto& [id, known] = entry;
      if (known.read) {
        all.push_back(id);
        GrowOld(known);
      }
      return known.keeping == 0;
    });
  }
  return all;
}

size_t Listings::size() const {
  size_t count = 0;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    count += shard.directories.size();
  }
  return count;
}

void Listings::GrowOld(Directory& directory) {
  ++directory.age;
  directory.pages = Pages::kUnknown;
  directory.read = false;
  directory.refused = 0;
  directory.late += directory.answered;
  directory.answered = 0;
}

void Listings::Settle(Directory& directory, Reader& reader) {
  if (reader.answered_ == Reader::kNever) return;
  --(reader.answered_ == directory.age ? directory.answered : directory.late);
  reader.answered_ = Reader::kNever;
}

void Listings::Dropped(Directory& directory, const Reader& reader) {
  // Of what was entered since, one that opened before knows nothing.
  if (reader.drops_ && reader.opened_ == directory.age &&
      directory.pages == Pages::kDropping) {
    directory.pages = Pages::kRight;
  }
}

}  // namespace fused
