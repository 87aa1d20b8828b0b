// audit.

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fused/audit/format.h"
#include "fused/control/client.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

// How often a follower asks: a request that waited would hold one of the
// daemon's threads.
constexpr int kFollowMilliseconds = 200;
constexpr absl::Duration kPatience = absl::Seconds(60);

// Fills the filters in; false where one is wrong, and has been said so.
bool FillFilters(control::v1::AuditRequest& request) {
  if (auto uid = absl::GetFlag(FLAGS_uid)) request.set_uid(*uid);
  request.set_package(absl::GetFlag(FLAGS_package));
  request.set_path_prefix(absl::GetFlag(FLAGS_path_prefix));
  const std::string kind = absl::GetFlag(FLAGS_kind);
  audit::v1::Record::Kind value = audit::v1::Record::KIND_UNSPECIFIED;
  if (!kind.empty() && !audit::v1::Record::Kind_Parse(kind, &value)) {
    Fail(kUsage, absl::StrCat("--kind=", kind, ": no kind of record"));
    return false;
  }
  request.set_kind(value);
  const std::string since = absl::GetFlag(FLAGS_since);
  if (since.empty()) return true;
  absl::Time from;
  absl::Duration ago;
  std::string error;
  if (absl::ParseDuration(since, &ago)) {
    from = absl::Now() - ago;
  } else if (!absl::ParseTime(absl::RFC3339_full, since, &from, &error)) {
    Fail(kUsage, absl::StrCat("--since=", since,
                              ": neither RFC 3339 nor a time as \"10m\""));
    return false;
  }
  const int64_t nanoseconds = std::max<int64_t>(0, absl::ToUnixNanos(from));
  request.mutable_since()->set_seconds(nanoseconds / 1000000000);
  request.mutable_since()->set_nanos(
      static_cast<int32_t>(nanoseconds % 1000000000));
  return true;
}

void Print(const audit::v1::Record& record) {
  if (absl::GetFlag(FLAGS_json)) {
    std::fputs(audit::ToLine(record).c_str(), stdout);
    return;
  }
  const absl::Time time = absl::FromUnixSeconds(record.time().seconds()) +
                          absl::Nanoseconds(record.time().nanos());
  std::printf(
      "%s %s\n",
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone())
          .c_str(),
      Printable(audit::ToSentence(record)).c_str());
}

}  // namespace

int Audit(const Arguments&) {
  control::v1::Request request;
  if (!FillFilters(*request.mutable_audit())) return kUsage;
  const std::string socket = absl::GetFlag(FLAGS_control);
  auto client = control::Client::Connect(socket);
  if (!client.ok()) {
    return Fail(kNoDaemon,
                absl::StrCat("no daemon: ", kernel::Describe(client.status())));
  }
  for (;;) {
    auto reply = client->Call(request, absl::Now() + kPatience);
    if (!reply.ok()) {
      return Fail(kNoDaemon,
                  absl::StrCat(socket, ": ", reply.status().message()));
    }
    if (!reply->message.error().empty()) {
      return Fail(kRefused, reply->message.error());
    }
    const control::v1::AuditResponse& answer = reply->message.audit();
    if (answer.lost() != 0) {
      std::fprintf(stderr, "fusedctl: %llu records were lost: too slow\n",
                   static_cast<unsigned long long>(answer.lost()));
    }
    for (const audit::v1::Record& record : answer.records()) Print(record);
    // Whoever reads has gone.
    if (std::fflush(stdout) != 0) return kDone;
    request.mutable_audit()->set_cursor(answer.next());
    if (answer.more()) continue;
    if (!absl::GetFlag(FLAGS_follow)) return kDone;
    poll(nullptr, 0, kFollowMilliseconds);
  }
}

}  // namespace fused::ctl
