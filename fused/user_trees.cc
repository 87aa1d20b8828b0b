#include "fused/user_trees.h"

#include <cerrno>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "kernel/mount.h"
#include "kernel/status.h"

namespace fused {
namespace {

// How many users' trees a budget of descriptors is made for.
constexpr size_t kUsualUsers = 4;

}  // namespace

std::string DirectoryOfTrees(const std::string& lower) {
  const size_t mark = lower.find(kUserMark);
  if (mark == std::string::npos) return lower;
  const size_t slash = lower.rfind('/', mark);
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : lower.substr(0, slash);
}

absl::StatusOr<std::unique_ptr<UserTrees>> UserTrees::Create(
    const std::string& lower, const LowerTree::Options& options) {
  auto trees = std::unique_ptr<UserTrees>(new UserTrees(lower, options));
  trees->per_user_ = absl::StrContains(lower, kUserMark);
  absl::StatusOr<std::unique_ptr<LowerTree>> main = trees->Open(0);
  if (!main.ok()) return main.status();
  absl::MutexLock lock(&trees->mutex_);
  trees->main_ = main->get();
  trees->trees_.emplace(0, *std::move(main));
  return trees;
}

absl::StatusOr<std::unique_ptr<LowerTree>> UserTrees::Open(
    uint32_t user) const {
  absl::StatusOr<kernel::Fd> root = kernel::CloneTree(
      absl::StrReplaceAll(lower_, {{kUserMark, absl::StrCat(user)}}));
  if (!root.ok()) return root.status();
  LowerTree::Options options = options_;
  options.user = user;
  if (per_user_) options.descriptor_budget /= kUsualUsers;
  return LowerTree::Create(*std::move(root), options);
}

LowerTree* UserTrees::Of(uint32_t user) {
  if (!per_user_) return main_;
  {
    absl::ReaderMutexLock lock(&mutex_);
    const auto found = trees_.find(user);
    if (found != trees_.end()) return found->second.get();
  }
  // Not under the lock: the lower file system is asked.
  absl::StatusOr<std::unique_ptr<LowerTree>> opened = Open(user);
  if (!opened.ok()) {
    if (!kernel::IsErrno(opened.status(), ENOENT)) {
      LOG_EVERY_N_SEC(WARNING, 60)
          << "user " << user << ": " << kernel::Describe(opened.status());
    }
    return nullptr;
  }
  absl::MutexLock lock(&mutex_);
  // Another thread may have been as quick.
  return trees_.emplace(user, *std::move(opened)).first->second.get();
}

std::vector<LowerTree*> UserTrees::All() const {
  absl::ReaderMutexLock lock(&mutex_);
  std::vector<LowerTree*> all;
  all.reserve(trees_.size());
  for (const auto& [user, tree] : trees_) all.push_back(tree.get());
  return all;
}

}  // namespace fused
