// push, apps, lint.

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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

int PushFile(const std::string& path, control::v1::PushRequest::Kind kind) {
  auto content = ReadFile(path);
  if (!content.ok()) return Fail(kUsage, kernel::Describe(content.status()));
  control::v1::Request request;
  control::v1::PushRequest& push = *request.mutable_push();
  push.set_kind(kind);
  push.set_content(*std::move(content));
  push.set_file_name(path);
  push.set_dry_run(absl::GetFlag(FLAGS_dry_run));
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  return PrintPush(reply->message.push(), push.dry_run());
}

// A file says in its head what it is; one that does not is a policy.
bool SaysApps(std::string_view content) {
  for (std::string_view line : absl::StrSplit(content, '\n')) {
    if (!absl::StartsWith(line, "#")) return false;
    if (absl::StrContains(line, "proto-message:")) {
      return absl::StrContains(line, "fused.policy.v1.AppDirectory");
    }
  }
  return false;
}

void LintFile(const std::string& content, const std::string& path,
              policy::Issues& issues) {
  if (SaysApps(content)) {
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
