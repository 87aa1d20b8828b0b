// view, run.

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "fused/ctl/command.h"
#include "fused/ctl/enter.h"
#include "fused/ctl/flags.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

// As env(1): its own failures are told apart from the command's.
constexpr int kRunFailed = 125;

}  // namespace

int View(const Arguments&) {
  control::v1::Request request;
  control::v1::ViewRequest& view = *request.mutable_view();
  view.set_package(absl::GetFlag(FLAGS_package));
  view.set_user(absl::GetFlag(FLAGS_user));
  view.set_volume(absl::GetFlag(FLAGS_volume));
  view.set_close(absl::GetFlag(FLAGS_close));
  if (view.package().empty()) {
    return Fail(kUsage, "view: --package=P is wanted");
  }
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(reply->message.view());
  } else if (!view.close()) {
    // As it is, for scripts.
    std::printf("%s\n", reply->message.view().path().c_str());
  }
  return kDone;
}

int Run(const Arguments& arguments) {
  std::vector<std::string> command = arguments.positional;
  command.insert(command.end(), arguments.rest.begin(), arguments.rest.end());
  control::v1::Request request;
  control::v1::RunRequest& run = *request.mutable_run();
  run.set_package(absl::GetFlag(FLAGS_package));
  run.set_user(absl::GetFlag(FLAGS_user));
  if (run.package().empty() || command.empty()) {
    return Fail(kRunFailed, "run: --package=P and -- CMD are wanted");
  }
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return kRunFailed;
  const control::v1::RunResponse& response = reply->message.run();
  auto status = EnterNamespace(response, std::move(reply->fds));
  if (status.ok()) status = BecomeApp(response.uid());
  if (!status.ok()) {
    return Fail(kRunFailed, absl::StrCat("run: ", kernel::Describe(status)));
  }
  code = Execute(command);
  return Fail(code,
              absl::StrCat("run: ", command[0], ": ",
                           code == 127 ? "not found" : "cannot be executed"));
}

}  // namespace fused::ctl
