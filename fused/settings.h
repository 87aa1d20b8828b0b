// Everything that the daemon is told, from flags, -o options and a file.
#ifndef FUSED_FUSED_SETTINGS_H_
#define FUSED_FUSED_SETTINGS_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "proto/config.pb.h"

namespace fused {

// How the mounts of a volume are made.
struct MountOptions {
  std::string source;  // fsname; LOWER unless told
  std::string subtype = "fused";
  bool read_only = false;
  bool nosuid = true;
  bool nodev = true;
  bool noexec = true;
  bool noatime = true;
};

struct VolumeSettings {
  // Complete: no field is left at its default value that stands for another.
  // `lower` and `mountpoint` are absolute; `lower` may contain "{user}".
  config::v1::Volume config;
  MountOptions mount;
  // What app views' paths end in: "storage", for all volumes but the first with
  // the volume's name behind.
  std::string view_name = "storage";

  bool posix() const { return config.profile() == config::v1::POSIX; }
};

// What flags say; nothing for those that were not given.
struct FlagValues {
  std::optional<std::string> config;
  std::optional<std::string> volume;
  std::optional<std::string> policy;
  std::optional<std::string> apps;
  std::optional<std::string> state_dir;
  std::optional<std::string> control;
  std::optional<std::string> views_dir;
  std::optional<std::string> drop_in_dir;
  std::optional<std::string> transport;
  std::optional<std::string> passthrough;
  std::optional<std::string> profile;
  std::optional<std::string> watch_lower;
  std::optional<std::string> single_user;
  std::optional<std::string> admin_uids;
  std::optional<std::string> metrics_textfile;
  std::optional<uint32_t> threads;
  std::optional<uint32_t> descriptor_budget;
  std::optional<uint32_t> warm_backing_ids;
  std::optional<uint32_t> max_backing_ids;
  std::optional<uint32_t> max_stack_depth;
  bool daemonize = false;
};

// Where each setting was said, for what is wrong with it: the line of the file,
// or the command line, which is above it.
class Origin {
 public:
  Origin() = default;
  Origin(policy::SourceMap file, const FlagValues& flags, bool positional);

  // `field` as in Config: "state_dir", "volumes[1].lower". What no file says is
  // said by the file "command line".
  policy::Issue At(std::string_view field, std::string reason,
                   bool warning = false) const;
  const FlagValues& flags() const { return flags_; }

 private:
  policy::SourceMap file_;
  FlagValues flags_;
  bool positional_ = false;
};

struct Settings {
  // The file that they were read from, and where relative paths in it begin;
  // absolute. Empty: there is none.
  std::string config;
  std::string directory;
  // At least one, with different names and mount points.
  std::vector<VolumeSettings> volumes;
  // Files, absolute; empty: the last good ones.
  std::string policy;
  std::string apps;
  std::string state_dir;
  std::string control;
  std::string views_dir;
  // Absolute; empty: none.
  std::string drop_in_dir;
  config::v1::Transport transport = config::v1::TRANSPORT_AUTO;
  uint32_t uring_views = 4;
  bool mounts_end_with_daemon = false;
  std::vector<uid_t> admin_uids;
  int threads = 2;
  // 0: half of the process's limit.
  uint32_t descriptor_budget = 0;
  uint32_t warm_backing_ids = 16384;
  uint32_t max_backing_ids = 1 << 20;
  // Between two searches for expired files.
  uint32_t maintain_seconds = 6 * 60 * 60;
  // Complete.
  config::v1::Audit audit;
  // Empty: none. Absolute.
  std::string metrics_textfile;
  uint32_t metrics_seconds = 15;
  // With what stands behind a 0 put in.
  config::v1::Limits limits;
  // Return when it serves.
  bool daemonize = false;
  Origin origin;
};

// A command line without its flags.
struct CommandLine {
  // For flags: what is left.
  std::vector<std::string> args;
  // Each argument of -o.
  std::vector<std::string> mount_options;
  // Called as mount(8) calls a helper.
  bool mount_helper = false;
  // By -f of mount(8).
  bool fake = false;
};

// Takes -o out of `argv`, and, where it is called as mount.fuse.fused or
// mount.fused, mount(8)'s own options (-s, -f, -n, -v, -N NAMESPACE,
// -t TYPE). INVALID_ARGUMENT: one line.
absl::StatusOr<CommandLine> SplitCommandLine(
    const std::vector<std::string>& argv);

// mount(8) options, "ro,fsname=x"; a backslash takes the next character as it
// is. Later ones win. In `flags`, which may be null, options that are named as
// flags are put ("policy=/etc/policy.textproto", for /etc/fstab), where the
// flag was not given. INVALID_ARGUMENT: one line.
absl::Status ParseMountOptions(std::string_view options,
                               config::v1::Profile profile,
                               MountOptions& result, FlagValues* flags);

// The options of -o that are flags, where the flag was not given.
void TakeFlags(const std::vector<std::string>& mount_options,
               FlagValues& flags);

// Reads the configuration file and puts the flags over it. `positional` is
// LOWER and MOUNTPOINT, or nothing where the file has the volumes. Nothing
// where something is wrong, all of which is in `issues`.
std::optional<Settings> ReadSettings(
    FlagValues flags, const std::vector<std::string>& mount_options,
    const std::vector<std::string>& positional, policy::Issues& issues);

// Files that a reload puts in force; empty: none.
struct RulesFiles {
  std::string policy;
  std::string apps;
};

// Those of the flags, and else what the configuration file says now. Nothing
// where that is wrong, which is in `issues`.
std::optional<RulesFiles> FindRulesFiles(const Settings& settings,
                                         policy::Issues& issues);

// An issue as a line for the operator: "FILE:LINE:COLUMN: FIELD: REASON", and
// of the command line "FIELD: REASON".
std::string OneLine(const policy::Issue& issue);

}  // namespace fused

#endif  // FUSED_FUSED_SETTINGS_H_
