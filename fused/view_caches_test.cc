// What kernels are allowed to keep, and how it is taken back.
#include <fcntl.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "fuse_kernel.h"
#include "fused/testing/mounted_view.h"
#include "fused/testing/view_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/types.h"

namespace fused {
namespace {

using kernel::kRootNode;
using ::testing::IsEmpty;
using Messages = std::vector<kernel::FakeKernel::Message>;

// Something with the dot that hides is not shown to who may not see it.
constexpr char kHidingPolicy[] = R"(
name: "hiding" version: 2
path_classes { name: "open" patterns: "Open/**" }
path_classes { name: "closed" patterns: "Closed/**" }
rules { name: "closed" path_classes: "closed" operations: LOOKUP
        when { not { permission: "SEE" } } effect { deny { error: ENOENT } } }
rules { name: "hidden" operations: LOOKUP
        when { all_of { conditions { state: HIDDEN }
                        conditions { not { permission: "SEE" } } } }
        effect { deny { error: ENOENT } } }
rules { name: "rest" operations: ANY effect { allow {} } }
)";
constexpr char kHidingApps[] = R"(
version: 1
apps { package: "com.example" uid: 10001 }
apps { package: "com.other" uid: 10002 permissions: "SEE" }
)";

class CachesTest : public ViewTest {
 protected:
  MountedView& MountOther() {
    return Mount({.package = "com.other", .user = 0, .uid = kOtherUid});
  }
  // A listing's pages are dropped.
  static bool Drops(const Messages& messages, kernel::NodeId directory) {
    for (const kernel::FakeKernel::Message& message : messages) {
      if (message.error != FUSE_NOTIFY_INVAL_INODE) continue;
      const auto out = message.As<fuse_notify_inval_inode_out>();
      if (out.ino == directory && out.off == 0) return true;
    }
    return false;
  }
  static bool HasEpoch(const Messages& messages) {
    for (const kernel::FakeKernel::Message& message : messages) {
      if (message.error == FUSE_NOTIFY_INC_EPOCH) return true;
    }
    return false;
  }
  static constexpr uint32_t kDropped = FOPEN_CACHE_DIR;
  static constexpr uint32_t kKept = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
  static constexpr uint32_t kNotUsed = FOPEN_KEEP_CACHE;

  // What an open directory does with what the kernel has of its listing.
  struct Opened {
    uint64_t fh = 0;
    uint32_t cache = 0;
  };
  static Opened Open(MountedView& view, kernel::NodeId directory) {
    const Answer opened =
        view.Call(FUSE_OPENDIR, directory, fuse_open_in{}, "");
    EXPECT_EQ(opened.error, 0);
    return {opened.opened().fh, opened.opened().open_flags & kKept};
  }
  static int Read(MountedView& view, kernel::NodeId directory, uint64_t fh) {
    fuse_read_in in = {};
    in.fh = fh;
    in.size = 4096;
    return view.Call(FUSE_READDIR, directory, in, "").error;
  }
  static void Close(MountedView& view, kernel::NodeId directory, uint64_t fh) {
    fuse_release_in in = {};
    in.fh = fh;
    EXPECT_EQ(view.Call(FUSE_RELEASEDIR, directory, in, "").error, 0);
  }
  static bool KeepsListing(MountedView& view, kernel::NodeId directory) {
    const Opened opened = Open(view, directory);
    Close(view, directory, opened.fh);
    return (opened.cache & FOPEN_CACHE_DIR) != 0;
  }
  static bool KeepsAbsence(const Answer& answer) {
    EXPECT_EQ(answer.error, ENOENT);
    return answer.As<fuse_entry_out>().entry_valid > 0;
  }
};

// The daemon's descriptors.
ptrdiff_t Descriptors() {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return std::distance(begin(open), end(open));
}

// Where the kernel has the listing it needs none; and of one that has gone it
// says what the lower file system would say.
TEST_F(CachesTest, ADirectoryIsOpenedBelowWhenItIsRead) {
  MakeDirectory("d");
  MountedView& view = Mount();
  const kernel::NodeId d = view.Walk("d");
  const ptrdiff_t before = Descriptors();
  const Opened opened = Open(view, d);
  const Opened other = Open(view, d);
  EXPECT_EQ(Descriptors(), before);
  EXPECT_EQ(Read(view, d, opened.fh), 0);
  EXPECT_EQ(Descriptors(), before + 1);
  Close(view, d, opened.fh);
  EXPECT_EQ(Descriptors(), before);
  EXPECT_EQ(view.Rmdir(kRootNode, "d").error, 0);
  EXPECT_EQ(Read(view, d, other.fh), ENOENT);
  Close(view, d, other.fh);
}

TEST_F(CachesTest, WhatIsAbsentAndWhatIsDeniedIsKeptAlike) {
  MakeDirectory("d");
  MakeDirectory("Private");
  MakeDirectory("Private/com.other");
  MountedView& view = MountApp();
  const kernel::NodeId privates = view.Walk("Private");
  const Answer absent = view.Lookup(privates, "com.absent");
  const Answer denied = view.Lookup(privates, "com.other");
  EXPECT_TRUE(KeepsAbsence(absent));
  EXPECT_TRUE(KeepsAbsence(denied));
  EXPECT_EQ(absent.body, denied.body);
  EXPECT_TRUE(KeepsAbsence(view.Lookup(view.Walk("d"), "absent")));
  EXPECT_TRUE(KeepsAbsence(view.Lookup(kRootNode, "Secret")));
}

TEST_F(CachesTest, TheSharedViewKeepsWhatAllAreShown) {
  MakeDirectory("d");
  MakeDirectory("Private");
  MakeDirectory("Private/com.other");
  MountedView& view = Mount();
  const kernel::NodeId directory = view.Walk("d");
  EXPECT_TRUE(KeepsAbsence(view.Lookup(directory, "absent")));
  const kernel::NodeId privates = view.Walk("Private");
  for (const char* name : {"com.absent", "com.other"}) {
    EXPECT_FALSE(KeepsAbsence(view.Lookup(privates, name))) << name;
  }
  // Another user's caller is told the same of every name there.
  EXPECT_FALSE(KeepsAbsence(view.Lookup(kRootNode, "absent")));
  EXPECT_TRUE(KeepsListing(view, directory));
  EXPECT_FALSE(KeepsListing(view, privates));
  EXPECT_FALSE(KeepsListing(view, kRootNode));
}

TEST_F(CachesTest, OfOneUserTheRootIsKeptToo) {
  MakeDirectory("d");
  MakeDirectory("Private");
  context_.single_user = true;
  MountedView& view = Mount();
  EXPECT_GT(view.Lookup(kRootNode, "d").As<fuse_entry_out>().entry_valid, 0u);
  EXPECT_TRUE(KeepsAbsence(view.Lookup(kRootNode, "absent")));
  EXPECT_TRUE(KeepsAbsence(view.Lookup(kRootNode, "Secret")));
  EXPECT_TRUE(KeepsListing(view, kRootNode));
  EXPECT_FALSE(KeepsAbsence(view.Lookup(view.Walk("Private"), "com.absent")));
  EXPECT_EQ(view.view().counters().other_users, 0u);
  // Another user comes all the same: what it is told is not kept.
  constexpr From kOther{.uid = 1010001, .gid = 1010001};
  EXPECT_FALSE(KeepsAbsence(view.Lookup(kRootNode, "d", kOther)));
  EXPECT_NE(
      view.Call(FUSE_OPENDIR, kRootNode, fuse_open_in{}, "", kOther).error, 0);
  EXPECT_EQ(view.view().counters().other_users, 2u);
  EXPECT_EQ(view.view().counters().first_other_user, 1010001u);
}

TEST_F(CachesTest, TheFirstWhoOpensDropsWhatWasKept) {
  MakeDirectory("d");
  MountedView& view = Mount();
  const kernel::NodeId d = view.Walk("d");
  const Opened first = Open(view, d);
  EXPECT_EQ(first.cache, kDropped);
  const Opened second = Open(view, d);
  EXPECT_EQ(second.cache, kNotUsed);
  EXPECT_EQ(Read(view, d, first.fh), 0);
  const Opened third = Open(view, d);
  EXPECT_EQ(third.cache, kKept);
  view.view().TellRules();
  // What the first was told may be on its way still.
  EXPECT_EQ(Open(view, d).cache, kNotUsed);
  Close(view, d, first.fh);
  const Opened next = Open(view, d);
  EXPECT_EQ(next.cache, kDropped);
  Close(view, d, next.fh);
  EXPECT_EQ(Open(view, d).cache, kKept);
}

// What one is told there, others may read who hold it open too.
TEST_F(CachesTest, AListingThatIsNotForAllAnyMoreIsNotReadOn) {
  MakeDirectory("Open");
  MountedView& view = Mount();
  const kernel::NodeId open = view.Walk("Open");
  const Opened held = Open(view, open);
  EXPECT_EQ(Read(view, open, held.fh), 0);
  SetRules(R"(name: "list" version: 2
    path_classes { name: "open" patterns: "Open" }
    rules { name: "list" path_classes: "open" operations: LIST
            when { not { permission: "LIST" } }
            effect { deny { error: EACCES } } }
    rules { name: "rest" operations: ANY effect { allow {} } })",
           R"(version: 1
    apps { package: "com.example" uid: 10001 permissions: "LIST" }
    apps { package: "com.other" uid: 10002 })");
  EXPECT_EQ(Read(view, open, held.fh), ESTALE);
  const Opened again = Open(view, open);
  EXPECT_EQ(again.cache, kNotUsed);
  EXPECT_EQ(Read(view, open, again.fh), 0);
}

TEST_F(CachesTest, ListingsAreKeptUntilTheyChange) {
  MakeDirectory("d");
  MakeFile("d/f", "x");
  MountedView& view = MountApp();
  MountedView& other = MountOther();
  const kernel::NodeId mine = view.Walk("d");
  const kernel::NodeId others = other.Walk("d");
  EXPECT_TRUE(KeepsListing(view, mine));
  EXPECT_EQ(view.List(mine).size(), 1u);
  view.Lookup(mine, "new");
  view.Notifications();

  ASSERT_EQ(other.Mkdir(others, "new").error, 0);
  Sync();
  Messages told = view.Notifications();
  EXPECT_TRUE(MountedView::Names(told, mine, "new"));
  EXPECT_TRUE(Drops(told, mine));
  // Nothing is kept now.
  ASSERT_EQ(other.Rmdir(others, "new").error, 0);
  Sync();
  EXPECT_FALSE(Drops(view.Notifications(), mine));
  // Again.
  EXPECT_EQ(view.List(mine, /*plus=*/true).size(), 1u);
  ASSERT_EQ(other.Rename(others, "f", others, "g").error, 0);
  Sync();
  EXPECT_TRUE(Drops(view.Notifications(), mine));
  // The own kernel knows by itself.
  EXPECT_EQ(view.List(mine).size(), 1u);
  ASSERT_EQ(view.Unlink(mine, "g").error, 0);
  Sync();
  told = view.Notifications();
  EXPECT_FALSE(MountedView::Names(told, mine, "g"));
  EXPECT_FALSE(Drops(told, mine));
}

TEST_F(CachesTest, AViewThatHasKeptNothingIsNotTold) {
  MakeDirectory("d");
  MountedView& view = MountApp();
  MountedView& other = MountOther();
  const kernel::NodeId mine = view.Walk("d");
  const kernel::NodeId others = other.Walk("d");
  view.Notifications();
  // It knows the directory, until it is told once.
  ASSERT_EQ(other.Create(others, "a", O_RDWR).error, 0);
  Sync();
  Messages told = view.Notifications();
  EXPECT_TRUE(MountedView::Invalidates(told, mine));
  EXPECT_FALSE(MountedView::Names(told, mine, "a"));
  ASSERT_EQ(other.Create(others, "b", O_RDWR).error, 0);
  Sync();
  EXPECT_THAT(view.Notifications(), IsEmpty());
  // It asks again.
  view.GetAttributes(mine);
  view.Lookup(mine, "d");
  ASSERT_EQ(other.Create(others, "c", O_RDWR).error, 0);
  ASSERT_EQ(other.Create(others, "d", O_RDWR).error, 0);
  Sync();
  told = view.Notifications();
  EXPECT_TRUE(MountedView::Invalidates(told, mine));
  EXPECT_FALSE(MountedView::Names(told, mine, "c"));
  EXPECT_TRUE(MountedView::Names(told, mine, "d"));
  // What it has looked up, and what it has not.
  ASSERT_NE(view.Walk("d/a"), 0u);
  view.Notifications();
  ASSERT_EQ(other.Unlink(others, "a").error, 0);
  ASSERT_EQ(other.Rename(others, "b", others, "e").error, 0);
  ASSERT_EQ(other.Unlink(others, "e").error, 0);
  Sync();
  told = view.Notifications();
  EXPECT_TRUE(MountedView::Names(told, mine, "a"));
  EXPECT_FALSE(MountedView::Names(told, mine, "b"));
  EXPECT_FALSE(MountedView::Names(told, mine, "e"));
}

// Not even that the directory which they are in has changed.
TEST_F(CachesTest, AViewIsNotToldOfWhatItIsNotShown) {
  MakeDirectory("Private");
  MountedView& view = MountApp();
  MountedView& other = MountOther();
  MountedView& shared = Mount();
  const kernel::NodeId mine = view.Walk("Private");
  const kernel::NodeId all = shared.Walk("Private");
  ASSERT_NE(mine, 0u);
  ASSERT_NE(all, 0u);
  EXPECT_TRUE(KeepsListing(view, mine));
  EXPECT_THAT(view.List(mine), IsEmpty());
  ASSERT_EQ(other.Mkdir(other.Walk("Private"), "com.other").error, 0);
  Sync();
  EXPECT_THAT(view.Notifications(), IsEmpty());
  EXPECT_THAT(shared.Notifications(), IsEmpty());
  ASSERT_EQ(other.Rmdir(other.Walk("Private"), "com.other").error, 0);
  Sync();
  EXPECT_THAT(view.Notifications(), IsEmpty());
  // Of its own it is.
  view.Lookup(mine, "com.example");
  ASSERT_EQ(shared.Mkdir(all, "com.example").error, 0);
  Sync();
  EXPECT_TRUE(MountedView::Names(view.Notifications(), mine, "com.example"));
}

TEST_F(CachesTest, RulesDropAllListings) {
  MakeDirectory("d");
  MountedView& view = MountApp();
  const kernel::NodeId directory = view.Walk("d");
  view.List(directory);
  EXPECT_TRUE(view.view().TellRules());
  Sync();
  const Messages told = view.Notifications();
  EXPECT_TRUE(HasEpoch(told));
  EXPECT_TRUE(Drops(told, directory));
  EXPECT_FALSE(view.view().TellRules());
}

TEST_F(CachesTest, WhatIsHiddenIsLookedUpAgain) {
  MakeDirectory("Open");
  MakeDirectory("Open/d");
  MakeFile("Open/d/f", "x");
  MountedView& first = MountApp();
  // By the first policy a hidden name is seen as any other.
  ASSERT_EQ(first.Create(first.Walk("Open/d"), ".nomedia", O_WRONLY).error, 0);
  Sync();
  EXPECT_FALSE(HasEpoch(first.Notifications()));
  ASSERT_EQ(first.Unlink(first.Walk("Open/d"), ".nomedia").error, 0);

  SetRules(kHidingPolicy, kHidingApps);
  MountedView& view = MountApp();
  MountedView& other = MountOther();
  EXPECT_NE(view.Walk("Open/d/f"), 0u);
  view.List(view.Walk("Open/d"));
  view.Notifications();
  ASSERT_EQ(other.Create(other.Walk("Open/d"), ".nomedia", O_WRONLY).error, 0);
  // At once.
  Messages told = view.Notifications();
  EXPECT_TRUE(HasEpoch(told));
  Sync();
  for (auto& message : view.Notifications()) told.push_back(message);
  EXPECT_TRUE(Drops(told, view.Walk("Open/d")));
  EXPECT_EQ(view.Walk("Open/d/f"), 0u);
}

TEST_F(CachesTest, ADirectoryThatIsJudgedOtherwiseIsLookedUpAgain) {
  SetRules(kHidingPolicy, kHidingApps);
  MakeDirectory("Open");
  MakeDirectory("Open/d");
  MakeDirectory("Closed");
  MountedView& view = MountApp();
  MountedView& other = MountOther();
  const kernel::NodeId open = other.Walk("Open");
  const kernel::NodeId closed = other.Walk("Closed");
  EXPECT_NE(view.Walk("Open/d"), 0u);
  // As it was judged before.
  ASSERT_EQ(other.Rename(open, "d", open, "e").error, 0);
  Sync();
  EXPECT_FALSE(HasEpoch(view.Notifications()));
  ASSERT_EQ(other.Rename(open, "e", closed, "e").error, 0);
  Sync();
  EXPECT_TRUE(HasEpoch(view.Notifications()));
}

}  // namespace
}  // namespace fused
