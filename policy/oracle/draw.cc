#include "policy/oracle/draw.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

namespace fused::policy::oracle {
namespace {

constexpr auto kEnoent = static_cast<v1::Error>(1);

constexpr std::string_view kLiterals[] = {
    "DCIM", "Music", "Android", "data", "obb", "Foo", "bar", "a",
    "\u00c9t\u00e9",
    // Full-width letters, which fold to "dcim".
    "\uff24\uff23\uff29\uff2d", ".hid", "x.jpg"};
constexpr std::string_view kStems[] = {"x",   "photo",  "a.b", "DCIM",
                                       "foo", "\u00df", "y z"};
constexpr std::string_view kExtensions[] = {"jpg", "mp4", "MP3",
                                            "txt", "srt", "png"};
constexpr std::string_view kTypes[] = {"IMAGE", "VIDEO", "AUDIO", "SUBTITLE",
                                       "DOCUMENT"};
constexpr std::string_view kPermissions[] = {"READ_IMAGES", "READ_VIDEO",
                                             "READ_AUDIO",  "READ_ALL",
                                             "WRITE_ALL",   "LOCATION"};
constexpr std::string_view kPackages[] = {"com.a", "com.b",         "com.c",
                                          "com.d", "org.long.name", "com.Mixed",
                                          "foo",   "com.e"};
// Few, so that packages share them; 1000 and 10000 are the system's and the
// first app's.
constexpr uint32_t kAppIds[] = {1000, 10000, 10001, 10002, 10003, 19999};
constexpr int kSdks[] = {1, 23, 29, 30, 33, 34};
constexpr uint32_t kUsers[] = {0, 0, 1, 10};
constexpr std::string_view kUnclean[] = {
    "a:b",         "q?",           "end.",        "end ",    "a*b.jpg",
    "tab\t.jpg",   "\x7f",         "bad\xff.jpg", "<x>",     "a|b",
    "back\\slash", "\xed\xa0\x80", "\xc0\xaf",    "\xe2\x82"};

std::string Str(std::string_view text) { return std::string(text); }

// Another spelling that a case-folding tree takes for the same name.
std::string Respell(Dice& dice, std::string text) {
  if (dice.Chance(50)) return text;
  for (char& c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter && dice.Chance(50)) c = static_cast<char>(c ^ 0x20);
  }
  return text;
}

// Where {package} may stand: the engine bounds the different depths.
struct Depths {
  size_t first;
  size_t second;
};

std::string DrawPattern(Dice& dice, const Depths& captures) {
  if (dice.Chance(6)) return "/";
  const size_t length = 1 + dice.Below(dice.Chance(80) ? 4 : 7);
  std::string pattern;
  bool capture = true;
  for (size_t depth = 0; depth < length; ++depth) {
    std::string component = Respell(dice, Str(dice.Pick(kLiterals)));
    const size_t kind = dice.Below(100);
    const bool last = depth + 1 == length;
    if (kind < (last ? 35u : 10u)) {
      component = "**";
      capture = false;
    } else if (kind < 45) {
      component = "*";
    } else if (capture && kind < 75 &&
               (depth == captures.first || depth == captures.second)) {
      component = "{package}";
      capture = false;
    }
    pattern += (depth == 0 ? "" : "/") + component;
  }
  return pattern;
}

void DrawConditions(Dice& dice, const v1::Policy& policy, int depth,
                    v1::Condition::List* list);

void DrawCondition(Dice& dice, const v1::Policy& policy, int depth,
                   v1::Condition* condition) {
  switch (dice.Below(depth > 0 ? 16 : 10)) {
    case 0:
      condition->set_permission(Str(dice.Pick(kPermissions)));
      return;
    case 1:
    case 2:
      condition->set_role(static_cast<v1::Role>(1 + dice.Below(7)));
      return;
    case 3:
    case 4:
      condition->set_relation(static_cast<v1::Relation>(1 + dice.Below(3)));
      return;
    case 5:
      if (!policy.media_types().empty()) {
        condition->set_media_type(dice.Pick(policy.media_types()).name());
        return;
      }
      [[fallthrough]];
    case 6:
      condition->set_state(static_cast<v1::FileState>(1 + dice.Below(3)));
      return;
    case 7:
      condition->set_is_directory(dice.Chance(70));
      return;
    case 8:
      condition->set_granted(dice.Chance(70));
      return;
    case 9:
      condition->set_min_target_sdk(dice.Pick(kSdks));
      return;
    case 10:
    case 11:
      DrawCondition(dice, policy, depth - 1, condition->mutable_not_());
      return;
    case 12:
    case 13:
      DrawConditions(dice, policy, depth - 1, condition->mutable_all_of());
      return;
    default:
      DrawConditions(dice, policy, depth - 1, condition->mutable_any_of());
  }
}

void DrawConditions(Dice& dice, const v1::Policy& policy, int depth,
                    v1::Condition::List* list) {
  const size_t size = dice.Chance(10) ? 0 : 1 + dice.Below(3);
  for (size_t i = 0; i < size; ++i) {
    DrawCondition(dice, policy, depth, list->add_conditions());
  }
}

void DrawOperations(Dice& dice, v1::Rule* rule) {
  if (dice.Chance(15)) {
    rule->add_operations(v1::ANY);
    return;
  }
  std::vector<int> operations;
  for (int i = 2; i < v1::Operation_ARRAYSIZE; ++i) operations.push_back(i);
  for (size_t left = 1 + dice.Below(6); left > 0; --left) {
    const size_t at = dice.Below(operations.size());
    rule->add_operations(static_cast<v1::Operation>(operations[at]));
    operations.erase(operations.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

void DrawEffect(Dice& dice, v1::Rule* rule) {
  const auto& operations = rule->operations();
  const bool lookup =
      std::any_of(operations.begin(), operations.end(), [](int operation) {
        return operation == v1::ANY || operation == v1::LOOKUP;
      });
  if (dice.Chance(lookup ? 75 : 55)) {
    auto* allow = rule->mutable_effect()->mutable_allow();
    allow->set_io(static_cast<v1::IoMode>(dice.Below(3)));
    if (dice.Chance(20)) allow->set_redact(v1::LOCATION);
    return;
  }
  auto* deny = rule->mutable_effect()->mutable_deny();
  if (lookup) {
    deny->set_error(dice.Chance(50) ? kEnoent : v1::ERROR_UNSPECIFIED);
  } else {
    deny->set_error(static_cast<v1::Error>(dice.Below(4)));
  }
}

void DrawRule(Dice& dice, const v1::Policy& policy, v1::Rule* rule) {
  if (dice.Chance(65)) {
    std::vector<std::string> classes = {"other"};
    for (const auto& c : policy.path_classes()) classes.push_back(c.name());
    for (size_t left = 1 + dice.Below(3); left > 0 && !classes.empty();
         --left) {
      const size_t at = dice.Below(classes.size());
      rule->add_path_classes(classes[at]);
      classes.erase(classes.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  DrawOperations(dice, rule);
  if (dice.Chance(70)) {
    DrawCondition(dice, policy, static_cast<int>(dice.Below(4)),
                  rule->mutable_when());
  }
  DrawEffect(dice, rule);
}

void DrawRules(Dice& dice, const v1::Policy& policy, size_t count,
               std::string_view prefix,
               google::protobuf::RepeatedPtrField<v1::Rule>* rules) {
  for (size_t i = 0; i < count; ++i) {
    v1::Rule* rule = rules->Add();
    rule->set_name(Str(prefix) + std::to_string(i));
    DrawRule(dice, policy, rule);
  }
  if (count > 0 && dice.Chance(70)) {
    // What is not seen is not decided on: let most see most.
    v1::Rule* rule = rules->Add();
    rule->set_name(Str(prefix) + "see");
    rule->add_operations(v1::LOOKUP);
    rule->mutable_effect()->mutable_allow();
    if (dice.Chance(50)) rule->add_operations(v1::READ);
    if (dice.Chance(50)) rule->add_operations(v1::WRITE);
  }
}

std::string Mark(Dice& dice) {
  const std::string_view marks[] = {".pending-", ".trashed-", ".Pending-"};
  return Str(dice.Pick(marks)) + std::to_string(dice.Below(2000000000)) + "-";
}

std::vector<std::string> DrawPath(Dice& dice, const v1::Policy& policy,
                                  const v1::AppDirectory& apps) {
  std::string pattern = dice.Chance(50) ? "**" : "Android/data/{package}/**";
  if (!policy.path_classes().empty() && dice.Chance(90)) {
    pattern = dice.Pick(dice.Pick(policy.path_classes()).patterns());
  }
  std::vector<std::string> path;
  std::string component;
  const auto end = [&] {
    if (component == "**") {
      for (size_t i = dice.Below(3); i > 0; --i) path.push_back(DrawName(dice));
    } else if (component == "{package}" && !apps.apps().empty()) {
      path.push_back(Respell(dice, dice.Pick(apps.apps()).package()));
    } else if (component == "*" || component == "{package}") {
      path.push_back(DrawName(dice));
    } else if (!component.empty()) {
      path.push_back(Respell(dice, component));
    }
    component.clear();
  };
  for (char c : pattern) {
    if (c == '/') {
      end();
    } else {
      component += c;
    }
  }
  end();
  if (dice.Chance(35)) path.push_back(DrawName(dice));
  if (dice.Chance(8)) path.push_back(DrawName(dice));
  if (!path.empty() && dice.Chance(5)) path.pop_back();
  if (!path.empty() && dice.Chance(10)) path.back() = DrawName(dice);
  for (std::string& spelled : path) {
    // What a folding tree, or FAT, does not see. Not the one before the other:
    // the headers leave open which extension that makes.
    if (dice.Chance(3)) {
      spelled += '.';
    } else if (dice.Chance(3) && !spelled.ends_with('.')) {
      spelled += "\u200b";
    } else if (dice.Chance(1)) {
      spelled.insert(0, "\u2060");
    }
  }
  return path;
}

uint32_t DrawCaller(Dice& dice, const v1::AppDirectory& apps) {
  const uint32_t special[] = {0,       2000, 100000, 102000,
                              1002000, 4,    12345,  112345};
  if (apps.apps().empty() || dice.Chance(20)) return dice.Pick(special);
  return dice.Pick(kUsers) * 100000 + dice.Pick(apps.apps()).uid();
}

}  // namespace

std::string DrawName(Dice& dice) {
  if (dice.Chance(10)) return Str(dice.Pick(kUnclean));
  if (dice.Chance(25)) return Respell(dice, Str(dice.Pick(kLiterals)));
  if (dice.Chance(4)) return Str(dice.Pick(kPackages));
  std::string name = Respell(dice, Str(dice.Pick(kStems)));
  if (dice.Chance(2)) name = std::string(245 + dice.Below(12), 'n');
  if (dice.Chance(80)) {
    name += "." + Respell(dice, Str(dice.Pick(kExtensions)));
  }
  if (dice.Chance(20)) return Mark(dice) + name;
  if (dice.Chance(3)) return ".pending-12x-" + name;
  return dice.Chance(15) ? "." + name : name;
}

v1::Policy DrawPolicy(Dice& dice) {
  v1::Policy policy;
  policy.set_name("drawn");
  policy.set_version(1 + dice.Below(9));
  for (std::string_view type : kTypes) {
    if (dice.Chance(30)) continue;
    auto* media_type = policy.add_media_types();
    media_type->set_name(Str(type));
    for (std::string_view extension : kExtensions) {
      if (dice.Chance(35)) {
        media_type->add_extensions(Respell(dice, Str(extension)));
      }
    }
    if (media_type->extensions().empty()) media_type->add_extensions("bin");
  }
  const Depths captures = {dice.Below(2), 2 + dice.Below(2)};
  const size_t classes = dice.Below(dice.Chance(90) ? 9 : 30);
  for (size_t i = 0; i < classes; ++i) {
    auto* path_class = policy.add_path_classes();
    path_class->set_name("class" + std::to_string(i));
    if (dice.Chance(40)) path_class->set_names(v1::FAT);
    for (size_t left = 1 + dice.Below(3); left > 0; --left) {
      path_class->add_patterns(DrawPattern(dice, captures));
    }
  }
  const size_t rules = dice.Below(dice.Chance(90) ? 24 : 90);
  DrawRules(dice, policy, rules, "rule", policy.mutable_rules());
  if (dice.Chance(30)) {
    DrawRules(dice, policy, dice.Below(6), "shadow",
              policy.mutable_shadow_rules());
  }
  return policy;
}

v1::AppDirectory DrawApps(Dice& dice) {
  v1::AppDirectory apps;
  apps.set_version(1);
  for (std::string_view package : kPackages) {
    if (dice.Chance(25)) continue;
    v1::App* app = apps.add_apps();
    app->set_package(Str(package));
    app->set_uid(dice.Pick(kAppIds));
    app->set_target_sdk(dice.Chance(10) ? 0 : dice.Pick(kSdks));
    for (std::string_view permission : kPermissions) {
      if (dice.Chance(25)) app->add_permissions(Str(permission));
    }
    if (dice.Chance(10)) app->add_permissions("OF_NO_RULE");
    for (int role = v1::MANAGER; role <= v1::MTP; ++role) {
      if (dice.Chance(12)) app->add_roles(static_cast<v1::Role>(role));
    }
  }
  return apps;
}

Request DrawRequest(Dice& dice, const v1::Policy& policy,
                    const v1::AppDirectory& apps) {
  Request request;
  request.caller = DrawCaller(dice, apps);
  request.tree = dice.Chance(90) ? request.caller / 100000 : dice.Pick(kUsers);
  request.path = DrawPath(dice, policy, apps);
  request.directory = request.path.empty() || dice.Chance(25);
  request.nomedia = dice.Chance(10);
  request.granted = dice.Chance(15);
  if (!apps.apps().empty() && dice.Chance(60)) {
    const v1::App& owner = dice.Pick(apps.apps());
    request.owner_package = owner.package();
    request.owner_app_id = owner.uid();
    if (dice.Chance(10)) request.owner_app_id = dice.Pick(kAppIds);
  } else if (dice.Chance(30)) {
    request.owner_package = "com.gone";
    request.owner_app_id = dice.Pick(kAppIds);
  }
  const size_t operations = dice.Chance(75) ? 1 : dice.Below(5);
  for (size_t i = 0; i < operations; ++i) {
    request.operations.push_back(
        dice.Chance(35) ? (dice.Chance(60) ? v1::READ : v1::WRITE)
                        : static_cast<v1::Operation>(
                              2 + dice.Below(v1::Operation_ARRAYSIZE - 2)));
  }
  return request;
}

}  // namespace fused::policy::oracle
