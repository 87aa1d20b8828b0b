// Whose answers a change of rules may change.
#ifndef FUSED_POLICY_CHANGES_H_
#define FUSED_POLICY_CHANGES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "policy/engine.h"
#include "policy/types.h"

namespace fused::policy {

// Of two snapshots, the later in the place of the former. What it says has not
// changed is decided alike on every object; what it says has may be. Grants are
// compared as the directories have them. Not thread-safe.
class Changes {
 public:
  Changes(std::shared_ptr<const Snapshot> before,
          std::shared_ptr<const Snapshot> after);
  ~Changes();

  // For what comes through the view of an installed package: `uid` is absolute.
  // As long as the package has that app id, it is that app; else nobody.
  bool ForPackage(std::string_view package, uint32_t uid) const;
  // For the caller of an absolute uid, of no package in particular.
  bool ForUid(uint32_t uid) const;
  // For names and attributes that a mount which all share may cache.
  bool ForShared() const;

 private:
  bool ForSubject(const Subject& before, const Subject& after) const;
  // The packages that are one subject, in one number.
  bool SamePackages(uint32_t app_id) const;

  const std::shared_ptr<const Snapshot> before_;
  const std::shared_ptr<const Snapshot> after_;
  // Paths are classified alike, files are of the same types.
  bool same_places_ = false;
  bool same_rules_ = false;
  bool same_grants_ = false;
  // Packages whose grants differ, and their app ids: what is granted to one of
  // the packages that share an app id is granted to that app.
  absl::flat_hash_set<std::string> granted_;
  absl::flat_hash_set<uint32_t> granted_ids_;
  // What the rules of either side say, by their place; for ForSubject().
  mutable std::vector<std::string> said_before_;
  mutable std::vector<std::string> said_after_;
  // By subject word: whether its rules say the same.
  mutable absl::flat_hash_map<std::pair<uint64_t, uint64_t>, bool> same_words_;
  // By app id; found when first asked for.
  mutable std::optional<absl::flat_hash_map<uint32_t, uint64_t>> packages_;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_CHANGES_H_
