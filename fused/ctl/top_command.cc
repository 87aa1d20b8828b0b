// metrics, top.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fused/control/client.h"
#include "fused/ctl/command.h"
#include "fused/ctl/flags.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

using control::v1::TopResponse;

constexpr absl::Duration kPatience = absl::Seconds(60);
// Lines of one look, on a terminal.
constexpr size_t kMostLines = 40;

using AppKey = std::pair<bool, uint32_t>;

AppKey KeyOf(const TopResponse::App& app) { return {app.others(), app.uid()}; }

uint64_t Since(uint64_t now, uint64_t before) {
  return now > before ? now - before : 0;
}

// What an app did between two samples.
TopResponse::App Difference(const TopResponse::App& now,
                            const TopResponse::App& before) {
  TopResponse::App difference;
  difference.set_uid(now.uid());
  difference.set_package(now.package());
  difference.set_others(now.others());
  std::map<std::string, const TopResponse::Operation*> old;
  for (const auto& operation : before.operations()) {
    old[operation.name()] = &operation;
  }
  for (const auto& operation : now.operations()) {
    const auto found = old.find(operation.name());
    const bool known = found != old.end();
    const uint64_t count =
        Since(operation.count(), known ? found->second->count() : 0);
    if (count == 0) continue;
    auto& one = *difference.add_operations();
    one.set_name(operation.name());
    one.set_count(count);
    one.set_nanoseconds(Since(operation.nanoseconds(),
                              known ? found->second->nanoseconds() : 0));
  }
  const auto& a = now.opens();
  const auto& b = before.opens();
  auto& opens = *difference.mutable_opens();
  opens.set_passthrough(Since(a.passthrough(), b.passthrough()));
  opens.set_redacted(Since(a.redacted(), b.redacted()));
  opens.set_daemon(Since(a.daemon(), b.daemon()));
  opens.set_denied(Since(a.denied(), b.denied()));
  return difference;
}

uint64_t RequestsOf(const TopResponse::App& app) {
  uint64_t count = 0;
  for (const auto& operation : app.operations()) count += operation.count();
  return count;
}

// The apps that did something, the busiest first.
TopResponse Difference(const TopResponse& now, const TopResponse& before) {
  std::map<AppKey, const TopResponse::App*> old;
  for (const auto& app : before.apps()) old[KeyOf(app)] = &app;
  TopResponse difference;
  difference.set_at_nanoseconds(
      Since(now.at_nanoseconds(), before.at_nanoseconds()));
  for (const auto& app : now.apps()) {
    const auto found = old.find(KeyOf(app));
    TopResponse::App one = Difference(
        app, found == old.end() ? TopResponse::App() : *found->second);
    if (one.operations_size() == 0) continue;
    std::stable_sort(
        one.mutable_operations()->begin(), one.mutable_operations()->end(),
        [](const auto& a, const auto& b) { return a.count() > b.count(); });
    *difference.add_apps() = std::move(one);
  }
  std::stable_sort(difference.mutable_apps()->begin(),
                   difference.mutable_apps()->end(),
                   [](const auto& a, const auto& b) {
                     return RequestsOf(a) > RequestsOf(b);
                   });
  return difference;
}

std::string Rate(uint64_t count, double seconds) {
  return absl::StrFormat("%.1f", static_cast<double>(count) / seconds);
}

std::string Micros(uint64_t nanoseconds, uint64_t count) {
  if (count == 0) return "-";
  return absl::StrFormat("%.1f", static_cast<double>(nanoseconds) / 1e3 /
                                     static_cast<double>(count));
}

// One line for an app, and below one for each of its operations.
std::string Text(const TopResponse& difference) {
  const double seconds =
      std::max(1e-9, static_cast<double>(difference.at_nanoseconds()) / 1e9);
  std::vector<std::vector<std::string>> rows = {
      {"APP", "OPERATION", "OPS/S", "AVG US", "PASSTHROUGH/S", "REDACTED/S",
       "DAEMON/S", "DENIED/S"}};
  for (const auto& app : difference.apps()) {
    uint64_t nanoseconds = 0;
    for (const auto& operation : app.operations()) {
      nanoseconds += operation.nanoseconds();
    }
    const uint64_t count = RequestsOf(app);
    std::string name = app.others() ? "others" : absl::StrCat(app.uid());
    if (!app.package().empty()) {
      absl::StrAppend(&name, " ", Printable(app.package()));
    }
    const auto& opens = app.opens();
    rows.push_back(
        {name, "*", Rate(count, seconds), Micros(nanoseconds, count),
         Rate(opens.passthrough(), seconds), Rate(opens.redacted(), seconds),
         Rate(opens.daemon(), seconds), Rate(opens.denied(), seconds)});
    for (const auto& operation : app.operations()) {
      rows.push_back({"", Printable(operation.name()),
                      Rate(operation.count(), seconds),
                      Micros(operation.nanoseconds(), operation.count())});
    }
  }
  if (isatty(STDOUT_FILENO) != 0 && rows.size() > kMostLines) {
    rows.resize(kMostLines);
  }
  return Table(rows);
}

void Show(const TopResponse& difference) {
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(difference);
    return;
  }
  // Home, then clear what is below.
  if (isatty(STDOUT_FILENO) != 0) std::fputs("\x1b[H\x1b[J", stdout);
  std::fputs(Text(difference).c_str(), stdout);
  if (isatty(STDOUT_FILENO) == 0) std::fputs("\n", stdout);
}

}  // namespace

int Metrics(const Arguments&) {
  control::v1::Request request;
  request.mutable_metrics();
  int code = kDone;
  auto reply = Ask(request, code);
  if (!reply.has_value()) return code;
  if (absl::GetFlag(FLAGS_json)) {
    PrintJson(reply->message.metrics());
  } else {
    std::fputs(reply->message.metrics().text().c_str(), stdout);
  }
  return kDone;
}

int Top(const Arguments&) {
  const absl::Duration interval = absl::GetFlag(FLAGS_interval);
  if (interval < absl::Milliseconds(1) || interval > absl::Hours(1)) {
    return Fail(kUsage, "--interval: from 1ms to 1h");
  }
  const std::string socket = absl::GetFlag(FLAGS_control);
  auto client = control::Client::Connect(socket);
  if (!client.ok()) {
    return Fail(kNoDaemon,
                absl::StrCat("no daemon: ", kernel::Describe(client.status())));
  }
  const uint32_t looks =
      absl::GetFlag(FLAGS_once) ? 1 : absl::GetFlag(FLAGS_count);
  control::v1::Request request;
  request.mutable_top();
  TopResponse before;
  for (uint32_t look = 0;; ++look) {
    auto reply = client->Call(request, absl::Now() + kPatience);
    if (!reply.ok()) {
      return Fail(kNoDaemon,
                  absl::StrCat(socket, ": ", reply.status().message()));
    }
    if (!reply->message.error().empty()) {
      return Fail(kRefused, reply->message.error());
    }
    TopResponse now = std::move(*reply->message.mutable_top());
    // The first has nothing before it.
    if (look > 0) Show(Difference(now, before));
    // Whoever reads has gone.
    if (std::fflush(stdout) != 0 || (looks != 0 && look == looks)) return kDone;
    before = std::move(now);
    poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(interval)));
  }
}

}  // namespace fused::ctl
