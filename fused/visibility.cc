#include "fused/visibility.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "proto/policy.pb.h"

namespace fused {
namespace {

// No app is ever given it.
constexpr uint32_t kNobody = 99999;

// Of no package, and of no pattern's own.
constexpr char kAnyName[] = "a";

bool AsksForHidden(const policy::v1::Condition& condition) {
  const auto asks = [](const policy::v1::Condition& part) {
    return AsksForHidden(part);
  };
  switch (condition.kind_case()) {
    case policy::v1::Condition::kState:
      return condition.state() == policy::v1::HIDDEN;
    case policy::v1::Condition::kNot:
      return AsksForHidden(condition.not_());
    case policy::v1::Condition::kAllOf:
      return std::any_of(condition.all_of().conditions().begin(),
                         condition.all_of().conditions().end(), asks);
    case policy::v1::Condition::kAnyOf:
      return std::any_of(condition.any_of().conditions().begin(),
                         condition.any_of().conditions().end(), asks);
    default:
      return false;
  }
}

}  // namespace

Visibility SeesName(const policy::Snapshot& snapshot,
                    const policy::Subject& subject,
                    const policy::Location& location, std::string_view name,
                    std::optional<bool> directory, AskedName* asked) {
  int questions = 0;
  int allowed = 0;
  const auto ask = [&](bool is_directory, policy::AppIndex owner) {
    ++questions;
    const policy::Object object =
        snapshot.ObjectAt(location, name, is_directory, owner);
    const policy::Decision decision =
        snapshot.Decide(subject, object, policy::Operation::kLookup);
    allowed += decision.allowed();
    if (asked != nullptr) *asked = {object, decision};
  };
  if (directory.value_or(true)) ask(true, policy::kNoApp);
  if (!directory.value_or(false)) {
    ask(false, policy::kNoApp);
    if (subject.app != policy::kNoApp) ask(false, subject.app);
  }
  if (allowed == 0) return Visibility::kNever;
  return allowed == questions ? Visibility::kAlways : Visibility::kDepends;
}

bool MaySeeName(const policy::Snapshot& snapshot,
                const policy::Subject& subject,
                const policy::Location& location, std::string_view name,
                AskedName* asked) {
  // Of most names it is allowed for a directory, and that asked first.
  const policy::Object object =
      snapshot.ObjectAt(location, name, true, policy::kNoApp);
  return snapshot.Decide(subject, object, policy::Operation::kLookup)
             .allowed() ||
         SeesName(snapshot, subject, location, name, false, asked) !=
             Visibility::kNever;
}

policy::Subject NobodyOf(const policy::Snapshot& snapshot, uint32_t user) {
  policy::Subject nobody;
  nobody.user = user;
  nobody.row = snapshot.SubjectOf(kNobody).row;
  return nobody;
}

bool HidesNamesBelow(const policy::Snapshot& snapshot,
                     const policy::Subject* subject,
                     const policy::Location& directory) {
  const policy::Location child = snapshot.Child(directory, kAnyName);
  if (snapshot.UniformLookup(child)) return false;
  // What all share a cache of is one answer for all.
  if (subject == nullptr) return true;
  const policy::Object object =
      snapshot.ObjectAt(child, kAnyName, true, policy::kNoApp);
  return !snapshot.Decide(*subject, object, policy::Operation::kLookup)
              .allowed();
}

bool ListsAlike(const policy::Snapshot& snapshot,
                const policy::Location& directory, bool single_user) {
  // Another user's caller finds nothing in the root, and comes no deeper.
  if (directory.depth == 0 && !single_user) return false;
  // Who may not, and holds it open since he might, would read what is kept.
  if (!snapshot.UniformList(directory)) return false;
  const auto alike = [&](std::string_view name) {
    return snapshot.UniformLookup(snapshot.Child(directory, name));
  };
  if (!alike(kAnyName)) return false;
  const std::vector<std::string_view> names = snapshot.NamesBelow(directory);
  return std::all_of(names.begin(), names.end(), alike);
}

bool HiddenIsUnseen(const policy::Snapshot& snapshot) {
  const auto looks = [](const policy::v1::Rule& rule) {
    const bool lookup = std::any_of(rule.operations().begin(),
                                    rule.operations().end(), [](int operation) {
                                      return operation == policy::v1::LOOKUP ||
                                             operation == policy::v1::ANY;
                                    });
    return lookup && rule.has_when() && AsksForHidden(rule.when());
  };
  const auto& rules = snapshot.policy().source().rules();
  return std::any_of(rules.begin(), rules.end(), looks);
}

bool JudgedAlikeBelow(const policy::Location& a, const policy::Location& b) {
  return a.state == b.state && a.user == b.user && a.hidden == b.hidden &&
         a.dotted == b.dotted && (a.depth == 0) == (b.depth == 0) &&
         std::equal(std::begin(a.capture), std::end(a.capture),
                    std::begin(b.capture));
}

}  // namespace fused
