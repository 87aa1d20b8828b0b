#include "policy/fuzz_checks.h"

#include <cstdint>
#include <string_view>

#include "absl/log/check.h"
#include "absl/strings/str_split.h"
#include "policy/engine.h"
#include "policy/types.h"

namespace fused::policy {
namespace {

constexpr std::string_view kPaths[] = {
    "DCIM/x.jpg",         "Android/data/a", "Android/obb/b/y",
    "a/.pending-1-b.mp3", "a/b/.c/d",       "\xc3\x89/\xff",
};

void CheckExplanation(const Snapshot& snapshot, const Subject& subject,
                      const Object& object, Operation operation) {
  const Decision decision = snapshot.Decide(subject, object, operation);
  const Explanation explanation = snapshot.Explain(subject, object, operation);
  CHECK(explanation.decision == decision);
  const Decision seen = snapshot.Decide(subject, object, Operation::kLookup);
  if (!seen.allowed()) {
    CHECK(seen.error == Error::kNoEntry);
    CHECK(decision == seen);
  } else if (decision.rule != kUnlistedRule) {
    if (explanation.matches.empty()) {
      CHECK(decision.rule == kNoRule && !decision.allowed());
    } else {
      CHECK(explanation.matches[0].decision == decision);
    }
  }
}

}  // namespace

void CheckDecisions(const Snapshot& snapshot) {
  for (const uint32_t uid : {0u, 2000u, 10001u, 1010001u, 10002u, 99999u}) {
    const Subject subject = snapshot.SubjectOf(uid);
    for (const std::string_view path : kPaths) {
      Location location = snapshot.Root(uid / 100000);
      std::string_view last;
      for (const std::string_view name : absl::StrSplit(path, '/')) {
        location = snapshot.Child(location, name);
        last = name;
      }
      for (const AppIndex owner : {kNoApp, subject.app}) {
        const Object object =
            snapshot.ObjectAt(location, last, owner == kNoApp, owner);
        CHECK(object.path_class == snapshot.ClassOf(location));
        CHECK(object.path_owner == snapshot.PathOwnerOf(location));
        for (int op = 0; op < kOperations; ++op) {
          CheckExplanation(snapshot, subject, object,
                           static_cast<Operation>(op));
        }
        const Subject nobody = snapshot.SubjectOf(uid - uid % 100000 + 3);
        const auto alike = [&](Operation operation) {
          return snapshot.Decide(subject, object, operation).allowed() ==
                 snapshot.Decide(nobody, object, operation).allowed();
        };
        CHECK(!snapshot.UniformLookup(location) || alike(Operation::kLookup));
        CHECK(!snapshot.UniformList(location) || alike(Operation::kList));
      }
    }
  }
}

}  // namespace fused::policy
