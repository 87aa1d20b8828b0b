#include "policy/oracle/interpreter.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <map>
#include <set>
#include <utility>

#include "policy/names.h"

namespace fused::policy::oracle {
namespace {

// In C++ the enumerators' own names belong to <cerrno>.
constexpr auto kEnoent = static_cast<v1::Error>(1);
constexpr auto kEperm = static_cast<v1::Error>(3);

// As Fold() says; what it says of ASCII is written again.
std::string Lower(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x80;
  });
  if (!ascii) return Fold(text);
  std::string lower;
  for (char c : text) {
    lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  // Dots at the end do not count, but for a name that is nothing else.
  while (lower.ends_with('.') && lower.find_first_not_of('.') != lower.npos) {
    lower.pop_back();
  }
  return lower;
}

std::vector<std::string> Components(std::string_view pattern) {
  std::vector<std::string> components(1);
  for (char c : pattern) {
    if (c == '/') {
      components.emplace_back();
    } else {
      components.back() += c;
    }
  }
  // "/" is the root: no component.
  std::erase(components, "");
  return components;
}

bool MatchesFrom(const std::vector<std::string>& pattern, size_t p,
                 const std::vector<std::string>& path, size_t c) {
  if (p == pattern.size()) return c == path.size();
  if (pattern[p] == "**") {
    return MatchesFrom(pattern, p + 1, path, c) ||
           (c < path.size() && MatchesFrom(pattern, p, path, c + 1));
  }
  if (c == path.size()) return false;
  const bool any = pattern[p] == "*" || pattern[p] == "{package}";
  return (any || Lower(pattern[p]) == Lower(path[c])) &&
         MatchesFrom(pattern, p + 1, path, c + 1);
}

// The <name> of `.pending-<digits>-<name>`, or nothing.
std::optional<std::string> After(std::string_view mark, std::string_view name) {
  const std::string lower = Lower(name);
  if (!lower.starts_with(mark)) return std::nullopt;
  const size_t dash = lower.find('-', mark.size());
  if (dash == std::string::npos || dash == mark.size()) return std::nullopt;
  for (size_t i = mark.size(); i < dash; ++i) {
    if (std::isdigit(static_cast<unsigned char>(lower[i])) == 0) {
      return std::nullopt;
    }
  }
  if (dash + 1 == lower.size()) return std::nullopt;
  return lower.substr(dash + 1);
}

}  // namespace

struct Interpreter::Caller {
  bool root = false;
  bool shell = false;
  uint32_t user = 0;
  uint32_t app_id = 0;
  // Those that share the app id; none for ROOT, SHELL and who is not listed.
  std::vector<const v1::App*> apps;

  bool listed() const { return root || shell || !apps.empty(); }
};

struct Interpreter::Place {
  const v1::PathClass* path_class = nullptr;  // null for `other`
  std::string package;                        // what {package} stands for

  std::string name() const { return path_class ? path_class->name() : "other"; }
};

bool NaiveFatClean(std::string_view name) {
  if (name.empty() || name.size() > 255 || name == "." || name == "..") {
    return false;
  }
  if (name.back() == '.' || name.back() == ' ') return false;
  for (size_t i = 0; i < name.size();) {
    const auto byte = [&](size_t at) -> uint32_t {
      return at < name.size() ? static_cast<unsigned char>(name[at]) : 0;
    };
    const uint32_t lead = byte(i);
    if (lead < 0x80) {
      if (lead < 0x20 || lead == 0x7f) return false;
      if (std::string_view("\"*/:<>?\\|").find(name[i]) != name.npos) {
        return false;
      }
      ++i;
      continue;
    }
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
    if (more == 0) return false;
    uint32_t point = lead & (0x3fu >> more);
    for (int k = 1; k <= more; ++k) {
      if ((byte(i + k) & 0xc0u) != 0x80u) return false;
      point = point << 6 | (byte(i + k) & 0x3fu);
    }
    const uint32_t least = more == 1 ? 0x80 : more == 2 ? 0x800 : 0x10000;
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    if (lead >= 0xf8 || point < least || point > 0x10ffff || surrogate) {
      return false;
    }
    i += 1 + static_cast<size_t>(more);
  }
  return true;
}

bool NaiveState(std::string_view name, v1::FileState state) {
  const bool pending = After(".pending-", name).has_value();
  const bool trashed = After(".trashed-", name).has_value();
  if (state == v1::PENDING) return pending;
  if (state == v1::TRASHED) return trashed;
  return Lower(name).starts_with('.') && !pending && !trashed;
}

Interpreter::Caller Interpreter::Know(uint32_t uid) const {
  Caller caller;
  caller.root = uid == 0;
  caller.shell = uid == 2000;
  caller.user = uid / 100000;
  caller.app_id = uid % 100000;
  if (caller.root || caller.shell) return caller;
  for (const v1::App& app : apps_.apps()) {
    if (app.uid() == caller.app_id) caller.apps.push_back(&app);
  }
  return caller;
}

Interpreter::Place Interpreter::Find(
    const std::vector<std::string>& path) const {
  for (const v1::PathClass& path_class : policy_.path_classes()) {
    for (const std::string& text : path_class.patterns()) {
      const std::vector<std::string> pattern = Components(text);
      if (!MatchesFrom(pattern, 0, path, 0)) continue;
      const auto at = std::find(pattern.begin(), pattern.end(), "{package}");
      return {&path_class,
              at == pattern.end() ? "" : Lower(path[at - pattern.begin()])};
    }
  }
  return {};
}

std::string Interpreter::ClassOf(const std::vector<std::string>& path) const {
  return Find(path).name();
}

bool Interpreter::Owns(const Caller& caller, const Place& place,
                       const Request& request, v1::Relation relation) const {
  if (relation == v1::SAME_USER) return caller.user == request.tree;
  return std::any_of(caller.apps.begin(), caller.apps.end(),
                     [&](const v1::App* app) {
                       return relation == v1::OWNS_PATH
                                  ? Lower(app->package()) == place.package
                                  : app->package() == request.owner_package &&
                                        app->uid() == request.owner_app_id;
                     });
}

bool Interpreter::HasMediaType(std::string_view type,
                               const Request& request) const {
  if (request.directory || request.path.empty()) return false;
  std::string name = Lower(request.path.back());
  if (auto rest = After(".pending-", name)) {
    name = *rest;
  } else if (auto rest = After(".trashed-", name)) {
    name = *rest;
  }
  const size_t dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0) return false;
  for (const v1::MediaType& media_type : policy_.media_types()) {
    if (media_type.name() != type) continue;
    for (const std::string& extension : media_type.extensions()) {
      if (Lower(extension) == Lower(name.substr(dot + 1))) return true;
    }
  }
  return false;
}

bool Interpreter::Holds(const v1::Condition& condition, const Caller& caller,
                        const Place& place, const Request& request) const {
  const auto holds = [&](const v1::Condition& part) {
    return Holds(part, caller, place, request);
  };
  const auto some_app = [&](const auto& predicate) {
    return std::any_of(caller.apps.begin(), caller.apps.end(), predicate);
  };
  const auto has = [](const auto& list, const auto& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  const std::vector<std::string>& path = request.path;
  switch (condition.kind_case()) {
    case v1::Condition::kAllOf: {
      const auto& parts = condition.all_of().conditions();
      return std::all_of(parts.begin(), parts.end(), holds);
    }
    case v1::Condition::kAnyOf: {
      const auto& parts = condition.any_of().conditions();
      return std::any_of(parts.begin(), parts.end(), holds);
    }
    case v1::Condition::kNot:
      return !holds(condition.not_());
    case v1::Condition::kPermission:
      return some_app([&](const v1::App* app) {
        return has(app->permissions(), condition.permission());
      });
    case v1::Condition::kRole:
      if (condition.role() == v1::ROOT) return caller.root;
      if (condition.role() == v1::SHELL) return caller.shell;
      return some_app([&](const v1::App* app) {
        return has(app->roles(), static_cast<int>(condition.role()));
      });
    case v1::Condition::kRelation:
      return Owns(caller, place, request, condition.relation());
    case v1::Condition::kMediaType:
      return HasMediaType(condition.media_type(), request);
    case v1::Condition::kState:
      if (path.empty()) return false;
      if (condition.state() != v1::HIDDEN) {
        return NaiveState(path.back(), condition.state());
      }
      // A directory has no other state than this one.
      return request.nomedia || NaiveState(path.back(), v1::HIDDEN) ||
             std::any_of(path.begin(), path.end() - 1,
                         [](const auto& component) {
                           return Lower(component).starts_with('.');
                         });
    case v1::Condition::kIsDirectory:
      return condition.is_directory() == request.directory;
    case v1::Condition::kGranted:
      return condition.granted() == request.granted;
    case v1::Condition::kMinTargetSdk:
      return some_app([&](const v1::App* app) {
        return app->target_sdk() >= condition.min_target_sdk();
      });
    case v1::Condition::KIND_NOT_SET:
      return true;
  }
  return false;
}

bool Interpreter::Applies(const v1::Rule& rule, v1::Operation operation,
                          const Caller& caller, const Place& place,
                          const Request& request) const {
  const auto& classes = rule.path_classes();
  const auto& operations = rule.operations();
  if (!classes.empty() && std::find(classes.begin(), classes.end(),
                                    place.name()) == classes.end()) {
    return false;
  }
  const bool asked = std::any_of(
      operations.begin(), operations.end(),
      [&](int named) { return named == v1::ANY || named == operation; });
  return asked &&
         (!rule.has_when() || Holds(rule.when(), caller, place, request));
}

// What the effect of a rule says of one operation.
static Verdict EffectOn(const v1::Rule& rule, v1::Operation operation) {
  Verdict verdict;
  verdict.rule = rule.name();
  if (rule.effect().has_deny()) {
    const v1::Error error = rule.effect().deny().error();
    verdict.error = operation == v1::LOOKUP || error == kEnoent
                        ? Error::kNoEntry
                    : error == kEperm ? Error::kNotPermitted
                                      : Error::kAccess;
    return verdict;
  }
  verdict.error = Error::kNone;
  if (operation == v1::READ || operation == v1::WRITE) {
    const v1::Effect::Allow& allow = rule.effect().allow();
    if (allow.io() == v1::DAEMON) verdict.io = IoMode::kDaemon;
    if (operation == v1::READ && allow.redact() == v1::LOCATION) {
      verdict.io = IoMode::kRedacted;
    }
  }
  return verdict;
}

Verdict Interpreter::DecideOne(const Rules& rules, v1::Operation operation,
                               const Caller& caller, const Place& place,
                               const Request& request) const {
  const bool lookup = operation == v1::LOOKUP;
  Verdict none;
  none.error = lookup ? Error::kNoEntry : Error::kAccess;
  none.rule = "";
  const bool everywhere = caller.root || caller.shell;
  if (caller.user != request.tree && !everywhere) return none;
  if (!caller.listed() && !lookup && operation != v1::LIST) {
    return {.error = Error::kAccess, .rule = "unlisted"};
  }
  for (const v1::Rule& rule : rules) {
    if (Applies(rule, operation, caller, place, request)) {
      return EffectOn(rule, operation);
    }
  }
  return none;
}

Verdict Interpreter::DecideBy(const Rules& rules,
                              const Request& request) const {
  const Caller caller = Know(request.caller);
  const Place place = Find(request.path);
  // In the order of the enumeration, LOOKUP asked for or not.
  const std::vector<v1::Operation>& asked = request.operations;
  std::set<v1::Operation> operations(asked.begin(), asked.end());
  operations.insert(v1::LOOKUP);
  std::map<v1::Operation, Verdict> allowed;
  for (v1::Operation operation : operations) {
    Verdict one = DecideOne(rules, operation, caller, place, request);
    if (one.error != Error::kNone) return one;
    allowed[operation] = one;
  }
  const bool read = std::count(asked.begin(), asked.end(), v1::READ) > 0;
  const bool write = std::count(asked.begin(), asked.end(), v1::WRITE) > 0;
  if (read && write) {
    // The stricter, READ's where they are alike.
    const bool stricter = allowed[v1::WRITE].io > allowed[v1::READ].io;
    return allowed[stricter ? v1::WRITE : v1::READ];
  }
  if (read || write) return allowed[read ? v1::READ : v1::WRITE];
  return asked.empty() ? allowed[v1::LOOKUP]
                       : allowed[*std::min_element(asked.begin(), asked.end())];
}

Verdict Interpreter::Decide(const Request& request) const {
  return DecideBy(policy_.rules(), request);
}

std::optional<Verdict> Interpreter::DecideShadow(const Request& request) const {
  if (policy_.shadow_rules().empty()) return std::nullopt;
  return DecideBy(policy_.shadow_rules(), request);
}

Verdict Interpreter::DecideName(const Request& request) const {
  Verdict verdict = Decide(request);
  const v1::PathClass* path_class = Find(request.path).path_class;
  if (verdict.error == Error::kNone && path_class != nullptr &&
      path_class->names() == v1::FAT && !request.path.empty() &&
      !NaiveFatClean(request.path.back())) {
    verdict = {.error = Error::kNotPermitted, .rule = "name"};
  }
  return verdict;
}

std::vector<Verdict> Interpreter::Matches(const Request& request) const {
  const Caller caller = Know(request.caller);
  const Place place = Find(request.path);
  std::vector<Verdict> matches;
  for (const v1::Rule& rule : policy_.rules()) {
    if (Applies(rule, request.operations.front(), caller, place, request)) {
      matches.push_back(EffectOn(rule, request.operations.front()));
    }
  }
  return matches;
}

}  // namespace fused::policy::oracle
