// What two snapshots decide differently.
#ifndef FUSED_POLICY_DIFF_H_
#define FUSED_POLICY_DIFF_H_

#include <cstddef>
#include <string>
#include <vector>

#include "policy/engine.h"
#include "policy/types.h"

namespace fused::policy {

// Decisions that change alike.
struct Difference {
  // "nobody special", "unlisted", "permission:...", "role:...", "any app", or
  // packages of the app directories.
  std::vector<std::string> callers;
  // A class's name, or "old -> new" where the paths are in another one now.
  std::vector<std::string> path_classes;
  // A path in the first of them, with `*` and `{package}` as patterns have.
  std::string path;
  OperationSet operations;
  // What is known of the object, as "media_type:IMAGE" or "not state:HIDDEN":
  // all of it holds. Empty: any object.
  std::vector<std::string> objects;
  // Without their rules.
  Decision before;
  Decision after;

  // "DENY EACCES", "ALLOW PASSTHROUGH"; only "ALLOW" of operations without an
  // I/O mode.
  std::string Before() const { return Verdict(before); }
  std::string After() const { return Verdict(after); }
  std::string ToString() const;

 private:
  std::string Verdict(const Decision& decision) const;
};

struct DiffResult {
  std::vector<Difference> differences;
  // False: there was more than the limits let in.
  bool complete = true;
};

struct DiffLimits {
  // That are made to compare.
  size_t decisions = 50'000'000;
  size_t callers = 256;
  size_t differences = 200;
};

// Compares the decisions of all classes of callers (nobody, each permission and
// role that either policy knows, what its rules ask for together, and each app
// that the directories have) on all paths that either policy tells apart, for
// every operation and kind of object. What only another rule decides is no
// difference. The same arguments give the same result.
DiffResult Diff(const Snapshot& before, const Snapshot& after,
                const DiffLimits& limits = {});

}  // namespace fused::policy

#endif  // FUSED_POLICY_DIFF_H_
