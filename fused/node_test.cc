// Nodeids and how often the kernel holds them.
#include "fused/node.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fused/lower_tree.h"
#include "gtest/gtest.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using kernel::kRootNode;
using policy::IoMode;

class NodeTest : public testing::Test {
 protected:
  void SetUp() override {
    kernel::Fd root(
        open(scratch_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    absl::StatusOr<std::unique_ptr<LowerTree>> tree =
        LowerTree::Create(std::move(root), {});
    ASSERT_THAT(tree, IsOk());
    tree_ = *std::move(tree);
    table_ = std::make_unique<NodeTable>(peer_, tree_->root());
  }
  void TearDown() override { table_ = nullptr; }

  Ref<LowerNode> File(const std::string& name) {
    scratch_.MakeFile(name, "");
    absl::StatusOr<LowerTree::Found> found =
        tree_->Lookup(tree_->root(), name.c_str());
    EXPECT_THAT(found, IsOk());
    return found.ok() ? found->node : nullptr;
  }

  Ref<Node> Enter(const Ref<LowerNode>& lower, uint32_t path_class = 0,
                  IoMode io = IoMode::kPassthrough) {
    NodeKey key;
    key.path_class = path_class;
    key.io = io;
    std::optional<Place> place;
    if (path_class != 0) place = lower->place();
    return table_->Enter(lower, key, std::move(place));
  }

  kernel::ScratchDirectory scratch_;
  std::unique_ptr<LowerTree> tree_;
  Ref<Peer> peer_ = MakeRef<Peer>(1);
  std::unique_ptr<NodeTable> table_;
};

class RememberingTest : public NodeTest {
 protected:
  void SetUp() override {
    NodeTest::SetUp();
    if (!tree_->has_handles()) {
      GTEST_SKIP() << "NOT TESTED: opening files by handle needs root and a "
                      "file system that has handles";
    }
    RememberAtMost(10);
  }

  void RememberAtMost(size_t most) {
    table_ = nullptr;
    table_ = std::make_unique<NodeTable>(peer_, tree_->root(), most);
  }
};

TEST_F(NodeTest, TheRootIsNeverForgotten) {
  const Ref<Node> root = table_->Find(kRootNode);
  ASSERT_NE(root, nullptr);
  EXPECT_EQ(root->id(), kRootNode);
  EXPECT_EQ(root->lower, tree_->root());
  EXPECT_FALSE(table_->Forget(kRootNode, 1));
  EXPECT_FALSE(table_->Forget(kRootNode, UINT64_MAX));
  table_->Clear();
  EXPECT_EQ(table_->Find(kRootNode), root);
  EXPECT_EQ(table_->size(), 1u);
}

TEST_F(NodeTest, UnknownIdsNameNothing) {
  for (const kernel::NodeId id :
       {uint64_t{0}, uint64_t{2}, uint64_t{12345}, UINT64_MAX}) {
    EXPECT_EQ(table_->Find(id), nullptr) << id;
    EXPECT_FALSE(table_->Forget(id, 1)) << id;
  }
  EXPECT_EQ(table_->size(), 1u);
}

TEST_F(NodeTest, CountsLookups) {
  const Ref<LowerNode> file = File("a");
  const kernel::NodeId id = Enter(file)->id();
  EXPECT_EQ(Enter(file)->id(), id);
  EXPECT_EQ(Enter(file)->id(), id);
  EXPECT_EQ(table_->size(), 2u);
  EXPECT_FALSE(table_->Forget(id, 0));
  EXPECT_FALSE(table_->Forget(id, 2));
  ASSERT_NE(table_->Find(id), nullptr);
  EXPECT_TRUE(table_->Forget(id, 1));
  EXPECT_EQ(table_->Find(id), nullptr);
  EXPECT_EQ(table_->size(), 1u);
  EXPECT_FALSE(table_->Forget(id, 1));
  // Found again it is another, for the kernel may still speak of the old one.
  EXPECT_NE(Enter(file)->id(), id);
}

TEST_F(NodeTest, ForgettingTooMuchIsForgetting) {
  const Ref<LowerNode> file = File("a");
  const kernel::NodeId id = Enter(file)->id();
  EXPECT_TRUE(table_->Forget(id, UINT64_MAX));
  EXPECT_EQ(table_->Find(id), nullptr);
}

TEST_F(NodeTest, OneNodeForEachClassAndMode) {
  const Ref<LowerNode> file = File("a");
  std::set<kernel::NodeId> ids;
  for (const uint32_t path_class : {0u, 1u, 2u}) {
    for (const IoMode io :
         {IoMode::kPassthrough, IoMode::kDaemon, IoMode::kRedacted}) {
      const kernel::NodeId id = Enter(file, path_class, io)->id();
      EXPECT_TRUE(ids.insert(id).second);
      EXPECT_EQ(Enter(file, path_class, io)->id(), id);
    }
  }
  EXPECT_EQ(table_->size(), 10u);
}

TEST_F(NodeTest, SightingsComeAndGo) {
  const Ref<LowerNode> file = File("a");
  EXPECT_TRUE(file->sightings().empty());
  const kernel::NodeId id = Enter(file)->id();
  const kernel::NodeId other = Enter(file, 1)->id();
  EXPECT_EQ(file->sightings().size(), 2u);
  EXPECT_TRUE(file->SeenElsewhere({peer_, id}));
  table_->Forget(other, 1);
  ASSERT_EQ(file->sightings().size(), 1u);
  EXPECT_EQ(file->sightings()[0], (Sighting{peer_, id}));
  EXPECT_FALSE(file->SeenElsewhere({peer_, id}));
  table_->Forget(id, 1);
  EXPECT_TRUE(file->sightings().empty());
  EXPECT_EQ(tree_->root()->sightings().size(), 1u);
  table_ = nullptr;
  EXPECT_TRUE(tree_->root()->sightings().empty());
}

TEST_F(NodeTest, ForgottenNodesLetLowerNodesGo) {
  kernel::NodeId id = 0;
  {
    const Ref<LowerNode> file = File("a");
    id = Enter(file)->id();
  }
  EXPECT_EQ(tree_->nodes(), 2u);
  table_->Forget(id, 1);
  EXPECT_EQ(tree_->nodes(), 1u);
}

TEST_F(NodeTest, ClearForgetsAll) {
  std::vector<Ref<LowerNode>> files;
  for (int i = 0; i < 200; ++i) {
    files.push_back(File(absl::StrCat("file-", i)));
    Enter(files.back());
    Enter(files.back());
  }
  const Ref<Node> held = Enter(files[7]);
  EXPECT_EQ(table_->All().size(), 201u);
  table_->Clear();
  EXPECT_EQ(table_->size(), 1u);
  EXPECT_EQ(table_->All().size(), 1u);
  for (const auto& file : files) EXPECT_TRUE(file->sightings().empty());
  // What is in use outlives its name.
  EXPECT_EQ(held->lower, files[7]);
}

TEST_F(RememberingTest, ANodeKeepsItsIdAlone) {
  Ref<LowerNode> file = File("a");
  const size_t before = tree_->descriptors();
  const kernel::NodeId id = Enter(file)->id();
  EXPECT_FALSE(table_->Forget(id, 0));
  EXPECT_TRUE(table_->Forget(id, 1));
  EXPECT_FALSE(table_->Forget(id, 1));
  EXPECT_EQ(table_->Find(id), nullptr);
  EXPECT_EQ(table_->size(), 1u);
  EXPECT_EQ(table_->All().size(), 1u);
  EXPECT_TRUE(file->sightings().empty());
  EXPECT_EQ(tree_->descriptors(), before - 1);
  // By the handle, or by a name.
  ASSERT_NE(table_->FindRemembered(id), nullptr);
  EXPECT_EQ(table_->FindRemembered(id)->lower, file);
  EXPECT_THAT(file->Stat(), IsOk());
  EXPECT_EQ(Enter(file)->id(), id);
  EXPECT_EQ(table_->size(), 2u);
  EXPECT_EQ(file->sightings().size(), 1u);
  ASSERT_NE(table_->Find(id), nullptr);
  EXPECT_TRUE(table_->Forget(id, 1));
  // Not by a new file of the same name.
  ASSERT_EQ(unlink(scratch_.Path("a").c_str()), 0);
  EXPECT_TRUE(kernel::IsErrno(file->Stat().status(), ESTALE));
  EXPECT_NE(Enter(File("a"))->id(), id);
  table_->Clear();
  EXPECT_EQ(table_->FindRemembered(id), nullptr);
}

TEST_F(RememberingTest, TheOldestAreRememberedNoMore) {
  RememberAtMost(3);
  std::vector<kernel::NodeId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(Enter(File(absl::StrCat(i)))->id());
  for (int i = 0; i < 3; ++i) table_->Forget(ids[i], 1);
  // Known again, then the latest.
  Enter(File("0"));
  table_->Forget(ids[0], 1);
  for (int i = 3; i < 5; ++i) table_->Forget(ids[i], 1);
  EXPECT_EQ(table_->FindRemembered(ids[1]), nullptr);
  EXPECT_EQ(table_->FindRemembered(ids[2]), nullptr);
  for (const int i : {0, 3, 4}) {
    EXPECT_NE(table_->FindRemembered(ids[i]), nullptr) << i;
  }
}

// A descriptor of a removed file would keep its space.
TEST_F(RememberingTest, WhatIsInUseIsNotRemembered) {
  const Ref<LowerNode> file = File("a");
  const kernel::NodeId id = Enter(file)->id();
  const absl::StatusOr<Pin> pin = file->Descriptor();
  ASSERT_THAT(pin, IsOk());
  EXPECT_TRUE(table_->Forget(id, 1));
  EXPECT_EQ(table_->FindRemembered(id), nullptr);
}

TEST_F(RememberingTest, RacesOfRememberingAndRecalling) {
  RememberAtMost(2);
  constexpr int kFiles = 5;
  constexpr int kThreads = 4;
  std::vector<Ref<LowerNode>> files;
  for (int i = 0; i < kFiles; ++i) files.push_back(File(absl::StrCat(i)));
  std::atomic<int> lost{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 3000; ++i) {
        const auto& file = files[static_cast<size_t>(i * (t + 1)) % kFiles];
        const kernel::NodeId id = Enter(file)->id();
        const Ref<Node> found = table_->Find(id);
        if (found == nullptr || found->lower != file) ++lost;
        table_->Forget(id, 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lost, 0);
  EXPECT_EQ(table_->size(), 1u);
  for (const auto& file : files) EXPECT_TRUE(file->sightings().empty());
}

// Threads look up and forget as the kernel does: never more than they hold.
TEST_F(NodeTest, RacesOfEnterAndForget) {
  constexpr int kFiles = 3;
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  std::vector<Ref<LowerNode>> files;
  for (int i = 0; i < kFiles; ++i) files.push_back(File(absl::StrCat(i)));
  std::atomic<int> lost{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const auto& file = files[static_cast<size_t>(i + t) % kFiles];
        const kernel::NodeId id = Enter(file)->id();
        // Ours until we forget it, whatever others do.
        const Ref<Node> found = table_->Find(id);
        if (found == nullptr || found->lower != file) ++lost;
        if (i % 3 == 0) {
          if (Enter(file)->id() != id) ++lost;
          table_->Forget(id, 2);
        } else {
          table_->Forget(id, 1);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lost, 0);
  EXPECT_EQ(table_->size(), 1u);
  for (const auto& file : files) EXPECT_TRUE(file->sightings().empty());
}

// A view that closes while its last requests end.
TEST_F(NodeTest, RacesOfEnterAndClear) {
  const Ref<LowerNode> file = File("a");
  std::thread clearing([&] {
    for (int i = 0; i < 2000; ++i) table_->Clear();
  });
  for (int i = 0; i < 2000; ++i) {
    const Ref<Node> node = Enter(file);
    EXPECT_EQ(node->lower, file);
    table_->Forget(node->id(), 1);
  }
  clearing.join();
  table_->Clear();
  EXPECT_EQ(table_->size(), 1u);
  EXPECT_TRUE(file->sightings().empty());
}

}  // namespace
}  // namespace fused
