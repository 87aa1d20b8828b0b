// A lower tree in a directory of its own, and a small policy to class it by.
#ifndef FUSED_FUSED_TESTING_LOWER_FIXTURE_H_
#define FUSED_FUSED_TESTING_LOWER_FIXTURE_H_

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/testing/snapshot.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused {

using NodePtr = Ref<LowerNode>;

inline constexpr std::string_view kPolicy = R"(
name: "test" version: 1
path_classes { name: "photos" patterns: "Pictures/**" }
path_classes { name: "music" patterns: "Music/**" }
rules { name: "all" operations: ANY effect { allow {} } }
)";

inline constexpr std::string_view kApps = R"(
version: 1
apps { package: "com.example" uid: 10001 }
)";

class LowerNodeTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }
  void TearDown() override { tree_ = nullptr; }

  void Start(const LowerTree::Options& options) {
    kernel::Fd root(
        open(scratch_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    absl::StatusOr<std::unique_ptr<LowerTree>> tree =
        LowerTree::Create(std::move(root), options);
    ASSERT_THAT(tree, absl_testing::IsOk());
    tree_ = *std::move(tree);
  }

  absl::StatusOr<NodePtr> TryLookup(const NodePtr& parent,
                                    const std::string& name) {
    absl::StatusOr<LowerTree::Found> found =
        tree_->Lookup(parent, name.c_str());
    if (!found.ok()) return found.status();
    return found->node;
  }
  NodePtr Lookup(const NodePtr& parent, const std::string& name) {
    absl::StatusOr<NodePtr> found = TryLookup(parent, name);
    EXPECT_THAT(found, absl_testing::IsOk()) << name;
    return found.ok() ? *found : nullptr;
  }
  NodePtr Lookup(const std::string& name) {
    return Lookup(tree_->root(), name);
  }

  std::string ClassOf(const NodePtr& node) const {
    return std::string(snapshot_->policy().ClassName(
        node->Classify(*snapshot_).object.path_class));
  }

  void Rename(const std::string& from, const std::string& to) const {
    ASSERT_EQ(rename(scratch_.Path(from).c_str(), scratch_.Path(to).c_str()),
              0);
  }

  // A node of no lower file, for what would take too many.
  NodePtr Synthetic(uint64_t inode, mode_t mode) {
    struct stat stat = {};
    stat.st_dev = 12345;
    stat.st_ino = inode;
    stat.st_mode = mode;
    return LowerNode::Make(tree_.get(), stat, kernel::Fd());
  }

  kernel::ScratchDirectory scratch_;
  std::unique_ptr<LowerTree> tree_;
  std::shared_ptr<const policy::Snapshot> snapshot_ =
      MakeSnapshot(kPolicy, kApps);
};

}  // namespace fused

#endif  // FUSED_FUSED_TESTING_LOWER_FIXTURE_H_
