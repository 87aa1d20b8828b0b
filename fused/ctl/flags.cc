#include "fused/ctl/flags.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, control, "/run/fused/control.sock",
          "the daemon's control socket");
ABSL_FLAG(bool, json, false, "print JSON");
ABSL_FLAG(std::string, config, "",
          "reload: the configuration that names the control socket");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(10), "how long to wait");
ABSL_FLAG(bool, dry_run, false, "validate, and change nothing");
ABSL_FLAG(fused::ctl::OptionalUid, uid, std::nullopt,
          "the caller's uid, user * 100000 + app id");
ABSL_FLAG(std::string, op, "", "LOOKUP, LIST, READ, WRITE, CREATE, UNLINK ...");
ABSL_FLAG(std::string, policy, "", "explain without a daemon: the policy");
ABSL_FLAG(std::string, apps, "",
          "explain without a daemon, diff: the app directory");
ABSL_FLAG(std::string, old_apps, "", "diff: the app directory of OLD");
ABSL_FLAG(std::string, new_apps, "", "diff: the app directory of NEW");
ABSL_FLAG(bool, app_directory, false,
          "the app directory's history instead of the policy's");
ABSL_FLAG(std::string, owner, "",
          "explain without a daemon: the package that made the file");
ABSL_FLAG(std::string, volume, "", "the volume (the first)");
ABSL_FLAG(std::string, package, "", "the app's package");
ABSL_FLAG(uint32_t, user, 0, "the app's user");
ABSL_FLAG(std::vector<std::string>, permission, {},
          "permissions, with commas between");
ABSL_FLAG(std::vector<std::string>, role, {}, "MANAGER, SYSTEM_GALLERY ...");
ABSL_FLAG(int32_t, target_sdk, 0,
          "the platform version that the app was built for");
ABSL_FLAG(std::string, path, "",
          "a file, relative to the user's volume, to grant access to");
ABSL_FLAG(bool, write, false, "access to write, too");
ABSL_FLAG(bool, close, false, "unmount the view");
ABSL_FLAG(bool, stale, false,
          "only files that the kernel serves and the rules now forbid");
ABSL_FLAG(bool, diff, false, "say which decisions change; --dry_run does");
ABSL_FLAG(std::string, revoke, "",
          "report or signal (kill) who holds files that the kernel serves and "
          "the rules now forbid");
ABSL_FLAG(bool, follow, false, "go on with what comes, until interrupted");
ABSL_FLAG(absl::Duration, interval, absl::Seconds(1), "between two looks");
ABSL_FLAG(bool, once, false, "one look, over one interval");
ABSL_FLAG(uint32_t, count, 0, "so many looks (without end)");
ABSL_FLAG(std::string, kind, "",
          "only DENY, REDACTED_OPEN, PUSH, STATE, CONTROL or DROPPED");
ABSL_FLAG(std::string, path_prefix, "", "only paths that begin so");
ABSL_FLAG(std::string, since, "",
          "only from then on: RFC 3339, or a time ago as \"10m\"");
