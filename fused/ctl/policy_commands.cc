// push, apps, lint.

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fused/control/convert.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"
#include "kernel/status.h"
#include "policy/engine.h"
#include "policy/lint.h"
#include "policy/parse.h"

namespace fused::ctl {
namespace {

bool ReadRevoke(control::v1::PushRequest& push) {
  const std::string revoke = absl::GetFlag(FLAGS_revoke);
  if (revoke == "report") {
    push.set_revoke(control::v1::PushRequest::REPORT);
  } else if (revoke == "signal") {
    push.set_revoke(control::v1::PushRequest::SIGNAL);
  } else if (!revoke.empty()) {
    return false;
  }
  return true;
}

// What became of open files, and of requests under way.
void PrintEffects(const control::v1::PushResponse& response) {
  if (!response.draining().empty()) {
    std::printf("warning: %s\n", Printable(response.draining()).c_str());
  }
  if (response.stale_handles() != 0 &&
      (response.holders().empty() || response.killed() != 0)) {
    std::printf(
        "%s open files stay with the kernel: fusedctl handles --stale\n",
        absl::StrCat(response.stale_handles()).c_str());
  }
  if (response.unread_handles() != 0) {
    std::printf("%s of them may tell a location: they were not read in time\n",
                absl::StrCat(response.unread_handles()).c_str());
  }
  for (const control::v1::Holder& holder : response.holders()) {
    std::printf("held  uid %u  %s  %s:%s  (%s)  pids %s\n", holder.uid(),
                holder.package().empty() ? "shared"
                                         : Printable(holder.package()).c_str(),
                Printable(holder.volume()).c_str(),
                Printable(holder.path()).c_str(), holder.reason().c_str(),
                holder.pids().empty()
                    ? "-"
                    : absl::StrJoin(holder.pids(), ",").c_str());
  }
  if (response.more_holders() != 0) {
    std::printf("held  %s further open files\n",
                absl::StrCat(response.more_holders()).c_str());
  }
  if (response.killed() != 0) {
    std::printf("killed %s\n", absl::StrCat(response.killed()).c_str());
  }
}

int PushFile(const std::string& path, control::v1::PushRequest::Kind kind) {
  auto content = ReadFile(path);
  if (!content.ok()) return Fail(kUsage, kernel::Describe(content.status()));
  control::v1::Request request;
  control::v1::PushRequest& push = *request.mutable_push();
  push.set_kind(kind);
  push.set_content(*std::move(content));
  push.set_file_name(path);
  push.set_dry_run(absl::GetFlag(FLAGS_dry_run));
  push.set_diff(push.dry_run() || absl::GetFlag(FLAGS_diff));
  if (!ReadRevoke(push)) {
    return Fail(kUsage, "--revoke is report or signal");
  }
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  return PrintPush(reply->message.push(), push.dry_run());
}

// A file says in its head what it is; one that does not is a policy, unless it
// can be read as an app directory alone.
bool IsApps(const std::string& content, const std::string& path) {
  for (std::string_view line : absl::StrSplit(content, '\n')) {
    if (!absl::StartsWith(line, "#")) break;
    if (absl::StrContains(line, "proto-message:")) {
      return absl::StrContains(line, "fused.policy.v1.AppDirectory");
    }
  }
  policy::Issues ignored;
  return !policy::ParsePolicy(content, path, ignored).has_value() &&
         policy::ParseApps(content, path, ignored).has_value();
}

void LintFile(const std::string& content, const std::string& path,
              policy::Issues& issues) {
  if (IsApps(content, path)) {
    auto parsed = policy::ParseApps(content, path, issues);
    if (!parsed.has_value()) return;
    policy::Snapshot::Build(1, policy::CompiledPolicy::BuiltIn(), *parsed,
                            issues);
    return;
  }
  auto parsed = policy::ParsePolicy(content, path, issues);
  if (parsed.has_value()) policy::Lint(*parsed, issues);
}

}  // namespace

int PrintPush(const control::v1::PushResponse& response, bool dry_run) {
  policy::Issues issues;
  for (const control::v1::Issue& issue : response.issues()) {
    issues.push_back(control::FromMessage(issue));
  }
  PrintIssues(issues);
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(response);
  } else {
    std::printf("%s version %s%s%s%s\n", response.accepted() ? "ACK" : "NACK",
                absl::StrCat(response.version()).c_str(),
                response.sha256().empty() ? "" : "  ",
                Printable(response.sha256()).c_str(),
                !response.accepted()  ? "  stays in force"
                : dry_run             ? "  (dry run)"
                : !response.changed() ? "  (unchanged)"
                                      : "");
    if (response.has_diff()) PrintChanges(response.diff());
    PrintEffects(response);
  }
  return response.accepted() ? kDone : kRefused;
}

int Push(const Arguments& arguments) {
  return PushFile(arguments.positional[0], control::v1::PushRequest::POLICY);
}

int Apps(const Arguments& arguments) {
  return PushFile(arguments.positional[0], control::v1::PushRequest::APPS);
}

int Lint(const Arguments& arguments) {
  policy::Issues all;
  for (const std::string& path : arguments.positional) {
    auto content = ReadFile(path);
    if (!content.ok()) return Fail(kUsage, kernel::Describe(content.status()));
    policy::Issues issues;
    LintFile(*content, path, issues);
    PrintIssues(issues);
    all.insert(all.end(), issues.begin(), issues.end());
  }
  const bool refused = policy::HasErrors(all);
  if (absl::GetFlag(FLAGS_json)) {
    control::v1::PushResponse response;
    response.set_accepted(!refused);
    for (const policy::Issue& issue : all) {
      *response.add_issues() = control::ToMessage(issue);
    }
    PrintJson(response);
  }
  return refused ? kRefused : kDone;
}

}  // namespace fused::ctl
