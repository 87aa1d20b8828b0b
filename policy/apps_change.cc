// Single changes of an app directory.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "policy/apps.h"
#include "policy/apps_checks.h"
#include "policy/names.h"

namespace fused::policy {
namespace {

void Fail(std::string field, std::string reason, Issues& issues) {
  Issue issue;
  issue.field = std::move(field);
  issue.reason = std::move(reason);
  issues.push_back(std::move(issue));
}

bool Same(const google::protobuf::Message& a,
          const google::protobuf::Message& b) {
  return a.SerializeAsString() == b.SerializeAsString();
}

}  // namespace

bool Apps::Install(const v1::App& app, const Vocabulary& vocabulary,
                   const std::string& field, std::vector<AppIndex>& touched,
                   Issues& issues) {
  const size_t before = issues.size();
  if (std::string fault = UidFault(app.uid()); !fault.empty()) {
    Fail(field + ".uid", std::move(fault), issues);
  }
  for (int i = 0; i < app.roles_size(); ++i) {
    if (std::string fault = RoleFault(app.roles(i)); !fault.empty()) {
      Fail(absl::StrCat(field, ".roles[", i, "]"), std::move(fault), issues);
    }
  }
  uint32_t place = StringTable::kNone;
  const std::string folded = Fold(app.package());
  if (const auto fault = PackageFault(app.package()); !fault.empty()) {
    Fail(field + ".package", std::string(fault), issues);
  } else {
    place = folded_packages_.Find(folded);
  }
  if (place != StringTable::kNone &&
      places_[place].app->package() != app.package()) {
    Fail(field + ".package",
         OneDirectory(app.package(), places_[place].app->package()), issues);
  }
  if (place == StringTable::kNone && count_ >= kMaxApps) {
    Fail(field, absl::StrCat("more than ", kMaxApps, " apps"), issues);
  }
  if (issues.size() != before) return false;
  if (place != StringTable::kNone) {
    if (Same(*places_[place].app, app)) return false;
    touched.push_back(Leave(place));
    Refresh(touched.back(), vocabulary);
  } else {
    place = static_cast<uint32_t>(places_.size());
    packages_.Set(app.package(), place);
    folded_packages_.Set(folded, place);
  }
  touched.push_back(Join(place, std::make_shared<const v1::App>(app)));
  Refresh(touched.back(), vocabulary);
  return true;
}

template <typename Function>
void Apps::DropGrants(const Function& goes) {
  auto left = std::make_shared<GrantList>();
  left->reserve(grants_->size());
  for (const std::shared_ptr<const v1::Grant>& grant : *grants_) {
    if (!goes(grant)) {
      left->push_back(grant);
    } else if (bytes_.has_value()) {
      *bytes_ -= BytesOf(*grant);
    }
  }
  grants_ = std::move(left);
}

bool Apps::Uninstall(const std::string& package, const Vocabulary& vocabulary,
                     std::vector<AppIndex>& touched) {
  const uint32_t place = packages_.Find(package);
  if (place == StringTable::kNone) return false;
  packages_.Set(package, StringTable::kNone);
  folded_packages_.Set(Fold(package), StringTable::kNone);
  touched.push_back(Leave(place));
  Refresh(touched.back(), vocabulary);
  const auto is_its = [&package](const std::shared_ptr<const v1::Grant>& one) {
    return one->package() == package;
  };
  if (std::any_of(grants_->begin(), grants_->end(), is_its)) {
    DropGrants(is_its);
  }
  return true;
}

bool Apps::SetPermission(const v1::AppChange::Permission& change, bool held,
                         const Vocabulary& vocabulary, const std::string& field,
                         std::vector<AppIndex>& touched, Issues& issues) {
  const uint32_t place = packages_.Find(change.package());
  if (place == StringTable::kNone) {
    Fail(field + ".package",
         absl::StrCat("no app is called \"", change.package(), "\""), issues);
    return false;
  }
  if (change.permission().empty()) {
    Fail(field + ".permission", "which permission is not said", issues);
    return false;
  }
  const auto& now = places_[place].app->permissions();
  if ((std::find(now.begin(), now.end(), change.permission()) != now.end()) ==
      held) {
    return false;
  }
  auto app = std::make_shared<v1::App>(*places_[place].app);
  if (held) {
    app->add_permissions(change.permission());
  } else {
    auto& all = *app->mutable_permissions();
    all.erase(std::remove(all.begin(), all.end(), change.permission()),
              all.end());
  }
  Place& here = places_.Mutable(place);
  if (bytes_.has_value()) *bytes_ += BytesOf(*app) - BytesOf(*here.app);
  here.app = std::move(app);
  touched.push_back(here.entry);
  Refresh(here.entry, vocabulary);
  return true;
}

bool Apps::SetGrant(const v1::Grant& grant, bool there,
                    const std::string& field, Issues& issues) {
  const size_t before = issues.size();
  CheckGrant(grant, [&](std::string_view part, std::string reason) {
    Fail(absl::StrCat(field, part), std::move(reason), issues);
  });
  if (there && grants_->size() >= kMaxGrants) {
    Fail(field, absl::StrCat("more than ", kMaxGrants, " grants"), issues);
  }
  if (issues.size() != before) return false;
  const auto is_it = [&grant](const std::shared_ptr<const v1::Grant>& one) {
    return Same(*one, grant);
  };
  if (std::any_of(grants_->begin(), grants_->end(), is_it) == there) {
    return false;
  }
  if (!there) {
    DropGrants(is_it);
    return true;
  }
  auto next = std::make_shared<GrantList>(*grants_);
  next->push_back(std::make_shared<const v1::Grant>(grant));
  if (bytes_.has_value()) *bytes_ += BytesOf(grant);
  grants_ = std::move(next);
  return true;
}

bool Apps::Change(const v1::AppChange& change, const Vocabulary& vocabulary,
                  const std::string& field, std::vector<AppIndex>& touched,
                  Issues& issues) {
  switch (change.kind_case()) {
    case v1::AppChange::kInstall:
      return Install(change.install(), vocabulary, field + ".install", touched,
                     issues);
    case v1::AppChange::kUninstall:
      return Uninstall(change.uninstall(), vocabulary, touched);
    case v1::AppChange::kGrant:
      return SetPermission(change.grant(), true, vocabulary, field + ".grant",
                           touched, issues);
    case v1::AppChange::kRevoke:
      return SetPermission(change.revoke(), false, vocabulary,
                           field + ".revoke", touched, issues);
    case v1::AppChange::kGrantFile:
      return SetGrant(change.grant_file(), true, field + ".grant_file", issues);
    case v1::AppChange::kRevokeFile:
      return SetGrant(change.revoke_file(), false, field + ".revoke_file",
                      issues);
    case v1::AppChange::KIND_NOT_SET:
      break;
  }
  Fail(field, "a change that is not known here", issues);
  return false;
}

void Apps::Compare(
    const Apps& before, const Apps& after,
    const std::function<void(const v1::App*, const v1::App*)>& differs) {
  const size_t size = std::max(before.places_.size(), after.places_.size());
  const auto at = [](const Apps& apps, size_t place) {
    return place < apps.places_.size() ? apps.places_[place].app.get()
                                       : nullptr;
  };
  for (size_t place = 0; place < size; ++place) {
    if (before.places_.Shares(after.places_, place)) continue;
    const v1::App* const old_app = at(before, place);
    const v1::App* const new_app = at(after, place);
    if (old_app != new_app) differs(old_app, new_app);
  }
}

}  // namespace fused::policy
