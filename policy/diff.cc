#include "policy/diff.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "policy/diff_callers.h"
#include "policy/diff_objects.h"
#include "policy/diff_places.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

constexpr OperationSet kIo =
    OperationSet(Operation::kRead) | OperationSet(Operation::kWrite);
constexpr OperationSet kMaking = OperationSet(Operation::kCreate) |
                                 OperationSet(Operation::kMkdir) |
                                 OperationSet(Operation::kRenameTo);

// What a caller notices of a decision.
struct Verdict {
  Error error = Error::kNone;
  IoMode io = IoMode::kPassthrough;

  friend auto operator<=>(const Verdict&, const Verdict&) = default;
};
using Change = std::pair<Verdict, Verdict>;

Verdict VerdictOf(const Decision& decision, Operation operation) {
  if (!decision.allowed()) return {decision.error, IoMode::kPassthrough};
  return {Error::kNone,
          kIo.Has(operation) ? decision.io : IoMode::kPassthrough};
}

Decision DecisionOf(const Verdict& verdict) {
  return {verdict.error, verdict.io, kNoRule};
}

std::string NameOf(Error error) {
  switch (error) {
    case Error::kNoEntry:
      return "ENOENT";
    case Error::kNotPermitted:
      return "EPERM";
    default:
      return "EACCES";
  }
}

std::string NameOf(IoMode io) {
  switch (io) {
    case IoMode::kPassthrough:
      return "PASSTHROUGH";
    case IoMode::kDaemon:
      return "DAEMON";
    default:
      return "REDACTED";
  }
}

class Differ {
 public:
  Differ(const Snapshot& before, const Snapshot& after,
         const DiffLimits& limits)
      : limits_(limits),
        who_(FindDiffCallers(before, after, limits.callers)),
        where_(FindDiffPlaces(*who_.before, *who_.after)),
        objects_(*who_.before, *who_.after) {
    result_.complete = who_.complete && where_.complete;
  }

  DiffResult Run() {
    CompareNomedia();
    for (size_t caller = 0; caller < who_.callers.size(); ++caller) {
      for (size_t place = 0; place < where_.places.size(); ++place) {
        Compare(caller, place);
      }
    }
    Merge();
    return std::move(result_);
  }

 private:
  using Set = DiffObjects::Set;

  // What is hidden differs: a change of what state:HIDDEN means.
  void CompareNomedia() {
    for (const DiffPlace& place : where_.places) {
      if (place.hides_before == place.hides_after) continue;
      Difference difference;
      difference.callers = {"anyone"};
      difference.path_classes = {ClassName(place)};
      difference.path = absl::StrCat(place.path, "/.nomedia");
      difference.objects = {place.hides_after
                                ? "hides what is beside it from now on"
                                : "hides what is beside it no more"};
      Append(std::move(difference));
    }
  }

  void Compare(size_t caller_index, size_t place_index) {
    const DiffCaller& caller = who_.callers[caller_index];
    const DiffPlace& place = where_.places[place_index];
    const bool app = caller.before.subject.app != kNoApp ||
                     caller.after.subject.app != kNoApp;
    // Those who own nothing stand, as owners, with what they are without.
    static constexpr bool kNone[4] = {true, false, false, false};
    const auto& owned = app ? place.owned : kNone;
    std::map<std::pair<Operation, Change>, Set> found;
    std::vector<size_t> like(objects_.size());
    for (size_t index = 0; index < objects_.size(); ++index) {
      like[index] = objects_.Like(index, owned, app);
      if (like[index] == index) CompareOne(caller, place, index, found);
    }
    for (auto& [key, set] : found) {
      const auto& [operation, change] = key;
      LeaveOut(caller, caller_index, place_index, operation, change, set);
      for (size_t index = 0; index < set.size(); ++index) {
        set[index] = set[like[index]];
      }
      if (std::find(set.begin(), set.end(), true) == set.end()) continue;
      OperationSet& operations =
          by_place_[{caller_index, place_index, change, std::move(set)}];
      operations = operations | operation;
    }
  }

  // What changes in the same direction for a part of what the caller holds.
  void LeaveOut(const DiffCaller& caller, size_t caller_index,
                size_t place_index, Operation operation, const Change& change,
                Set& set) {
    const auto key = [&](size_t who) {
      return std::tuple(who, place_index, operation,
                        change.first.error == Error::kNone,
                        change.second.error == Error::kNone);
    };
    if (caller.made_up) {
      Set& told = told_[key(caller_index)];
      told.resize(objects_.size());
      for (size_t index = 0; index < set.size(); ++index) {
        if (set[index]) told[index] = true;
      }
    }
    for (const size_t part : caller.parts) {
      const auto told = told_.find(key(part));
      if (told == told_.end()) continue;
      for (size_t index = 0; index < set.size(); ++index) {
        if (told->second[index]) set[index] = false;
      }
    }
  }

  void CompareOne(const DiffCaller& caller, const DiffPlace& place,
                  size_t index,
                  std::map<std::pair<Operation, Change>, Set>& found) {
    if (decisions_ >= limits_.decisions) {
      result_.complete = false;
      return;
    }
    const DiffObjects::Kind kind = objects_.At(index);
    for (int op = 0; op < kOperations; ++op) {
      const auto operation = static_cast<Operation>(op);
      const Decision before =
          Decide(caller.before, place.before, kind.facts_before,
                 (kind.owned & 1) != 0, kind, operation);
      const Decision after = Decide(caller.after, place.after, kind.facts_after,
                                    (kind.owned & 2) != 0, kind, operation);
      ++decisions_;
      const Change change = {VerdictOf(before, operation),
                             VerdictOf(after, operation)};
      if (change.first != change.second) {
        Set& set = found[{operation, change}];
        set.resize(objects_.size());
        set[index] = true;
      }
      // Then all else is ENOENT too.
      if (operation == Operation::kLookup && !before.allowed() &&
          !after.allowed()) {
        return;
      }
    }
  }

  static Decision Decide(const DiffCaller::Side& side, ClassId path_class,
                         uint32_t facts, bool owned,
                         const DiffObjects::Kind& kind, Operation operation) {
    Object object;
    object.path_class = path_class;
    object.path_owner = owned ? side.subject.app : kNoApp;
    object.file_owner = kind.owns_file ? side.subject.app : kNoApp;
    object.facts = facts;
    return kind.foul && kMaking.Has(operation)
               ? side.snapshot->DecideName(side.subject, object, operation,
                                           "a:b")
               : side.snapshot->Decide(side.subject, object, operation);
  }

  std::string ClassName(const DiffPlace& place) const {
    const std::string_view before =
        who_.before->policy().ClassName(place.before);
    const std::string_view after = who_.after->policy().ClassName(place.after);
    return before == after ? std::string(before)
                           : absl::StrCat(before, " -> ", after);
  }

  // Lines that differ in one thing become one: first in the class, then in the
  // caller.
  void Merge() {
    std::map<std::tuple<size_t, Change, Set, uint32_t>, std::vector<size_t>>
        by_caller;
    for (const auto& [key, operations] : by_place_) {
      const auto& [caller, place, change, set] = key;
      by_caller[{caller, change, set, operations.bits()}].push_back(place);
    }
    std::map<std::tuple<std::vector<size_t>, uint32_t, Change, Set>,
             std::vector<size_t>>
        merged;
    for (const auto& [key, places] : by_caller) {
      const auto& [caller, change, set, operations] = key;
      merged[{places, operations, change, set}].push_back(caller);
    }
    for (const auto& [key, callers] : merged) {
      const auto& [places, operations, change, set] = key;
      Difference line;
      line.callers = Names(callers);
      for (const size_t place : places) {
        std::string name = ClassName(where_.places[place]);
        if (std::find(line.path_classes.begin(), line.path_classes.end(),
                      name) == line.path_classes.end()) {
          line.path_classes.push_back(std::move(name));
        }
      }
      line.path = where_.places[places.front()].path;
      for (int op = 0; op < kOperations; ++op) {
        if ((operations >> op & 1) != 0) {
          line.operations = line.operations | static_cast<Operation>(op);
        }
      }
      line.before = DecisionOf(change.first);
      line.after = DecisionOf(change.second);
      for (std::vector<std::string>& words : objects_.Describe(set)) {
        line.objects = std::move(words);
        Append(line);
      }
    }
  }

  std::vector<std::string> Names(const std::vector<size_t>& callers) const {
    size_t all = 0;
    for (const DiffCaller& caller : who_.callers) all += caller.simple;
    size_t here = 0;
    for (const size_t caller : callers) here += who_.callers[caller].simple;
    const bool any_app = here == all && all > 1;
    std::vector<std::string> names;
    if (any_app) names.emplace_back("any app");
    for (const size_t index : callers) {
      const DiffCaller& caller = who_.callers[index];
      if (any_app && caller.simple) continue;
      names.push_back(caller.more == 0 ? caller.name
                                       : absl::StrCat(caller.name, " and ",
                                                      caller.more, " like it"));
    }
    return names;
  }

  void Append(Difference difference) {
    if (result_.differences.size() == limits_.differences) {
      result_.complete = false;
      return;
    }
    result_.differences.push_back(std::move(difference));
  }

  const DiffLimits limits_;
  const DiffCallers who_;
  const DiffPlaces where_;
  const DiffObjects objects_;
  size_t decisions_ = 0;
  // By caller, place, operation and whether it was and is allowed: the objects
  // for which made-up callers' decisions change.
  std::map<std::tuple<size_t, size_t, Operation, bool, bool>, Set> told_;
  std::map<std::tuple<size_t, size_t, Change, Set>, OperationSet> by_place_;
  DiffResult result_;
};

}  // namespace

std::string Difference::Verdict(const Decision& decision) const {
  if (operations.empty()) return "";
  if (!decision.allowed()) return absl::StrCat("DENY ", NameOf(decision.error));
  if ((operations & kIo).empty()) return "ALLOW";
  return absl::StrCat("ALLOW ", NameOf(decision.io));
}

std::string Difference::ToString() const {
  std::vector<std::string> names;
  for (int op = 0; op < kOperations; ++op) {
    if (!operations.Has(static_cast<Operation>(op))) continue;
    names.push_back(
        v1::Operation_Name(static_cast<v1::Operation>(v1::LOOKUP + op)));
  }
  if (names.size() == kOperations) names = {"ANY"};
  return absl::StrCat(
      absl::StrJoin(callers, ", "), ": ", absl::StrJoin(names, " "),
      names.empty() ? "" : " ", "in ", absl::StrJoin(path_classes, ", "), " (",
      path, ")", objects.empty() ? "" : ", ", absl::StrJoin(objects, " and "),
      operations.empty() ? "" : absl::StrCat(": ", Before(), " -> ", After()));
}

DiffResult Diff(const Snapshot& before, const Snapshot& after,
                const DiffLimits& limits) {
  return Differ(before, after, limits).Run();
}

}  // namespace fused::policy
