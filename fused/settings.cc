#include "fused/settings.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/text_format.h"

namespace fused {
namespace {

using config::v1::Config;
using config::v1::Volume;

constexpr size_t kMaxConfig = 1 << 20;
constexpr uint32_t kMaxThreads = 256;

absl::Status Wrong(std::string_view what, std::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", reason));
}

// Keeps the first error that a text has.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (!text.empty()) return;
    text = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }
  std::string text;
};

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Wrong(path, "cannot be read");
  std::string content(kMaxConfig + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (in.bad()) return Wrong(path, "cannot be read");
  content.resize(static_cast<size_t>(in.gcount()));
  if (content.size() > kMaxConfig) return Wrong(path, "is larger than 1 MiB");
  Config result;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  google::protobuf::io::ArrayInputStream stream(
      content.data(), static_cast<int>(content.size()));
  if (!parser.Parse(&stream, &result)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.text));
  }
  return result;
}

// A word of an -o argument.
struct Option {
  std::string name;
  std::string value;
  bool has_value = false;
};

std::vector<Option> SplitOptions(std::string_view text) {
  std::vector<Option> options(1);
  for (size_t i = 0; i < text.size(); ++i) {
    Option& last = options.back();
    if (text[i] == ',') {
      options.emplace_back();
    } else if (text[i] == '=' && !last.has_value) {
      last.has_value = true;
    } else {
      if (text[i] == '\\' && i + 1 < text.size()) ++i;
      (last.has_value ? last.value : last.name) += text[i];
    }
  }
  std::erase_if(options, [](const Option& one) {
    return one.name.empty() && !one.has_value;
  });
  return options;
}

// What fstab(5) lines carry for others than us, and what changes nothing here.
bool IsIgnored(std::string_view name) {
  static constexpr std::array<std::string_view, 24> kIgnored = {
      "allow_other", "async",      "auto",          "comment",  "defaults",
      "diratime",    "fail",       "group",         "lazytime", "loud",
      "noauto",      "nodiratime", "nofail",        "nogroup",  "nolazytime",
      "noowner",     "norelatime", "nostrictatime", "nouser",   "owner",
      "relatime",    "silent",     "user",          "users"};
  return name == "_netdev" || absl::StartsWithIgnoreCase(name, "x-") ||
         std::find(kIgnored.begin(), kIgnored.end(), name) != kIgnored.end();
}

// Where an option of this name sets a flag; null where none does.
std::optional<std::string>* FlagNamed(FlagValues& flags,
                                      std::string_view name) {
  const std::pair<std::string_view, std::optional<std::string>*> kNamed[] = {
      {"config", &flags.config},
      {"volume", &flags.volume},
      {"policy", &flags.policy},
      {"apps", &flags.apps},
      {"state_dir", &flags.state_dir},
      {"control", &flags.control},
      {"views_dir", &flags.views_dir},
      {"transport", &flags.transport},
      {"passthrough", &flags.passthrough},
      {"profile", &flags.profile},
      {"admin_uids", &flags.admin_uids},
      {"metrics_textfile", &flags.metrics_textfile}};
  for (const auto& [known, value] : kNamed) {
    if (known == name) return value;
  }
  return nullptr;
}

// "ro" and the like. False: it is none of them.
bool SetSwitch(std::string_view name, MountOptions& result) {
  const std::pair<std::string_view, bool*> kSwitches[] = {
      {"ro", &result.read_only},
      {"nosuid", &result.nosuid},
      {"nodev", &result.nodev},
      {"noexec", &result.noexec},
      {"noatime", &result.noatime}};
  for (const auto& [known, value] : kSwitches) {
    if (name == known) return *value = true;
    if (known != "ro" && name == known.substr(2)) {
      *value = false;
      return true;
    }
  }
  if (name == "rw") {
    result.read_only = false;
    return true;
  }
  return false;
}

absl::Status Apply(const Option& option, config::v1::Profile profile,
                   MountOptions& result, FlagValues* flags) {
  const std::string what = absl::StrCat("-o ", option.name);
  if (option.name == "fsname" || option.name == "subtype") {
    if (option.value.empty()) return Wrong(what, "needs a value");
    (option.name == "fsname" ? result.source : result.subtype) = option.value;
    return absl::OkStatus();
  }
  if (flags != nullptr) {
    if (auto* flag = FlagNamed(*flags, option.name)) {
      if (option.value.empty()) return Wrong(what, "needs a value");
      if (!flag->has_value()) *flag = option.value;
      return absl::OkStatus();
    }
  }
  if (IsIgnored(option.name)) return absl::OkStatus();
  if (option.has_value) return Wrong(what, "unknown mount option");
  if (profile != config::v1::POSIX &&
      (option.name == "suid" || option.name == "dev" ||
       option.name == "atime")) {
    return Wrong(what, "not in the media profile");
  }
  if (option.name == "allow_root") {
    return Wrong(what, "not supported: every uid may use the mount");
  }
  if (SetSwitch(option.name, result)) return absl::OkStatus();
  return Wrong(what, "unknown mount option");
}

std::string Absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  std::string directory(4096, '\0');
  if (getcwd(directory.data(), directory.size()) == nullptr) return path;
  directory.resize(directory.find('\0'));
  return absl::StrCat(directory == "/" ? "" : directory, "/", path);
}

// One of an enumeration's words.
template <typename Enum>
absl::Status ParseWord(
    std::string_view flag, const std::optional<std::string>& value,
    std::initializer_list<std::pair<std::string_view, Enum>> words,
    Enum& result) {
  if (!value.has_value()) return absl::OkStatus();
  std::string known;
  for (const auto& [word, meaning] : words) {
    if (*value == word) {
      result = meaning;
      return absl::OkStatus();
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", word);
  }
  return Wrong(absl::StrCat("--", flag, "=", *value),
               absl::StrCat("must be one of ", known));
}

absl::Status CheckVolume(const Volume& volume) {
  const std::string& name = volume.name();
  if (name.empty() || name.size() > 64 || name == "." || name == ".." ||
      std::any_of(name.begin(), name.end(), [](unsigned char c) {
        return c <= ' ' || c == '/' || c == 127;
      })) {
    return Wrong("volume", absl::StrCat("\"", name.substr(0, 64),
                                        "\" is no name for a volume"));
  }
  if (volume.lower().empty()) return Wrong(name, "LOWER is missing");
  if (volume.mountpoint().empty()) return Wrong(name, "MOUNTPOINT is missing");
  if (absl::StrContains(volume.mountpoint(), "{user}")) {
    return Wrong(name, "MOUNTPOINT is one for all users: {user} is for LOWER");
  }
  if (volume.profile() == config::v1::POSIX &&
      absl::StrContains(volume.lower(), "{user}")) {
    return Wrong(name, "the profile posix has no trees of users");
  }
  if (volume.max_stack_depth() > 2) {
    return Wrong(name, "max_stack_depth must be 1 or 2");
  }
  return absl::OkStatus();
}

// The volumes of the file and the command line, before flags and options.
absl::StatusOr<std::vector<Volume>> Volumes(
    const Config& file, const FlagValues& flags,
    const std::vector<std::string>& positional) {
  std::vector<Volume> volumes(file.volumes().begin(), file.volumes().end());
  if (!positional.empty() && positional.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("LOWER and MOUNTPOINT are wanted, and ", positional.size(),
                     " arguments were given"));
  }
  if (positional.empty() && volumes.empty()) {
    return absl::InvalidArgumentError(
        "LOWER and MOUNTPOINT are wanted, or a --config with volumes");
  }
  const bool one = volumes.size() < 2;
  if (!one && (!positional.empty() || flags.volume.has_value())) {
    return absl::InvalidArgumentError(
        "LOWER, MOUNTPOINT and --volume are for one volume; --config has "
        "several");
  }
  if (volumes.empty()) volumes.emplace_back();
  if (!positional.empty()) {
    volumes[0].set_lower(positional[0]);
    volumes[0].set_mountpoint(positional[1]);
  }
  if (flags.volume.has_value()) volumes[0].set_name(*flags.volume);
  if (one && volumes[0].name().empty()) volumes[0].set_name("external_primary");
  return volumes;
}

absl::StatusOr<VolumeSettings> Complete(
    Volume volume, const FlagValues& flags,
    const std::vector<std::string>& mount_options) {
  auto profile = volume.profile() == config::v1::POSIX ? config::v1::POSIX
                                                       : config::v1::MEDIA;
  if (auto status = ParseWord<config::v1::Profile>(
          "profile", flags.profile,
          {{"media", config::v1::MEDIA}, {"posix", config::v1::POSIX}},
          profile);
      !status.ok()) {
    return status;
  }
  auto passthrough = volume.passthrough() == config::v1::OFF ? config::v1::OFF
                                                             : config::v1::AUTO;
  if (auto status = ParseWord<config::v1::Passthrough>(
          "passthrough", flags.passthrough,
          {{"auto", config::v1::AUTO}, {"off", config::v1::OFF}}, passthrough);
      !status.ok()) {
    return status;
  }
  volume.set_profile(profile);
  volume.set_passthrough(passthrough);
  if (flags.max_stack_depth.has_value()) {
    if (*flags.max_stack_depth == 0) {
      return Wrong("--max_stack_depth", "must be 1 or 2");
    }
    volume.set_max_stack_depth(*flags.max_stack_depth);
  }
  if (volume.max_stack_depth() == 0) volume.set_max_stack_depth(1);
  if (auto status = CheckVolume(volume); !status.ok()) return status;
  volume.set_lower(Absolute(volume.lower()));
  volume.set_mountpoint(Absolute(volume.mountpoint()));

  VolumeSettings result;
  if (profile == config::v1::POSIX) {
    result.mount.nosuid = result.mount.nodev = false;
    result.mount.noexec = result.mount.noatime = false;
  }
  result.mount.source = volume.lower();
  for (const std::string& options : volume.mount_options()) {
    if (auto status =
            ParseMountOptions(options, profile, result.mount, nullptr);
        !status.ok()) {
      return status;
    }
  }
  // The command line's were looked at for flags before.
  FlagValues seen;
  for (const std::string& options : mount_options) {
    if (auto status = ParseMountOptions(options, profile, result.mount, &seen);
        !status.ok()) {
      return status;
    }
  }
  result.config = std::move(volume);
  return result;
}

absl::Status CheckDifferent(const std::vector<VolumeSettings>& volumes) {
  std::set<std::string_view> names;
  std::set<std::string_view> mountpoints;
  for (const VolumeSettings& volume : volumes) {
    if (!names.insert(volume.config.name()).second) {
      return Wrong(volume.config.name(), "two volumes have this name");
    }
    if (!mountpoints.insert(volume.config.mountpoint()).second) {
      return Wrong(volume.config.mountpoint(),
                   "two volumes have this mount point");
    }
  }
  return absl::OkStatus();
}

absl::Status SetTransport(const FlagValues& flags, const Config& file,
                          Settings& settings) {
  auto transport = file.transport();
  if (auto status = ParseWord<config::v1::Transport>(
          "transport", flags.transport,
          {{"auto", config::v1::TRANSPORT_AUTO},
           {"dev", config::v1::DEV},
           {"uring", config::v1::URING}},
          transport);
      !status.ok()) {
    return status;
  }
  if (transport == config::v1::URING) {
    return absl::UnimplementedError(
        "--transport=uring: not in this version; use auto or dev");
  }
  settings.transport = config::v1::DEV;
  return absl::OkStatus();
}

absl::Status SetAdmins(const FlagValues& flags, const Config& file,
                       Settings& settings) {
  settings.admin_uids.assign(file.admin_uids().begin(),
                             file.admin_uids().end());
  if (!flags.admin_uids.has_value()) return absl::OkStatus();
  settings.admin_uids.clear();
  for (std::string_view word : absl::StrSplit(*flags.admin_uids, ',')) {
    uint32_t uid = 0;
    if (!absl::SimpleAtoi(word, &uid)) {
      return Wrong(absl::StrCat("--admin_uids=", *flags.admin_uids),
                   "must be uids with commas between");
    }
    settings.admin_uids.push_back(uid);
  }
  return absl::OkStatus();
}

absl::Status SetNumbers(const FlagValues& flags, const Config& file,
                        Settings& settings) {
  const uint32_t threads = flags.threads.value_or(file.threads());
  if (threads > kMaxThreads) {
    return Wrong("--threads", absl::StrCat("at most ", kMaxThreads));
  }
  settings.threads =
      threads != 0 ? static_cast<int>(threads)
                   : static_cast<int>(std::clamp(
                         std::thread::hardware_concurrency(), 2u, kMaxThreads));
  settings.descriptor_budget =
      flags.descriptor_budget.value_or(file.descriptor_budget());
  settings.warm_backing_ids =
      flags.warm_backing_ids.value_or(file.warm_backing_ids());
  if (settings.warm_backing_ids == 0) settings.warm_backing_ids = 1024;
  settings.max_backing_ids =
      flags.max_backing_ids.value_or(file.max_backing_ids());
  if (settings.max_backing_ids == 0) settings.max_backing_ids = 1 << 20;
  if (file.maintain_seconds() != 0) {
    settings.maintain_seconds = file.maintain_seconds();
  }
  settings.audit = file.audit();
  if (file.metrics_seconds() != 0) {
    settings.metrics_seconds = file.metrics_seconds();
  }
  return absl::OkStatus();
}

std::string Path(const std::optional<std::string>& flag,
                 const std::string& file, const char* other) {
  return Absolute(flag.value_or(file.empty() ? other : file));
}

}  // namespace

absl::StatusOr<CommandLine> SplitCommandLine(
    const std::vector<std::string>& argv) {
  CommandLine line;
  if (argv.empty()) return line;
  const std::string name = argv[0].substr(argv[0].rfind('/') + 1);
  line.mount_helper = name == "mount.fuse.fused" || name == "mount.fused";
  for (size_t i = 1; i < argv.size(); ++i) {
    const std::string& arg = argv[i];
    if (arg == "--") {
      line.args.insert(line.args.end(),
                       argv.begin() + static_cast<std::ptrdiff_t>(i),
                       argv.end());
      break;
    }
    const bool helper_option =
        line.mount_helper && (arg == "-N" || arg == "-t");
    if (arg == "-o" || helper_option) {
      if (++i == argv.size()) return Wrong(arg, "needs a value");
      if (!helper_option) line.mount_options.push_back(argv[i]);
      if (arg == "-N") {
        return Wrong(arg, "mounting into another namespace is not supported");
      }
    } else if (absl::StartsWith(arg, "-o")) {
      line.mount_options.push_back(arg.substr(2));
    } else if (line.mount_helper && arg.size() > 1 && arg[0] == '-' &&
               arg.find_first_not_of("sfnv", 1) == arg.npos) {
      // Sloppy, fake, no mtab, verbose: mount(8)'s affair. A fake mount does
      // not call us.
    } else {
      line.args.push_back(arg);
    }
  }
  return line;
}

absl::Status ParseMountOptions(std::string_view options,
                               config::v1::Profile profile,
                               MountOptions& result, FlagValues* flags) {
  for (const Option& option : SplitOptions(options)) {
    if (auto status = Apply(option, profile, result, flags); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Settings> MakeSettings(
    FlagValues flags, const std::vector<std::string>& mount_options,
    const std::vector<std::string>& positional) {
  // Options that are flags come first: one of them may name the file.
  for (const std::string& options : mount_options) {
    for (const Option& option : SplitOptions(options)) {
      auto* flag = FlagNamed(flags, option.name);
      if (flag != nullptr && !flag->has_value()) *flag = option.value;
    }
  }
  Config file;
  if (flags.config.has_value()) {
    auto read = ReadConfig(*flags.config);
    if (!read.ok()) return read.status();
    file = *std::move(read);
  }
  Settings settings;
  for (const absl::Status& status :
       {SetTransport(flags, file, settings), SetAdmins(flags, file, settings),
        SetNumbers(flags, file, settings)}) {
    if (!status.ok()) return status;
  }
  settings.policy = Path(flags.policy, file.policy(), "");
  settings.apps = Path(flags.apps, file.apps(), "");
  settings.state_dir =
      Path(flags.state_dir, file.state_dir(), "/var/lib/fused");
  settings.control =
      Path(flags.control, file.control(), "/run/fused/control.sock");
  settings.views_dir =
      Path(flags.views_dir, file.views_dir(), "/run/fused/views");
  settings.metrics_textfile =
      Path(flags.metrics_textfile, file.metrics_textfile(), "");
  settings.daemonize = flags.daemonize;
  settings.check = flags.check;

  auto volumes = Volumes(file, flags, positional);
  if (!volumes.ok()) return volumes.status();
  for (Volume& volume : *volumes) {
    auto complete = Complete(std::move(volume), flags, mount_options);
    if (!complete.ok()) return complete.status();
    if (!settings.volumes.empty()) {
      absl::StrAppend(&complete->view_name, "-", complete->config.name());
    }
    settings.volumes.push_back(*std::move(complete));
  }
  if (auto status = CheckDifferent(settings.volumes); !status.ok()) {
    return status;
  }
  return settings;
}

}  // namespace fused
