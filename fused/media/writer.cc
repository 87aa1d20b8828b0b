#include "fused/media/writer.h"

#include <algorithm>

#include "absl/log/log.h"
#include "kernel/status.h"

namespace fused::media {

Writer::Writer(Options options) : options_(std::move(options)) {}

Writer::~Writer() { Stop(); }

void Writer::Start() {
  thread_ = std::thread([this] { Run(); });
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&tried_));
}

void Writer::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

uint64_t Writer::Touch(Table* table, const FileKey& key) {
  absl::MutexLock lock(&mutex_);
  if (!queue_.all) {
    queue_.touched.emplace(table, key);
    // Before the store was read, what changed must be known by name: it counts
    // more than what is on disk.
    if (loaded_ && queue_.touched.size() > options_.most_queued) {
      queue_.touched.clear();
      queue_.all = true;
    }
  }
  return ++queue_.ticket;
}

absl::Status Writer::Wait(uint64_t ticket) {
  absl::MutexLock lock(&mutex_);
  // An attempt that failed before is none of ours.
  if (committed_ >= ticket) return absl::OkStatus();
  if (stopping_) return absl::UnavailableError("the daemon stops");
  urgent_ = std::max(urgent_, ticket);
  struct Done {
    const Writer* writer;
    uint64_t ticket;
  } done{this, ticket};
  const auto is_done = +[](Done* d) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return d->writer->committed_ >= d->ticket ||
           d->writer->failed_ >= d->ticket;
  };
  mutex_.Await(absl::Condition(is_done, &done));
  return committed_ >= ticket ? absl::OkStatus() : failure_;
}

absl::Status Writer::Flush() {
  uint64_t ticket = 0;
  {
    absl::MutexLock lock(&mutex_);
    ticket = queue_.ticket;
    // What has failed is to be tried again.
    if (stats_.degraded) ticket = ++queue_.ticket;
  }
  return Wait(ticket);
}

Writer::Stats Writer::stats() const {
  absl::MutexLock lock(&mutex_);
  Stats stats = stats_;
  stats.pending = queue_.touched.size();
  return stats;
}

void Writer::Failed(const absl::Status& status, uint64_t ticket) {
  if (!stats_.degraded || stats_.reason != status.message()) {
    LOG(WARNING) << "media index: " << kernel::Describe(status);
  }
  stats_.degraded = true;
  stats_.reason = kernel::Describe(status);
  failed_ = std::max(failed_, ticket);
  failure_ = status;
}

void Writer::Pause() {
  const auto hurry = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return stopping_ || urgent_ > failed_;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&hurry), options_.retry);
}

void Writer::TellChange() {
  if (options_.changed == nullptr ||
      (stats_.degraded == told_.degraded && stats_.reason == told_.reason &&
       stats_.set_aside == told_.set_aside)) {
    return;
  }
  told_ = stats_;
  mutex_.Unlock();
  options_.changed(told_);
  mutex_.Lock();
}

void Writer::SetAsideStore() {
  mutex_.Unlock();
  Close();
  absl::StatusOr<std::string> aside = options_.storage->SetAside();
  mutex_.Lock();
  if (!aside.ok()) {
    Failed(aside.status(), failed_);
    return;
  }
  LOG(ERROR) << "media index: the database was corrupt, and is set aside as "
             << *aside;
  stats_.set_aside = *aside;
}

absl::Status Writer::LoadStore(Store& store,
                               const absl::flat_hash_set<Item>& changed) {
  return store.Load(
      [&](const TreeName& tree, FileKey key, const Record& record) {
        Table* const table = options_.table(tree);
        Item item(table, std::move(key));
        // What has happened since counts.
        if (changed.contains(item)) return;
        table->Load(std::move(item.second), record);
      });
}

bool Writer::OpenStore() {
  const bool load = !loaded_;
  const uint64_t ticket = queue_.ticket;
  const absl::flat_hash_set<Item> changed =
      load ? queue_.touched : absl::flat_hash_set<Item>();
  mutex_.Unlock();
  absl::StatusOr<std::unique_ptr<Store>> store = options_.storage->Open();
  absl::Status status = store.status();
  bool whole = false;
  if (store.ok()) {
    store_ = *std::move(store);
    whole = store_->was_clean();
    if (load) status = LoadStore(*store_, changed);
  }
  mutex_.Lock();
  if (!status.ok()) {
    Failed(status, ticket);
    if (absl::IsDataLoss(status)) {
      SetAsideStore();
      // The tables are what there is.
      queue_.all = queue_.all || loaded_;
    } else {
      mutex_.Unlock();
      Close();
      mutex_.Lock();
    }
    return false;
  }
  stats_.statements = statements_before_ + store_->statements();
  stats_.degraded = false;
  stats_.reason.clear();
  if (load) {
    // What was erased while it was loaded may be back: the record of a file
    // that is gone, which the next scan finds.
    loaded_ = true;
    mutex_.Unlock();
    options_.loaded(whole);
    mutex_.Lock();
  }
  return true;
}

std::vector<Change> Writer::ChangesOf(const Batch& batch) const {
  std::vector<Change> changes;
  if (batch.all) {
    for (Table* table : options_.tables()) {
      table->ForEachOnDisk([&](const FileKey& key, const Record& record) {
        changes.push_back({&table->name(), key, record});
      });
    }
  }
  for (const auto& [table, key] : batch.touched) {
    changes.push_back({&table->name(), key, table->ForDisk(key)});
  }
  return changes;
}

void Writer::GiveBack(Batch batch) {
  queue_.all = queue_.all || batch.all;
  queue_.touched.merge(batch.touched);
}

bool Writer::CommitBatch() {
  Batch batch = std::exchange(queue_, Batch{.ticket = queue_.ticket});
  mutex_.Unlock();
  const absl::Status status = store_->Apply(ChangesOf(batch), batch.all);
  const uint64_t statements = store_->statements();
  mutex_.Lock();
  stats_.statements = statements_before_ + statements;
  if (status.ok()) {
    committed_ = batch.ticket;
    stats_.degraded = false;
    stats_.reason.clear();
    return true;
  }
  Failed(status, batch.ticket);
  GiveBack(std::move(batch));
  if (absl::IsDataLoss(status)) {
    SetAsideStore();
    queue_.all = true;
  }
  return false;
}

void Writer::Close() {
  if (store_ == nullptr) return;
  const uint64_t statements = store_->statements();
  store_ = nullptr;
  absl::MutexLock lock(&mutex_);
  statements_before_ += statements;
}

void Writer::Run() {
  absl::ReleasableMutexLock lock(&mutex_);
  while (true) {
    if (store_ == nullptr) {
      bool open = OpenStore();
      // One that was set aside has made room.
      if (!open && store_ == nullptr && !stats_.set_aside.empty()) {
        open = OpenStore();
      }
      TellChange();
      tried_ = true;
      if (!open) {
        if (stopping_) break;
        Pause();
        continue;
      }
    }
    const auto wanted = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return stopping_ || HasWork() || urgent_ > committed_;
    };
    mutex_.Await(absl::Condition(&wanted));
    const auto hurry = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return stopping_ || urgent_ > committed_ || queue_.touched.size() > 1000;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&hurry), options_.gather);
    if (HasWork() || urgent_ > committed_) {
      const bool committed = CommitBatch();
      TellChange();
      if (!committed) {
        if (stopping_) break;
        if (store_ != nullptr) Pause();
        continue;
      }
    }
    if (stopping_ && !HasWork()) break;
  }
  // Nobody is kept waiting.
  const bool clean = store_ != nullptr && !HasWork() && loaded_;
  failed_ = UINT64_MAX;
  failure_ = absl::UnavailableError("the daemon stops");
  lock.Release();
  if (clean) store_->MarkClean().IgnoreError();
  Close();
}

}  // namespace fused::media
