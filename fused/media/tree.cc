#include "fused/media/tree.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernel/status.h"

namespace fused::media {
namespace {

std::string_view LastName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

Tree::Tree(Options options, Table* table, Writer* writer, Interner* interner)
    : options_(std::move(options)),
      kind_(options_.kind.has_value() ? *options_.kind : KindOf(options_.root)),
      table_(table),
      writer_(writer),
      interner_(interner) {}

std::optional<Owner> Tree::OwnerOf(const FileKey& key) const {
  const std::optional<Record> record = table_->Find(key);
  if (!record.has_value() || record->owner == nullptr) return std::nullopt;
  return *record->owner;
}

void Tree::Describe(Record& record, std::string_view name) const {
  if (options_.describe == nullptr) return;
  const Described said = options_.describe(name);
  record.media_type = interner_->InternType(said.media_type);
  record.waiting = said.waiting;
  record.hidden = said.hidden;
  record.expires = said.expires;
}

uint64_t Tree::Update(const FileKey& key,
                      absl::FunctionRef<void(Record&)> change) {
  const uint32_t mark = mark_.load(std::memory_order_relaxed);
  const bool changed = table_->Update(key, [&](Record& record) {
    change(record);
    record.mark = mark;
  });
  return changed ? writer_->Touch(table_, key) : 0;
}

uint64_t Tree::SetOwner(const FileKey& key, std::string_view name,
                        const Owner& owner) {
  Record fresh;
  fresh.owner = interner_->Intern(owner);
  Describe(fresh, name);
  return Update(key, [&](Record& record) {
    fresh.location = record.location;
    fresh.ctime = record.ctime;
    fresh.size = record.size;
    record = fresh;
  });
}

absl::StatusOr<uint64_t> Tree::ClaimOwner(const FileKey& key,
                                          std::string_view name,
                                          const Owner& owner) {
  if (kind_ == KeyKind::kFoldedPath && HasBirthTime(key)) {
    const std::optional<Owner> other = OwnerOf(key);
    if (other.has_value() && *other != owner) {
      return kernel::ErrnoStatus(EACCES);
    }
  }
  const uint64_t ticket = SetOwner(key, name, owner);
  // Nothing new, but it may not be on disk yet.
  return ticket != 0 ? ticket : writer_->Touch(table_, key);
}

uint64_t Tree::SetLocation(const FileKey& key, std::string_view name,
                           Location location, const struct stat& stat) {
  Record fresh;
  Describe(fresh, name);
  fresh.location = location;
  fresh.ctime = ChangeTime(stat);
  fresh.size = stat.st_size;
  return Update(key, [&](Record& record) {
    fresh.owner = record.owner;
    record = fresh;
  });
}

uint64_t Tree::SetName(const FileKey& key, std::string_view name) {
  if (!table_->Find(key).has_value()) return 0;
  Record fresh;
  Describe(fresh, name);
  return Update(key, [&](Record& record) {
    record.media_type = fresh.media_type;
    record.waiting = fresh.waiting;
    record.hidden = fresh.hidden;
    record.expires = fresh.expires;
  });
}

uint64_t Tree::Drop(const FileKey& key) {
  return table_->Erase(key) ? writer_->Touch(table_, key) : 0;
}

Location Tree::LocationOf(const FileKey& key, const struct stat& stat) const {
  const std::optional<Record> record = table_->Find(key);
  if (!record.has_value() || record->ctime != ChangeTime(stat) ||
      record->size != stat.st_size) {
    return Location::kUnknown;
  }
  return record->location;
}

absl::Status Tree::Wait(uint64_t ticket) {
  if (ticket == 0) return absl::OkStatus();
  const absl::Status status = writer_->Wait(ticket);
  if (status.ok()) return status;
  // Fail closed, and tell what an app can understand.
  return kernel::ErrnoStatus(absl::IsResourceExhausted(status) ? ENOSPC
                                                               : EACCES);
}

void Tree::PlanEnd(const End& from, const std::string& to,
                   std::vector<Moved>& plan) const {
  if (from.file.has_value()) {
    std::optional<Record> record = table_->Find(*from.file);
    FileKey moved = MovedKey(kind_, *from.file, to);
    if (!record.has_value() || moved == *from.file) return;
    Describe(*record, LastName(to));
    plan.push_back({*from.file, std::move(moved), *record});
  }
  if (!from.directory) return;
  const std::string old_prefix = PrefixBelow(kind_, from.path);
  const std::string new_prefix = PrefixBelow(kind_, to);
  if (old_prefix == new_prefix) return;
  for (auto& [key, record] : table_->WithPrefix(old_prefix)) {
    FileKey moved{absl::StrCat(
        new_prefix, std::string_view(key.bytes).substr(old_prefix.size()))};
    plan.push_back({std::move(key), std::move(moved), record});
  }
}

std::vector<Tree::Moved> Tree::PlanMove(const End& from, const End& to,
                                        bool exchange) const {
  std::vector<Moved> plan;
  PlanEnd(from, to.path, plan);
  if (exchange) PlanEnd(to, from.path, plan);
  std::sort(plan.begin(), plan.end(), [](const Moved& a, const Moved& b) {
    return a.from.bytes < b.from.bytes;
  });
  return plan;
}

absl::Status Tree::StageMove(const std::vector<Moved>& plan) {
  uint64_t ticket = 0;
  for (const Moved& moved : plan) {
    table_->Stage(moved.to, moved.record);
    ticket = writer_->Touch(table_, moved.to);
  }
  return Wait(ticket);
}

void Tree::FinishMove(const std::vector<Moved>& plan, const End& to,
                      bool exchange, bool staged) {
  absl::flat_hash_set<FileKey> arriving;
  for (const Moved& moved : plan) {
    arriving.insert(moved.to);
    Update(moved.to, [&](Record& record) { record = moved.record; });
  }
  // What has arrived is never taken away, not for a moment: the writer may look
  // at any time.
  if (!exchange && to.file.has_value() && !arriving.contains(*to.file)) {
    Drop(*to.file);
  }
  for (const Moved& moved : plan) {
    if (!arriving.contains(moved.from)) Drop(moved.from);
  }
  if (staged) CancelMove(plan);
}

void Tree::CancelMove(const std::vector<Moved>& plan) {
  for (const Moved& moved : plan) {
    table_->Unstage(moved.to);
    writer_->Touch(table_, moved.to);
  }
}

bool SamePlan(const std::vector<Tree::Moved>& a,
              const std::vector<Tree::Moved>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tree::Moved& one, const Tree::Moved& two) {
                      return one.from == two.from && one.to == two.to &&
                             one.record.Same(two.record);
                    });
}

}  // namespace fused::media
