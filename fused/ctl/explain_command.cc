// explain, by the daemon or by files.

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fused/control/convert.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"
#include "kernel/status.h"
#include "policy/engine.h"
#include "policy/parse.h"

namespace fused::ctl {
namespace {

struct Question {
  uint32_t uid = 0;
  policy::v1::Operation operation = policy::v1::OPERATION_UNSPECIFIED;
  std::string path;
  std::vector<std::string> components;
  bool directory = false;
};

// kDone, or kUsage, said why.
int ReadQuestion(const Arguments& arguments, Question& question) {
  const auto uid = absl::GetFlag(FLAGS_uid);
  if (!uid.has_value()) return Fail(kUsage, "explain: --uid=U is wanted");
  question.uid = *uid;
  const std::string op = absl::AsciiStrToUpper(absl::GetFlag(FLAGS_op));
  if (!policy::v1::Operation_Parse(op, &question.operation) ||
      !control::OperationOf(question.operation).has_value()) {
    return Fail(kUsage, absl::StrCat("explain: --op=", op,
                                     " is no operation; LOOKUP, LIST, READ, "
                                     "WRITE, CREATE, UNLINK ..."));
  }
  question.path = arguments.positional[0];
  question.components = absl::StrSplit(question.path, '/', absl::SkipEmpty());
  for (const std::string& component : question.components) {
    if (component == "." || component == "..") {
      return Fail(kUsage, "explain: PATH has . or .. in it");
    }
  }
  question.directory = question.components.empty() ||
                       question.path.back() == '/' ||
                       question.operation == policy::v1::LIST ||
                       question.operation == policy::v1::MKDIR ||
                       question.operation == policy::v1::RMDIR;
  return kDone;
}

// The policy and apps of the flags; null, with `issues`, where they are wrong.
std::shared_ptr<const policy::Snapshot> ReadSnapshot(policy::Issues& issues,
                                                     int& code) {
  code = kRefused;
  auto read = [&](const std::string& path) -> std::string {
    auto content = ReadFile(path);
    if (content.ok()) return *std::move(content);
    code = Fail(kUsage, kernel::Describe(content.status()));
    return "";
  };
  std::shared_ptr<const policy::CompiledPolicy> compiled;
  const std::string policy_file = absl::GetFlag(FLAGS_policy);
  if (policy_file.empty()) {
    compiled = policy::CompiledPolicy::BuiltIn();
  } else {
    const std::string content = read(policy_file);
    if (code == kUsage) return nullptr;
    auto parsed = policy::ParsePolicy(content, policy_file, issues);
    if (parsed.has_value()) {
      compiled = policy::CompiledPolicy::Compile(*parsed, issues);
    }
  }
  policy::Parsed<policy::v1::AppDirectory> apps;
  const std::string apps_file = absl::GetFlag(FLAGS_apps);
  if (!apps_file.empty()) {
    const std::string content = read(apps_file);
    if (code == kUsage) return nullptr;
    auto parsed = policy::ParseApps(content, apps_file, issues);
    if (!parsed.has_value()) return nullptr;
    apps = *std::move(parsed);
  }
  if (compiled == nullptr) return nullptr;
  return policy::Snapshot::Build(1, std::move(compiled), apps, issues);
}

// kDone with an explanation, or an exit code.
int ExplainOffline(const Question& question, control::v1::Explanation& result) {
  policy::Issues issues;
  int code = kDone;
  auto snapshot = ReadSnapshot(issues, code);
  PrintIssues(issues);
  if (snapshot == nullptr) return code;
  policy::AppIndex owner = policy::kNoApp;
  if (const std::string package = absl::GetFlag(FLAGS_owner);
      !package.empty()) {
    const auto app_id = snapshot->AppIdOf(package);
    if (!app_id.has_value()) {
      return Fail(kUsage, absl::StrCat("explain: --owner=", package,
                                       " is not in the app directory"));
    }
    owner = snapshot->AppOf(package, *app_id);
  }
  const policy::Subject subject = snapshot->SubjectOf(question.uid);
  policy::Location location = snapshot->Root(subject.user);
  std::string_view name;
  for (const std::string& component : question.components) {
    name = component;
    location = snapshot->Child(location, name);
  }
  const policy::Object object =
      snapshot->ObjectAt(location, name, question.directory, owner);
  result = control::ToMessage(
      *snapshot, object,
      snapshot->Explain(subject, object,
                        *control::OperationOf(question.operation)));
  return kDone;
}

int ExplainByDaemon(const Question& question,
                    control::v1::Explanation& result) {
  if (!absl::GetFlag(FLAGS_owner).empty()) {
    return Fail(kUsage, "explain: --owner is for --policy and --apps");
  }
  control::v1::Request request;
  control::v1::ExplainRequest& explain = *request.mutable_explain();
  explain.set_uid(question.uid);
  explain.set_operation(question.operation);
  explain.set_path(question.path);
  explain.set_volume(absl::GetFlag(FLAGS_volume));
  int code = kDone;
  auto reply = Ask(request, code);
  if (reply.has_value()) result = reply->message.explain();
  return code;
}

void Print(const control::v1::Explanation& explanation) {
  std::printf("%s %s%s\n", explanation.verdict().c_str(),
              explanation.error().c_str(), explanation.io().c_str());
  std::printf("rule    %s\n", explanation.rule().empty()
                                  ? "(none matches)"
                                  : Printable(explanation.rule()).c_str());
  std::printf("class   %s\n", Printable(explanation.path_class()).c_str());
  std::printf("facts   %s\n",
              Printable(absl::StrJoin(explanation.facts(), " ")).c_str());
  if (explanation.matches_size() < 2) return;
  std::printf("also matched, later:\n");
  std::vector<std::vector<std::string>> rows;
  for (int i = 1; i < explanation.matches_size(); ++i) {
    const control::v1::RuleMatch& match = explanation.matches(i);
    rows.push_back(
        {absl::StrCat("  ", match.index()), Printable(match.rule()),
         absl::StrCat(match.verdict(), " ", match.error(), match.io(),
                      match.redact().empty() ? "" : " ", match.redact())});
  }
  std::fputs(Table(rows).c_str(), stdout);
}

}  // namespace

int Explain(const Arguments& arguments) {
  Question question;
  if (int code = ReadQuestion(arguments, question); code != kDone) return code;
  const bool offline = !absl::GetFlag(FLAGS_policy).empty() ||
                       !absl::GetFlag(FLAGS_apps).empty();
  control::v1::Explanation explanation;
  if (int code = offline ? ExplainOffline(question, explanation)
                         : ExplainByDaemon(question, explanation);
      code != kDone) {
    return code;
  }
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(explanation);
  } else {
    Print(explanation);
  }
  return explanation.verdict() == "ALLOW" ? kDone : kRefused;
}

}  // namespace fused::ctl
