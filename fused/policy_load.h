// From files to policies and app directories.
#ifndef FUSED_FUSED_POLICY_LOAD_H_
#define FUSED_FUSED_POLICY_LOAD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"

namespace fused {

// FAILED_PRECONDITION with each issue as a line.
absl::Status Refused(const policy::Issues& issues);

struct LoadedPolicy {
  policy::Parsed<policy::v1::Policy> parsed;
  std::shared_ptr<const policy::CompiledPolicy> compiled;
};

// Parses, lints and compiles; nothing with issues that are errors.
std::optional<LoadedPolicy> LoadPolicy(std::string_view content,
                                       std::string_view file,
                                       policy::Issues& issues);

// A snapshot of `policy` and the directory; null with issues.
std::shared_ptr<const policy::Snapshot> LoadApps(
    std::string_view content, std::string_view file,
    const std::shared_ptr<const policy::CompiledPolicy>& policy, uint64_t epoch,
    policy::Issues& issues);

}  // namespace fused

#endif  // FUSED_FUSED_POLICY_LOAD_H_
