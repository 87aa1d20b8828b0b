#include "fused/kept_answers.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/hash/hash.h"

namespace fused {

const KeptAnswers::Directory* KeptAnswers::Shard::Find(
    kernel::NodeId directory) const {
  const auto found = directories.find(directory);
  return found == directories.end() ? nullptr : &found->second;
}

void KeptAnswers::NoteAttributes(kernel::NodeId directory) {
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  shard.directories[directory].attributes = true;
}

bool KeptAnswers::HasAttributes(kernel::NodeId directory) const {
  const Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  const Directory* const known = shard.Find(directory);
  return known != nullptr && known->attributes;
}

void KeptAnswers::TakeAttributes(kernel::NodeId directory) {
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.directories.find(directory);
  if (found != shard.directories.end()) found->second.attributes = false;
}

void KeptAnswers::NoteAbsence(kernel::NodeId directory, std::string_view name) {
  const Hash hash = absl::HashOf(name);
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  Directory& known = shard.directories[directory];
  if (known.many || absl::c_linear_search(known.absent, hash)) return;
  if (known.absent.size() == kMostNames) {
    known.many = true;
    absl::InlinedVector<Hash, 1>().swap(known.absent);
    return;
  }
  known.absent.push_back(hash);
}

bool KeptAnswers::HasAbsence(kernel::NodeId directory,
                             std::string_view name) const {
  const Hash hash = absl::HashOf(name);
  const Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  const Directory* const known = shard.Find(directory);
  return known != nullptr &&
         (known->many || absl::c_linear_search(known->absent, hash));
}

void KeptAnswers::TakeAbsence(kernel::NodeId directory, std::string_view name) {
  const Hash hash = absl::HashOf(name);
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.directories.find(directory);
  if (found == shard.directories.end()) return;
  auto& absent = found->second.absent;
  const auto at = std::find(absent.begin(), absent.end(), hash);
  if (at == absent.end()) return;
  *at = absent.back();
  absent.pop_back();
}

void KeptAnswers::Forget(kernel::NodeId directory) {
  Shard& shard = ShardOf(directory);
  absl::MutexLock lock(&shard.mutex);
  shard.directories.erase(directory);
}

size_t KeptAnswers::size() const {
  size_t size = 0;
  for (const Shard& shard : shards_) {
    absl::MutexLock lock(&shard.mutex);
    size += shard.directories.size();
  }
  return size;
}

}  // namespace fused
