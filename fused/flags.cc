#include "fused/flags.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "fused/arguments.h"
#include "fused/version.h"

using OptionalString = std::optional<std::string>;
using OptionalNumber = std::optional<uint32_t>;

ABSL_FLAG(OptionalString, config, std::nullopt,
          "textproto fused.config.v1.Config; flags override it");
ABSL_FLAG(OptionalString, volume, std::nullopt,
          "the volume's name (external_primary)");
ABSL_FLAG(OptionalString, policy, std::nullopt,
          "the policy, textproto or binary (the last good one)");
ABSL_FLAG(OptionalString, apps, std::nullopt,
          "the app directory, textproto or binary (the last good one)");
ABSL_FLAG(OptionalString, state_dir, std::nullopt,
          "database, last good policies, audit (/var/lib/fused)");
ABSL_FLAG(OptionalString, control, std::nullopt,
          "the control socket (/run/fused/control.sock)");
ABSL_FLAG(OptionalString, drop_in_dir, std::nullopt,
          "a directory that policies and app directories are taken from");
ABSL_FLAG(OptionalString, views_dir, std::nullopt,
          "where path views are mounted (/run/fused/views)");
ABSL_FLAG(OptionalString, transport, std::nullopt, "auto, dev or uring");
ABSL_FLAG(OptionalString, passthrough, std::nullopt, "auto or off");
ABSL_FLAG(OptionalString, profile, std::nullopt, "media or posix");
ABSL_FLAG(OptionalString, watch_lower, std::nullopt,
          "auto or off: changes in LOWER behind the mount's back are told");
ABSL_FLAG(OptionalString, single_user, std::nullopt,
          "true or false: other users' callers (uid / 100000 is not 0) never "
          "come to MOUNTPOINT, so that names in its root may be kept");
ABSL_FLAG(OptionalString, admin_uids, std::nullopt,
          "uids, with commas between, that may use the control socket as root");
ABSL_FLAG(OptionalString, metrics_textfile, std::nullopt,
          "a file that metrics are written to, for node-exporter (none)");
ABSL_FLAG(OptionalNumber, threads, std::nullopt,
          "threads that serve requests (one for every two processors)");
ABSL_FLAG(OptionalNumber, descriptor_budget, std::nullopt,
          "descriptors that nodes may hold (half of the limit)");
ABSL_FLAG(OptionalNumber, warm_backing_ids, std::nullopt,
          "backing ids kept after the last close, by view (16384)");
ABSL_FLAG(OptionalNumber, max_backing_ids, std::nullopt,
          "backing ids at most, by view (1048576)");
ABSL_FLAG(OptionalNumber, max_stack_depth, std::nullopt,
          "file systems on each other for passthrough, 1 or 2 (1)");
ABSL_FLAG(bool, daemonize, false, "return when the daemon serves");
ABSL_FLAG(bool, check, false, "validate everything and mount nothing");

namespace fused {
namespace {

constexpr char kUsage[] =
    "usage: fused [flags] [-o opt,opt] LOWER MOUNTPOINT\n"
    "Mounts LOWER at MOUNTPOINT, as the policy lets each app see it.\n";

FlagValues Values() {
  FlagValues values;
  values.config = absl::GetFlag(FLAGS_config);
  values.volume = absl::GetFlag(FLAGS_volume);
  values.policy = absl::GetFlag(FLAGS_policy);
  values.apps = absl::GetFlag(FLAGS_apps);
  values.state_dir = absl::GetFlag(FLAGS_state_dir);
  values.control = absl::GetFlag(FLAGS_control);
  values.drop_in_dir = absl::GetFlag(FLAGS_drop_in_dir);
  values.views_dir = absl::GetFlag(FLAGS_views_dir);
  values.transport = absl::GetFlag(FLAGS_transport);
  values.passthrough = absl::GetFlag(FLAGS_passthrough);
  values.profile = absl::GetFlag(FLAGS_profile);
  values.watch_lower = absl::GetFlag(FLAGS_watch_lower);
  values.single_user = absl::GetFlag(FLAGS_single_user);
  values.admin_uids = absl::GetFlag(FLAGS_admin_uids);
  values.metrics_textfile = absl::GetFlag(FLAGS_metrics_textfile);
  values.threads = absl::GetFlag(FLAGS_threads);
  values.descriptor_budget = absl::GetFlag(FLAGS_descriptor_budget);
  values.warm_backing_ids = absl::GetFlag(FLAGS_warm_backing_ids);
  values.max_backing_ids = absl::GetFlag(FLAGS_max_backing_ids);
  values.max_stack_depth = absl::GetFlag(FLAGS_max_stack_depth);
  values.daemonize = absl::GetFlag(FLAGS_daemonize);
  return values;
}

}  // namespace

Invocation ParseCommandLine(int argc, char** argv) {
  Invocation result;
  const auto wrong = [&result](const absl::Status& status) {
    result.issues.push_back(
        {"command line", 0, 0, "", std::string(status.message()), false});
    return std::move(result);
  };
  auto line = SplitCommandLine(std::vector<std::string>(argv, argv + argc));
  if (!line.ok()) return wrong(line.status());
  result.mount_helper = line->mount_helper;
  result.fake = line->fake;
  auto arguments = ParseArguments(line->args);
  if (!arguments.ok()) return wrong(arguments.status());
  if (arguments->help) {
    std::fputs(kUsage, stdout);
    std::fputs(DescribeFlags("fused/flags.cc").c_str(), stdout);
    std::exit(0);
  }
  if (arguments->version) {
    std::printf("fused %s\n", kVersion);
    std::exit(0);
  }
  result.check = absl::GetFlag(FLAGS_check);
  std::vector<std::string> positional = std::move(arguments->positional);
  positional.insert(positional.end(), arguments->rest.begin(),
                    arguments->rest.end());
  FlagValues values = Values();
  values.daemonize |= line->mount_helper;
  result.settings = ReadSettings(std::move(values), line->mount_options,
                                 positional, result.issues);
  return result;
}

}  // namespace fused
