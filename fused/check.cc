#include "fused/check.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "fused/daemon.h"
#include "fused/directories.h"
#include "fused/rules_file.h"
#include "fused/user_trees.h"
#include "kernel/mount.h"
#include "kernel/status.h"
#include "policy/engine.h"
#include "policy/lint.h"
#include "policy/parse.h"

namespace fused {
namespace {

using policy::Issues;

// A place that something keeps to itself.
struct Spot {
  std::string path;
  // As Origin::At() wants it.
  std::string field;
  size_t volume;
  std::string_view what;
};

std::string Field(size_t volume, std::string_view name) {
  return absl::StrCat("volumes[", volume, "].", name);
}

bool Inside(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return absl::StartsWith(path, directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// A mount that serves already is not looked at, nor what is below it: its
// daemon may be stuck, or be the one that asks.
class Mounts {
 public:
  Mounts() {
    auto mounts = kernel::ListMounts();
    if (!mounts.ok()) return;
    for (kernel::MountInfo& mount : *mounts) {
      if (absl::StartsWith(mount.type, "fuse")) {
        fuse_.push_back(std::move(mount.path));
      }
    }
  }

  bool Serve(const std::string& path) const {
    const std::string lexical =
        std::filesystem::path(path).lexically_normal().string();
    return std::any_of(fuse_.begin(), fuse_.end(), [&](const auto& mount) {
      return Inside(lexical, mount);
    });
  }

  // `path` without links and dots, as far as it exists.
  std::string Canonical(const std::string& path) const {
    if (Serve(path)) {
      return std::filesystem::path(path).lexically_normal().string();
    }
    std::error_code error;
    const auto whole = std::filesystem::weakly_canonical(path, error);
    return error ? path : whole.string();
  }

 private:
  std::vector<std::string> fuse_;
};

std::string ErrorText(int error) {
  return kernel::Describe(kernel::ErrnoStatus(error));
}

std::vector<Spot> Trees(const Settings& settings, const Mounts& mounts) {
  std::vector<Spot> places;
  for (size_t i = 0; i < settings.volumes.size(); ++i) {
    const config::v1::Volume& volume = settings.volumes[i].config;
    places.push_back({mounts.Canonical(DirectoryOfTrees(volume.lower())),
                      Field(i, "lower"), i, "the lower tree"});
    places.push_back({mounts.Canonical(volume.mountpoint()),
                      Field(i, "mountpoint"), i, "the mount point"});
  }
  return places;
}

class Checker {
 public:
  Checker(const Settings& settings, Issues& issues)
      : settings_(settings), issues_(issues) {}

  void Volumes() {
    for (size_t i = 0; i < settings_.volumes.size(); ++i) {
      const VolumeSettings& volume = settings_.volumes[i];
      const std::string lower = DirectoryOfTrees(volume.config.lower());
      const bool there = Directory(Field(i, "lower"), lower);
      struct stat stat = {};
      if (there && !volume.posix() && ::stat(lower.c_str(), &stat) == 0 &&
          (stat.st_mode & S_IXOTH) != 0) {
        Say(Field(i, "lower"),
            absl::StrCat("others may search ", lower,
                         ": they can go round the mount (chmod 0700 closes "
                         "it)"),
            true);
      }
      // Bind mounts and links too, which text does not show.
      const std::string& mountpoint = volume.config.mountpoint();
      if (mounts_.Serve(mountpoint)) continue;
      if (Directory(Field(i, "mountpoint"), mountpoint) && there) {
        const absl::Status status = kernel::CheckNoRecursion(lower, mountpoint);
        const bool told = std::any_of(
            issues_.begin(), issues_.end(), [&](const policy::Issue& issue) {
              return !issue.warning &&
                     issue.reason.find(mountpoint) != std::string::npos;
            });
        if (!status.ok() && !told) {
          Say(Field(i, "mountpoint"), kernel::Describe(status));
        }
      }
    }
  }

  void OwnPlaces() {
    CanBeMade("state_dir", settings_.state_dir);
    CanBeMade("views_dir", settings_.views_dir);
    struct stat stat = {};
    if (::stat(settings_.state_dir.c_str(), &stat) == 0) {
      const absl::Status own = CheckOwnDirectory(settings_.state_dir, stat);
      if (!own.ok()) {
        Say("state_dir", std::string(own.message()));
      } else if ((stat.st_mode & 077) != 0) {
        Say("state_dir",
            absl::StrCat("others may look into ", settings_.state_dir,
                         " (chmod 0700 closes it)"),
            true);
      }
    }
    if (const std::string& drop_in = settings_.drop_in_dir; !drop_in.empty()) {
      CanBeMade("drop_in_dir", drop_in);
      const std::vector<uid_t>& admins = settings_.admin_uids;
      if (::stat(drop_in.c_str(), &stat) == 0 &&
          ((stat.st_mode & 022) != 0 ||
           (stat.st_uid != 0 && std::find(admins.begin(), admins.end(),
                                          stat.st_uid) == admins.end()))) {
        Say("drop_in_dir", absl::StrCat(drop_in,
                                        ": others than root and the admins may "
                                        "write this directory"));
      }
    }
    if (!settings_.metrics_textfile.empty()) {
      const std::filesystem::path metrics(settings_.metrics_textfile);
      Directory("metrics_textfile", metrics.parent_path().string());
    }
    const std::filesystem::path socket(settings_.control);
    CanBeMade("control", socket.parent_path().string());
    if (!socket.has_filename()) {
      Say("control", absl::StrCat(settings_.control, ": is no file's name"));
    } else if (lstat(settings_.control.c_str(), &stat) == 0 &&
               !S_ISSOCK(stat.st_mode)) {
      Say("control", absl::StrCat(settings_.control, ": is no socket"));
    }
  }

  // The exit code: usage where a file can't be read, refused where it says what
  // is wrong.
  int Rules() {
    auto compiled = policy::CompiledPolicy::BuiltIn();
    if (!settings_.policy.empty()) {
      const auto content = ReadFile("policy", settings_.policy);
      if (!content.has_value()) return kExitUsage;
      auto parsed = policy::ParsePolicy(*content, settings_.policy, issues_);
      if (!parsed.has_value()) return kExitPolicyRefused;
      Issues found;
      policy::Lint(*parsed, found);
      issues_.insert(issues_.end(), found.begin(), found.end());
      if (policy::HasErrors(found)) return kExitPolicyRefused;
      // What it would say, lint has said.
      Issues ignored;
      compiled = policy::CompiledPolicy::Compile(*parsed, ignored);
      if (compiled == nullptr) {
        issues_.insert(issues_.end(), ignored.begin(), ignored.end());
        return kExitPolicyRefused;
      }
    }
    if (settings_.apps.empty()) return 0;
    const auto content = ReadFile("apps", settings_.apps);
    if (!content.has_value()) return kExitUsage;
    auto parsed = policy::ParseApps(*content, settings_.apps, issues_);
    if (!parsed.has_value() ||
        policy::Snapshot::Build(1, compiled, *parsed, issues_) == nullptr) {
      return kExitPolicyRefused;
    }
    return 0;
  }

 private:
  void Say(std::string_view field, std::string reason, bool warning = false) {
    issues_.push_back(settings_.origin.At(field, std::move(reason), warning));
  }

  bool Directory(std::string_view field, const std::string& path) {
    struct stat stat = {};
    const int error = ::stat(path.c_str(), &stat) != 0 ? errno
                      : S_ISDIR(stat.st_mode)          ? 0
                                                       : ENOTDIR;
    if (error != 0) Say(field, absl::StrCat(path, ": ", ErrorText(error)));
    return error == 0;
  }

  // A directory, or a name in one below which the daemon will make it.
  void CanBeMade(std::string_view field, const std::string& path) {
    std::filesystem::path place(path.empty() ? "/" : path);
    struct stat stat = {};
    while (::stat(place.c_str(), &stat) != 0) {
      if (errno != ENOENT || place == place.root_path()) {
        Say(field, absl::StrCat(place.string(), ": ", ErrorText(errno)));
        return;
      }
      place = place.parent_path();
    }
    if (!S_ISDIR(stat.st_mode)) {
      Say(field, absl::StrCat(place.string(), ": ", ErrorText(ENOTDIR)));
    }
  }

  std::optional<std::string> ReadFile(std::string_view field,
                                      const std::string& path) {
    absl::StatusOr<std::string> content = ReadRulesFile(path);
    if (content.ok()) return *std::move(content);
    Say(field, std::string(content.status().message()));
    return std::nullopt;
  }

  const Settings& settings_;
  Issues& issues_;
  const Mounts mounts_;
};

}  // namespace

void CheckApart(const Settings& settings, Issues& issues) {
  const Mounts mounts;
  const std::vector<Spot> trees = Trees(settings, mounts);
  const auto say = [&](const Spot& inner, const Spot& outer) {
    const bool same = inner.path == outer.path;
    issues.push_back(settings.origin.At(
        inner.field,
        absl::StrCat(
            inner.path, same ? " is also " : " lies inside ", outer.what, " ",
            outer.volume == inner.volume
                ? std::string()
                : absl::StrCat("of ",
                               settings.volumes[outer.volume].config.name(),
                               ", "),
            outer.path)));
  };
  for (size_t i = 0; i < trees.size(); ++i) {
    for (size_t j = i + 1; j < trees.size(); ++j) {
      if (Inside(trees[j].path, trees[i].path)) {
        say(trees[j], trees[i]);
      } else if (Inside(trees[i].path, trees[j].path)) {
        say(trees[i], trees[j]);
      }
    }
  }
  // Apps must not come to the database, nor to each other's views.
  const Spot own[] = {
      {mounts.Canonical(settings.state_dir), "state_dir", trees.size(), ""},
      {mounts.Canonical(settings.views_dir), "views_dir", trees.size(), ""},
      {mounts.Canonical(settings.control), "control", trees.size(), ""},
      {mounts.Canonical(settings.drop_in_dir), "drop_in_dir", trees.size(), ""},
      {mounts.Canonical(settings.metrics_textfile), "metrics_textfile",
       trees.size(), ""},
      // Who may write these makes the rules of the next start.
      {mounts.Canonical(settings.policy), "policy", trees.size(), ""},
      {mounts.Canonical(settings.apps), "apps", trees.size(), ""}};
  for (const Spot& place : own) {
    if (place.path.empty()) continue;
    for (const Spot& tree : trees) {
      if (Inside(place.path, tree.path)) say(place, tree);
    }
  }
}

int CheckSettings(const Settings& settings, Issues& issues) {
  CheckApart(settings, issues);
  Checker checker(settings, issues);
  checker.Volumes();
  checker.OwnPlaces();
  const bool wrong = policy::HasErrors(issues);
  const int rules = checker.Rules();
  return wrong ? kExitUsage : rules;
}

}  // namespace fused
