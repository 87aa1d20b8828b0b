#include "policy/changes.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "policy/apps.h"
#include "policy/conditions.h"
#include "policy/engine_impl.h"
#include "policy/names.h"
#include "policy/rules.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

// In no entry that a device has: app ids of Android end before.
constexpr uint32_t kNobody = 99999;

// The sections by which places and types are told.
std::string Places(const v1::Policy& policy) {
  v1::Policy places;
  *places.mutable_media_types() = policy.media_types();
  *places.mutable_path_classes() = policy.path_classes();
  return places.SerializeAsString();
}

// What rules say, without their names and conditions, by their place.
std::vector<std::string> Sayings(const v1::Policy& policy) {
  std::vector<std::string> sayings;
  for (const v1::Rule& rule : policy.rules()) {
    v1::Rule bare = rule;
    bare.clear_name();
    bare.clear_when();
    sayings.push_back(bare.SerializeAsString());
  }
  return sayings;
}

std::string RulesOf(const v1::Policy& policy) {
  v1::Policy rules;
  for (const v1::Rule& rule : policy.rules()) {
    *rules.add_rules() = rule;
    rules.mutable_rules()->rbegin()->clear_name();
  }
  return rules.SerializeAsString();
}

// All that the rules say to a subject: of each that may hold, what it says and
// when, by what is left of its condition.
std::string SaidTo(uint64_t word, const RuleSet& rules,
                   const std::vector<std::string>& sayings) {
  std::string all;
  for (size_t rule = 0; rule < rules.size(); ++rule) {
    std::vector<std::pair<uint64_t, uint64_t>> when;
    for (const Term& term : rules.TermsOf(rule)) {
      if (term.HoldsForSubject(word)) {
        when.emplace_back(term.object_mask, term.object_value);
      }
    }
    if (when.empty()) continue;
    std::sort(when.begin(), when.end());
    when.erase(std::unique(when.begin(), when.end()), when.end());
    absl::StrAppend(&all, sayings[rule].size(), ":", sayings[rule]);
    for (const auto& [mask, value] : when) {
      absl::StrAppend(&all, mask, "=", value, ",");
    }
    absl::StrAppend(&all, ";");
  }
  return all;
}

std::vector<std::string> GrantsOf(const Apps::GrantList& list) {
  std::vector<std::string> grants;
  grants.reserve(list.size());
  for (const std::shared_ptr<const v1::Grant>& grant : list) {
    // The package first, so that it can be told from the rest.
    grants.push_back(absl::StrCat(grant->package(), std::string(1, '\0'),
                                  grant->SerializeAsString()));
  }
  std::sort(grants.begin(), grants.end());
  return grants;
}

}  // namespace

Changes::Changes(std::shared_ptr<const Snapshot> before,
                 std::shared_ptr<const Snapshot> after)
    : before_(std::move(before)), after_(std::move(after)) {
  const CompiledPolicy& old_policy = before_->policy();
  const CompiledPolicy& new_policy = after_->policy();
  if (&old_policy == &new_policy ||
      old_policy.sha256() == new_policy.sha256()) {
    same_places_ = same_rules_ = true;
  } else {
    same_places_ = Places(old_policy.source()) == Places(new_policy.source());
    same_rules_ = same_places_ &&
                  RulesOf(old_policy.source()) == RulesOf(new_policy.source());
  }
  const Apps::GrantList& old_list = before_->grants();
  const Apps::GrantList& new_list = after_->grants();
  // Deltas keep the grants that they do not change, as they are.
  if (&old_list == &new_list || old_list == new_list) {
    same_grants_ = true;
    return;
  }
  std::vector<std::string> differing;
  const std::vector<std::string> old_grants = GrantsOf(old_list);
  const std::vector<std::string> new_grants = GrantsOf(new_list);
  std::set_symmetric_difference(old_grants.begin(), old_grants.end(),
                                new_grants.begin(), new_grants.end(),
                                std::back_inserter(differing));
  for (const std::string& grant : differing) {
    granted_.insert(grant.substr(0, grant.find('\0')));
  }
  same_grants_ = granted_.empty();
  for (const std::string& package : granted_) {
    for (const Snapshot* snapshot : {before_.get(), after_.get()}) {
      if (const auto app_id = snapshot->AppIdOf(package)) {
        granted_ids_.insert(*app_id);
      }
    }
  }
}

Changes::~Changes() = default;

bool Changes::ForSubject(const Subject& before, const Subject& after) const {
  if (!same_places_) return true;
  if (before.listed != after.listed ||
      (before.app == kNoApp) != (after.app == kNoApp)) {
    return true;
  }
  if (same_rules_ && before.word == after.word &&
      &before_->policy() == &after_->policy()) {
    return false;
  }
  const auto [known, added] =
      same_words_.try_emplace({before.word, after.word}, false);
  if (added) {
    if (said_before_.empty()) {
      said_before_ = Sayings(before_->policy().source());
      said_after_ = Sayings(after_->policy().source());
    }
    known->second =
        SaidTo(before.word, before_->impl_->parts->rules, said_before_) ==
        SaidTo(after.word, after_->impl_->parts->rules, said_after_);
  }
  return !known->second;
}

bool Changes::SamePackages(uint32_t app_id) const {
  if (!packages_.has_value()) {
    packages_.emplace();
    // A sum, in which what both have cancels out.
    Apps::Compare(before_->impl_->apps, after_->impl_->apps,
                  [this](const v1::App* was, const v1::App* is) {
                    if (was != nullptr) {
                      (*packages_)[was->uid()] += absl::HashOf(was->package());
                    }
                    if (is != nullptr) {
                      (*packages_)[is->uid()] -= absl::HashOf(is->package());
                    }
                  });
  }
  const auto found = packages_->find(app_id);
  return found == packages_->end() || found->second == 0;
}

bool Changes::ForPackage(std::string_view package, uint32_t uid) const {
  const uint32_t app_id = uid % kUsersStride;
  if (granted_.contains(package) || granted_ids_.contains(app_id)) return true;
  const auto subject = [&](const Snapshot& snapshot) {
    Subject found =
        snapshot.SubjectOf(snapshot.AppIdOf(package) == app_id ? uid : kNobody);
    found.listed = found.listed && found.app != kNoApp;
    return found;
  };
  return ForSubject(subject(*before_), subject(*after_)) ||
         !SamePackages(app_id);
}

bool Changes::ForUid(uint32_t uid) const {
  const Subject before = before_->SubjectOf(uid);
  const Subject after = after_->SubjectOf(uid);
  if (ForSubject(before, after)) return true;
  if (after.app == kNoApp) return false;
  // It may be granted something as any of its packages.
  return !same_grants_ || !SamePackages(uid % kUsersStride);
}

bool Changes::ForShared() const {
  if (!same_places_ || !same_rules_ || !same_grants_) return true;
  // What is cached there has the same answer for all. With the same rules it
  // can only be another when it is not for all any more.
  const size_t classes = after_->impl_->parts->rules.classes();
  for (size_t i = 0; i < classes; ++i) {
    if (before_->impl_->table.UniformLookup(i) !=
            after_->impl_->table.UniformLookup(i) ||
        before_->impl_->table.UniformList(i) !=
            after_->impl_->table.UniformList(i) ||
        before_->impl_->table.UniformIo(i) !=
            after_->impl_->table.UniformIo(i)) {
      return true;
    }
  }
  return false;
}

}  // namespace fused::policy
