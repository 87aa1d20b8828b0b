// For tests with ordinary tools: copies IN to OUT as a redacted view shows it.
//
//   redact IN         says how long it took
//   redact IN OUT     prints NONE, RANGES and each of them, or REFUSED

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "policy/redaction/redaction.h"
#include "policy/redaction/types.h"
#include "policy/redaction/zero_ranges.h"

namespace fused::policy::redaction {
namespace {

class File : public ByteSource {
 public:
  explicit File(const char* name) : fd_(open(name, O_RDONLY | O_CLOEXEC)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() override {
    if (fd_ >= 0) close(fd_);
  }

  absl::StatusOr<size_t> Read(uint64_t offset, absl::Span<char> out) override {
    const ssize_t got =
        pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0) return absl::ErrnoToStatus(errno, "read");
    return static_cast<size_t>(got);
  }

  uint64_t size() const override {
    struct stat facts;
    return fstat(fd_, &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
  }

 private:
  const int fd_;
};

int Main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::fprintf(stderr, "usage: redact IN [OUT]\n");
    return 2;
  }
  File file(argv[1]);
  const absl::Time begin = absl::Now();
  const absl::StatusOr<Finding> finding = FindLocation(file);
  const absl::Duration took = absl::Now() - begin;
  if (!finding.ok()) {
    std::fprintf(stderr, "%s\n", finding.status().ToString().c_str());
    return 1;
  }
  if (argc == 2) {
    std::printf("%d, %zu ranges, %s\n", static_cast<int>(finding->kind),
                finding->ranges.size(), absl::FormatDuration(took).c_str());
    return 0;
  }
  if (finding->kind == Finding::Kind::kRefused) {
    std::printf("REFUSED\n");
    return 0;
  }
  std::ofstream out(argv[2], std::ios::binary);
  std::string buffer(1 << 20, '\0');
  for (uint64_t at = 0; at < file.size();) {
    const absl::StatusOr<size_t> got = file.Read(at, absl::MakeSpan(buffer));
    if (!got.ok() || *got == 0) return 1;
    ZeroRanges(finding->ranges, at, absl::MakeSpan(buffer.data(), *got));
    out.write(buffer.data(), static_cast<std::streamsize>(*got));
    at += *got;
  }
  if (finding->kind == Finding::Kind::kNone) {
    std::printf("NONE\n");
  } else {
    std::printf("RANGES %zu\n", finding->ranges.size());
    for (const Range& range : finding->ranges) {
      std::printf("  %" PRIu64 "-%" PRIu64 "\n", range.begin, range.end);
    }
  }
  return out.good() ? 0 : 1;
}

}  // namespace
}  // namespace fused::policy::redaction

int main(int argc, char** argv) {
  return fused::policy::redaction::Main(argc, argv);
}
