// The command line's -o, and mount(8)'s way to call a helper.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fused/settings.h"

namespace fused {
namespace {

absl::Status Wrong(std::string_view what, std::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", reason));
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
      {"watch_lower", &flags.watch_lower},
      {"single_user", &flags.single_user},
      {"admin_uids", &flags.admin_uids},
      {"drop_in_dir", &flags.drop_in_dir},
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
      // Sloppy, no mtab, verbose: mount(8)'s affair.
      line.fake |= absl::StrContains(arg, "f");
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

void TakeFlags(const std::vector<std::string>& mount_options,
               FlagValues& flags) {
  for (const std::string& options : mount_options) {
    for (const Option& option : SplitOptions(options)) {
      auto* flag = FlagNamed(flags, option.name);
      if (flag != nullptr && !flag->has_value()) *flag = option.value;
    }
  }
}

}  // namespace fused
