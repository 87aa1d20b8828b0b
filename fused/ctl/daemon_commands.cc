// wait, status, sync, handles.

#include <poll.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "fused/control/client.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"
#include "fused/ctl/status_text.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

constexpr int kRetryMilliseconds = 20;

// Whether a daemon serves now; else why not.
absl::Status Serving(absl::Time deadline) {
  auto client = control::Client::Connect(absl::GetFlag(FLAGS_control));
  if (!client.ok()) return client.status();
  control::v1::Request request;
  request.mutable_status();
  auto reply = client->Call(request, deadline);
  if (!reply.ok()) return reply.status();
  const std::string& state = reply->message.status().state();
  if (state == "SERVING") return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the daemon is ", state));
}

std::string ModeOf(const control::v1::Handle& handle) {
  if (handle.directory()) return "dir";
  return absl::StrCat(handle.read() ? "r" : "", handle.write() ? "w" : "");
}

}  // namespace

int Wait(const Arguments&) {
  const absl::Duration timeout = absl::GetFlag(FLAGS_timeout);
  const absl::Time deadline = absl::Now() + timeout;
  for (;;) {
    const absl::Status status = Serving(deadline);
    if (status.ok()) return kDone;
    if (absl::Now() >= deadline) {
      return Fail(kNoDaemon, absl::StrCat("not serving after ",
                                          absl::FormatDuration(timeout), ": ",
                                          kernel::Describe(status)));
    }
    // The daemon may be refusing, or not be there to tell when it comes.
    poll(nullptr, 0, kRetryMilliseconds);
  }
}

int Status(const Arguments&) {
  control::v1::Request request;
  request.mutable_status();
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(reply->message.status());
  } else {
    std::fputs(StatusText(reply->message.status()).c_str(), stdout);
  }
  return kDone;
}

int Sync(const Arguments&) {
  control::v1::Request request;
  request.mutable_sync();
  int code = kDone;
  auto reply = Ask(request, code);
  if (reply.has_value() && absl::GetFlag(FLAGS_json)) {
    PrintJson(reply->message.sync());
  }
  return code;
}

int Handles(const Arguments&) {
  control::v1::Request request;
  request.mutable_handles();
  if (auto uid = absl::GetFlag(FLAGS_uid)) {
    request.mutable_handles()->set_uid(*uid);
  }
  request.mutable_handles()->set_stale(absl::GetFlag(FLAGS_stale));
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(reply->message.handles());
    return kDone;
  }
  std::vector<std::vector<std::string>> rows = {{"FH", "UID", "VIEW", "MODE",
                                                 "IO", "BACKING", "EPOCH",
                                                 "STALE", "RULE", "PATH"}};
  for (const control::v1::Handle& handle : reply->message.handles().handles()) {
    rows.push_back(
        {absl::StrCat(handle.fh()), absl::StrCat(handle.uid()),
         handle.package().empty()
             ? "shared"
             : absl::StrCat(handle.user(), "/", Printable(handle.package())),
         ModeOf(handle), handle.io(),
         handle.backing_id() != 0 ? absl::StrCat(handle.backing_id()) : "-",
         absl::StrCat(handle.epoch()),
         handle.stale() ? handle.stale_reason() : "-", Printable(handle.rule()),
         absl::StrCat(Printable(handle.volume()), ":",
                      Printable(handle.path()))});
  }
  std::fputs(Table(rows).c_str(), stdout);
  if (const uint64_t more = reply->message.handles().more(); more != 0) {
    std::printf("%s further ones\n", absl::StrCat(more).c_str());
  }
  return kDone;
}

}  // namespace fused::ctl
