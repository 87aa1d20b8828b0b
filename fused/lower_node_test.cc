// One object for each lower inode, whatever happens to names and descriptors.
#include "fused/lower_node.h"
#include "fused/lower_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "fused/testing/lower_fixture.h"
#include "fused/testing/snapshot.h"
#include "gtest/gtest.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;

TEST_F(LowerNodeTest, OneObjectForEachInode) {
  scratch_.MakeFile("a", "");
  scratch_.MakeDirectory("d");
  scratch_.MakeFile("d/a", "");
  const NodePtr a = Lookup("a");
  EXPECT_EQ(Lookup("a"), a);
  EXPECT_TRUE(a->is_regular());
  const NodePtr d = Lookup("d");
  EXPECT_TRUE(d->is_directory());
  EXPECT_NE(Lookup(d, "a"), a);
  EXPECT_EQ(tree_->nodes(), 3u);
  struct stat stat = {};
  ASSERT_EQ(::stat(scratch_.Path("a").c_str(), &stat), 0);
  EXPECT_EQ(a->inode(), stat.st_ino);
  EXPECT_EQ(a->device(), stat.st_dev);
  EXPECT_EQ(&a->tree(), tree_.get());
}

TEST_F(LowerNodeTest, GoesWithItsLastUse) {
  scratch_.MakeDirectory("d");
  scratch_.MakeFile("d/a", "");
  NodePtr d = Lookup("d");
  NodePtr a = Lookup(d, "a");
  // A child keeps its parents, by which it is classified.
  d = nullptr;
  EXPECT_EQ(tree_->nodes(), 3u);
  EXPECT_EQ(tree_->PathOf(*a), "d/a");
  a = nullptr;
  EXPECT_EQ(tree_->nodes(), 1u);
  EXPECT_EQ(tree_->descriptors(), 1u);
}

TEST_F(LowerNodeTest, LookupTakesOneNameAndFollowsNothing) {
  scratch_.MakeDirectory("d");
  scratch_.MakeFile("d/a", "");
  ASSERT_EQ(symlink("/etc", scratch_.Path("link").c_str()), 0);
  for (const char* name : {"", ".", "..", "d/a", "/", "/etc", "d/"}) {
    EXPECT_TRUE(
        kernel::IsErrno(TryLookup(tree_->root(), name).status(), EINVAL))
        << name;
  }
  EXPECT_TRUE(
      kernel::IsErrno(TryLookup(tree_->root(), "absent").status(), ENOENT));
  EXPECT_TRUE(kernel::IsErrno(
      TryLookup(tree_->root(), std::string(300, 'n')).status(), ENAMETOOLONG));
  const NodePtr link = Lookup("link");
  EXPECT_EQ(link->type(), static_cast<mode_t>(S_IFLNK));
  EXPECT_FALSE(TryLookup(link, "passwd").ok());
}

TEST_F(LowerNodeTest, HardLinksAreOneNode) {
  scratch_.MakeDirectory("Pictures");
  scratch_.MakeDirectory("Music");
  scratch_.MakeFile("Pictures/a", "");
  ASSERT_EQ(link(scratch_.Path("Pictures/a").c_str(),
                 scratch_.Path("Music/b").c_str()),
            0);
  const NodePtr pictures = Lookup("Pictures");
  const NodePtr music = Lookup("Music");
  const NodePtr a = Lookup(pictures, "a");
  EXPECT_EQ(ClassOf(a), "photos");
  EXPECT_EQ(Lookup(music, "b"), a);
  // The place is the last name used; a name's own class is there for asking.
  EXPECT_EQ(tree_->PathOf(*a), "Music/b");
  EXPECT_EQ(ClassOf(a), "music");
  const Facts facts = a->ClassifyAt(*snapshot_, {pictures, "a"});
  EXPECT_EQ(snapshot_->policy().ClassName(facts.object.path_class), "photos");
  EXPECT_EQ(ClassOf(a), "music");
}

class DescriptorBudgetTest : public LowerNodeTest {
 protected:
  static constexpr size_t kBudget = 64;

  void SetUp() override {
    Start({.descriptor_budget = kBudget});
    if (!tree_->has_handles()) {
      GTEST_SKIP() << "NOT TESTED: opening files by handle needs root and a "
                      "file system that has handles";
    }
  }
};

TEST_F(DescriptorBudgetTest, ManyNodesFewDescriptors) {
  constexpr int kFiles = 5000;
  std::vector<NodePtr> files;
  size_t most = 0;
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = absl::StrCat("file-", i);
    scratch_.MakeFile(name, name);
    files.push_back(Lookup(name));
    most = std::max(most, tree_->descriptors());
  }
  EXPECT_LE(most, kBudget + 1);
  EXPECT_EQ(tree_->nodes(), size_t{kFiles} + 1);
  // All are still reachable, and what they were.
  for (int i = 0; i < kFiles; ++i) {
    const absl::StatusOr<Pin> pin = files[static_cast<size_t>(i)]->Descriptor();
    ASSERT_THAT(pin, IsOk()) << i;
    const absl::StatusOr<kernel::Fd> fd =
        kernel::Reopen((*pin)->get(), O_RDONLY);
    ASSERT_THAT(fd, IsOk()) << i;
    char content[32] = {};
    ASSERT_GT(read(fd->get(), content, sizeof(content) - 1), 0);
    ASSERT_EQ(content, absl::StrCat("file-", i));
    ASSERT_LE(tree_->descriptors(), kBudget + 1);
  }
  // By name too, and still the same.
  for (int i = 0; i < kFiles; i += 97) {
    EXPECT_EQ(Lookup(absl::StrCat("file-", i)), files[static_cast<size_t>(i)]);
  }
  files.clear();
  EXPECT_EQ(tree_->nodes(), 1u);
  EXPECT_LE(tree_->descriptors(), 1u);
}

TEST_F(DescriptorBudgetTest, WhatIsInUseStaysOpen) {
  scratch_.MakeFile("pinned", "here");
  const NodePtr pinned = Lookup("pinned");
  const absl::StatusOr<Pin> pin = pinned->Descriptor();
  ASSERT_THAT(pin, IsOk());
  std::vector<NodePtr> files;
  for (int i = 0; i < 500; ++i) {
    const std::string name = absl::StrCat("file-", i);
    scratch_.MakeFile(name, "");
    files.push_back(Lookup(name));
  }
  struct stat stat = {};
  ASSERT_EQ(fstat((*pin)->get(), &stat), 0);
  EXPECT_EQ(stat.st_ino, pinned->inode());
  EXPECT_EQ((*pinned->Descriptor())->get(), (*pin)->get());
}

TEST_F(DescriptorBudgetTest, ThreadsAgreeOnNodes) {
  constexpr int kFiles = 300;
  constexpr int kThreads = 4;
  for (int i = 0; i < kFiles; ++i) scratch_.MakeFile(absl::StrCat(i), "");
  std::vector<std::vector<NodePtr>> found(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : found) {
    threads.emplace_back([&] {
      for (int i = 0; i < kFiles; ++i) {
        absl::StatusOr<NodePtr> node =
            TryLookup(tree_->root(), absl::StrCat(i));
        if (!node.ok() || !(*node)->Stat().ok()) return;
        mine.push_back(*std::move(node));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& mine : found) {
    ASSERT_EQ(mine.size(), size_t{kFiles});
    EXPECT_EQ(mine, found[0]);
  }
  EXPECT_EQ(tree_->nodes(), size_t{kFiles} + 1);
  EXPECT_LE(tree_->descriptors(), kBudget + kThreads);
}

TEST_F(DescriptorBudgetTest, ALookTakesNoDescriptor) {
  const std::string path = scratch_.MakeFile("a", "");
  const NodePtr a = Lookup("a");
  ASSERT_TRUE(a->GiveUp());
  const size_t held = tree_->descriptors();
  absl::StatusOr<LowerTree::Found> found =
      tree_->Lookup(tree_->root(), "a", /*look=*/true);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->node, a);
  EXPECT_EQ(found->stat.st_ino, a->inode());
  EXPECT_EQ(tree_->descriptors(), held);

  // Another in its place.
  ASSERT_EQ(rename(scratch_.MakeFile("b", "").c_str(), path.c_str()), 0);
  found = tree_->Lookup(tree_->root(), "a", /*look=*/true);
  ASSERT_TRUE(found.ok());
  EXPECT_NE(found->node, a);
  ASSERT_EQ(unlink(path.c_str()), 0);
  found = tree_->Lookup(tree_->root(), "a", /*look=*/true);
  EXPECT_TRUE(kernel::IsErrno(found.status(), ENOENT));
}

TEST_F(DescriptorBudgetTest, AnInodeNumberThatIsUsedAgainIsAnotherNode) {
  scratch_.MakeFile("old", "");
  const NodePtr old = Lookup("old");
  old->SetOwner(Owner{"com.example", 10001});
  // Enough others, for its descriptor to be given up.
  std::vector<NodePtr> files;
  for (size_t i = 0; i < 4 * kBudget; ++i) {
    const std::string name = absl::StrCat("file-", i);
    scratch_.MakeFile(name, "");
    files.push_back(Lookup(name));
  }
  ASSERT_EQ(unlink(scratch_.Path("old").c_str()), 0);
  std::string reused;
  for (int i = 0; i < 4096 && reused.empty(); ++i) {
    const std::string name = absl::StrCat("new-", i);
    struct stat stat = {};
    ASSERT_EQ(::stat(scratch_.MakeFile(name, "").c_str(), &stat), 0);
    if (stat.st_ino == old->inode()) reused = name;
  }
  if (reused.empty()) {
    GTEST_SKIP() << "NOT TESTED: this file system does not use the number of "
                    "an inode again";
  }
  const NodePtr fresh = Lookup(reused);
  EXPECT_EQ(fresh->inode(), old->inode());
  EXPECT_NE(fresh, old);
  EXPECT_EQ(fresh->owner(), std::nullopt);
  EXPECT_TRUE(kernel::IsErrno(old->Descriptor().status(), ESTALE));
  EXPECT_TRUE(kernel::IsErrno(old->Stat().status(), ESTALE));
  EXPECT_EQ(Lookup(reused), fresh);
  // By its number alone it would be the one from before.
  fresh->GiveUp();
  EXPECT_EQ(tree_->Lookup(tree_->root(), reused.c_str(), /*look=*/true)->node,
            fresh);
}

TEST(LowerTreeTest, WithoutHandlesDescriptorsAreKept) {
  absl::StatusOr<std::unique_ptr<LowerTree>> tree = LowerTree::Create(
      kernel::Fd(open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC)),
      {.descriptor_budget = 2});
  ASSERT_THAT(tree, IsOk());
  EXPECT_FALSE((*tree)->has_handles());
  EXPECT_FALSE((*tree)->has_xattrs());
  std::vector<NodePtr> nodes;
  for (const char* name : {"stat", "status", "maps", "mounts", "io", "comm"}) {
    absl::StatusOr<LowerTree::Found> found =
        (*tree)->Lookup((*tree)->root(), name);
    ASSERT_THAT(found, IsOk()) << name;
    nodes.push_back(std::move(found->node));
  }
  for (const NodePtr& node : nodes) EXPECT_THAT(node->Descriptor(), IsOk());
  EXPECT_EQ((*tree)->descriptors(), 7u);
}

TEST(LowerTreeTest, TheRootMustBeADirectory) {
  EXPECT_TRUE(kernel::IsErrno(
      LowerTree::Create(kernel::Fd(open("/proc/self/stat", O_PATH | O_CLOEXEC)),
                        {})
          .status(),
      ENOTDIR));
  EXPECT_FALSE(LowerTree::Create(kernel::Fd(), {}).ok());
}

TEST_F(LowerNodeTest, DeepTrees) {
  constexpr int kDepth = 2000;
  kernel::Fd at(open(scratch_.path().c_str(), O_RDONLY | O_CLOEXEC));
  NodePtr node = tree_->root();
  for (int i = 0; i < kDepth; ++i) {
    const char* const name = i == 0 ? "Pictures" : "d";
    ASSERT_EQ(mkdirat(at.get(), name, 0755), 0) << i;
    at.Reset(openat(at.get(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at.valid());
    node = Lookup(node, name);
    ASSERT_NE(node, nullptr);
  }
  EXPECT_EQ(ClassOf(node), "photos");
  tree_->BumpGeneration();
  EXPECT_EQ(ClassOf(node), "photos");
  EXPECT_EQ(tree_->PathOf(*node).size(), 8u + 2 * (kDepth - 1));
  EXPECT_EQ(tree_->nodes(), size_t{kDepth} + 1);
  node = nullptr;
  EXPECT_EQ(tree_->nodes(), 1u);
  // Its path is too long to be removed by.
  for (int i = 1; i < kDepth; ++i) {
    Rename("Pictures/d", "rest");
    ASSERT_EQ(rmdir(scratch_.Path("Pictures").c_str()), 0);
    Rename("rest", "Pictures");
  }
}

TEST_F(LowerNodeTest, TheDeepestTreesNeedNoStack) {
  constexpr int kDepth = 200000;
  NodePtr node = tree_->root();
  for (int i = 0; i < kDepth; ++i) {
    NodePtr child = Synthetic(1000 + static_cast<uint64_t>(i), S_IFDIR);
    child->SetPlace(node, i == 0 ? "Music" : "d");
    node = std::move(child);
  }
  EXPECT_EQ(ClassOf(node), "music");
  EXPECT_EQ(tree_->PathOf(*node).size(), 5u + 2 * (kDepth - 1));
  // A thread's usual stack, all parents at once.
  std::thread([&node] { node = nullptr; }).join();
  EXPECT_EQ(tree_->descriptors(), 1u);
}

TEST_F(LowerNodeTest, CountsWritersAndMakesLocksWhenAsked) {
  scratch_.MakeFile("a", "");
  const NodePtr a = Lookup("a");
  EXPECT_EQ(a->writers(), 0);
  a->AddWriter();
  a->AddWriter();
  EXPECT_EQ(a->writers(), 2);
  a->RemoveWriter();
  EXPECT_EQ(a->writers(), 1);
  EXPECT_EQ(a->locks_or_null(), nullptr);
  LockTable& locks = a->locks();
  EXPECT_EQ(a->locks_or_null(), &locks);
  EXPECT_EQ(&a->locks(), &locks);
}

TEST_F(LowerNodeTest, SightingsOfPeers) {
  const auto one = MakeRef<Peer>(1);
  const auto two = MakeRef<Peer>(2);
  const NodePtr& root = tree_->root();
  EXPECT_FALSE(root->SeenElsewhere({one, 1}));
  root->AddSighting({one, 1});
  EXPECT_FALSE(root->SeenElsewhere({one, 1}));
  EXPECT_TRUE(root->SeenElsewhere({two, 1}));
  root->AddSighting({two, 1});
  EXPECT_TRUE(root->SeenElsewhere({one, 1}));
  // What is not there is not removed.
  root->RemoveSighting({two, 2});
  EXPECT_EQ(root->sightings().size(), 2u);
  root->RemoveSighting({one, 1});
  root->RemoveSighting({one, 1});
  ASSERT_EQ(root->sightings().size(), 1u);
  EXPECT_EQ(root->sightings()[0], (Sighting{two, 1}));
}

// Whose a file is that another thread is just making is told when it is
// recorded, and not before.
TEST_F(LowerNodeTest, WhoLooksUpWhatIsBeingMadeWaits) {
  if (!tree_->has_xattrs()) {
    GTEST_SKIP() << "no trusted extended attributes here";
  }
  for (int i = 0; i < 200; ++i) {
    const std::string name = absl::StrCat("f", i);
    absl::Notification made;
    std::thread maker([&] {
      const LowerTree::Making making(*tree_);
      scratch_.MakeFile(name, "");
      made.Notify();
      const kernel::Fd fd(
          open(scratch_.Path(name).c_str(), O_RDWR | O_CLOEXEC));
      ASSERT_THAT(WriteOwner(fd.get(), {"com.example", 10001}), IsOk());
    });
    made.WaitForNotification();
    const std::optional<Owner> owner = Lookup(name)->owner();
    maker.join();
    ASSERT_TRUE(owner.has_value()) << i;
    EXPECT_EQ(owner->package, "com.example");
  }
}

}  // namespace
}  // namespace fused
