// A file that is written to its end, put aside when it is large, and of which
// so many are kept.
#ifndef FUSED_FUSED_AUDIT_ROTATING_FILE_H_
#define FUSED_FUSED_AUDIT_ROTATING_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused::audit {

// NAME is the one that is written; NAME.1 is the one before, and so on.
// Together they are never larger than they may be. Thread-compatible.
class RotatingFile {
 public:
  struct Options {
    // Of all files together, and how many there are.
    uint64_t max_bytes = 64 << 20;
    uint32_t max_files = 8;
  };

  // Makes the directory (0700) where it is missing. What a crash has left of a
  // line is ended.
  static absl::StatusOr<std::unique_ptr<RotatingFile>> Open(
      const std::string& directory, const std::string& name,
      const Options& options);

  // Writes a line, which ends in a newline, whole or not at all.
  // RESOURCE_EXHAUSTED: it is longer than a file may be.
  absl::Status Append(std::string_view line);

  // The last lines, oldest first, of about `bytes`.
  absl::StatusOr<std::string> Tail(uint64_t bytes) const;

 private:
  RotatingFile(std::string name, const Options& options, kernel::Fd directory)
      : name_(std::move(name)),
        options_(options),
        directory_(std::move(directory)) {}

  std::string NameOf(uint32_t age) const;
  absl::Status OpenFile();
  absl::Status EndLine();
  absl::Status Rotate();
  void RemoveOld() const;
  uint64_t MaxFile() const { return options_.max_bytes / options_.max_files; }

  const std::string name_;
  const Options options_;
  const kernel::Fd directory_;
  kernel::Fd file_;
  uint64_t size_ = 0;
};

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_ROTATING_FILE_H_
