// What the engine's handles hide.
#ifndef FUSED_POLICY_ENGINE_IMPL_H_
#define FUSED_POLICY_ENGINE_IMPL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/container/flat_hash_map.h"
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

// The different subject words of a full build, and the decisions on them.
struct BaseRows {
  std::vector<SubjectRow> rows;
  absl::flat_hash_map<uint64_t, uint32_t> row_of;  // by word
};

struct Snapshot::Impl {
  uint64_t epoch = 0;
  std::shared_ptr<const CompiledPolicy> policy;
  // Of `policy`.
  const CompiledParts* parts = nullptr;
  Apps apps;
  Subject root;
  Subject shell;
  Subject unlisted;
  std::shared_ptr<const BaseRows> rows;
  // Words that came with changes since.
  std::vector<SubjectRow> later;
  LayeredTable table;
  std::optional<LayeredTable> shadow;

  // Made when they are asked for: few do.
  mutable absl::once_flag source_once;
  mutable v1::AppDirectory source;
  mutable absl::once_flag sha256_once;
  mutable std::string sha256;

  // Another that shares all with this one.
  std::unique_ptr<Impl> Share() const;
  bool FitsTable() const {
    return (rows->rows.size() + later.size()) * parts->rules.classes() <=
           DecisionTable::kMaxCells;
  }
  // The row of a word that a listed subject has; a new one where none is.
  uint32_t RowOf(uint64_t word);
  // The tables, where `later` has grown.
  void LayTables();

  const PathClasses::State& StateOf(const Location& location) const {
    return parts->classes.state(location.state);
  }
  Decision Decide(const RuleSet& rules, const LayeredTable& decisions,
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
