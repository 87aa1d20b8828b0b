// history, rollback.

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"

namespace fused::ctl {
namespace {

std::string TimeOf(const control::v1::HistoryEntry& entry) {
  return absl::FormatTime(absl::RFC3339_sec,
                          absl::FromUnixSeconds(entry.time().seconds()),
                          absl::LocalTimeZone());
}

}  // namespace

int History(const Arguments&) {
  control::v1::Request request;
  request.mutable_history()->set_apps(absl::GetFlag(FLAGS_app_directory));
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  const control::v1::HistoryResponse& response = reply->message.history();
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(response);
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {
      {"", "VERSION", "TIME", "SHA256", "BY", "UID", "NAME", "FILE"}};
  for (const control::v1::HistoryEntry& entry : response.entries()) {
    rows.push_back({entry.in_force() ? "*" : "", absl::StrCat(entry.version()),
                    TimeOf(entry), Printable(entry.sha256().substr(0, 16)),
                    Printable(entry.origin()), absl::StrCat(entry.uid()),
                    Printable(entry.name()), Printable(entry.file())});
  }
  std::fputs(Table(rows).c_str(), stdout);
  return kDone;
}

int Rollback(const Arguments& arguments) {
  control::v1::Request request;
  control::v1::RollbackRequest& rollback = *request.mutable_rollback();
  rollback.set_apps(absl::GetFlag(FLAGS_app_directory));
  if (!arguments.positional.empty()) {
    uint64_t version = 0;
    if (!absl::SimpleAtoi(arguments.positional[0], &version)) {
      return Fail(kUsage, absl::StrCat("rollback: ", arguments.positional[0],
                                       " is no version"));
    }
    rollback.set_version(version);
  }
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  return PrintPush(reply->message.push(), false);
}

}  // namespace fused::ctl
