// Remembers which file each grant was bound to.
#ifndef FUSED_FUSED_GRANT_BOOK_H_
#define FUSED_FUSED_GRANT_BOOK_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fused/grants.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/state_dir.h"
#include "kernel/lower.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "proto/policy.pb.h"

namespace fused {

// A grant is bound when it is first seen, and stays bound to that file for as
// long as it is in the directory unchanged: through renames, pushes and, where
// the lower file system has file handles, restarts. What its path names later
// is not its. Thread-compatible: used by whoever serialises pushes.
class GrantBook {
 public:
  // The tree that a volume has for a user. Null: there is none.
  using FindTree =
      std::function<LowerTree*(std::string_view volume, uint32_t user)>;

  // Both must outlive the book.
  GrantBook(StateDir* state, FindTree find_tree)
      : state_(state), find_tree_(std::move(find_tree)) {}

  // Reads what is kept. A broken file: nothing that was granted before is; says
  // so in the log.
  void Load();

  // The grants of a snapshot's directory, which is to follow the one in force.
  // Binds those that are new, and keeps all bindings on disk; those in force
  // are kept too, for the snapshot may come to nothing. What can't be bound
  // grants nothing, and is a warning. Errors are the disk's.
  absl::StatusOr<std::shared_ptr<const Grants>> Bind(
      const policy::Snapshot& snapshot, const policy::Snapshot& in_force,
      policy::Issues& warnings);

 private:
  struct Binding {
    std::optional<kernel::FileHandle> handle;
    // Null: gone, or not looked for since the start.
    std::shared_ptr<GrantedFile> file;
  };
  using Bindings = absl::flat_hash_map<std::string, Binding>;

  Binding Make(const policy::v1::Grant& grant, std::string& problem) const;
  // Finds the file of a binding from before the start.
  void Find(const policy::v1::Grant& grant, Binding& binding) const;
  absl::Status Keep(const Bindings& bindings) const;

  StateDir* const state_;
  const FindTree find_tree_;
  // By the grant, serialised: of what is in force, and of what was to be.
  Bindings bindings_;
};

inline constexpr char kGrantsFile[] = "grants.binpb";

}  // namespace fused

#endif  // FUSED_FUSED_GRANT_BOOK_H_
