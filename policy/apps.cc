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
#include "policy/apps_checks.h"
#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/names.h"
#include "policy/parse.h"
#include "policy/string_table.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

void CheckGrants(const Parsed<v1::AppDirectory>& apps, Issues& issues) {
  const SourceMap& source = apps.source;
  if (static_cast<size_t>(apps.message.grants_size()) > kMaxGrants) {
    issues.push_back(
        source.At(absl::StrCat("grants[", kMaxGrants, "]"),
                  absl::StrCat("more than ", kMaxGrants, " grants")));
    return;
  }
  for (int i = 0; i < apps.message.grants_size(); ++i) {
    CheckGrant(apps.message.grants(i), [&](std::string_view field,
                                           std::string reason) {
      issues.push_back(
          source.At(absl::StrCat("grants[", i, "]", field), std::move(reason)));
    });
  }
}

// The part of a subject's word that one package gives.
uint64_t WordOf(const v1::App& app, const Vocabulary& vocabulary) {
  uint64_t word = 0;
  for (const std::string& permission : app.permissions()) {
    word |= vocabulary.PermissionBit(permission);
  }
  for (const int role : app.roles()) {
    word |= vocabulary.RoleBit(static_cast<v1::Role>(role));
  }
  return word;
}

}  // namespace

class AppsBuilder {
 public:
  AppsBuilder(const Parsed<v1::AppDirectory>& apps,
              const Vocabulary& vocabulary, Issues& issues)
      : apps_(apps), vocabulary_(vocabulary), issues_(issues) {}

  Apps Build() {
    const v1::AppDirectory& source = apps_.message;
    out_.version_ = source.version();
    for (int i = 0; i < source.apps_size(); ++i) Add(i);
    out_.packages_ = NameMap(packages_);
    out_.folded_packages_ = NameMap(folded_packages_);
    for (size_t i = 0; i < out_.entries_.size(); ++i) {
      out_.Refresh(static_cast<AppIndex>(i), vocabulary_);
    }
    auto grants = std::make_shared<Apps::GrantList>();
    for (const v1::Grant& grant : source.grants()) {
      grants->push_back(std::make_shared<const v1::Grant>(grant));
    }
    out_.grants_ = std::move(grants);
    return std::move(out_);
  }

 private:
  void Fail(int app, std::string_view field, std::string reason) {
    issues_.push_back(apps_.source.At(absl::StrCat("apps[", app, "]", field),
                                      std::move(reason)));
  }

  void Add(int index) {
    const v1::App& app = apps_.message.apps(index);
    std::string uid_fault = UidFault(app.uid());
    bool good = uid_fault.empty();
    if (!good) Fail(index, ".uid", std::move(uid_fault));
    good = CheckPackage(index, app.package()) && good;
    for (int i = 0; i < app.roles_size(); ++i) {
      std::string fault = RoleFault(app.roles(i));
      if (!fault.empty()) {
        Fail(index, absl::StrCat(".roles[", i, "]"), std::move(fault));
        good = false;
      }
    }
    if (!good) return;
    const auto place = static_cast<uint32_t>(out_.places_.size());
    packages_.emplace_back(app.package(), place);
    folded_packages_.emplace_back(Fold(app.package()), place);
    out_.Join(place, std::make_shared<const v1::App>(app));
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
           first == package ? absl::StrCat("\"", package, "\" is there twice")
                            : OneDirectory(package, first));
      return false;
    }
    return true;
  }

  const Parsed<v1::AppDirectory>& apps_;
  const Vocabulary& vocabulary_;
  Issues& issues_;
  Apps out_;
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

void NameMap::Set(std::string_view name, uint32_t value) {
  auto changed = changed_ == nullptr ? std::make_shared<Changed>()
                                     : std::make_shared<Changed>(*changed_);
  (*changed)[name] = value;
  changed_ = std::move(changed);
}

v1::AppDirectory Apps::ToMessage() const {
  v1::AppDirectory message;
  message.set_version(version_);
  message.mutable_apps()->Reserve(static_cast<int>(count_));
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].app != nullptr) *message.add_apps() = *places_[i].app;
  }
  message.mutable_grants()->Reserve(static_cast<int>(grants_->size()));
  for (const auto& grant : *grants_) *message.add_grants() = *grant;
  return message;
}

size_t Apps::CountBytes() {
  if (bytes_.has_value()) return *bytes_;
  bytes_ = 0;
  for (size_t i = 0; i < places_.size(); ++i) {
    if (places_[i].app != nullptr) *bytes_ += BytesOf(*places_[i].app);
  }
  for (const auto& grant : *grants_) *bytes_ += BytesOf(*grant);
  return *bytes_;
}

bool Apps::IsWorn() const {
  constexpr size_t kMostNames = 256;
  return packages_.changed() > kMostNames ||
         places_.size() > count_ + count_ / 4 + kMostNames;
}

// An entry's word, from what its packages hold. Of packages that share a uid
// the newest target counts: what a platform version takes away none of them
// brings back.
void Apps::Refresh(AppIndex app, const Vocabulary& vocabulary) {
  Entry& entry = entries_.Mutable(static_cast<size_t>(app));
  entry.word = 0;
  entry.package = {};
  if (entry.places.empty()) return;
  int32_t target_sdk = places_[entry.places[0]].app->target_sdk();
  for (const uint32_t place : entry.places) {
    const v1::App& one = *places_[place].app;
    entry.word |= WordOf(one, vocabulary);
    target_sdk = std::max(target_sdk, one.target_sdk());
  }
  entry.word |= vocabulary.TargetSdkBits(target_sdk);
  entry.package = places_[entry.places[0]].app->package();
}

AppIndex Apps::Join(uint32_t place, std::shared_ptr<const v1::App> app) {
  const uint32_t uid = app->uid();
  if (entry_of_id_.size() <= uid) entry_of_id_.Grow(uid + 1, kNoApp);
  AppIndex index = entry_of_id_[uid];
  if (index == kNoApp) {
    index = static_cast<AppIndex>(entries_.size());
    entry_of_id_.Mutable(uid) = index;
    Entry entry;
    entry.app_id = uid;
    entries_.push_back(std::move(entry));
  }
  auto& places = entries_.Mutable(static_cast<size_t>(index)).places;
  // In the directory's order.
  places.insert(std::upper_bound(places.begin(), places.end(), place), place);
  if (place == places_.size()) places_.push_back({});
  if (bytes_.has_value()) *bytes_ += BytesOf(*app);
  places_.Mutable(place) = {std::move(app), index};
  ++count_;
  return index;
}

AppIndex Apps::Leave(uint32_t place) {
  const AppIndex index = places_[place].entry;
  Entry& entry = entries_.Mutable(static_cast<size_t>(index));
  entry.places.erase(
      std::find(entry.places.begin(), entry.places.end(), place));
  if (entry.places.empty()) entry_of_id_.Mutable(entry.app_id) = kNoApp;
  if (bytes_.has_value()) *bytes_ -= BytesOf(*places_[place].app);
  places_.Mutable(place) = {};
  --count_;
  return index;
}

}  // namespace fused::policy
