#include "kernel/lower.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;

class LowerTest : public testing::Test {
 protected:
  void SetUp() override {
    can_mount_ = CanMount();
    scratch_.MakeDirectory("root");
    scratch_.MakeDirectory("root/dir");
    scratch_.MakeFile("root/file", "text");
    scratch_.MakeFile("outside", "secret");
    ASSERT_EQ(symlink("file", scratch_.Path("root/link").c_str()), 0);
    ASSERT_EQ(symlink("../outside", scratch_.Path("root/escape").c_str()), 0);
    ASSERT_EQ(symlink(".", scratch_.Path("root/loop").c_str()), 0);
    root_.Reset(open(scratch_.Path("root").c_str(), O_PATH | O_DIRECTORY));
    ASSERT_TRUE(root_.valid());
  }

  int ErrnoOfChild(const char* name, uint64_t flags = O_PATH) {
    return ErrnoOf(OpenChild(root_.get(), name, flags).status());
  }

  bool can_mount_ = false;
  ScratchDirectory scratch_;
  Fd root_;
};

TEST_F(LowerTest, OpensSingleComponents) {
  EXPECT_THAT(OpenChild(root_.get(), "file", O_RDONLY), IsOk());
  EXPECT_THAT(OpenChild(root_.get(), "dir", O_PATH | O_DIRECTORY), IsOk());
  EXPECT_EQ(ErrnoOfChild("none"), ENOENT);
  for (const char* name : {"", ".", "..", "dir/x", "/", "/etc", "a/../b"}) {
    EXPECT_EQ(ErrnoOfChild(name), EINVAL) << name;
    EXPECT_TRUE(IsErrno(StatChild(root_.get(), name).status(), EINVAL));
  }
}

TEST_F(LowerTest, CreatesWithMode) {
  absl::StatusOr<Fd> fd =
      OpenChild(root_.get(), "new", O_WRONLY | O_CREAT | O_EXCL, 0600);
  ASSERT_THAT(fd, IsOk());
  EXPECT_EQ(Stat(fd->get())->st_mode, static_cast<mode_t>(S_IFREG | 0600));
  EXPECT_NE(fcntl(fd->get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_TRUE(IsErrno(
      OpenChild(root_.get(), "new", O_WRONLY | O_CREAT | O_EXCL, 0600).status(),
      EEXIST));
}

TEST_F(LowerTest, SymbolicLinksAreOpenedOnlyThemselves) {
  absl::StatusOr<Fd> link = OpenChild(root_.get(), "link", O_PATH);
  ASSERT_THAT(link, IsOk());
  EXPECT_TRUE(S_ISLNK(Stat(link->get())->st_mode));
  EXPECT_EQ(ErrnoOfChild("link", O_RDONLY), ELOOP);
  EXPECT_EQ(ErrnoOfChild("escape", O_RDONLY), ELOOP);
  EXPECT_TRUE(S_ISLNK(StatChild(root_.get(), "escape")->st_mode));
  EXPECT_TRUE(IsErrno(Reopen(link->get(), O_RDONLY).status(), ELOOP));
  EXPECT_TRUE(IsErrno(Reopen(link->get(), O_PATH).status(), ELOOP));
}

TEST_F(LowerTest, WalksBeneath) {
  scratch_.MakeFile("root/dir/deep", "");
  EXPECT_THAT(OpenBeneath(root_.get(), "", O_PATH), IsOk());
  EXPECT_THAT(OpenBeneath(root_.get(), ".", O_PATH), IsOk());
  EXPECT_THAT(OpenBeneath(root_.get(), "dir/deep", O_RDONLY), IsOk());
  const auto error = [this](const std::string& path) {
    return ErrnoOf(OpenBeneath(root_.get(), path, O_RDONLY).status());
  };
  for (const char* path : {"..", "../outside", "dir/..", "dir/../../outside",
                           "/etc/passwd", "dir//deep", "./file"}) {
    EXPECT_EQ(error(path), EINVAL) << path;
  }
  EXPECT_EQ(error(std::string("file\0x", 6)), EINVAL);
  EXPECT_EQ(error("loop/file"), ELOOP);
  EXPECT_EQ(error("escape"), ELOOP);
}

TEST_F(LowerTest, MagicLinksLeadNowhere) {
  absl::StatusOr<Fd> proc(Fd(open("/proc/self", O_PATH | O_DIRECTORY)));
  ASSERT_TRUE(proc->valid());
  EXPECT_TRUE(IsErrno(OpenChild(proc->get(), "exe", O_RDONLY).status(), ELOOP));
  EXPECT_TRUE(
      IsErrno(OpenBeneath(proc->get(), "root/etc", O_PATH).status(), ELOOP));
  EXPECT_TRUE(
      IsErrno(OpenBeneath(proc->get(), "cwd/x", O_PATH).status(), ELOOP));
}

TEST_F(LowerTest, MountsBelowAreClosed) {
  if (!can_mount_) GTEST_SKIP() << "needs root";
  const std::string point = scratch_.Path("root/dir");
  ASSERT_EQ(mount("tmpfs", point.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(ErrnoOfChild("dir"), EXDEV);
  EXPECT_TRUE(
      IsErrno(OpenBeneath(root_.get(), "dir/x", O_PATH).status(), EXDEV));
  EXPECT_EQ(umount(point.c_str()), 0);
  // Of the same file system: a bind mount is closed, too.
  ASSERT_EQ(
      mount(scratch_.path().c_str(), point.c_str(), nullptr, MS_BIND, nullptr),
      0);
  EXPECT_EQ(ErrnoOfChild("dir"), EXDEV);
  EXPECT_EQ(umount2(point.c_str(), MNT_DETACH), 0);
}

// While another thread exchanges a directory for a link to the outside and
// moves the walked directory out of the root, no walk ever gets out.
TEST_F(LowerTest, RacingRenamesLeadNowhere) {
  scratch_.MakeDirectory("root/a");
  scratch_.MakeDirectory("root/a/b");
  scratch_.MakeFile("root/a/b/outside", "mine");
  const std::string dir = scratch_.Path("root/a/b");
  const std::string link = scratch_.Path("root/a/c");
  ASSERT_EQ(symlink("../..", link.c_str()), 0);
  std::atomic<bool> stop{false};
  std::thread racer([&] {
    while (!stop) {
      renameat2(AT_FDCWD, dir.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
      renameat2(AT_FDCWD, scratch_.Path("root/a").c_str(), AT_FDCWD,
                scratch_.Path("moved").c_str(), 0);
      renameat2(AT_FDCWD, scratch_.Path("moved").c_str(), AT_FDCWD,
                scratch_.Path("root/a").c_str(), 0);
    }
  });
  int found = 0;
  for (int i = 0; i < 20000; ++i) {
    absl::StatusOr<Fd> fd = OpenBeneath(root_.get(), "a/b/outside", O_RDONLY);
    if (!fd.ok()) continue;
    char text[16];
    ASSERT_EQ(read(fd->get(), text, sizeof(text)), 4) << "led outside";
    ++found;
  }
  stop = true;
  racer.join();
  EXPECT_GT(found, 0);
}

TEST_F(LowerTest, ReopensWhatADescriptorNames) {
  absl::StatusOr<Fd> path = OpenChild(root_.get(), "file", O_PATH);
  ASSERT_THAT(path, IsOk());
  // Even where the name is gone.
  ASSERT_EQ(unlink(scratch_.Path("root/file").c_str()), 0);
  absl::StatusOr<Fd> opened = Reopen(path->get(), O_RDWR | O_NOFOLLOW);
  ASSERT_THAT(opened, IsOk());
  char text[16];
  EXPECT_EQ(read(opened->get(), text, sizeof(text)), 4);
}

TEST_F(LowerTest, HandlesSurviveDescriptors) {
  absl::StatusOr<Fd> path = OpenChild(root_.get(), "file", O_PATH);
  ASSERT_THAT(path, IsOk());
  absl::StatusOr<FileHandle> handle = HandleOf(path->get());
  if (IsErrno(handle.status(), EOPNOTSUPP)) {
    GTEST_SKIP() << "the file system has no handles";
  }
  ASSERT_THAT(handle, IsOk());
  EXPECT_EQ(*handle, *HandleOf(path->get()));
  EXPECT_EQ(*handle, *HandleOfChild(root_.get(), "file"));
  EXPECT_TRUE(IsErrno(HandleOfChild(root_.get(), "absent").status(), ENOENT));
  EXPECT_TRUE(IsErrno(HandleOfChild(root_.get(), "..").status(), EINVAL));
  EXPECT_FALSE(*handle == *HandleOf(root_.get()));
  const ino_t inode = Stat(path->get())->st_ino;
  path->Reset();

  const Fd any(open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY));
  absl::StatusOr<Fd> again = OpenHandle(any.get(), *handle, 0);
  if (IsErrno(again.status(), EPERM)) GTEST_SKIP() << "needs root";
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(Stat(again->get())->st_ino, inode);
  EXPECT_NE(fcntl(again->get(), F_GETFL) & O_PATH, 0);
  again->Reset();
  // By an O_PATH descriptor of the mount as well.
  EXPECT_THAT(OpenHandle(root_.get(), *handle, O_RDONLY), IsOk());

  ASSERT_EQ(unlink(scratch_.Path("root/file").c_str()), 0);
  EXPECT_TRUE(IsErrno(OpenHandle(any.get(), *handle, 0).status(), ESTALE));
}

TEST_F(LowerTest, Xattrs) {
  absl::StatusOr<Fd> path = OpenChild(root_.get(), "file", O_PATH);
  ASSERT_THAT(path, IsOk());
  const std::string value(3000, 'v');
  const absl::Status set = SetXattr(path->get(), "user.test", value);
  if (IsErrno(set, EOPNOTSUPP) || IsErrno(set, ENOSPC)) {
    GTEST_SKIP() << Describe(set);
  }
  ASSERT_THAT(set, IsOk());
  absl::StatusOr<std::string> got = GetXattr(path->get(), "user.test");
  ASSERT_THAT(got, IsOk());
  EXPECT_EQ(*got, value);
  EXPECT_TRUE(IsErrno(GetXattr(path->get(), "user.none").status(), ENODATA));
}

TEST_F(LowerTest, ModesChangeByAPath) {
  absl::StatusOr<Fd> path = OpenChild(root_.get(), "file", O_PATH);
  ASSERT_THAT(path, IsOk());
  for (const mode_t mode : {0600u, 0444u, 02750u}) {
    ASSERT_THAT(ChangeMode(path->get(), mode), IsOk());
    absl::StatusOr<struct stat> stat = Stat(path->get());
    ASSERT_THAT(stat, IsOk());
    EXPECT_EQ(stat->st_mode & 07777, mode);
  }
  EXPECT_TRUE(IsErrno(ChangeMode(-1, 0600), EBADF));
}

TEST(ProcPathTest, HoldsTheLargestNumber) {
  EXPECT_STREQ(ProcPath(2147483647).text, "/proc/self/fd/2147483647");
}

// A name that is moved away while it is opened is there or is not: no walk has
// left the directory, though the kernel says so (EXDEV).
TEST(LowerRaceTest, WhatIsMovedAwayIsThereOrNot) {
  const ScratchDirectory scratch;
  const std::string from = scratch.MakeDirectory("a");
  const std::string to = scratch.MakeDirectory("b");
  scratch.MakeFile("a/f", "x");
  const Fd parent(open(from.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(parent.valid());
  std::atomic<bool> stop{false};
  std::thread mover([&] {
    while (!stop) {
      rename((from + "/f").c_str(), (to + "/f").c_str());
      rename((to + "/f").c_str(), (from + "/f").c_str());
    }
  });
  int opened = 0;
  for (int i = 0; i < 300'000; ++i) {
    const absl::StatusOr<Fd> fd = OpenChild(parent.get(), "f", O_PATH);
    if (fd.ok()) {
      ++opened;
    } else if (!IsErrno(fd.status(), ENOENT)) {
      ADD_FAILURE() << fd.status();
      break;
    }
  }
  stop = true;
  mover.join();
  EXPECT_GT(opened, 0);
}

}  // namespace
}  // namespace fused::kernel
