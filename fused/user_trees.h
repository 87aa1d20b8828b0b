// The lower trees of one volume: one, or one for each user.
#ifndef FUSED_FUSED_USER_TREES_H_
#define FUSED_FUSED_USER_TREES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"

namespace fused {

// What stands for the user's number in a volume's LOWER.
inline constexpr char kUserMark[] = "{user}";

// Thread-safe.
class UserTrees {
 public:
  // `lower` with kUserMark in it has a tree for each user who has a directory,
  // found when the user is first seen; without, one tree, user 0's. User 0's
  // must be there. The descriptor budget holds for all trees together; those
  // that come late share what is left.
  static absl::StatusOr<std::unique_ptr<UserTrees>> Create(
      const std::string& lower, const LowerTree::Options& options);
  UserTrees(const UserTrees&) = delete;
  UserTrees& operator=(const UserTrees&) = delete;

  bool per_user() const { return per_user_; }

  // The user's tree. Null: there is none, or it can't be opened. The trees stay
  // for as long as this does.
  LowerTree* Of(uint32_t user);

  // User 0's.
  LowerTree& main() const { return *main_; }

  // Those that have been seen.
  std::vector<LowerTree*> All() const;

 private:
  UserTrees(std::string lower, const LowerTree::Options& options)
      : lower_(std::move(lower)), options_(options) {}

  absl::StatusOr<std::unique_ptr<LowerTree>> Open(uint32_t user) const;

  const std::string lower_;
  const LowerTree::Options options_;
  bool per_user_ = false;
  LowerTree* main_ = nullptr;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint32_t, std::unique_ptr<LowerTree>> trees_
      ABSL_GUARDED_BY(mutex_);
};

// The directory that holds all trees of `lower`: itself, or where the component
// with the user's number stands.
std::string DirectoryOfTrees(const std::string& lower);

}  // namespace fused

#endif  // FUSED_FUSED_USER_TREES_H_
