// diff, without a daemon.

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "fused/control/convert.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"
#include "kernel/status.h"
#include "policy/diff.h"
#include "policy/engine.h"
#include "policy/parse.h"

namespace fused::ctl {
namespace {

// Null where a file can't be read or does not compile; said why.
std::shared_ptr<const policy::Snapshot> Load(const std::string& policy_file,
                                             const std::string& apps_file) {
  auto content = ReadFile(policy_file);
  if (!content.ok()) {
    Fail(kUsage, kernel::Describe(content.status()));
    return nullptr;
  }
  policy::Issues issues;
  auto parsed = policy::ParsePolicy(*content, policy_file, issues);
  auto compiled = parsed.has_value()
                      ? policy::CompiledPolicy::Compile(*parsed, issues)
                      : nullptr;
  std::optional<policy::Parsed<policy::v1::AppDirectory>> apps;
  apps.emplace();
  if (!apps_file.empty()) {
    auto text = ReadFile(apps_file);
    if (!text.ok()) {
      Fail(kUsage, kernel::Describe(text.status()));
      return nullptr;
    }
    apps = policy::ParseApps(*text, apps_file, issues);
  }
  std::shared_ptr<const policy::Snapshot> snapshot;
  if (compiled != nullptr && apps.has_value()) {
    snapshot = policy::Snapshot::Build(1, std::move(compiled), *apps, issues);
  }
  PrintIssues(issues);
  return snapshot;
}

}  // namespace

void PrintChanges(const control::v1::DiffResult& result) {
  for (const control::v1::DecisionChange& change : result.changes()) {
    std::printf(
        "%s in %s%s\n",
        change.operations().empty()
            ? ".nomedia"
            : Printable(absl::StrJoin(change.operations(), " ")).c_str(),
        Printable(absl::StrJoin(change.path_classes(), ", ")).c_str(),
        change.before().empty() && change.after().empty()
            ? ""
            : absl::StrCat(": ", change.before(), " -> ", change.after())
                  .c_str());
    std::printf("    who   %s\n",
                Printable(absl::StrJoin(change.callers(), ", ")).c_str());
    if (!change.objects().empty()) {
      std::printf("    what  %s\n",
                  Printable(absl::StrJoin(change.objects(), " and ")).c_str());
    }
    std::printf("    as    %s\n", Printable(change.path()).c_str());
  }
  if (!result.complete()) std::printf("...\n");
}

int Diff(const Arguments& arguments) {
  const std::string both = absl::GetFlag(FLAGS_apps);
  std::string old_apps = absl::GetFlag(FLAGS_old_apps);
  std::string new_apps = absl::GetFlag(FLAGS_new_apps);
  if (!both.empty() && (!old_apps.empty() || !new_apps.empty())) {
    return Fail(kUsage, "diff: --apps stands for --old_apps and --new_apps");
  }
  if (!both.empty()) old_apps = new_apps = both;
  const auto before = Load(arguments.positional[0], old_apps);
  const auto after = Load(arguments.positional[1], new_apps);
  if (before == nullptr || after == nullptr) return kUsage;
  const control::v1::DiffResult result =
      control::ToMessage(policy::Diff(*before, *after));
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(result);
  } else {
    PrintChanges(result);
  }
  // What could not be compared may differ.
  return result.changes().empty() && result.complete() ? kDone : kRefused;
}

}  // namespace fused::ctl
