#include "fused/redaction.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "fused/errors.h"
#include "fused/lower_tree.h"
#include "kernel/fd.h"
#include "kernel/lower.h"
#include "kernel/status.h"
#include "policy/redaction/redaction.h"
#include "policy/redaction/zero_ranges.h"

namespace fused {
namespace {

using policy::redaction::ByteSource;
using policy::redaction::Finding;

// How often a file that changes under the reader is read again.
constexpr int kAttempts = 4;

absl::StatusOr<size_t> ReadAll(int fd, off_t offset, absl::Span<char> out) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = pread(fd, out.data() + done, out.size() - done,
                              offset + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return kernel::ErrnoStatus(errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

class FileSource : public ByteSource {
 public:
  FileSource(int fd, uint64_t size) : fd_(fd), size_(size) {}

  absl::StatusOr<size_t> Read(uint64_t offset, absl::Span<char> out) override {
    return ReadAll(fd_, static_cast<off_t>(offset), out);
  }
  uint64_t size() const override { return size_; }

 private:
  const int fd_;
  const uint64_t size_;
};

bool SameState(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_ctim.tv_sec == b.st_ctim.tv_sec &&
         a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}

std::shared_ptr<Redaction> Found(Finding finding, const struct stat& stat) {
  auto found = std::make_shared<Redaction>();
  found->finding = std::move(finding);
  found->ctime = stat.st_ctim;
  found->size = stat.st_size;
  return found;
}

// Whether nobody can write the lower file: no handle, nor a mapping, which with
// passthrough outlives its handle unseen. Only a lease tells. `fd` is open for
// reading, and nobody else's.
bool NobodyWrites(LowerNode& lower, int fd) {
  if (lower.writers() != 0) return false;
  // Who opens it meanwhile waits until the lease is given back; the signal that
  // says so is one that nobody minds.
  if (fcntl(fd, F_SETSIG, SIGURG) != 0 || fcntl(fd, F_SETLEASE, F_RDLCK) != 0) {
    return false;
  }
  return fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

// Tells the index what there is to be told, once the file has come to rest.
void Record(LowerNode& lower, const Redaction& found, const struct stat& stat) {
  if (found.recorded.load(std::memory_order_relaxed) ||
      found.finding.kind == Finding::Kind::kRefused) {
    return;
  }
  if (lower.RecordLocation(found.hides(), stat)) {
    found.recorded.store(true, std::memory_order_relaxed);
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Redaction>> FindRedaction(
    LowerNode& lower) {
  absl::StatusOr<Pin> pin = lower.Descriptor();
  if (!pin.ok()) return pin.status();
  const uint64_t writings = lower.writings();
  absl::StatusOr<struct stat> before = kernel::Stat((*pin)->get());
  if (!before.ok()) return before.status();
  std::shared_ptr<const Redaction> kept = lower.redaction();
  if (kept != nullptr && kept->Matches(*before) && lower.writers() == 0) {
    Record(lower, *kept, *before);
    return kept;
  }
  absl::StatusOr<kernel::Fd> fd =
      kernel::Reopen((*pin)->get(), O_RDONLY | O_CLOEXEC);
  if (!fd.ok()) return fd.status();
  const bool rests = NobodyWrites(lower, fd->get());
  const auto keep = [&](const std::shared_ptr<Redaction>& found) {
    if (!rests || !lower.SetRedaction(found, writings)) return false;
    lower.tree().KeepWarm(Ref<LowerNode>(&lower));
    return true;
  };
  if (kept == nullptr && rests &&
      lower.KnownLocation(*before) == media::Location::kNone) {
    std::shared_ptr<Redaction> known = Found(Finding(), *before);
    if (keep(known)) return known;
  }
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    FileSource source(fd->get(), static_cast<uint64_t>(before->st_size));
    absl::StatusOr<Finding> finding = policy::redaction::FindLocation(source);
    if (!finding.ok()) return finding.status();
    absl::StatusOr<struct stat> after = kernel::Stat(fd->get());
    if (!after.ok()) return after.status();
    if (SameState(*before, *after)) {
      std::shared_ptr<Redaction> found = Found(*std::move(finding), *before);
      if (keep(found)) Record(lower, *found, *before);
      return found;
    }
    before = after;
  }
  // It does not rest: what it holds can't be told.
  auto refused = std::make_shared<Redaction>();
  refused->finding.kind = Finding::Kind::kRefused;
  return refused;
}

absl::StatusOr<size_t> ReadRedacted(LowerNode& lower, int fd, off_t offset,
                                    absl::Span<char> out) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    absl::StatusOr<std::shared_ptr<const Redaction>> before =
        FindRedaction(lower);
    if (!before.ok()) return before.status();
    if ((*before)->finding.kind == Finding::Kind::kRefused) {
      return AccessDenied();
    }
    absl::StatusOr<size_t> got = ReadAll(fd, offset, out);
    if (!got.ok()) return got.status();
    // What was read is what was walked, or it is read again.
    absl::StatusOr<std::shared_ptr<const Redaction>> after =
        FindRedaction(lower);
    if (!after.ok()) return after.status();
    if ((*after)->finding.kind == (*before)->finding.kind &&
        (*after)->size == (*before)->size &&
        (*after)->ctime.tv_sec == (*before)->ctime.tv_sec &&
        (*after)->ctime.tv_nsec == (*before)->ctime.tv_nsec &&
        (*after)->finding.ranges == (*before)->finding.ranges) {
      policy::redaction::ZeroRanges((*before)->finding.ranges,
                                    static_cast<uint64_t>(offset),
                                    out.subspan(0, *got));
      return got;
    }
  }
  return AccessDenied();
}

}  // namespace fused
