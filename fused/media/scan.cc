// Tree's scan.
#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "fused/media/tree.h"
#include "fused/media/walk.h"
#include "kernel/fd.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused::media {

namespace {

// Records that a scan changed before it waits for the disk.
constexpr uint64_t kChangesAhead = 16384;

}  // namespace

// What one walk does with the files that it comes by.
class Tree::Scanning {
 public:
  explicit Scanning(Tree& tree)
      : tree_(tree), mark_(tree.mark_.load(std::memory_order_relaxed)) {}

  void Visit(const Walked& file) {
    absl::StatusOr<kernel::Fd> fd = kernel::OpenChild(
        file.directory, file.name.c_str(), O_PATH | O_NOFOLLOW);
    if (!fd.ok()) return;
    absl::StatusOr<FileKey> key =
        tree_.KeyOf(fd->get(), [&] { return file.path(); });
    if (!key.ok()) return;
    tree_.scanned_.fetch_add(1, std::memory_order_relaxed);
    std::optional<Owner> marked;
    if (tree_.options_.xattrs) marked = ReadOwner(fd->get());
    if (marked.has_value()) {
      if (tree_.OwnerOf(*key) != marked) Count(tree_.adopted_);
      tree_.SetOwner(*key, file.name, *marked);
    } else {
      Known(*key, file, fd->get());
    }
    if (changes_ < kChangesAhead) return;
    changes_ = 0;
    tree_.writer_->Flush().IgnoreError();
  }

 private:
  void Count(std::atomic<uint64_t>& what) {
    what.fetch_add(1, std::memory_order_relaxed);
    ++changes_;
  }

  void Known(const FileKey& key, const Walked& file, int fd) {
    const std::optional<Record> record = tree_.Find(key);
    if (!record.has_value()) return;
    if (record->owner != nullptr && tree_.options_.xattrs &&
        kernel::SetXattr(fd, kOwnerXattr, EncodeOwner(*record->owner)).ok()) {
      Count(tree_.repaired_);
    }
    // Marks it as seen, too.
    tree_.SetName(key, file.name);
  }

  Tree& tree_;
  const uint32_t mark_;
  uint64_t changes_ = 0;
};

bool Tree::IsGone(const FileKey& key) const {
  // By path there is no asking: what was not seen, nor touched since, is gone.
  if (by_path()) return true;
  kernel::FileHandle handle;
  handle.type = static_cast<unsigned char>(key.bytes[1]);
  handle.size = static_cast<uint32_t>(key.bytes.size() - 2);
  if (handle.size > kernel::FileHandle::kMaxBytes) return false;
  std::memcpy(handle.bytes, key.bytes.data() + 2, handle.size);
  const absl::Status status =
      kernel::OpenHandle(options_.root, handle, O_PATH).status();
  return kernel::IsErrno(status, ESTALE) || kernel::IsErrno(status, ENOENT);
}

void Tree::Scan(bool drop, const std::atomic<bool>& stop) {
  for (std::atomic<uint64_t>* count :
       {&scanned_, &adopted_, &repaired_, &dropped_}) {
    count->store(0, std::memory_order_relaxed);
  }
  const uint32_t mark = mark_.fetch_add(1, std::memory_order_relaxed) + 1;
  Scanning scanning(*this);
  const bool complete =
      Walk(options_.root, stop,
           [&scanning](const Walked& file) { scanning.Visit(file); });
  if (complete && (drop || !rows_alone())) {
    table_->ForEach([&](const FileKey& key, const Record& record) {
      if (record.mark == mark || !IsOfKind(kind_, key.bytes)) return;
      if (stop.load(std::memory_order_relaxed) || !IsGone(key)) return;
      // Touched since it was copied: it is there.
      const bool gone = table_->Update(key, [&](Record& now) {
        if (now.mark != mark) now = Record();
      });
      if (!gone) return;
      writer_->Touch(table_, key);
      dropped_.fetch_add(1, std::memory_order_relaxed);
    });
  }
  writer_->Flush().IgnoreError();
}

Tree::ScanStats Tree::scan_stats() const {
  return {scanned_.load(std::memory_order_relaxed),
          adopted_.load(std::memory_order_relaxed),
          repaired_.load(std::memory_order_relaxed),
          dropped_.load(std::memory_order_relaxed)};
}

}  // namespace fused::media
