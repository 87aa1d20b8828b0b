// Making files in a caller's name.
#include "fused/identity.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

constexpr kernel::Caller kApp{
    .uid = 10001, .gid = 10002, .pid = 1, .umask = 027};

struct Capabilities {
  __u32 effective[2] = {};
  __u32 permitted[2] = {};
};

Capabilities Current() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  EXPECT_EQ(syscall(SYS_capget, &header, data), 0);
  Capabilities result;
  for (int i = 0; i < 2; ++i) {
    result.effective[i] = data[i].effective;
    result.permitted[i] = data[i].permitted;
  }
  return result;
}

uid_t FsUid() { return static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))); }
gid_t FsGid() { return static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1))); }

mode_t Umask() {
  const mode_t mask = umask(0);
  umask(mask);
  return mask;
}

class IdentityTest : public testing::Test {
 protected:
  void SetUp() override {
    // In a user namespace root is nobody else's superuser.
    setfsuid(kApp.uid);
    const bool able = geteuid() == 0 && FsUid() == kApp.uid;
    setfsuid(geteuid());
    if (!able) {
      GTEST_SKIP() << "NOT TESTED: another's identity can be taken by root "
                      "alone";
    }
  }

  // Runs `work` on a thread with a file system context of its own.
  template <typename Work>
  static void OnThread(Work work) {
    std::thread([&] {
      ASSERT_EQ(unshare(CLONE_FS), 0);
      work();
    }).join();
  }

  kernel::ScratchDirectory scratch_;
};

TEST_F(IdentityTest, TakesAndGivesBack) {
  OnThread([] {
    umask(022);
    const Capabilities before = Current();
    {
      const CallerIdentity identity(kApp);
      EXPECT_EQ(FsUid(), kApp.uid);
      EXPECT_EQ(FsGid(), kApp.gid);
      EXPECT_EQ(Umask(), 027u);
      EXPECT_EQ(geteuid(), 0u);
    }
    EXPECT_EQ(FsUid(), 0u);
    EXPECT_EQ(FsGid(), 0u);
    EXPECT_EQ(Umask(), 022u);
    const Capabilities after = Current();
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(after.effective[i], before.effective[i]);
      EXPECT_EQ(after.permitted[i], before.permitted[i]);
    }
  });
}

TEST_F(IdentityTest, CapabilitiesStay) {
  OnThread([] {
    const Capabilities before = Current();
    const CallerIdentity identity(kApp);
    const Capabilities during = Current();
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(during.effective[i], before.permitted[i]);
      EXPECT_EQ(during.permitted[i], before.permitted[i]);
    }
  });
}

TEST_F(IdentityTest, WhatIsMadeIsTheCallers) {
  // Where the caller itself could make nothing.
  const std::string directory = scratch_.MakeDirectory("closed");
  ASSERT_EQ(chmod(directory.c_str(), 0700), 0);
  const std::string file = scratch_.Path("closed/file");
  const std::string below = scratch_.Path("closed/below");
  OnThread([&] {
    const CallerIdentity identity(kApp);
    const int fd = open(file.c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    EXPECT_GE(fd, 0);
    close(fd);
    EXPECT_EQ(mkdir(below.c_str(), 0777), 0);
  });
  struct stat stat = {};
  ASSERT_EQ(::stat(file.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, kApp.uid);
  EXPECT_EQ(stat.st_gid, kApp.gid);
  EXPECT_EQ(stat.st_mode & 07777, 0640u);
  ASSERT_EQ(::stat(below.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, kApp.uid);
  EXPECT_EQ(stat.st_mode & 07777, 0750u);
}

TEST_F(IdentityTest, RootWithAGroup) {
  const std::string file = scratch_.Path("file");
  OnThread([&] {
    const CallerIdentity identity({.uid = 0, .gid = 10002, .umask = 077});
    const int fd = open(file.c_str(), O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    EXPECT_GE(fd, 0);
    close(fd);
  });
  struct stat stat = {};
  ASSERT_EQ(::stat(file.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_uid, 0u);
  EXPECT_EQ(stat.st_gid, 10002u);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
}

TEST_F(IdentityTest, OthersKeepTheirs) {
  umask(022);
  absl::Notification taken;
  absl::Notification seen;
  std::thread other([&] {
    ASSERT_EQ(unshare(CLONE_FS), 0);
    const CallerIdentity identity(kApp);
    taken.Notify();
    seen.WaitForNotification();
  });
  taken.WaitForNotification();
  EXPECT_EQ(FsUid(), 0u);
  EXPECT_EQ(FsGid(), 0u);
  EXPECT_EQ(Umask(), 022u);
  seen.Notify();
  other.join();
}

}  // namespace
}  // namespace fused
