// Making, moving and removing names; what other views' kernels are told.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fuse_kernel.h"
#include "fused/owner.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/testing/fake_kernel.h"

namespace fused {
namespace {

using kernel::kRootNode;
using kernel::Terminated;

constexpr From kOther{.uid = kOtherUid, .gid = kOtherUid};

class NamesTest : public ViewTest {
 protected:
  void SetUp() override {
    ViewTest::SetUp();
    for (const char* name : {"a", "b", "Images", "ReadOnly", "Private",
                             "Private/com.example", "Private/com.other"}) {
      MakeDirectory(name);
    }
  }

  mode_t ModeOf(std::string_view name) const {
    struct stat stat = {};
    EXPECT_EQ(lstat(Path(name).c_str(), &stat), 0);
    return stat.st_mode;
  }
};

TEST_F(NamesTest, MakesFilesAndDirectories) {
  MountedView& view = Mount();
  const Answer created = view.Create(kRootNode, "f", O_RDWR);
  ASSERT_EQ(created.error, 0);
  EXPECT_EQ(view.Walk("f"), created.node());
  const Answer made = view.Mkdir(kRootNode, "d");
  ASSERT_EQ(made.error, 0);
  EXPECT_EQ(view.Walk("d"), made.node());
  fuse_mknod_in mknod = {};
  mknod.mode = S_IFREG | 0777;
  const Answer node = view.Call(FUSE_MKNOD, kRootNode, mknod, Terminated("n"));
  ASSERT_EQ(node.error, 0);
  // Whatever mode was asked for (less what this process masks).
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(ModeOf("f"), S_IFREG | (0660u & ~mask));
  EXPECT_EQ(ModeOf("d"), S_IFDIR | (0770u & ~mask));
  EXPECT_EQ(ModeOf("n"), S_IFREG | (0660u & ~mask));
  for (const char* name : {"f", "d", "n"}) {
    EXPECT_EQ(view.Mkdir(kRootNode, name).error, EEXIST) << name;
    EXPECT_EQ(view.Call(FUSE_MKNOD, kRootNode, mknod, Terminated(name)).error,
              EEXIST)
        << name;
    EXPECT_EQ(view.Create(kRootNode, name, O_RDWR | O_EXCL).error, EEXIST)
        << name;
  }
}

TEST_F(NamesTest, WhoMakesAFileOwnsIt) {
  MountedView& view = Mount();
  const kernel::NodeId images = view.Walk("Images");
  ASSERT_EQ(view.Create(images, "mine.jpg", O_RDWR).error, 0);
  ASSERT_EQ(view.Create(images, "theirs.jpg", O_RDWR, kOther).error, 0);
  fuse_mknod_in mknod = {};
  mknod.mode = S_IFREG;
  ASSERT_EQ(view.Call(FUSE_MKNOD, images, mknod, Terminated("node.jpg")).error,
            0);
  EXPECT_EQ(view.Unlink(images, "theirs.jpg").error, EACCES);
  EXPECT_EQ(view.Unlink(images, "mine.jpg", kOther).error, EACCES);
  EXPECT_EQ(view.Unlink(images, "node.jpg", kOther).error, EACCES);
  if (tree_->has_xattrs()) {
    const kernel::Fd fd(
        open(Path("Images/theirs.jpg").c_str(), O_PATH | O_CLOEXEC));
    EXPECT_EQ(ReadOwner(fd.get()), (Owner{"com.other", kOtherUid}));
    const kernel::Fd node(
        open(Path("Images/node.jpg").c_str(), O_PATH | O_CLOEXEC));
    EXPECT_EQ(ReadOwner(node.get()), (Owner{"com.example", kAppUid}));
  }
  EXPECT_EQ(view.Unlink(images, "mine.jpg").error, 0);
  EXPECT_EQ(view.Unlink(images, "theirs.jpg", kOther).error, 0);
}

// CREATE of a name that another has made since the kernel looked.
TEST_F(NamesTest, CreateOfWhatIsThereIsAnOpen) {
  MakeFile("a/f", "content");
  MakeFile("ReadOnly/f", "content");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  const Answer opened = view.Create(a, "f", O_RDWR);
  ASSERT_EQ(opened.error, 0);
  EXPECT_EQ(opened.node(), view.Walk("a/f"));
  EXPECT_EQ(Content("a/f"), "content");
  EXPECT_EQ(view.Read(opened.node(), opened.created().fh, 0, 100).body,
            "content");
  EXPECT_EQ(view.Create(a, "f", O_RDWR | O_EXCL).error, EEXIST);
  // By the rules of an open, not of a create: truncating is writing.
  const kernel::NodeId readonly = view.Walk("ReadOnly");
  EXPECT_EQ(view.Create(readonly, "f", O_RDONLY).error, 0);
  EXPECT_EQ(view.Create(readonly, "f", O_RDWR).error, EACCES);
  EXPECT_EQ(view.Create(readonly, "f", O_RDONLY | O_TRUNC).error, EACCES);
  EXPECT_EQ(Content("ReadOnly/f"), "content");
  EXPECT_EQ(view.Create(a, "f", O_RDWR | O_TRUNC).error, 0);
  EXPECT_EQ(Content("a/f"), "");
  EXPECT_EQ(view.Create(kRootNode, "a", O_RDWR).error, EISDIR);
}

TEST_F(NamesTest, TwoViewsCreateTheSameName) {
  constexpr int kRounds = 200;
  MountedView* const views[] = {&Mount(), &MountApp()};
  std::atomic<int> arrived{0};
  int made[2] = {};
  int wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 1; round <= kRounds; ++round) {
        ++arrived;
        while (arrived < 2 * round) std::this_thread::yield();
        const Answer answer = views[i]->Create(
            kRootNode, absl::StrCat("f", round), O_RDWR | O_EXCL);
        if (answer.error == 0) {
          ++made[i];
        } else if (answer.error != EEXIST) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(made[0] + made[1], kRounds);
}

TEST_F(NamesTest, Removes) {
  MakeFile("a/f", "");
  MakeDirectory("b/d");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  const kernel::NodeId b = view.Walk("b");
  EXPECT_EQ(view.Rmdir(a, "f").error, ENOTDIR);
  EXPECT_EQ(view.Unlink(b, "d").error, EISDIR);
  EXPECT_EQ(view.Rmdir(kRootNode, "a").error, ENOTEMPTY);
  EXPECT_EQ(view.Unlink(a, "absent").error, ENOENT);
  EXPECT_EQ(view.Rmdir(a, "absent").error, ENOENT);
  const kernel::NodeId file = view.Walk("a/f");
  EXPECT_EQ(view.Unlink(a, "f").error, 0);
  EXPECT_EQ(view.Rmdir(b, "d").error, 0);
  EXPECT_FALSE(Exists("a/f"));
  EXPECT_FALSE(Exists("b/d"));
  EXPECT_EQ(view.Lookup(a, "f").error, ENOENT);
  // The kernel still has it.
  EXPECT_EQ(view.GetAttributes(file).error, 0);
}

TEST_F(NamesTest, Renames) {
  MakeFile("a/f", "f");
  MakeFile("a/g", "g");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  const kernel::NodeId b = view.Walk("b");
  const kernel::NodeId f = view.Walk("a/f");
  EXPECT_EQ(view.Rename(a, "absent", b, "f").error, ENOENT);
  EXPECT_EQ(view.Rename(a, "f", b, "f").error, 0);
  EXPECT_EQ(view.Walk("b/f"), f);
  EXPECT_EQ(view.Lookup(a, "f").error, ENOENT);
  EXPECT_EQ(tree_->PathOf(*tree_->root()), "");
  // Over another, by the old opcode too.
  fuse_rename_in in = {};
  in.newdir = a;
  EXPECT_EQ(
      view.Call(FUSE_RENAME, b, in, Terminated("f") + Terminated("g")).error,
      0);
  EXPECT_EQ(view.Walk("a/g"), f);
  EXPECT_EQ(Content("a/g"), "f");
  EXPECT_EQ(view.Rename(a, "g", a, "g").error, 0);
  // Kinds.
  EXPECT_EQ(view.Rename(a, "g", kRootNode, "b").error, EISDIR);
  EXPECT_EQ(view.Rename(kRootNode, "b", a, "g").error, ENOTDIR);
  EXPECT_EQ(view.Rename(kRootNode, "b", kRootNode, "a").error, ENOTEMPTY);
  // Into itself.
  EXPECT_EQ(view.Rename(kRootNode, "a", a, "below").error, EINVAL);
}

// The kernel asks first what stands at the new name, and is told; since then
// something else may stand there.
TEST_F(NamesTest, RenamesOverWhatNobodyLookedAt) {
  MakeFile("a/f", "f");
  MakeFile("b/g", "g");
  MakeDirectory("b/d");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  const kernel::NodeId b = view.Walk("b");
  const kernel::NodeId f = view.Walk("a/f");
  EXPECT_EQ(view.Rename(a, "f", b, "d").error, EISDIR);
  EXPECT_EQ(view.Rename(kRootNode, "a", b, "g").error, ENOTDIR);
  EXPECT_EQ(view.Rename(a, "f", b, "g").error, 0);
  EXPECT_EQ(view.Walk("b/g"), f);
  EXPECT_EQ(Content("b/g"), "f");
  EXPECT_EQ(view.Rename(kRootNode, "a", b, "d").error, 0);
  EXPECT_FALSE(Exists("a"));
}

TEST_F(NamesTest, RenameFlags) {
  MakeFile("a/f", "f");
  MakeFile("b/g", "g");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  const kernel::NodeId b = view.Walk("b");
  const kernel::NodeId f = view.Walk("a/f");
  const kernel::NodeId g = view.Walk("b/g");
  EXPECT_EQ(view.Rename(a, "f", b, "g", RENAME_NOREPLACE).error, EEXIST);
  EXPECT_EQ(view.Rename(a, "f", b, "g", RENAME_EXCHANGE).error, 0);
  EXPECT_EQ(view.Walk("a/f"), g);
  EXPECT_EQ(view.Walk("b/g"), f);
  EXPECT_EQ(Content("a/f"), "g");
  EXPECT_EQ(view.Rename(a, "f", b, "absent", RENAME_EXCHANGE).error, ENOENT);
  EXPECT_EQ(view.Rename(a, "absent", b, "g", RENAME_EXCHANGE).error, ENOENT);
  EXPECT_EQ(view.Rename(a, "f", b, "new", RENAME_NOREPLACE).error, 0);
  EXPECT_EQ(view.Walk("b/new"), g);
  for (const uint32_t flags :
       {uint32_t{RENAME_WHITEOUT}, uint32_t{RENAME_WHITEOUT | RENAME_EXCHANGE},
        uint32_t{RENAME_NOREPLACE | RENAME_EXCHANGE}, 8u, 1u << 31}) {
    EXPECT_EQ(view.Rename(b, "new", b, "newer", flags).error, EINVAL) << flags;
  }
  EXPECT_TRUE(Exists("b/new"));
}

TEST_F(NamesTest, RenamesAreJudgedAtBothEnds) {
  MakeFile("a/f.txt", "");
  MakeFile("a/f.jpg", "");
  MakeFile("Private/com.example/f.jpg", "mine");
  MakeFile("ReadOnly/f.jpg", "");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  const kernel::NodeId images = view.Walk("Images");
  const kernel::NodeId mine = view.Walk("Private/com.example");
  const kernel::NodeId readonly = view.Walk("ReadOnly");
  const kernel::NodeId privates = view.Walk("Private");
  // A type that may not be made there.
  EXPECT_EQ(view.Rename(a, "f.txt", images, "f.txt").error, EPERM);
  EXPECT_EQ(view.Rename(a, "f.txt", images, "f.jpg").error, 0);
  // What may not be replaced, or taken in exchange.
  ASSERT_EQ(view.Create(images, "theirs.jpg", O_RDWR, kOther).error, 0);
  EXPECT_EQ(view.Rename(a, "f.jpg", images, "theirs.jpg").error, EACCES);
  EXPECT_EQ(
      view.Rename(a, "f.jpg", images, "theirs.jpg", RENAME_EXCHANGE).error,
      EACCES);
  EXPECT_EQ(view.Rename(a, "f.jpg", readonly, "f.jpg", RENAME_EXCHANGE).error,
            EACCES);
  EXPECT_EQ(view.Rename(readonly, "f.jpg", a, "g.jpg").error, EACCES);
  // To where nobody else is seen to be.
  EXPECT_EQ(view.Rename(a, "f.jpg", privates, "com.other").error, ENOENT);
  EXPECT_EQ(view.Rename(a, "f.jpg", mine, "g.jpg").error, 0);
  EXPECT_EQ(view.Lookup(mine, "g.jpg", kOther).error, ENOENT);
}

// A directory takes what is below it along, so all of that must be allowed.
TEST_F(NamesTest, DirectoriesMoveWithWhatIsInThem) {
  MakeDirectory("a/d");
  MakeDirectory("a/d/e");
  MakeFile("a/d/e/f.txt", "");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  const kernel::NodeId images = view.Walk("Images");
  EXPECT_EQ(view.Rename(a, "d", images, "d").error, EPERM);
  ASSERT_EQ(rename(Path("a/d/e/f.txt").c_str(), Path("a/d/e/f.jpg").c_str()),
            0);
  const kernel::NodeId file = view.Walk("a/d/e/f.jpg");
  ASSERT_EQ(view.Rename(a, "d", images, "d").error, 0);
  EXPECT_EQ(view.Walk("Images/d/e/f.jpg"), file);
  // It is judged by where it stands now.
  EXPECT_EQ(view.Open(file, O_RDONLY).error, 0);
  EXPECT_EQ(view.Open(file, O_WRONLY).error, EACCES);
  EXPECT_EQ(view.Rename(images, "d", a, "d").error, EACCES);
}

TEST_F(NamesTest, ADirectoryThatHidesForeignFilesDoesNotMove) {
  MountedView& view = Mount();
  const kernel::NodeId privates = view.Walk("Private");
  EXPECT_EQ(view.Rename(kRootNode, "Private", kRootNode, "p").error, EACCES);
  EXPECT_EQ(view.Rename(privates, "com.example", kRootNode, "p").error, 0);
  EXPECT_TRUE(Exists("p"));
  EXPECT_EQ(view.Walk("Private/com.example"), 0u);
  EXPECT_NE(view.Walk("p", kOther), 0u);
}

TEST_F(NamesTest, MovedDirectoriesAreJudgedAnewInEveryView) {
  MakeDirectory("a/d");
  MakeFile("a/d/f", "");
  MountedView& app = MountApp();
  MountedView& shared = Mount();
  const kernel::NodeId file = shared.Walk("a/d/f", kOther);
  EXPECT_EQ(shared.Open(file, O_RDONLY, kOther).error, 0);
  ASSERT_EQ(app.Rename(app.Walk("a"), "d", app.Walk("Private/com.example"), "d")
                .error,
            0);
  EXPECT_EQ(shared.Open(file, O_RDONLY, kOther).error, ENOENT);
  EXPECT_EQ(shared.Open(file, O_RDONLY).error, 0);
}

TEST_F(NamesTest, OtherViewsAreTold) {
  MakeFile("a/f", "");
  MakeFile("a/g", "");
  MountedView& one = Mount();
  MountedView& two = MountApp();
  const kernel::NodeId a1 = one.Walk("a");
  const kernel::NodeId a2 = two.Walk("a");
  const kernel::NodeId b2 = two.Walk("b");
  const kernel::NodeId f2 = two.Walk("a/f");
  one.Walk("a/f");
  two.Notifications();

  ASSERT_EQ(one.Unlink(a1, "f").error, 0);
  // Attributes at once, before the answer.
  std::vector<kernel::FakeKernel::Message> told = two.Notifications();
  EXPECT_TRUE(MountedView::Invalidates(told, f2));
  EXPECT_TRUE(MountedView::Invalidates(told, a2));
  Sync();
  for (auto& message : two.Notifications()) told.push_back(message);
  EXPECT_TRUE(MountedView::Names(told, a2, "f"));
  // Its own kernel knows.
  EXPECT_FALSE(MountedView::Names(one.Notifications(), a1, "f"));

  const kernel::NodeId b1 = one.Walk("b");
  // What it knows of the two names.
  ASSERT_NE(two.Walk("a/g"), 0u);
  two.Lookup(b2, "h");
  ASSERT_EQ(one.Rename(a1, "g", b1, "h").error, 0);
  Sync();
  told = two.Notifications();
  EXPECT_TRUE(MountedView::Names(told, a2, "g"));
  EXPECT_TRUE(MountedView::Names(told, b2, "h"));

  // What it was told not to be there.
  two.Lookup(b2, "new");
  two.Lookup(b2, "newdir");
  ASSERT_EQ(one.Create(b1, "new", O_RDWR).error, 0);
  ASSERT_EQ(one.Mkdir(b1, "newdir").error, 0);
  ASSERT_EQ(one.Rmdir(b1, "newdir").error, 0);
  Sync();
  told = two.Notifications();
  EXPECT_TRUE(MountedView::Names(told, b2, "new"));
  EXPECT_TRUE(MountedView::Names(told, b2, "newdir"));

  // A view that is gone is told nothing more.
  two.Close();
  EXPECT_EQ(one.Unlink(b1, "new").error, 0);
  Sync();
}

TEST_F(NamesTest, WhatIsGoneLosesItsBackingId) {
  MakeFile("a/f", "");
  MakeFile("a/g", "");
  MountedView& one = Mount();
  MountedView& two = MountApp();
  kernel::NodeId file = 0;
  for (MountedView* view : {&two, &one}) {
    file = view->Walk("a/f");
    const Answer opened = view->Open(file, O_RDWR);
    ASSERT_GT(opened.opened().backing_id, 0);
    view->Release(file, opened.opened().fh);
    // Kept warm.
    ASSERT_EQ(view->backing().ids().size(), 1u);
  }
  ASSERT_EQ(one.Unlink(one.Walk("a"), "f").error, 0);
  EXPECT_TRUE(two.backing().ids().empty());
  // The one that has removed it forgets it as well.
  one.Forget(file, 1);
  EXPECT_TRUE(one.backing().ids().empty());

  // One that is open keeps it for as long.
  file = two.Walk("a/g");
  const uint64_t handle = two.Open(file, O_RDWR).opened().fh;
  ASSERT_EQ(one.Create(one.Walk("a"), "new", O_RDWR).error, 0);
  ASSERT_EQ(one.Rename(one.Walk("a"), "new", one.Walk("a"), "g").error, 0);
  EXPECT_EQ(two.backing().ids().size(), 1u);
  EXPECT_EQ(two.Release(file, handle).error, 0);
  EXPECT_TRUE(two.backing().ids().empty());
  EXPECT_EQ(two.backing().wrong_closes(), 0);
}

// Files with several names can only come from below the mount.
TEST_F(NamesTest, AHardLinkIsOneNodeForEachClass) {
  MakeFile("a/f", "");
  ASSERT_EQ(link(Path("a/f").c_str(), Path("ReadOnly/f").c_str()), 0);
  ASSERT_EQ(link(Path("a/f").c_str(), Path("b/g").c_str()), 0);
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("a/f");
  const kernel::NodeId readonly = view.Walk("ReadOnly/f");
  EXPECT_NE(f, readonly);
  EXPECT_EQ(view.Walk("b/g"), f);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(view.Open(readonly, O_WRONLY).error, EACCES);
    EXPECT_EQ(view.Open(f, O_WRONLY).error, 0);
    view.Walk("a/f");
  }
}

// Renames in one view while another looks the same names up: a lookup that was
// overtaken must not put a node where it no longer stands.
TEST_F(NamesTest, LookupsThatAreOvertakenByRenames) {
  constexpr int kRounds = 6000;
  MakeDirectory("a/d");
  MountedView& moving = MountApp();
  MountedView& looking = Mount();
  const kernel::NodeId from = moving.Walk("a");
  const kernel::NodeId to = moving.Walk("Private/com.example");
  const kernel::NodeId a = looking.Walk("a");
  const auto parent = tree_->Lookup(tree_->root(), "a");
  ASSERT_TRUE(parent.ok());
  const auto directory = tree_->Lookup(parent->node, "d");
  ASSERT_TRUE(directory.ok());
  std::atomic<bool> done{false};
  std::thread lookups([&] {
    while (!done) looking.Lookup(a, "d");
  });
  int failed = 0;
  int misplaced = 0;
  for (int i = 0; i < kRounds; ++i) {
    const bool there = i % 2 == 0;
    if (moving.Rename(there ? from : to, "d", there ? to : from, "d").error !=
        0) {
      ++failed;
    }
    if (tree_->PathOf(*directory->node) !=
        (there ? "Private/com.example/d" : "a/d")) {
      ++misplaced;
    }
  }
  done = true;
  lookups.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(misplaced, 0);
}

// What is made in a directory that moves meanwhile is judged by where it is
// made.
TEST_F(NamesTest, WhatIsMadeWhileItsDirectoryMoves) {
  constexpr int kRounds = 1500;
  MakeDirectory("a/d");
  MountedView& moving = Mount();
  MountedView& making = MountApp();
  const kernel::NodeId from = moving.Walk("a");
  const kernel::NodeId images = moving.Walk("Images");
  const kernel::NodeId directory = making.Walk("a/d");
  const kernel::NodeId b = making.Walk("b");
  ASSERT_EQ(making.Create(b, "other.txt", O_RDWR).error, 0);
  std::atomic<bool> done{false};
  std::thread maker([&] {
    while (!done) {
      // Images takes no text.
      const Answer created = making.Create(directory, "f.txt", O_RDWR);
      if (created.error == 0) {
        making.Release(created.node(), created.created().fh);
        making.Forget(created.node(), 1);
        making.Unlink(directory, "f.txt");
      }
      if (making.Rename(b, "other.txt", directory, "other.txt").error == 0) {
        making.Rename(directory, "other.txt", b, "other.txt");
      }
    }
  });
  int misplaced = 0;
  for (int i = 0; i < kRounds; ++i) {
    if (moving.Rename(from, "d", images, "d").error != 0) continue;
    for (int look = 0; look < 10; ++look) {
      if (Exists("Images/d/f.txt") || Exists("Images/d/other.txt")) {
        ++misplaced;
        break;
      }
    }
    while (moving.Rename(images, "d", from, "d").error != 0) {
      std::this_thread::yield();
    }
  }
  done = true;
  maker.join();
  EXPECT_EQ(misplaced, 0);
}

}  // namespace
}  // namespace fused
