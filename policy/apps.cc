#include "policy/apps.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/names.h"
#include "policy/parse.h"
#include "policy/string_table.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

constexpr uint32_t kShellId = 2000;

// What is wrong with a package's name; empty where nothing is.
std::string_view PackageFault(std::string_view package) {
  if (package.empty()) return "an app needs a package";
  if (package.size() > kMaxFolded) return "longer than 255 bytes";
  if (package == "." || package == ".." ||
      package.find('/') != std::string_view::npos ||
      package.find('\0') != std::string_view::npos || !IsUtf8(package)) {
    return "a package's name can be a directory's";
  }
  return {};
}

bool IsRelativePath(std::string_view path) {
  if (path.empty()) return false;
  for (const std::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

void CheckGrants(const Parsed<v1::AppDirectory>& apps, Issues& issues) {
  const SourceMap& source = apps.source;
  if (static_cast<size_t>(apps.message.grants_size()) > kMaxGrants) {
    issues.push_back(
        source.At(absl::StrCat("grants[", kMaxGrants, "]"),
                  absl::StrCat("more than ", kMaxGrants, " grants")));
    return;
  }
  for (int i = 0; i < apps.message.grants_size(); ++i) {
    const v1::Grant& grant = apps.message.grants(i);
    const std::string at = absl::StrCat("grants[", i, "]");
    if (grant.package().empty()) {
      issues.push_back(
          source.At(absl::StrCat(at, ".package"), "a grant names a package"));
    }
    if (!IsRelativePath(grant.path())) {
      issues.push_back(
          source.At(absl::StrCat(at, ".path"),
                    "a path is relative to the user's volume root, without "
                    "empty components, `.` and `..`"));
    }
    if (!v1::Grant::Access_IsValid(grant.access()) ||
        grant.access() == v1::Grant::ACCESS_UNSPECIFIED) {
      issues.push_back(
          source.At(absl::StrCat(at, ".access"),
                    absl::StrCat("unknown access ", grant.access())));
    }
  }
}

}  // namespace

class AppsBuilder {
 public:
  AppsBuilder(const Parsed<v1::AppDirectory>& apps,
              const Vocabulary& vocabulary, Issues& issues)
      : apps_(apps), vocabulary_(vocabulary), issues_(issues) {}

  Apps Build() {
    for (int i = 0; i < apps_.message.apps_size(); ++i) Add(i);
    out_.packages_ = StringTable(packages_);
    out_.folded_packages_ = StringTable(folded_packages_);
    for (size_t i = 0; i < out_.entries_.size(); ++i) {
      out_.entries_[i].word |= vocabulary_.TargetSdkBits(target_sdks_[i]);
    }
    return std::move(out_);
  }

 private:
  void Fail(int app, std::string_view field, std::string reason) {
    issues_.push_back(apps_.source.At(absl::StrCat("apps[", app, "]", field),
                                      std::move(reason)));
  }

  void Add(int index) {
    const v1::App& app = apps_.message.apps(index);
    const bool has_uid = CheckUid(index, app.uid());
    const bool has_package = CheckPackage(index, app.package());
    const uint64_t roles = RolesOf(index, app);
    if (!has_uid || !has_package) return;
    const size_t at = EntryOf(app);
    Apps::Entry& entry = out_.entries_[at];
    entry.word |= roles;
    for (const std::string& permission : app.permissions()) {
      entry.word |= vocabulary_.PermissionBit(permission);
    }
    // Of packages that share a uid the newest counts: what a platform version
    // takes away none of them brings back.
    target_sdks_[at] = std::max(target_sdks_[at], app.target_sdk());
    packages_.emplace_back(app.package(), static_cast<uint32_t>(at));
    folded_packages_.emplace_back(Fold(app.package()),
                                  static_cast<uint32_t>(at));
  }

  bool CheckUid(int index, uint32_t uid) {
    if (uid == 0 || uid == kShellId) {
      Fail(index, ".uid",
           absl::StrCat(uid, uid == 0 ? " is root's" : " is the shell's",
                        ", in no app's entry"));
      return false;
    }
    if (uid >= kUsersStride) {
      Fail(index, ".uid",
           absl::StrCat(uid, " is no app id: that is the caller's uid modulo ",
                        kUsersStride));
      return false;
    }
    return true;
  }

  bool CheckPackage(int index, const std::string& package) {
    if (const std::string_view fault = PackageFault(package); !fault.empty()) {
      Fail(index, ".package", std::string(fault));
      return false;
    }
    const auto [found, added] = seen_.try_emplace(Fold(package), index);
    if (!added) {
      const std::string& first = apps_.message.apps(found->second).package();
      Fail(index, ".package",
           first == package
               ? absl::StrCat("\"", package, "\" is there twice")
               : absl::StrCat("\"", package, "\" and \"", first,
                              "\" are one directory where case is folded"));
      return false;
    }
    return true;
  }

  uint64_t RolesOf(int index, const v1::App& app) {
    uint64_t bits = 0;
    for (int i = 0; i < app.roles_size(); ++i) {
      const auto role = static_cast<v1::Role>(app.roles(i));
      const std::string field = absl::StrCat(".roles[", i, "]");
      if (!v1::Role_IsValid(role) || role == v1::ROLE_UNSPECIFIED) {
        Fail(index, field,
             absl::StrCat("unknown role ", static_cast<int>(role)));
      } else if (role == v1::ROOT || role == v1::SHELL) {
        Fail(index, field,
             absl::StrCat(v1::Role_Name(role),
                          " is one absolute uid, in no app's entry"));
      } else {
        bits |= vocabulary_.RoleBit(role);
      }
    }
    return bits;
  }

  size_t EntryOf(const v1::App& app) {
    if (out_.entry_of_id_.size() <= app.uid()) {
      out_.entry_of_id_.resize(app.uid() + 1, kNoApp);
    }
    AppIndex& index = out_.entry_of_id_[app.uid()];
    if (index == kNoApp) {
      index = static_cast<AppIndex>(out_.entries_.size());
      out_.entries_.push_back({app.uid(), 0, 0, app.package()});
      target_sdks_.push_back(app.target_sdk());
    }
    return static_cast<size_t>(index);
  }

  const Parsed<v1::AppDirectory>& apps_;
  const Vocabulary& vocabulary_;
  Issues& issues_;
  Apps out_;
  std::vector<int32_t> target_sdks_;  // by entry
  std::vector<std::pair<std::string, uint32_t>> packages_;
  std::vector<std::pair<std::string, uint32_t>> folded_packages_;
  absl::flat_hash_map<std::string, int> seen_;  // by folded package
};

std::optional<Apps> Apps::Compile(const Parsed<v1::AppDirectory>& apps,
                                  const Vocabulary& vocabulary,
                                  Issues& issues) {
  const size_t before = issues.size();
  if (static_cast<size_t>(apps.message.apps_size()) > kMaxApps) {
    issues.push_back(
        apps.source.At(absl::StrCat("apps[", kMaxApps, "]"),
                       absl::StrCat("more than ", kMaxApps, " apps")));
    return std::nullopt;
  }
  Apps compiled = AppsBuilder(apps, vocabulary, issues).Build();
  CheckGrants(apps, issues);
  if (issues.size() != before) return std::nullopt;
  return compiled;
}

}  // namespace fused::policy
