#include "fused/policy_load.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/lint.h"

namespace fused {

using policy::CompiledPolicy;
using policy::Issues;
using policy::Parsed;

absl::Status Refused(const Issues& issues) {
  return absl::FailedPreconditionError(absl::StrJoin(
      issues, "\n", [](std::string* out, const policy::Issue& issue) {
        absl::StrAppend(out, issue.ToString());
      }));
}

std::optional<LoadedPolicy> LoadPolicy(std::string_view content,
                                       std::string_view file, Issues& issues) {
  std::optional<Parsed<policy::v1::Policy>> parsed =
      policy::ParsePolicy(content, file, issues);
  if (!parsed.has_value()) return std::nullopt;
  // What lint calls an error is none of a kind: it would not start either.
  policy::Lint(*parsed, issues);
  if (policy::HasErrors(issues)) return std::nullopt;
  std::shared_ptr<const CompiledPolicy> compiled =
      CompiledPolicy::Compile(*parsed, issues);
  if (compiled == nullptr) return std::nullopt;
  return LoadedPolicy{*std::move(parsed), std::move(compiled)};
}

std::shared_ptr<const policy::Snapshot> LoadApps(
    std::string_view content, std::string_view file,
    const std::shared_ptr<const CompiledPolicy>& policy, uint64_t epoch,
    Issues& issues) {
  std::optional<Parsed<policy::v1::AppDirectory>> parsed =
      policy::ParseApps(content, file, issues);
  if (!parsed.has_value()) return nullptr;
  return policy::Snapshot::Build(epoch, policy, *parsed, issues);
}

}  // namespace fused
