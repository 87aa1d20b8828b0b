#include "kernel/mount.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/loop.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/testing/fake_operations.h"
#include "kernel/testing/scratch.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;
using ::absl_testing::StatusIs;
using ::testing::HasSubstr;

class MountTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanMount()) GTEST_SKIP() << "needs root and /dev/fuse";
  }

  // Of the topmost mount there; empty: none.
  static MountInfo At(const std::string& path) {
    MountInfo result;
    absl::StatusOr<std::vector<MountInfo>> mounts = ListMounts();
    EXPECT_THAT(mounts, IsOk());
    for (const MountInfo& mount : *mounts) {
      if (mount.path == path) result = mount;
    }
    return result;
  }

  static FuseMountOptions Options() {
    FuseMountOptions options;
    options.source = "a source";
    return options;
  }

  ScratchDirectory scratch_;
};

TEST_F(MountTest, ShowsItsTypeAndSource) {
  absl::StatusOr<FuseMount> mount = CreateFuseMount(Options());
  ASSERT_THAT(mount, IsOk());
  const std::string point = scratch_.MakeDirectory("a b");
  ASSERT_THAT(AttachMount(mount->mount, point), IsOk());
  const MountInfo info = At(point);
  EXPECT_EQ(info.type, "fuse.fused");
  EXPECT_EQ(info.source, "a source");
  struct statvfs flags;
  mount->device.Reset();  // or statvfs would wait for an answer
  EXPECT_EQ(statvfs(point.c_str(), &flags), -1);
  EXPECT_EQ(errno, ENOTCONN);
  EXPECT_THAT(DetachMount(point), IsOk());
  EXPECT_EQ(At(point).type, "");
  EXPECT_TRUE(IsErrno(DetachMount(point), EINVAL));
}

TEST_F(MountTest, AnswersInitOnADetachedMount) {
  FuseMountOptions options = Options();
  options.default_permissions = true;
  options.read_only = true;
  options.max_read = 65536;
  absl::StatusOr<FuseMount> mount = CreateFuseMount(options);
  ASSERT_THAT(mount, IsOk());
  FakeOperations operations;
  Session::Options posix;
  posix.posix = true;
  absl::StatusOr<std::unique_ptr<Session>> session =
      Session::Create(posix, &operations, std::move(mount->device));
  ASSERT_THAT(session, IsOk());
  Session::Buffer buffer;
  EXPECT_EQ((*session)->Serve(buffer), Session::Progress::kServed);
  EXPECT_EQ(operations.inits(), 1);
  EXPECT_EQ((*session)->Serve(buffer), Session::Progress::kIdle);
  mount->mount.Reset();
  // The superblock goes with its last mount, at once for a detached one.
  EXPECT_EQ((*session)->Serve(buffer), Session::Progress::kEnded);
  EXPECT_EQ(operations.destroys(), 1);
}

TEST_F(MountTest, ErrorsNameTheirCause) {
  absl::StatusOr<FuseMount> mount = CreateFuseMount(Options());
  ASSERT_THAT(mount, IsOk());
  const absl::Status status =
      AttachMount(mount->mount, scratch_.Path("nowhere"));
  EXPECT_TRUE(IsErrno(status, ENOENT));
  EXPECT_THAT(status.message(), HasSubstr("nowhere"));
  FuseMountOptions wrong = Options();
  wrong.root_mode = 0777;  // not a directory
  EXPECT_FALSE(CreateFuseMount(wrong).ok());
}

TEST_F(MountTest, CloneShowsOnlyItsOwnFileSystem) {
  const std::string tree = scratch_.MakeDirectory("tree");
  const std::string below = scratch_.MakeDirectory("tree/below");
  scratch_.MakeFile("tree/below/hidden", "");
  ASSERT_EQ(mount("tmpfs", below.c_str(), "tmpfs", 0, nullptr), 0);
  scratch_.MakeFile("tree/below/mounted", "");
  absl::StatusOr<Fd> clone = CloneTree(tree);
  ASSERT_THAT(clone, IsOk());
  struct stat stat;
  EXPECT_EQ(fstatat(clone->get(), "below/hidden", &stat, 0), 0);
  EXPECT_EQ(fstatat(clone->get(), "below/mounted", &stat, 0), -1);
  // Nor what comes later.
  ASSERT_EQ(mount("tmpfs", tree.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_EQ(fstatat(clone->get(), "below/hidden", &stat, 0), 0);
  EXPECT_EQ(umount2(tree.c_str(), MNT_DETACH), 0);
  EXPECT_EQ(umount2(below.c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(
      IsErrno(CloneTree(scratch_.MakeFile("file", "")).status(), ENOTDIR));
}

// Mounts in a child which is then killed.
void MountAndDie(const std::string& point) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    absl::StatusOr<FuseMount> mount = CreateFuseMount({});
    if (!mount.ok() || !AttachMount(mount->mount, point).ok()) _exit(1);
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST_F(MountTest, RemovesWhatADeadDaemonLeft) {
  const std::string point = scratch_.MakeDirectory("m");
  EXPECT_THAT(RemoveStaleMounts(point, "fused"), IsOk());  // nothing there
  MountAndDie(point);
  struct stat stat;
  ASSERT_EQ(::stat(point.c_str(), &stat), -1);
  ASSERT_EQ(errno, ENOTCONN);
  // Two in one place, and a path that is not canonical.
  MountAndDie(point);
  EXPECT_THAT(RemoveStaleMounts(scratch_.path() + "/./m//", "fused"), IsOk());
  EXPECT_EQ(::stat(point.c_str(), &stat), 0);
}

TEST_F(MountTest, LeavesOthersAlone) {
  const std::string point = scratch_.MakeDirectory("m");
  MountAndDie(point);
  EXPECT_THAT(RemoveStaleMounts(point, "other"), IsOk());
  EXPECT_EQ(At(point).type, "fuse.fused");
  EXPECT_THAT(DetachMount(point), IsOk());
}

TEST_F(MountTest, LeavesALiveOneAlone) {
  const std::string point = scratch_.MakeDirectory("m");
  absl::StatusOr<FuseMount> mount = CreateFuseMount(Options());
  ASSERT_THAT(mount, IsOk());
  ASSERT_THAT(AttachMount(mount->mount, point), IsOk());
  FakeOperations operations;
  absl::StatusOr<std::unique_ptr<Session>> session =
      Session::Create({}, &operations, std::move(mount->device));
  ASSERT_THAT(session, IsOk());
  absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Start({});
  ASSERT_THAT(loop, IsOk());
  absl::Notification ended;
  ASSERT_THAT((*loop)->Add(*std::move(session), [&] { ended.Notify(); }),
              IsOk());
  mount->mount.Reset();
  EXPECT_TRUE(IsErrno(RemoveStaleMounts(point, "fused"), EBUSY));
  EXPECT_EQ(At(point).type, "fuse.fused");
  EXPECT_THAT(DetachMount(point), IsOk());
  ended.WaitForNotification();
}

TEST_F(MountTest, RecursionIsRefused) {
  const std::string lower = scratch_.MakeDirectory("lower");
  const std::string inside = scratch_.MakeDirectory("lower/inside");
  const std::string beside = scratch_.MakeDirectory("lower2");
  EXPECT_THAT(CheckNoRecursion(lower, beside), IsOk());
  EXPECT_THAT(CheckNoRecursion(lower, lower),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("same directory")));
  EXPECT_THAT(
      CheckNoRecursion(lower, inside),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("mount point")));
  EXPECT_THAT(CheckNoRecursion(inside, lower),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("lies inside the mount point")));
  // By another name.
  const std::string link = scratch_.Path("link");
  ASSERT_EQ(symlink("lower", link.c_str()), 0);
  EXPECT_FALSE(CheckNoRecursion(link, inside).ok());
  ASSERT_EQ(mount(lower.c_str(), beside.c_str(), nullptr, MS_BIND, nullptr), 0);
  EXPECT_FALSE(CheckNoRecursion(lower, beside).ok());
  EXPECT_FALSE(CheckNoRecursion(lower, beside + "/inside").ok());
  EXPECT_EQ(umount2(beside.c_str(), MNT_DETACH), 0);
  // No directory.
  const absl::Status none = CheckNoRecursion(scratch_.Path("none"), beside);
  EXPECT_TRUE(IsErrno(none, ENOENT));
  EXPECT_THAT(none.message(), HasSubstr("none"));
  EXPECT_TRUE(IsErrno(CheckNoRecursion(scratch_.MakeFile("file", ""), beside),
                      ENOTDIR));
}

TEST_F(MountTest, RecursionIsSeenThroughTheRoot) {
  EXPECT_FALSE(CheckNoRecursion("/", scratch_.path()).ok());
  EXPECT_FALSE(CheckNoRecursion(scratch_.path(), "/").ok());
}

TEST(ParseMountInfoTest, UnderstandsLines) {
  const std::vector<MountInfo> mounts = ParseMountInfo(
      "25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
      "99 25 0:50 /sub /a\\040b\\134c rw - fuse.fused my\\011source rw,x\n"
      "100 25 0:50 / /opt rw shared:1 master:2 - ext4 /dev/x rw\n");
  ASSERT_EQ(mounts.size(), 3u);
  EXPECT_EQ(mounts[0].id, 25u);
  EXPECT_EQ(mounts[0].parent, 30u);
  EXPECT_EQ(mounts[0].path, "/sys");
  EXPECT_EQ(mounts[0].type, "sysfs");
  EXPECT_EQ(mounts[1].path, "/a b\\c");
  EXPECT_EQ(mounts[1].type, "fuse.fused");
  EXPECT_EQ(mounts[1].source, "my\tsource");
  EXPECT_EQ(mounts[2].source, "/dev/x");
}

TEST(ParseMountInfoTest, LeavesOutWhatItCannotUnderstand) {
  EXPECT_TRUE(ParseMountInfo("").empty());
  EXPECT_TRUE(ParseMountInfo("\n\n").empty());
  EXPECT_TRUE(ParseMountInfo("1 2 0:1 / /a rw").empty());
  EXPECT_TRUE(ParseMountInfo("1 2 0:1 / /a rw - ext4").empty());
  EXPECT_TRUE(ParseMountInfo("x 2 0:1 / /a rw - ext4 dev rw").empty());
  // An escape that is none stays as it is.
  const std::vector<MountInfo> mounts =
      ParseMountInfo("1 2 0:1 / /a\\9\\04 rw - ext4 dev rw\\");
  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].path, "/a\\9\\04");
}

}  // namespace
}  // namespace fused::kernel
