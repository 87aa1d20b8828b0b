#include "fused/redaction.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "fused/errors.h"
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

std::shared_ptr<const Redaction> Keep(LowerNode& lower, Finding finding,
                                      const struct stat& stat) {
  auto found = std::make_shared<Redaction>();
  found->finding = std::move(finding);
  found->ctime = stat.st_ctim;
  found->size = stat.st_size;
  lower.SetRedaction(found);
  lower.tree().KeepWarm(lower.shared_from_this());
  return found;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Redaction>> FindRedaction(
    LowerNode& lower) {
  absl::StatusOr<Pin> pin = lower.Descriptor();
  if (!pin.ok()) return pin.status();
  absl::StatusOr<struct stat> before = kernel::Stat((*pin)->get());
  if (!before.ok()) return before.status();
  std::shared_ptr<const Redaction> kept = lower.redaction();
  if (kept != nullptr && kept->Matches(*before) && lower.writers() == 0) {
    return kept;
  }
  if (kept == nullptr && lower.writers() == 0 &&
      lower.KnownLocation(*before) == media::Location::kNone) {
    return Keep(lower, Finding(), *before);
  }
  absl::StatusOr<kernel::Fd> fd =
      kernel::Reopen((*pin)->get(), O_RDONLY | O_CLOEXEC);
  if (!fd.ok()) return fd.status();
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    FileSource source(fd->get(), static_cast<uint64_t>(before->st_size));
    absl::StatusOr<Finding> finding = policy::redaction::FindLocation(source);
    if (!finding.ok()) return finding.status();
    absl::StatusOr<struct stat> after = kernel::Stat(fd->get());
    if (!after.ok()) return after.status();
    if (SameState(*before, *after)) {
      const bool refused = finding->kind == Finding::Kind::kRefused;
      if (!refused) {
        lower.RecordLocation(finding->kind != Finding::Kind::kNone, *before);
      }
      return Keep(lower, *std::move(finding), *before);
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
