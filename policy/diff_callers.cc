#include "policy/diff_callers.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "google/protobuf/repeated_ptr_field.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

constexpr uint32_t kFirstId = 10000;
// In no made-up entry.
constexpr uint32_t kUnlistedId = 9999;
constexpr uint32_t kShellUid = 2000;
// Of permissions that one rule asks for together.
constexpr size_t kMostTogether = 64;

// What the conditions of two policies ask of a caller.
class Asked {
 public:
  void Add(const v1::Policy& policy) {
    for (const v1::Rule& rule : policy.rules()) {
      Together together;
      Visit(rule.when(), together);
      if (together.first.size() + together.second.size() > 1) {
        together_.insert(std::move(together));
      }
    }
  }

  const std::set<std::string>& permissions() const { return permissions_; }
  const std::set<int>& roles() const { return roles_; }
  const std::set<int32_t>& target_sdks() const { return target_sdks_; }
  // Permissions and roles.
  using Together = std::pair<std::set<std::string>, std::set<int>>;
  const std::set<Together>& together() const { return together_; }

 private:
  void Visit(const v1::Condition& condition, Together& together) {
    for (const v1::Condition& each : condition.all_of().conditions()) {
      Visit(each, together);
    }
    for (const v1::Condition& each : condition.any_of().conditions()) {
      Visit(each, together);
    }
    switch (condition.kind_case()) {
      case v1::Condition::kNot:
        Visit(condition.not_(), together);
        break;
      case v1::Condition::kPermission:
        permissions_.insert(condition.permission());
        together.first.insert(condition.permission());
        break;
      case v1::Condition::kRole:
        if (condition.role() == v1::ROOT || condition.role() == v1::SHELL) {
          break;
        }
        roles_.insert(condition.role());
        together.second.insert(condition.role());
        break;
      case v1::Condition::kMinTargetSdk:
        target_sdks_.insert(condition.min_target_sdk());
        break;
      default:
        break;
    }
  }

  std::set<std::string> permissions_;
  std::set<int> roles_;
  std::set<int32_t> target_sdks_;
  std::set<Together> together_;
};

// An app that nobody has installed.
struct Kind {
  std::string name;
  Asked::Together has;
  int32_t target_sdk = 0;
  bool simple = false;
  // By name.
  std::vector<std::string> parts;
};

std::string NameOf(const Asked::Together& has) {
  std::vector<std::string> words;
  for (const std::string& permission : has.first) {
    words.push_back(absl::StrCat("permission:", permission));
  }
  for (const int role : has.second) {
    words.push_back(
        absl::StrCat("role:", v1::Role_Name(static_cast<v1::Role>(role))));
  }
  return words.empty() ? kSomePackage : absl::StrJoin(words, "+");
}

// The simple first, the newest first: whoever is decided on as one of these is
// named so.
std::vector<Kind> KindsOf(const Asked& asked, bool& complete) {
  std::vector<Asked::Together> held = {{}};
  for (const std::string& permission : asked.permissions()) {
    held.push_back({{permission}, {}});
  }
  for (const int role : asked.roles()) held.push_back({{}, {role}});
  const size_t singles = held.size();
  for (const Asked::Together& together : asked.together()) {
    if (held.size() == singles + kMostTogether) {
      complete = false;
      break;
    }
    held.push_back(together);
  }
  std::vector<int32_t> floors = {0};
  for (const int32_t floor : asked.target_sdks()) {
    if (floor > 0) floors.push_back(floor);
  }
  std::vector<Kind> kinds;
  for (size_t i = floors.size(); i-- > 0;) {
    const bool newest = i + 1 == floors.size();
    const std::string old = newest ? ""
                                   : absl::StrCat(" (target_sdk ", floors[i],
                                                  "-", floors[i + 1] - 1, ")");
    for (size_t j = 0; j < held.size(); ++j) {
      Kind kind;
      const std::string name = NameOf(held[j]);
      kind.name = absl::StrCat(name, old);
      kind.has = held[j];
      kind.target_sdk = floors[i];
      kind.simple = newest && j < singles;
      if (!newest) kind.parts.push_back(name);
      if (j >= singles) {
        kind.parts.push_back(absl::StrCat(kSomePackage, old));
        for (const std::string& permission : held[j].first) {
          kind.parts.push_back(absl::StrCat("permission:", permission, old));
        }
        for (const int role : held[j].second) {
          kind.parts.push_back(absl::StrCat(NameOf({{}, {role}}), old));
        }
      }
      kinds.push_back(std::move(kind));
    }
  }
  return kinds;
}

v1::AppDirectory MakeUp(const std::vector<Kind>& kinds) {
  v1::AppDirectory apps;
  for (const Kind& kind : kinds) {
    v1::App& app = *apps.add_apps();
    // What it is called may be no package's name.
    app.set_package(apps.apps_size() == 1
                        ? kSomePackage
                        : absl::StrCat("kind", apps.apps_size()));
    app.set_uid(kFirstId + static_cast<uint32_t>(apps.apps_size()));
    for (const std::string& permission : kind.has.first) {
      app.add_permissions(permission);
    }
    for (const int role : kind.has.second) {
      app.add_roles(static_cast<v1::Role>(role));
    }
    app.set_target_sdk(kind.target_sdk);
  }
  return apps;
}

class Finder {
 public:
  Finder(const Snapshot& before, const Snapshot& after, size_t limit)
      : before_(before),
        after_(after),
        limit_(limit),
        same_policy_(before.policy().sha256() == after.policy().sha256()) {}

  DiffCallers Run() {
    Asked asked;
    asked.Add(before_.policy().source());
    asked.Add(after_.policy().source());
    const std::vector<Kind> kinds = KindsOf(asked, all_kinds_);
    const v1::AppDirectory apps = MakeUp(kinds);
    result_.before = Build(before_, apps);
    result_.after = Build(after_, apps);
    if (!same_policy_) {
      result_.complete = all_kinds_;
      AddKinds(kinds, apps);
    }
    AddApps();
    return std::move(result_);
  }

 private:
  std::shared_ptr<const Snapshot> Build(const Snapshot& of,
                                        const v1::AppDirectory& apps) {
    Issues issues;
    std::shared_ptr<const Snapshot> built =
        Snapshot::Build(of.epoch(), of.shared_policy(), {apps, {}}, issues);
    // More kinds than a snapshot takes: those of the directories alone.
    if (built == nullptr) {
      all_kinds_ = false;
      issues.clear();
      v1::AppDirectory one;
      *one.add_apps() = apps.apps(0);
      built =
          Snapshot::Build(of.epoch(), of.shared_policy(), {one, {}}, issues);
      CHECK(built != nullptr) << issues.front().ToString();
    }
    return built;
  }

  // Whom a snapshot does not know would be decided on as if nobody knew them.
  bool Knows(uint32_t uid) const {
    return result_.before->SubjectOf(uid).listed &&
           result_.after->SubjectOf(uid).listed;
  }

  void AddKinds(const std::vector<Kind>& kinds, const v1::AppDirectory& apps) {
    for (size_t i = 0; i < kinds.size(); ++i) {
      if (!Knows(apps.apps(static_cast<int>(i)).uid())) continue;
      DiffCaller caller;
      caller.name = kinds[i].name;
      caller.simple = kinds[i].simple;
      for (const std::string& part : kinds[i].parts) {
        const auto found = kind_of_.find(part);
        if (found != kind_of_.end()) caller.parts.push_back(found->second);
      }
      AddMadeUp(std::move(caller), apps.apps(static_cast<int>(i)).uid(), 0);
    }
    AddMadeUp({.name = "unlisted"}, kUnlistedId, 0);
    AddMadeUp({.name = "role:SHELL"}, kShellUid, 0);
    AddMadeUp({.name = "role:ROOT"}, 0, 0);
    // For whom another user's tree is not closed.
    AddMadeUp({.name = "role:SHELL (another user's tree)"}, kShellUid, 1);
    AddMadeUp({.name = "role:ROOT (another user's tree)"}, 0, 1);
  }

  void AddMadeUp(DiffCaller caller, uint32_t uid, uint32_t user) {
    caller.made_up = true;
    caller.before = {result_.before.get(), result_.before->SubjectOf(uid)};
    caller.after = {result_.after.get(), result_.after->SubjectOf(uid)};
    caller.before.subject.user = caller.after.subject.user = user;
    const std::string name = caller.name;
    if (const auto index = Add(std::move(caller))) {
      kind_of_.emplace(name, *index);
    }
  }

  void AddApps() {
    std::set<std::string> packages;
    for (const Snapshot* snapshot : {&before_, &after_}) {
      for (const v1::App& app : snapshot->apps().apps()) {
        packages.insert(app.package());
      }
    }
    for (const std::string& package : packages) {
      DiffCaller caller;
      caller.name = package;
      caller.before = SideOf(before_, *result_.before, package);
      caller.after = SideOf(after_, *result_.after, package);
      const Subject& old = caller.before.subject;
      const Subject& now = caller.after.subject;
      if (same_policy_ && old.word == now.word && old.listed == now.listed) {
        continue;
      }
      Add(std::move(caller));
    }
  }

  static DiffCaller::Side SideOf(const Snapshot& snapshot,
                                 const Snapshot& made_up,
                                 const std::string& package) {
    if (const auto subject = snapshot.SubjectOfPackage(package, 0)) {
      return {&snapshot, *subject};
    }
    return {&made_up, made_up.SubjectOf(kUnlistedId)};
  }

  // Where it stands now, or who stands for it.
  std::optional<size_t> Add(DiffCaller caller) {
    const auto of = [](const Subject& subject) {
      return std::tuple(subject.word, subject.listed, subject.app == kNoApp,
                        subject.user);
    };
    const auto [found, added] = known_.try_emplace(
        std::tuple_cat(of(caller.before.subject), of(caller.after.subject)),
        result_.callers.size());
    if (!added) {
      DiffCaller& known = result_.callers[found->second];
      if (!known.made_up) ++known.more;
      return found->second;
    }
    if (result_.callers.size() == limit_) {
      known_.erase(found);
      result_.complete = false;
      return std::nullopt;
    }
    result_.callers.push_back(std::move(caller));
    return result_.callers.size() - 1;
  }

  const Snapshot& before_;
  const Snapshot& after_;
  const size_t limit_;
  // Then only apps can be decided on differently.
  const bool same_policy_;
  bool all_kinds_ = true;
  DiffCallers result_;
  std::map<std::string, size_t> kind_of_;
  // Callers by what decides of them.
  std::map<std::tuple<uint64_t, bool, bool, uint32_t, uint64_t, bool, bool,
                      uint32_t>,
           size_t>
      known_;
};

}  // namespace

DiffCallers FindDiffCallers(const Snapshot& before, const Snapshot& after,
                            size_t limit) {
  return Finder(before, after, limit).Run();
}

}  // namespace fused::policy
