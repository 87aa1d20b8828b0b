// Opening, reading, locking and closing: how each open is served, and what is
// left when it is over.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuse_kernel.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

using kernel::kRootNode;

class OpenTest : public ViewTest {
 protected:
  void SetUp() override {
    ViewTest::SetUp();
    MakeFile("f", "0123456789");
    MakeFile("g", "");
    MakeDirectory("Daemon");
    MakeFile("Daemon/f", "0123456789");
  }

  static void ExpectPassthrough(const fuse_open_out& out, bool flushed) {
    EXPECT_GT(out.backing_id, 0);
    EXPECT_EQ(out.open_flags,
              flushed ? FOPEN_PASSTHROUGH : FOPEN_PASSTHROUGH | FOPEN_NOFLUSH);
  }
  static void ExpectDaemon(const fuse_open_out& out) {
    EXPECT_EQ(out.backing_id, 0);
    EXPECT_NE(out.open_flags & FOPEN_DIRECT_IO, 0u);
    EXPECT_EQ(out.open_flags & (FOPEN_PASSTHROUGH | FOPEN_KEEP_CACHE), 0u);
  }

  Ref<LowerNode> Lower(const char* name) {
    const auto found = tree_->Lookup(tree_->root(), name);
    EXPECT_TRUE(found.ok());
    return found->node;
  }

  static bool Cached(const Answer& attributes) {
    EXPECT_EQ(attributes.error, 0);
    return attributes.As<fuse_attr_out>().attr_valid > 0;
  }
};

TEST_F(OpenTest, OneBackingIdForANode) {
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  const fuse_open_out read = view.Open(f, O_RDONLY).opened();
  const fuse_open_out write = view.Open(f, O_WRONLY | O_APPEND).opened();
  const fuse_open_out both = view.Open(f, O_RDWR).opened();
  ExpectPassthrough(read, false);
  ExpectPassthrough(write, false);
  ExpectPassthrough(both, true);
  EXPECT_EQ(read.backing_id, write.backing_id);
  EXPECT_EQ(read.backing_id, both.backing_id);
  EXPECT_NE(read.fh, write.fh);
  EXPECT_EQ(view.backing().opens(), 1);
  const fuse_open_out other = view.Open(view.Walk("g"), O_RDWR).opened();
  EXPECT_NE(other.backing_id, both.backing_id);
  EXPECT_EQ(view.view().counters().passthrough, 4u);
  EXPECT_EQ(view.view().handles(), 4u);
  for (const fuse_open_out& out : {read, write, both}) {
    EXPECT_EQ(view.backing().ids().count(both.backing_id), 1u);
    EXPECT_EQ(view.Release(f, out.fh).error, 0);
    EXPECT_EQ(view.Release(f, out.fh).error, EBADF);
  }
  // Warm: the next open needs no registration.
  EXPECT_EQ(view.Open(f, O_RDONLY).opened().backing_id, both.backing_id);
  EXPECT_EQ(view.backing().opens(), 2);
  EXPECT_TRUE(fallbacks_.empty());
}

TEST_F(OpenTest, CreatedFilesArePassedThrough) {
  MountedView& view = Mount();
  const Answer created = view.Create(kRootNode, "new", O_RDWR | O_EXCL);
  ASSERT_EQ(created.error, 0);
  ExpectPassthrough(created.created(), true);
  fuse_create_in in = {};
  in.flags = O_RDWR;
  const Answer unnamed = view.Call(FUSE_TMPFILE, kRootNode, in, "");
  ASSERT_EQ(unnamed.error, 0);
  ExpectPassthrough(unnamed.created(), true);
  EXPECT_TRUE(view.List(kRootNode, true).size() == 4u);
}

TEST_F(OpenTest, ForgottenNodesLoseTheirBackingIds) {
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  view.Release(f, view.Open(f, O_RDONLY).opened().fh);
  EXPECT_EQ(view.backing().ids().size(), 1u);
  view.Forget(f, 1);
  EXPECT_TRUE(view.backing().ids().empty());
}

TEST_F(OpenTest, RefusedRegistrationIsServedByTheDaemon) {
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  view.backing().Refuse(ELOOP);
  const fuse_open_out first = view.Open(f, O_RDWR).opened();
  ExpectDaemon(first);
  ASSERT_EQ(fallbacks_.size(), 1u);
  EXPECT_FALSE(fallbacks_[0].empty());
  EXPECT_EQ(view.view().counters().daemon, 1u);
  EXPECT_EQ(view.Read(f, first.fh, 2, 3).body, "234");
  EXPECT_EQ(view.Write(f, first.fh, 0, "ab").As<fuse_write_out>().size, 2u);
  EXPECT_EQ(Content("f"), "ab23456789");
  // While it is open, none is passed through: the kernel would refuse a mix.
  view.backing().Refuse(0);
  const fuse_open_out second = view.Open(f, O_RDONLY).opened();
  ExpectDaemon(second);
  EXPECT_TRUE(view.backing().ids().empty());
  // Counted for each that it befalls: the kernel sends a RELEASE after the app
  // has gone on, so that even opens one after the other overlap.
  ASSERT_EQ(fallbacks_.size(), 2u);
  EXPECT_EQ(fallbacks_[1], fallbacks_[0]);
  view.Release(f, first.fh);
  view.Release(f, second.fh);
  const fuse_open_out third = view.Open(f, O_RDONLY).opened();
  ExpectPassthrough(third, false);
  // And the reverse: what is passed through stays so.
  view.backing().Refuse(ENOSPC);
  EXPECT_EQ(view.Open(f, O_RDWR).opened().backing_id, third.backing_id);
}

TEST_F(OpenTest, AFullTableOfIds) {
  MountedView& view = Mount();
  view.backing().SetCapacity(1);
  ExpectPassthrough(view.Open(view.Walk("f"), O_RDWR).opened(), true);
  ExpectDaemon(view.Open(view.Walk("g"), O_RDWR).opened());
  EXPECT_EQ(fallbacks_.size(), 1u);
}

TEST_F(OpenTest, WhatThePolicyGivesToTheDaemon) {
  MountedView& view = Mount();
  const kernel::NodeId file = view.Walk("Daemon/f");
  const fuse_open_out out = view.Open(file, O_RDWR).opened();
  ExpectDaemon(out);
  EXPECT_EQ(view.backing().opens(), 0);
  EXPECT_TRUE(fallbacks_.empty());
  EXPECT_EQ(view.Read(file, out.fh, 0, 100).body, "0123456789");
}

TEST_F(OpenTest, WithoutPassthrough) {
  MountedView& old = MountWithout(uint64_t{1} << 37);
  EXPECT_FALSE(old.view().passthrough_reason().empty());
  ExpectDaemon(old.Open(old.Walk("f"), O_RDONLY).opened());
  context_.passthrough = false;
  MountedView& off = Mount();
  EXPECT_NE(off.view().passthrough_reason().find("--passthrough=off"),
            std::string::npos);
  ExpectDaemon(off.Open(off.Walk("f"), O_RDONLY).opened());
  EXPECT_TRUE(fallbacks_.empty());
  context_.passthrough = true;
  MountedView& on = Mount();
  EXPECT_EQ(on.view().passthrough_reason(), "");
  // Each view for itself, on one file at a time.
  ExpectPassthrough(on.Open(on.Walk("f"), O_RDONLY).opened(), false);
}

TEST_F(OpenTest, NewRulesAreANewNode) {
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  const uint64_t handle = view.Open(f, O_RDONLY).opened().fh;
  SetRules(R"(name: "test" version: 2
    rules { name: "d" operations: ANY effect { allow { io: DAEMON } } })",
           kViewApps);
  // The kernel looks it up again.
  EXPECT_EQ(view.Open(f, O_RDONLY).error, ESTALE);
  const kernel::NodeId again = view.Walk("f");
  EXPECT_NE(again, f);
  ExpectDaemon(view.Open(again, O_RDONLY).opened());
  // What was open goes on.
  EXPECT_EQ(view.Read(f, handle, 0, 4).body, "0123");
  EXPECT_EQ(view.Release(f, handle).error, 0);
}

TEST_F(OpenTest, HandlesDoWhatTheyWereOpenedFor) {
  MountedView& view = Mount();
  for (const char* name : {"f", "Daemon/f"}) {
    const kernel::NodeId file = view.Walk(name);
    const uint64_t read = view.Open(file, O_RDONLY).opened().fh;
    const uint64_t write = view.Open(file, O_WRONLY).opened().fh;
    EXPECT_EQ(view.Read(file, read, 8, 100).body, "89");
    EXPECT_EQ(view.Read(file, read, 100, 100).body, "");
    EXPECT_EQ(view.Read(file, write, 0, 1).error, EBADF);
    EXPECT_EQ(view.Write(file, read, 0, "x").error, EBADF);
    EXPECT_EQ(view.Write(file, write, 0, "x").error, 0);
    fuse_fallocate_in fallocate = {};
    fallocate.length = 20;
    fallocate.fh = read;
    EXPECT_EQ(view.Call(FUSE_FALLOCATE, file, fallocate, "").error, EBADF);
    fallocate.fh = write;
    EXPECT_EQ(view.Call(FUSE_FALLOCATE, file, fallocate, "").error, 0);
    EXPECT_EQ(Content(name).size(), 20u);
    fuse_setattr_in truncate = {};
    truncate.valid = FATTR_SIZE | FATTR_FH;
    truncate.size = 3;
    truncate.fh = read;
    EXPECT_EQ(view.Call(FUSE_SETATTR, file, truncate, "").error, EINVAL);
    truncate.fh = write;
    EXPECT_EQ(view.Call(FUSE_SETATTR, file, truncate, "").error, 0);
    EXPECT_EQ(Content(name), "x12");
    fuse_fsync_in fsync = {};
    for (const uint64_t handle : {read, write}) {
      fsync.fh = handle;
      for (const uint32_t flags : {0u, 1u}) {
        fsync.fsync_flags = flags;
        EXPECT_EQ(view.Call(FUSE_FSYNC, file, fsync, "").error, 0);
      }
    }
  }
}

TEST_F(OpenTest, OpeningCanTruncate) {
  MountedView& view = Mount();
  for (const int flags : {O_RDONLY | O_TRUNC, O_RDWR | O_TRUNC}) {
    for (const char* name : {"f", "Daemon/f"}) {
      ASSERT_EQ(truncate(Path(name).c_str(), 100), 0);
      EXPECT_EQ(view.Open(view.Walk(name), flags).error, 0);
      EXPECT_EQ(Content(name), "") << name << flags;
    }
  }
  EXPECT_EQ(view.Open(kRootNode, O_RDONLY).error, EINVAL);
  EXPECT_EQ(view.Call(FUSE_OPENDIR, view.Walk("f"), fuse_open_in{}, "").error,
            ENOTDIR);
}

TEST_F(OpenTest, AppendsFromTwoViewsOverwriteNothing) {
  MountedView& one = Mount();
  MountedView& two = MountApp();
  const kernel::NodeId f1 = one.Walk("Daemon/f");
  const kernel::NodeId f2 = two.Walk("Daemon/f");
  const uint64_t h1 = one.Open(f1, O_WRONLY | O_APPEND).opened().fh;
  const uint64_t h2 = two.Open(f2, O_WRONLY | O_APPEND).opened().fh;
  // At the size that each kernel knows.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(one.Write(f1, h1, 10, "a").error, 0);
    EXPECT_EQ(two.Write(f2, h2, 10, "b").error, 0);
  }
  EXPECT_EQ(Content("Daemon/f"), "0123456789ababab");
}

TEST_F(OpenTest, WritersAreCountedAndTold) {
  MountedView& one = Mount();
  MountedView& two = MountApp();
  const Ref<LowerNode> lower = Lower("f");
  const kernel::NodeId f1 = one.Walk("f");
  const kernel::NodeId f2 = two.Walk("f");
  EXPECT_TRUE(Cached(two.GetAttributes(f2)));
  const uint64_t read = one.Open(f1, O_RDONLY).opened().fh;
  EXPECT_EQ(lower->writers(), 0);
  EXPECT_TRUE(two.Notifications().empty());

  const uint64_t write = one.Open(f1, O_RDWR).opened().fh;
  EXPECT_EQ(lower->writers(), 1);
  EXPECT_TRUE(MountedView::Invalidates(two.Notifications(), f2));
  // Not cached elsewhere while it may write; its own kernel knows.
  EXPECT_FALSE(Cached(two.GetAttributes(f2)));
  EXPECT_TRUE(Cached(one.GetAttributes(f1)));
  const uint64_t other = two.Open(f2, O_WRONLY).opened().fh;
  EXPECT_EQ(lower->writers(), 2);
  EXPECT_FALSE(Cached(one.GetAttributes(f1)));

  one.Notifications();
  two.Release(f2, other);
  EXPECT_TRUE(MountedView::Invalidates(one.Notifications(), f1));
  two.Notifications();
  one.Release(f1, write);
  one.Release(f1, read);
  EXPECT_EQ(lower->writers(), 0);
  EXPECT_TRUE(MountedView::Invalidates(two.Notifications(), f2));
  EXPECT_TRUE(Cached(two.GetAttributes(f2)));
  EXPECT_TRUE(Cached(one.GetAttributes(f1)));
  // An open that fails leaves none behind.
  one.backing().Refuse(EPERM);
  one.Forget(f1, 1);
  ASSERT_EQ(unlink(Path("g").c_str()), 0);
  EXPECT_EQ(Lower("f")->writers(), 0);
}

TEST_F(OpenTest, LocksHoldAcrossViews) {
  MountedView& one = Mount();
  MountedView& two = MountApp();
  const kernel::NodeId f1 = one.Walk("f");
  const kernel::NodeId f2 = two.Walk("f");
  const uint64_t h1 = one.Open(f1, O_RDWR).opened().fh;
  const uint64_t h2 = two.Open(f2, O_RDWR).opened().fh;
  EXPECT_EQ(one.Poll(one.SendLock(f1, h1, 5, F_WRLCK, false))->error, 0);
  // The same owner's number in another view is another owner.
  EXPECT_EQ(two.Poll(two.SendLock(f2, h2, 5, F_WRLCK, false))->error, EAGAIN);
  fuse_lk_in test = {};
  test.fh = h2;
  test.owner = 5;
  test.lk = {0, INT64_MAX, F_RDLCK, 1};
  EXPECT_EQ(two.Call(FUSE_GETLK, f2, test, "").As<fuse_lk_out>().lk.type,
            static_cast<uint32_t>(F_WRLCK));
  const uint64_t waiting = two.SendLock(f2, h2, 5, F_WRLCK, true);
  EXPECT_EQ(two.Poll(waiting), std::nullopt);
  // The close of a descriptor lets go.
  fuse_flush_in flush = {};
  flush.fh = h1;
  flush.lock_owner = 5;
  EXPECT_EQ(one.Call(FUSE_FLUSH, f1, flush, "").error, 0);
  const std::optional<Answer> granted = two.Poll(waiting);
  ASSERT_TRUE(granted.has_value());
  EXPECT_EQ(granted->error, 0);
  EXPECT_EQ(one.Poll(one.SendLock(f1, h1, 5, F_RDLCK, false))->error, EAGAIN);
  // And so does the last, without a FLUSH.
  EXPECT_EQ(two.Release(f2, h2).error, 0);
  EXPECT_EQ(one.Poll(one.SendLock(f1, h1, 5, F_RDLCK, false))->error, 0);
}

TEST_F(OpenTest, LocksThatWaitCanBeInterrupted) {
  MountedView& one = Mount();
  MountedView& two = MountApp();
  const kernel::NodeId f1 = one.Walk("f");
  const kernel::NodeId f2 = two.Walk("f");
  const uint64_t h1 = one.Open(f1, O_RDWR).opened().fh;
  const uint64_t h2 = two.Open(f2, O_RDWR).opened().fh;
  ASSERT_EQ(one.Poll(one.SendLock(f1, h1, 5, F_WRLCK, false))->error, 0);
  const uint64_t waiting = two.SendLock(f2, h2, 6, F_WRLCK, true);
  EXPECT_EQ(two.Poll(waiting), std::nullopt);
  two.Send(FUSE_INTERRUPT, 0, MountedView::Bytes(fuse_interrupt_in{waiting}));
  const std::optional<Answer> answer = two.Poll(waiting);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->error, EINTR);
  // It is not in the queue any more.
  EXPECT_EQ(one.Poll(one.SendLock(f1, h1, 5, F_UNLCK, false))->error, 0);
  EXPECT_EQ(one.Poll(one.SendLock(f1, h1, 7, F_WRLCK, false))->error, 0);
  EXPECT_EQ(two.Poll(waiting), std::nullopt);
  ASSERT_EQ(two.Poll(two.SendLock(f2, two.Open(f2, O_RDWR).opened().fh, 8,
                                  F_WRLCK, false))
                ->error,
            EAGAIN);
}

TEST_F(OpenTest, FlocksGoWithTheDescription) {
  MountedView& one = Mount();
  MountedView& two = MountApp();
  const kernel::NodeId f1 = one.Walk("f");
  const kernel::NodeId f2 = two.Walk("f");
  const uint64_t h1 = one.Open(f1, O_RDONLY).opened().fh;
  const uint64_t h2 = two.Open(f2, O_RDONLY).opened().fh;
  fuse_lk_in lock = {};
  lock.lk_flags = FUSE_LK_FLOCK;
  lock.lk.end = INT64_MAX;
  lock.owner = 1;
  lock.lk.type = F_WRLCK;
  lock.fh = h1;
  EXPECT_EQ(one.Call(FUSE_SETLK, f1, lock, "").error, 0);
  lock.fh = h2;
  EXPECT_EQ(two.Call(FUSE_SETLK, f2, lock, "").error, EAGAIN);
  const uint64_t waiting = two.Send(FUSE_SETLKW, f2, MountedView::Bytes(lock));
  EXPECT_EQ(two.Poll(waiting), std::nullopt);
  fuse_release_in release = {};
  release.fh = h1;
  release.release_flags = FUSE_RELEASE_FLOCK_UNLOCK;
  release.lock_owner = 1;
  EXPECT_EQ(one.Call(FUSE_RELEASE, f1, release, "").error, 0);
  const std::optional<Answer> granted = two.Poll(waiting);
  ASSERT_TRUE(granted.has_value());
  EXPECT_EQ(granted->error, 0);
}

TEST_F(OpenTest, AViewThatGoesLetsGoOfAll) {
  MountedView& one = Mount();
  MountedView& two = MountApp();
  const Ref<LowerNode> lower = Lower("f");
  const kernel::NodeId f1 = one.Walk("f");
  const kernel::NodeId f2 = two.Walk("f");
  const uint64_t h1 = one.Open(f1, O_RDWR).opened().fh;
  const uint64_t h2 = two.Open(f2, O_RDWR).opened().fh;
  two.Open(f2, O_RDONLY);
  two.Call(FUSE_OPENDIR, kRootNode, fuse_open_in{}, "");
  two.Create(kRootNode, "open", O_WRONLY);
  ASSERT_EQ(one.Poll(one.SendLock(f1, h1, 5, F_WRLCK, false, 100))->error, 0);
  ASSERT_EQ(two.Poll(two.SendLock(f2, h2, 5, F_WRLCK, false, 0))->error,
            EAGAIN);
  // Both hold, and both wait for the other's.
  fuse_lk_in low = {};
  low.fh = h2;
  low.owner = 5;
  low.lk = {0, 50, F_WRLCK, 1};
  ASSERT_EQ(two.Call(FUSE_SETLK, f2, low, "").error, 0);
  const uint64_t theirs = two.SendLock(f2, h2, 6, F_WRLCK, true, 100);
  const uint64_t ours = one.SendLock(f1, h1, 6, F_WRLCK, true, 0);
  EXPECT_EQ(two.Poll(theirs), std::nullopt);
  EXPECT_EQ(one.Poll(ours), std::nullopt);
  EXPECT_EQ(lower->writers(), 2);

  two.Close();
  EXPECT_EQ(two.view().handles(), 0u);
  EXPECT_EQ(two.view().nodes(), 1u);
  EXPECT_EQ(lower->writers(), 1);
  // Ours is granted once nothing of this view's own is in the way.
  ASSERT_EQ(one.Poll(one.SendLock(f1, h1, 5, F_UNLCK, false))->error, 0);
  const std::optional<Answer> granted = one.Poll(ours);
  ASSERT_TRUE(granted.has_value());
  EXPECT_EQ(granted->error, 0);
  EXPECT_EQ(one.session().unanswered(), 0u);
  one.Close();
  EXPECT_EQ(lower->writers(), 0);
  EXPECT_TRUE(lower->locks().empty());
  EXPECT_TRUE(lower->sightings().empty());
}

TEST_F(OpenTest, HandlesAreListed) {
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  const fuse_open_out mine = view.Open(f, O_RDWR).opened();
  view.Open(view.Walk("Daemon/f"), O_RDONLY, {kOtherUid, kOtherUid});
  view.Call(FUSE_OPENDIR, kRootNode, fuse_open_in{}, "");
  control::v1::HandlesResponse all;
  view.view().ListHandles(std::nullopt, false, all);
  EXPECT_EQ(all.handles_size(), 3);
  control::v1::HandlesResponse others;
  view.view().ListHandles(kOtherUid, false, others);
  ASSERT_EQ(others.handles_size(), 1);
  EXPECT_EQ(others.handles(0).path(), "Daemon/f");
  EXPECT_EQ(others.handles(0).io(), "DAEMON");
  EXPECT_EQ(others.handles(0).rule(), "daemon");
  EXPECT_FALSE(others.handles(0).write());
  for (const control::v1::Handle& handle : all.handles()) {
    if (handle.fh() != mine.fh || handle.directory()) continue;
    EXPECT_EQ(handle.io(), "PASSTHROUGH");
    EXPECT_EQ(handle.backing_id(), mine.backing_id);
    EXPECT_EQ(handle.uid(), kAppUid);
  }
}

}  // namespace
}  // namespace fused
