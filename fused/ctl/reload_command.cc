// reload.

#include <cstdio>
#include <string>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "fused/control/convert.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"
#include "kernel/status.h"
#include "policy/parse_message.h"
#include "proto/config.pb.h"

namespace fused::ctl {
namespace {

// --control where it is given, else the configuration's. False: said why not.
bool FindSocket(const std::string& path) {
  const absl::CommandLineFlag& control = *absl::FindCommandLineFlag("control");
  if (path.empty() || control.CurrentValue() != control.DefaultValue()) {
    return true;
  }
  auto content = ReadFile(path);
  if (!content.ok()) {
    Fail(kUsage, kernel::Describe(content.status()));
    return false;
  }
  config::v1::Config config;
  policy::SourceMap source;
  policy::Issues issues;
  const bool parsed =
      policy::ParseMessage(*content, path, config, source, issues);
  PrintIssues(issues);
  if (parsed && !config.control().empty()) {
    absl::SetFlag(&FLAGS_control, config.control());
  }
  return parsed;
}

}  // namespace

int Reload(const Arguments&) {
  if (!FindSocket(absl::GetFlag(FLAGS_config))) return kUsage;
  control::v1::Request request;
  request.mutable_reload();
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  const control::v1::ReloadResponse& response = reply->message.reload();
  policy::Issues issues;
  for (const control::v1::Issue& issue : response.issues()) {
    issues.push_back(control::FromMessage(issue));
  }
  PrintIssues(issues);
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(response);
    return response.accepted() ? kDone : kRefused;
  }
  for (const auto& file : response.files()) {
    std::printf("%s: ", Printable(file.what()).c_str());
    PrintPush(file.push(), false);
  }
  if (!response.accepted() && response.files().empty()) {
    std::printf("NACK  the configuration is refused\n");
  } else if (response.files().empty()) {
    std::printf("no files are configured\n");
  }
  return response.accepted() ? kDone : kRefused;
}

}  // namespace fused::ctl
