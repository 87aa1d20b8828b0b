// What the engine's handles hide.
#ifndef FUSED_POLICY_ENGINE_IMPL_H_
#define FUSED_POLICY_ENGINE_IMPL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "policy/apps.h"
#include "policy/compiled_parts.h"
#include "policy/conditions.h"
#include "policy/decision_table.h"
#include "policy/engine.h"
#include "policy/path_classes.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {

struct CompiledPolicy::Impl {
  v1::Policy source;
  std::string sha256;
  CompiledParts parts;
};

struct Snapshot::Impl {
  uint64_t epoch;
  std::shared_ptr<const CompiledPolicy> policy;
  // Of `policy`.
  const CompiledParts* parts;
  v1::AppDirectory apps_source;
  std::string apps_sha256;
  Apps apps;
  Subject root;
  Subject shell;
  Subject unlisted;
  DecisionTable table;
  std::optional<DecisionTable> shadow;

  const PathClasses::State& StateOf(const Location& location) const {
    return parts->classes.state(location.state);
  }
  Decision Decide(const RuleSet& rules, const DecisionTable& decisions,
                  const Subject& subject, const Object& object,
                  OperationSet operations) const;
};

// What is known of an object to a subject, as conditions ask for it.
inline uint64_t ObjectWord(const Subject& subject, const Object& object) {
  uint64_t word = object.facts;
  if (subject.app != kNoApp) {
    if (object.path_owner == subject.app) word |= kOwnsPathBit;
    if (object.file_owner == subject.app) word |= kOwnsFileBit;
  }
  if (object.user == subject.user) word |= kSameUserBit;
  return word;
}

// Another user's tree is not there, but for ROOT and SHELL: the listed subjects
// that are no app.
inline bool IsForeign(const Subject& subject, const Object& object) {
  return subject.user != object.user &&
         !(subject.listed && subject.app == kNoApp);
}

}  // namespace fused::policy

#endif  // FUSED_POLICY_ENGINE_IMPL_H_
