// A store in memory, which fails as a test wants it to.
#ifndef FUSED_FUSED_MEDIA_TESTING_FAKE_STORAGE_H_
#define FUSED_FUSED_MEDIA_TESTING_FAKE_STORAGE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fused/media/interner.h"
#include "fused/media/store.h"

namespace fused::media {

// What is left when a daemon ends. Outlives its storages. Thread-safe.
class FakeDisk {
 public:
  using Rows = std::map<std::pair<TreeName, std::string>, Record>;

  // What the next calls fail with; OK: they do not.
  void FailWith(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }
  Rows rows() const {
    absl::MutexLock lock(&mutex_);
    return rows_;
  }
  void SetRows(Rows rows) {
    absl::MutexLock lock(&mutex_);
    rows_ = std::move(rows);
  }
  // As if a daemon had ended well.
  void SetClean() {
    absl::MutexLock lock(&mutex_);
    clean_ = true;
  }
  // Called under a lock, with what is there after each commit.
  void OnCommit(std::function<void(const Rows&)> call) {
    absl::MutexLock lock(&mutex_);
    on_commit_ = std::move(call);
  }
  bool clean() const {
    absl::MutexLock lock(&mutex_);
    return clean_;
  }
  uint64_t commits() const { return commits_.load(); }
  uint64_t set_aside() const { return set_aside_.load(); }

 private:
  friend class FakeStore;
  friend class FakeStorage;

  // With pointers of the disk's own, which live on.
  Record Own(Record record) {
    record.mark = 0;
    if (record.owner != nullptr) record.owner = owners_.Intern(*record.owner);
    if (record.media_type != nullptr) {
      record.media_type = owners_.InternType(*record.media_type);
    }
    return record;
  }

  Interner owners_;
  mutable absl::Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  Rows rows_ ABSL_GUARDED_BY(mutex_);
  bool clean_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void(const Rows&)> on_commit_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> commits_{0};
  std::atomic<uint64_t> set_aside_{0};
};

class FakeStore : public Store {
 public:
  FakeStore(FakeDisk* disk, bool was_clean)
      : disk_(disk), was_clean_(was_clean) {}

  absl::Status Load(
      absl::FunctionRef<void(const TreeName&, FileKey, const Record&)> visit)
      override {
    FakeDisk::Rows rows;
    {
      absl::MutexLock lock(&disk_->mutex_);
      if (!disk_->failure_.ok()) return disk_->failure_;
      rows = disk_->rows_;
    }
    for (const auto& [key, record] : rows) {
      visit(key.first, FileKey{key.second}, record);
    }
    return absl::OkStatus();
  }

  absl::Status Apply(const std::vector<Change>& changes, bool anew) override {
    absl::MutexLock lock(&disk_->mutex_);
    if (!disk_->failure_.ok()) return disk_->failure_;
    ++disk_->commits_;
    if (anew) disk_->rows_.clear();
    for (const Change& change : changes) {
      const std::pair key(*change.tree, change.key.bytes);
      if (change.record.has_value()) {
        disk_->rows_[key] = disk_->Own(*change.record);
      } else {
        disk_->rows_.erase(key);
      }
    }
    if (disk_->on_commit_ != nullptr) disk_->on_commit_(disk_->rows_);
    return absl::OkStatus();
  }

  bool was_clean() const override { return was_clean_; }
  absl::Status MarkClean() override {
    absl::MutexLock lock(&disk_->mutex_);
    if (!disk_->failure_.ok()) return disk_->failure_;
    disk_->clean_ = true;
    return absl::OkStatus();
  }
  uint64_t statements() const override { return disk_->commits(); }

 private:
  FakeDisk* const disk_;
  const bool was_clean_;
};

class FakeStorage : public Storage {
 public:
  explicit FakeStorage(FakeDisk* disk) : disk_(disk) {}

  absl::StatusOr<std::unique_ptr<Store>> Open() override {
    absl::MutexLock lock(&disk_->mutex_);
    if (!disk_->failure_.ok()) return disk_->failure_;
    return std::make_unique<FakeStore>(disk_,
                                       std::exchange(disk_->clean_, false));
  }
  absl::StatusOr<std::string> SetAside() override {
    absl::MutexLock lock(&disk_->mutex_);
    ++disk_->set_aside_;
    // The next one is good.
    disk_->failure_ = absl::OkStatus();
    disk_->rows_.clear();
    return std::string("aside");
  }

 private:
  FakeDisk* const disk_;
};

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_TESTING_FAKE_STORAGE_H_
