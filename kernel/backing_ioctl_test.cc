// What the running kernel says to backing files.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernel/backing.h"
#include "kernel/fd.h"
#include "kernel/mount.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/testing/fake_operations.h"
#include "kernel/testing/scratch.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;

class BackingIoctlTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanMount()) GTEST_SKIP() << "needs root and /dev/fuse";
  }

  // A connection with passthrough, or a skip.
  void Connect(uint32_t stack_depth) {
    absl::StatusOr<FuseMount> mount = CreateFuseMount({});
    ASSERT_THAT(mount, IsOk());
    mount_ = std::move(mount->mount);
    Session::Options options;
    options.max_stack_depth = stack_depth;
    absl::StatusOr<std::unique_ptr<Session>> session =
        Session::Create(options, &operations_, std::move(mount->device));
    ASSERT_THAT(session, IsOk());
    session_ = *std::move(session);
    ASSERT_EQ(session_->Serve(buffer_), Session::Progress::kServed);
    if (!session_->connection().passthrough) {
      GTEST_SKIP() << session_->connection().passthrough_reason;
    }
  }

  absl::Status Register(NodeId node, const std::string& path) {
    const Fd fd(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    EXPECT_TRUE(fd.valid()) << path;
    return session_->backing().Acquire(node, fd.get()).status();
  }

  // Puts an overlay over what the scratch directory has.
  std::string MountOverlay() {
    const std::string base = scratch_.MakeDirectory("base");
    EXPECT_EQ(mount("tmpfs", base.c_str(), "tmpfs", 0, nullptr), 0);
    for (const char* name : {"lower", "upper", "work", "over"}) {
      scratch_.MakeDirectory(absl::StrCat("base/", name));
    }
    scratch_.MakeFile("base/lower/file", "text");
    const std::string over = base + "/over";
    const std::string options =
        absl::StrCat("lowerdir=", base, "/lower,upperdir=", base,
                     "/upper,workdir=", base, "/work");
    if (mount("overlay", over.c_str(), "overlay", 0, options.c_str()) != 0) {
      return "";
    }
    return over;
  }

  ScratchDirectory scratch_;
  FakeOperations operations_;
  Session::Buffer buffer_;
  std::unique_ptr<Session> session_;
  Fd mount_;
};

TEST_F(BackingIoctlTest, TakesPathDescriptorsOfRegularFilesAlone) {
  Connect(1);
  if (IsSkipped()) return;
  const std::string tmpfs = scratch_.MakeDirectory("tmpfs");
  ASSERT_EQ(mount("tmpfs", tmpfs.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_THAT(Register(1, scratch_.MakeFile("tmpfs/file", "text")), IsOk());
  EXPECT_TRUE(IsErrno(Register(2, tmpfs), EISDIR));
  const std::string device = tmpfs + "/null";
  ASSERT_EQ(mknod(device.c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  EXPECT_TRUE(IsErrno(Register(3, device), EINVAL));
  EXPECT_FALSE(Register(4, "/proc/self/status").ok());
  EXPECT_EQ(session_->backing().stats().ids, 1u);
  EXPECT_EQ(session_->backing().stats().refused, 3u);
}

TEST_F(BackingIoctlTest, StackDepthDecidesOnOverlays) {
  Connect(1);
  if (IsSkipped()) return;
  const std::string over = MountOverlay();
  if (over.empty()) GTEST_SKIP() << "no overlayfs";
  EXPECT_TRUE(IsErrno(Register(1, over + "/file"), ELOOP));
  session_.reset();
  mount_.Reset();
  Connect(2);
  EXPECT_THAT(Register(1, over + "/file"), IsOk());
}

TEST_F(BackingIoctlTest, OffIsOff) {
  absl::StatusOr<FuseMount> mount = CreateFuseMount({});
  ASSERT_THAT(mount, IsOk());
  Session::Options options;
  options.passthrough = false;
  absl::StatusOr<std::unique_ptr<Session>> session =
      Session::Create(options, &operations_, std::move(mount->device));
  ASSERT_THAT(session, IsOk());
  session_ = *std::move(session);
  ASSERT_EQ(session_->Serve(buffer_), Session::Progress::kServed);
  EXPECT_TRUE(IsErrno(Register(1, scratch_.MakeFile("file", "")), EPERM));
}

TEST_F(BackingIoctlTest, SurvivesTheSuperblock) {
  Connect(1);
  if (IsSkipped()) return;
  const Fd file(memfd_create("file", MFD_CLOEXEC));
  absl::StatusOr<BackingRef> used = session_->backing().Acquire(1, file.get());
  ASSERT_THAT(used, IsOk());
  ASSERT_THAT(session_->backing().Acquire(2, file.get()), IsOk());
  mount_.Reset();
  EXPECT_EQ(session_->Serve(buffer_), Session::Progress::kEnded);
  used->Reset();
  session_->backing().Doom(1);
  session_->backing().Trim();
  EXPECT_EQ(session_->backing().stats().ids, 0u);
}

TEST_F(BackingIoctlTest, HoldsManyIds) {
  Connect(1);
  if (IsSkipped()) return;
  const Fd file(memfd_create("file", MFD_CLOEXEC));
  std::vector<BackingRef> uses;
  for (NodeId node = 1; node <= 20000; ++node) {
    absl::StatusOr<BackingRef> ref =
        session_->backing().Acquire(node, file.get());
    ASSERT_THAT(ref, IsOk());
    uses.push_back(*std::move(ref));
  }
  EXPECT_EQ(session_->backing().stats().ids, 20000u);
  uses.clear();
  EXPECT_EQ(session_->backing().stats().ids, BackingRegistry::Options().warm);
}

}  // namespace
}  // namespace fused::kernel
