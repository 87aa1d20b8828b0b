#include "fused/audit/config.h"

#include <cstdint>

#include "absl/status/status.h"

namespace fused::audit {
namespace {

constexpr uint64_t kLeastFile = 4096;

}  // namespace

absl::StatusOr<config::v1::Audit> Complete(config::v1::Audit config) {
  if (config.max_bytes() == 0) config.set_max_bytes(64 << 20);
  if (config.max_files() == 0) config.set_max_files(8);
  if (config.burst() == 0) config.set_burst(64);
  if (config.per_second() == 0) config.set_per_second(4);
  if (config.paths() == config::v1::Audit::PATHS_UNSPECIFIED) {
    config.set_paths(config::v1::Audit::PLAIN);
  }
  constexpr uint32_t kMost = 1000;
  if (config.max_files() > kMost) {
    return absl::InvalidArgumentError("max_files: at most 1000");
  }
  if (config.max_bytes() / config.max_files() < kLeastFile) {
    return absl::InvalidArgumentError(
        "max_bytes: at least 4096 for each of max_files");
  }
  if (config.burst() > kMost || config.per_second() > kMost) {
    return absl::InvalidArgumentError("burst and per_second: at most 1000");
  }
  return config;
}

}  // namespace fused::audit
