// Where two policies tell paths apart.
#ifndef FUSED_POLICY_DIFF_PLACES_H_
#define FUSED_POLICY_DIFF_PLACES_H_

#include <cstddef>
#include <string>
#include <vector>

#include "policy/engine.h"
#include "policy/types.h"

namespace fused::policy {

// Paths of one class before and one class after.
struct DiffPlace {
  ClassId before = kOtherClass;
  ClassId after = kOtherClass;
  // Whether a `.nomedia` in such a directory hides what is in it.
  bool hides_before = true;
  bool hides_after = true;
  // Of which policy the path's {package} names an owner, as two bits (before,
  // after); by its value, whether there are such paths. 0: of neither.
  bool owned[4] = {};
  // The first of them, shortest first.
  std::string path;
};

struct DiffPlaces {
  std::vector<DiffPlace> places;
  bool complete = true;
};

// Both snapshots have an app of the name kSomePackage.
DiffPlaces FindDiffPlaces(const Snapshot& before, const Snapshot& after);

}  // namespace fused::policy

#endif  // FUSED_POLICY_DIFF_PLACES_H_
