#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "policy/oracle/compare.h"

namespace fused::policy::oracle {
namespace {

// Every condition that is `condition` with one thing less.
std::vector<v1::Condition> Less(const v1::Condition& condition) {
  std::vector<v1::Condition> less;
  if (condition.has_not_()) {
    less.push_back(condition.not_());
    for (v1::Condition& inner : Less(condition.not_())) {
      *less.emplace_back().mutable_not_() = std::move(inner);
    }
  }
  if (!condition.has_all_of() && !condition.has_any_of()) return less;
  const auto list_of = [](v1::Condition& of) {
    return of.has_all_of() ? of.mutable_all_of()->mutable_conditions()
                           : of.mutable_any_of()->mutable_conditions();
  };
  v1::Condition copy = condition;
  const auto parts = *list_of(copy);
  for (int i = 0; i < parts.size(); ++i) {
    less.push_back(parts[i]);
    list_of(less.emplace_back(condition))->DeleteSubrange(i, 1);
    for (v1::Condition& inner : Less(parts[i])) {
      *list_of(less.emplace_back(condition))->Mutable(i) = std::move(inner);
    }
  }
  return less;
}

class Shrinker {
 public:
  explicit Shrinker(Case found) : found_(std::move(found)) {}

  Case Run() {
    do {
      again_ = false;
      Policy();
      for (int i = 0; i < found_.policy.rules_size(); ++i) {
        Rule([i](Case& of) { return of.policy.mutable_rules(i); });
      }
      for (int i = 0; i < found_.policy.shadow_rules_size(); ++i) {
        Rule([i](Case& of) { return of.policy.mutable_shadow_rules(i); });
      }
      Apps();
      Asked();
    } while (again_);
    return found_;
  }

 private:
  // Keeps a change after which the answers differ still.
  bool Try(const std::function<void(Case&)>& change) {
    Case smaller = found_;
    change(smaller);
    if (Difference(smaller).empty()) return false;
    found_ = std::move(smaller);
    again_ = true;
    return true;
  }

  template <typename ListOf>
  void Drop(const ListOf& list_of) {
    for (int i = static_cast<int>(list_of(found_)->size()) - 1; i >= 0; --i) {
      Try([&](Case& of) { list_of(of)->erase(list_of(of)->begin() + i); });
    }
  }

  void Policy() {
    Drop([](Case& of) { return of.policy.mutable_rules(); });
    Drop([](Case& of) { return of.policy.mutable_shadow_rules(); });
    Drop([](Case& of) { return of.policy.mutable_media_types(); });
    for (int i = found_.policy.path_classes_size() - 1; i >= 0; --i) {
      if (Try([i](Case& of) { DropClass(of.policy, i); })) continue;
      Drop([i](Case& of) {
        return of.policy.mutable_path_classes(i)->mutable_patterns();
      });
    }
  }

  static void DropClass(v1::Policy& policy, int at) {
    const std::string name = policy.path_classes(at).name();
    policy.mutable_path_classes()->DeleteSubrange(at, 1);
    for (auto* rules :
         {policy.mutable_rules(), policy.mutable_shadow_rules()}) {
      for (v1::Rule& rule : *rules) {
        auto* classes = rule.mutable_path_classes();
        classes->erase(std::remove(classes->begin(), classes->end(), name),
                       classes->end());
      }
    }
  }

  template <typename RuleOf>
  void Rule(const RuleOf& rule_of) {
    if (rule_of(found_)->has_when()) {
      Try([&](Case& of) { rule_of(of)->clear_when(); });
    }
    Drop([&](Case& of) { return rule_of(of)->mutable_path_classes(); });
    Drop([&](Case& of) { return rule_of(of)->mutable_operations(); });
    while (rule_of(found_)->has_when()) {
      const std::vector<v1::Condition> less = Less(rule_of(found_)->when());
      const bool smaller =
          std::any_of(less.begin(), less.end(), [&](const auto& condition) {
            return Try(
                [&](Case& of) { *rule_of(of)->mutable_when() = condition; });
          });
      if (!smaller) break;
    }
  }

  void Apps() {
    Drop([](Case& of) { return of.apps.mutable_apps(); });
    for (int i = 0; i < found_.apps.apps_size(); ++i) {
      Drop([i](Case& of) {
        return of.apps.mutable_apps(i)->mutable_permissions();
      });
      Drop([i](Case& of) { return of.apps.mutable_apps(i)->mutable_roles(); });
    }
  }

  void Asked() {
    Drop([](Case& of) { return &of.request.operations; });
    Drop([](Case& of) { return &of.request.path; });
    if (found_.request.nomedia) {
      Try([](Case& of) { of.request.nomedia = false; });
    }
    if (found_.request.granted) {
      Try([](Case& of) { of.request.granted = false; });
    }
    if (!found_.request.owner_package.empty()) {
      Try([](Case& of) { of.request.owner_package.clear(); });
    }
  }

  Case found_;
  bool again_ = false;
};

}  // namespace

Case Shrink(Case found) { return Shrinker(std::move(found)).Run(); }

}  // namespace fused::policy::oracle
