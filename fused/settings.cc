#include "fused/settings.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fused/audit/config.h"
#include "kernel/status.h"
#include "policy/parse_message.h"

namespace fused {
namespace {

using config::v1::Config;
using config::v1::Volume;
using policy::Issue;
using policy::Issues;

constexpr char kCommandLine[] = "command line";
constexpr size_t kMaxConfig = 1 << 20;
constexpr uint32_t kMaxThreads = 256;

Issue OnCommandLine(std::string field, std::string reason) {
  return {kCommandLine, 0, 0, std::move(field), std::move(reason), false};
}

// False: says why not.
bool ReadConfig(const std::string& path, Config& config,
                policy::SourceMap& source, Issues& issues) {
  std::string content(kMaxConfig + 1, '\0');
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (!in.is_open() || in.bad()) {
    issues.push_back(
        {path, 0, 0, "",
         absl::StrCat("cannot be read: ", kernel::Describe(kernel::ErrnoStatus(
                                              errno == 0 ? EIO : errno))),
         false});
    return false;
  }
  content.resize(static_cast<size_t>(in.gcount()));
  if (content.size() > kMaxConfig) {
    issues.push_back({path, 0, 0, "", "is larger than 1 MiB", false});
    return false;
  }
  return policy::ParseMessage(content, path, config, source, issues);
}

std::string WorkingDirectory() {
  std::string directory(4096, '\0');
  if (getcwd(directory.data(), directory.size()) == nullptr) return "";
  directory.resize(directory.find('\0'));
  return directory;
}

std::string AbsoluteFrom(const std::string& directory,
                         const std::string& path) {
  if (path.empty() || path[0] == '/' || directory.empty()) return path;
  return absl::StrCat(directory == "/" ? "" : directory, "/", path);
}

std::string Absolute(const std::string& path) {
  return AbsoluteFrom(WorkingDirectory(), path);
}

std::string Path(const std::optional<std::string>& flag,
                 const std::string& file, const char* other) {
  return Absolute(flag.value_or(file.empty() ? other : file));
}

// Puts the flags over the file, and says everything that is wrong with either.
class Reader {
 public:
  Reader(const Config& file, const FlagValues& flags, const Origin& origin,
         Issues& issues)
      : file_(file), flags_(flags), origin_(origin), issues_(issues) {}

  void SetTransport(Settings& settings) {
    auto transport = file_.transport();
    TakeWord<config::v1::Transport>("transport", flags_.transport,
                                    {{"auto", config::v1::TRANSPORT_AUTO},
                                     {"dev", config::v1::DEV},
                                     {"uring", config::v1::URING}},
                                    transport);
    // What there is of it, the kernel says.
    settings.transport = transport == config::v1::TRANSPORT_UNSPECIFIED
                             ? config::v1::TRANSPORT_AUTO
                             : transport;
    if (file_.uring_views() != 0) settings.uring_views = file_.uring_views();
    settings.mounts_end_with_daemon = file_.mounts_end_with_daemon();
  }

  void SetAdmins(Settings& settings) {
    settings.admin_uids.assign(file_.admin_uids().begin(),
                               file_.admin_uids().end());
    if (!flags_.admin_uids.has_value()) return;
    settings.admin_uids.clear();
    for (std::string_view word : absl::StrSplit(*flags_.admin_uids, ',')) {
      uint32_t uid = 0;
      if (absl::SimpleAtoi(word, &uid)) {
        settings.admin_uids.push_back(uid);
      } else {
        Say("admin_uids",
            absl::StrCat("\"", word, "\": must be uids with commas between"));
      }
    }
  }

  void SetNumbers(Settings& settings) {
    const uint32_t threads = flags_.threads.value_or(file_.threads());
    if (threads > kMaxThreads) {
      Say("threads", absl::StrCat("at most ", kMaxThreads));
    }
    settings.threads =
        threads != 0 ? static_cast<int>(threads)
                     : static_cast<int>(std::clamp(
                           std::thread::hardware_concurrency() / 2, 1u, 256u));
    settings.descriptor_budget =
        flags_.descriptor_budget.value_or(file_.descriptor_budget());
    settings.warm_backing_ids =
        flags_.warm_backing_ids.value_or(file_.warm_backing_ids());
    if (settings.warm_backing_ids == 0) settings.warm_backing_ids = 16384;
    settings.max_backing_ids =
        flags_.max_backing_ids.value_or(file_.max_backing_ids());
    if (settings.max_backing_ids == 0) settings.max_backing_ids = 1 << 20;
    if (file_.maintain_seconds() != 0) {
      settings.maintain_seconds = file_.maintain_seconds();
    }
    if (auto audit = audit::Complete(file_.audit()); audit.ok()) {
      settings.audit = *std::move(audit);
    } else {
      Say("audit", std::string(audit.status().message()));
    }
    if (file_.metrics_seconds() != 0) {
      settings.metrics_seconds = file_.metrics_seconds();
    }
    SetLimits(settings);
  }

  void SetLimits(Settings& settings) {
    settings.limits = file_.limits();
    constexpr uint32_t kDay = 24 * 60 * 60;
    const struct {
      const char* field;
      uint32_t other;
      uint32_t most;
    } kFields[] = {
        {"handles_per_app", 16384, 1 << 30},
        {"backing_ids_per_app", 8192, 1 << 30},
        {"threads_per_uid", 8, kMaxThreads},
        {"queued_requests", 128, 65536},
        {"max_threads", 32, kMaxThreads},
        {"deadline_seconds", 60, kDay},
        {"abort_seconds", 300, kDay},
    };
    const google::protobuf::Descriptor& type =
        *config::v1::Limits::descriptor();
    const google::protobuf::Reflection& reflection =
        *settings.limits.GetReflection();
    for (const auto& [name, other, most] : kFields) {
      const google::protobuf::FieldDescriptor* const field =
          type.FindFieldByName(name);
      const uint32_t value = reflection.GetUInt32(settings.limits, field);
      if (value == 0) reflection.SetUInt32(&settings.limits, field, other);
      if (value > most) {
        Say(absl::StrCat("limits.", name), absl::StrCat("at most ", most));
      }
    }
  }

  // The volumes of the file and the command line, before flags and options.
  std::vector<Volume> Volumes(const std::vector<std::string>& positional) {
    std::vector<Volume> volumes(file_.volumes().begin(), file_.volumes().end());
    if (!positional.empty() && positional.size() != 2) {
      Say("", absl::StrCat("LOWER and MOUNTPOINT are wanted, and ",
                           positional.size(), " arguments were given"));
      return {};
    }
    if (positional.empty() && volumes.empty()) {
      Say("", "LOWER and MOUNTPOINT are wanted, or a --config with volumes");
      return {};
    }
    const bool one = volumes.size() < 2;
    if (!one && (!positional.empty() || flags_.volume.has_value())) {
      Say("",
          "LOWER, MOUNTPOINT and --volume are for one volume; --config has "
          "several");
      return {};
    }
    if (volumes.empty()) volumes.emplace_back();
    if (!positional.empty()) {
      volumes[0].set_lower(positional[0]);
      volumes[0].set_mountpoint(positional[1]);
    }
    if (flags_.volume.has_value()) volumes[0].set_name(*flags_.volume);
    if (one && volumes[0].name().empty()) {
      volumes[0].set_name("external_primary");
    }
    return volumes;
  }

  VolumeSettings Complete(Volume volume, size_t index,
                          const std::vector<std::string>& mount_options) {
    at_ = absl::StrCat("volumes[", index, "].");
    auto profile = volume.profile() == config::v1::POSIX ? config::v1::POSIX
                                                         : config::v1::MEDIA;
    TakeWord<config::v1::Profile>(
        "profile", flags_.profile,
        {{"media", config::v1::MEDIA}, {"posix", config::v1::POSIX}}, profile);
    auto passthrough = volume.passthrough() == config::v1::OFF
                           ? config::v1::OFF
                           : config::v1::AUTO;
    TakeWord<config::v1::Passthrough>(
        "passthrough", flags_.passthrough,
        {{"auto", config::v1::AUTO}, {"off", config::v1::OFF}}, passthrough);
    auto watch = volume.watch_lower() == config::v1::WATCH_LOWER_OFF
                     ? config::v1::WATCH_LOWER_OFF
                     : config::v1::WATCH_LOWER_AUTO;
    TakeWord<config::v1::WatchLower>("watch_lower", flags_.watch_lower,
                                     {{"auto", config::v1::WATCH_LOWER_AUTO},
                                      {"off", config::v1::WATCH_LOWER_OFF}},
                                     watch);
    volume.set_watch_lower(watch);
    bool single_user = volume.single_user();
    TakeWord<bool>("single_user", flags_.single_user,
                   {{"true", true}, {"false", false}}, single_user);
    volume.set_single_user(single_user);
    volume.set_profile(profile);
    volume.set_passthrough(passthrough);
    if (flags_.max_stack_depth.has_value()) {
      if (*flags_.max_stack_depth == 0) {
        Say(at_ + "max_stack_depth", "must be 1 or 2");
      }
      volume.set_max_stack_depth(*flags_.max_stack_depth);
    }
    if (volume.max_stack_depth() == 0) volume.set_max_stack_depth(1);
    CheckVolume(volume);
    volume.set_lower(Absolute(volume.lower()));
    volume.set_mountpoint(Absolute(volume.mountpoint()));
    VolumeSettings result;
    result.mount = Mount(volume, mount_options);
    result.config = std::move(volume);
    at_.clear();
    return result;
  }

  void CheckDifferent(const std::vector<VolumeSettings>& volumes) {
    std::set<std::string_view> names;
    std::set<std::string_view> mountpoints;
    for (size_t i = 0; i < volumes.size(); ++i) {
      const Volume& volume = volumes[i].config;
      at_ = absl::StrCat("volumes[", i, "].");
      if (!names.insert(volume.name()).second) {
        Say(at_ + "name", absl::StrCat("\"", volume.name(),
                                       "\": two volumes have this name"));
      }
      if (!volume.mountpoint().empty() &&
          !mountpoints.insert(volume.mountpoint()).second) {
        Say(at_ + "mountpoint", absl::StrCat(volume.mountpoint(),
                                             ": two volumes have this mount "
                                             "point"));
      }
    }
    at_.clear();
  }

 private:
  void Say(std::string_view field, std::string reason) {
    issues_.push_back(origin_.At(field, std::move(reason)));
  }

  // One of an enumeration's words.
  template <typename Enum>
  void TakeWord(std::string_view flag, const std::optional<std::string>& value,
                std::initializer_list<std::pair<std::string_view, Enum>> words,
                Enum& result) {
    if (!value.has_value()) return;
    std::string known;
    for (const auto& [word, meaning] : words) {
      if (*value == word) {
        result = meaning;
        return;
      }
      absl::StrAppend(&known, known.empty() ? "" : ", ", word);
    }
    Say(absl::StrCat(at_, flag),
        absl::StrCat("\"", *value, "\": must be one of ", known));
  }

  void CheckVolume(const Volume& volume) {
    const std::string& name = volume.name();
    if (name.empty() || name.size() > 64 || name == "." || name == ".." ||
        std::any_of(name.begin(), name.end(), [](unsigned char c) {
          return c <= ' ' || c == '/' || c == 127;
        })) {
      Say(at_ + "name",
          absl::StrCat("\"", name.substr(0, 64), "\" is no name for a volume"));
    }
    if (volume.lower().empty()) Say(at_ + "lower", "LOWER is missing");
    if (volume.mountpoint().empty()) {
      Say(at_ + "mountpoint", "MOUNTPOINT is missing");
    }
    if (absl::StrContains(volume.mountpoint(), "{user}")) {
      Say(at_ + "mountpoint",
          "MOUNTPOINT is one for all users: {user} is for LOWER");
    }
    if (volume.profile() == config::v1::POSIX &&
        absl::StrContains(volume.lower(), "{user}")) {
      Say(at_ + "lower", "the profile posix has no trees of users");
    }
    if (volume.single_user() && absl::StrContains(volume.lower(), "{user}")) {
      Say(at_ + "single_user",
          "{user} in LOWER is for several users: they share MOUNTPOINT");
    }
    if (volume.max_stack_depth() > 2) {
      Say(at_ + "max_stack_depth", "must be 1 or 2");
    }
  }

  MountOptions Mount(const Volume& volume,
                     const std::vector<std::string>& mount_options) {
    MountOptions result;
    if (volume.profile() == config::v1::POSIX) {
      result.nosuid = result.nodev = result.noexec = result.noatime = false;
    }
    result.source = volume.lower();
    for (int i = 0; i < volume.mount_options_size(); ++i) {
      const absl::Status status = ParseMountOptions(
          volume.mount_options(i), volume.profile(), result, nullptr);
      if (!status.ok()) {
        Say(absl::StrCat(at_, "mount_options[", i, "]"),
            std::string(status.message()));
      }
    }
    // The command line's were looked at for flags before.
    FlagValues seen;
    for (const std::string& options : mount_options) {
      const absl::Status status =
          ParseMountOptions(options, volume.profile(), result, &seen);
      if (!status.ok()) {
        issues_.push_back(OnCommandLine("", std::string(status.message())));
      }
    }
    return result;
  }

  const Config& file_;
  const FlagValues& flags_;
  const Origin& origin_;
  Issues& issues_;
  // "volumes[1].", while one is looked at.
  std::string at_;
};

}  // namespace

Origin::Origin(policy::SourceMap file, const FlagValues& flags, bool positional)
    : file_(std::move(file)), flags_(flags), positional_(positional) {}

Issue Origin::At(std::string_view field, std::string reason,
                 bool warning) const {
  const std::string_view leaf = field.substr(field.rfind('.') + 1);
  const bool of_volume = leaf.size() != field.size();
  const std::pair<std::string_view, bool> kGiven[] = {
      {"policy", flags_.policy.has_value()},
      {"apps", flags_.apps.has_value()},
      {"state_dir", flags_.state_dir.has_value()},
      {"control", flags_.control.has_value()},
      {"views_dir", flags_.views_dir.has_value()},
      {"drop_in_dir", flags_.drop_in_dir.has_value()},
      {"transport", flags_.transport.has_value()},
      {"admin_uids", flags_.admin_uids.has_value()},
      {"threads", flags_.threads.has_value()},
      {"metrics_textfile", flags_.metrics_textfile.has_value()},
      {"name", of_volume && flags_.volume.has_value()},
      {"passthrough", of_volume && flags_.passthrough.has_value()},
      {"profile", of_volume && flags_.profile.has_value()},
      {"watch_lower", of_volume && flags_.watch_lower.has_value()},
      {"single_user", of_volume && flags_.single_user.has_value()},
      {"max_stack_depth", of_volume && flags_.max_stack_depth.has_value()}};
  Issue issue = file_.At(field, std::move(reason), warning);
  for (const auto& [name, given] : kGiven) {
    if (leaf != name || !given) continue;
    issue.field = absl::StrCat("--", leaf == "name" ? "volume" : leaf);
    issue.file.clear();
  }
  if (positional_ && of_volume && (leaf == "lower" || leaf == "mountpoint")) {
    issue.field = leaf == "lower" ? "LOWER" : "MOUNTPOINT";
    issue.file.clear();
  }
  if (issue.file.empty()) {
    issue.file = kCommandLine;
    issue.line = issue.column = 0;
  }
  return issue;
}

std::optional<Settings> ReadSettings(
    FlagValues flags, const std::vector<std::string>& mount_options,
    const std::vector<std::string>& positional, Issues& issues) {
  // Options that are flags come first: one of them may name the file.
  TakeFlags(mount_options, flags);
  Config file;
  policy::SourceMap source;
  if (flags.config.has_value() &&
      !ReadConfig(*flags.config, file, source, issues)) {
    return std::nullopt;
  }
  Settings settings;
  if (flags.config.has_value()) {
    settings.directory = WorkingDirectory();
    settings.config = Absolute(*flags.config);
  }
  settings.origin = Origin(std::move(source), flags, !positional.empty());
  const size_t before = issues.size();
  Reader reader(file, flags, settings.origin, issues);
  reader.SetTransport(settings);
  reader.SetAdmins(settings);
  reader.SetNumbers(settings);
  settings.policy = Path(flags.policy, file.policy(), "");
  settings.apps = Path(flags.apps, file.apps(), "");
  settings.state_dir =
      Path(flags.state_dir, file.state_dir(), "/var/lib/fused");
  settings.control =
      Path(flags.control, file.control(), "/run/fused/control.sock");
  settings.drop_in_dir = Path(flags.drop_in_dir, file.drop_in_dir(), "");
  settings.views_dir =
      Path(flags.views_dir, file.views_dir(), "/run/fused/views");
  settings.metrics_textfile =
      Path(flags.metrics_textfile, file.metrics_textfile(), "");
  settings.daemonize = flags.daemonize;

  for (Volume& volume : reader.Volumes(positional)) {
    const size_t index = settings.volumes.size();
    settings.volumes.push_back(
        reader.Complete(std::move(volume), index, mount_options));
    VolumeSettings& last = settings.volumes.back();
    if (index != 0) {
      absl::StrAppend(&last.view_name, "-", last.config.name());
    }
  }
  reader.CheckDifferent(settings.volumes);
  if (issues.size() != before) return std::nullopt;
  return settings;
}

std::optional<RulesFiles> FindRulesFiles(const Settings& settings,
                                         Issues& issues) {
  RulesFiles files = {settings.policy, settings.apps};
  if (settings.config.empty()) return files;
  Config file;
  policy::SourceMap source;
  if (!ReadConfig(settings.config, file, source, issues)) return std::nullopt;
  const FlagValues& flags = settings.origin.flags();
  if (!flags.policy.has_value()) {
    files.policy = AbsoluteFrom(settings.directory, file.policy());
  }
  if (!flags.apps.has_value()) {
    files.apps = AbsoluteFrom(settings.directory, file.apps());
  }
  return files;
}

std::string OneLine(const Issue& issue) {
  if (issue.file != kCommandLine) return issue.ToString();
  return absl::StrCat(issue.field, issue.field.empty() ? "" : ": ",
                      issue.warning ? "warning: " : "", issue.reason);
}

}  // namespace fused
