#include "fused/testing/snapshot.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/str_join.h"
#include "policy/issue.h"
#include "policy/parse.h"

namespace fused {
namespace {

using policy::CompiledPolicy;
using policy::Issues;
using policy::Snapshot;

std::string Text(const Issues& issues) {
  return absl::StrJoin(issues, "\n",
                       [](std::string* out, const policy::Issue& issue) {
                         out->append(issue.ToString());
                       });
}

std::shared_ptr<const Snapshot> Build(
    std::shared_ptr<const CompiledPolicy> compiled, std::string_view apps,
    uint64_t epoch) {
  Issues issues;
  const auto parsed = policy::ParseApps(apps, "apps", issues);
  CHECK(parsed.has_value()) << Text(issues);
  std::shared_ptr<const Snapshot> snapshot =
      Snapshot::Build(epoch, std::move(compiled), *parsed, issues);
  CHECK(snapshot != nullptr) << Text(issues);
  return snapshot;
}

}  // namespace

std::shared_ptr<const Snapshot> MakeSnapshot(std::string_view policy,
                                             std::string_view apps,
                                             uint64_t epoch) {
  Issues issues;
  const auto parsed = policy::ParsePolicy(policy, "policy", issues);
  CHECK(parsed.has_value()) << Text(issues);
  std::shared_ptr<const CompiledPolicy> compiled =
      CompiledPolicy::Compile(*parsed, issues);
  CHECK(compiled != nullptr) << Text(issues);
  return Build(std::move(compiled), apps, epoch);
}

std::shared_ptr<const Snapshot> BuiltInSnapshot(std::string_view apps,
                                                uint64_t epoch) {
  return Build(CompiledPolicy::BuiltIn(), apps, epoch);
}

}  // namespace fused
