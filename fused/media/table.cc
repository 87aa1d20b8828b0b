#include "fused/media/table.h"

#include "absl/hash/hash.h"
#include "absl/strings/match.h"

namespace fused::media {

std::optional<Record> Table::Find(const FileKey& key) const {
  const Shard& shard = ShardOf(key);
  absl::ReaderMutexLock lock(&shard.mutex);
  const auto found = shard.records.find(key);
  if (found == shard.records.end()) return std::nullopt;
  return found->second;
}

void Table::Count(const Record* before, const Record* after) {
  const auto owned = [](const Record* record) {
    return record != nullptr && record->owner != nullptr ? 1 : 0;
  };
  // Wraps around for what becomes less, and back.
  size_.fetch_add(static_cast<size_t>((after != nullptr ? 1 : 0) -
                                      (before != nullptr ? 1 : 0)),
                  std::memory_order_relaxed);
  owned_.fetch_add(static_cast<size_t>(owned(after) - owned(before)),
                   std::memory_order_relaxed);
}

bool Table::Update(const FileKey& key,
                   absl::FunctionRef<void(Record&)> change) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.records.find(key);
  if (found == shard.records.end()) {
    Record fresh;
    change(fresh);
    if (fresh.empty()) return false;
    shard.records.emplace(key, fresh);
    Count(nullptr, &fresh);
    return true;
  }
  const Record before = found->second;
  change(found->second);
  if (found->second.empty()) {
    shard.records.erase(found);
    Count(&before, nullptr);
    return true;
  }
  Count(&before, &found->second);
  return !found->second.Same(before);
}

void Table::Load(FileKey key, const Record& record) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  if (shard.records.try_emplace(std::move(key), record).second) {
    Count(nullptr, &record);
  }
}

bool Table::Erase(const FileKey& key) {
  return Update(key, [](Record& record) { record = Record(); });
}

void Table::Stage(const FileKey& key, const Record& record) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  Staged& staged = shard.staged[key];
  staged.record = record;
  ++staged.count;
}

void Table::Unstage(const FileKey& key) {
  Shard& shard = ShardOf(key);
  absl::MutexLock lock(&shard.mutex);
  const auto found = shard.staged.find(key);
  if (found == shard.staged.end()) return;
  if (--found->second.count == 0) shard.staged.erase(found);
}

std::optional<Record> Table::ForDisk(const FileKey& key) const {
  const Shard& shard = ShardOf(key);
  absl::ReaderMutexLock lock(&shard.mutex);
  const auto staged = shard.staged.find(key);
  if (staged != shard.staged.end()) return staged->second.record;
  const auto found = shard.records.find(key);
  if (found == shard.records.end()) return std::nullopt;
  return found->second;
}

void Table::ForEachOnDisk(
    absl::FunctionRef<void(const FileKey&, const Record&)> visit) const {
  for (const Shard& shard : shards_) {
    absl::flat_hash_map<FileKey, Record> records;
    {
      absl::ReaderMutexLock lock(&shard.mutex);
      records = shard.records;
      for (const auto& [key, staged] : shard.staged) {
        records[key] = staged.record;
      }
    }
    for (const auto& [key, record] : records) visit(key, record);
  }
}

void Table::ForEach(
    absl::FunctionRef<void(const FileKey&, const Record&)> visit) const {
  for (const Shard& shard : shards_) {
    std::vector<std::pair<FileKey, Record>> records;
    {
      absl::ReaderMutexLock lock(&shard.mutex);
      records.assign(shard.records.begin(), shard.records.end());
    }
    for (const auto& [key, record] : records) visit(key, record);
  }
}

std::vector<std::pair<FileKey, Record>> Table::WithPrefix(
    std::string_view prefix) const {
  std::vector<std::pair<FileKey, Record>> found;
  for (const Shard& shard : shards_) {
    absl::ReaderMutexLock lock(&shard.mutex);
    for (const auto& [key, record] : shard.records) {
      if (absl::StartsWith(key.bytes, prefix)) found.emplace_back(key, record);
    }
  }
  return found;
}

}  // namespace fused::media
