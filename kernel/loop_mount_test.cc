// Sessions on real mounts, served by a loop.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/libfuse.h"
#include "kernel/loop.h"
#include "kernel/mount.h"
#include "kernel/session.h"
#include "kernel/testing/scratch.h"
#include "kernel/testing/single_file.h"
#include "kernel/testing/uring_parameter.h"

namespace fused::kernel {
namespace {

// One mounted file system, served by a loop.
class Mounted {
 public:
  Mounted(Loop& loop, const std::string& lower, const std::string& point,
          const Session::Options& options)
      : point_(point), operations_(Fd(open(lower.c_str(), O_RDWR))) {
    FuseMountOptions mount_options;
    mount_options.source = "loop-test";
    absl::StatusOr<FuseMount> mount = CreateFuseMount(mount_options);
    EXPECT_TRUE(mount.ok()) << mount.status();
    absl::StatusOr<std::unique_ptr<Session>> session =
        Session::Create(options, &operations_, std::move(mount->device));
    EXPECT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
    if (options.passthrough) operations_.UseBacking(session_.get());
    EXPECT_TRUE(AttachMount(mount->mount, point).ok());
    const absl::Status added = loop.Add(session_, [this] { ended_.Notify(); });
    EXPECT_TRUE(added.ok()) << added;
    uring_ = options.uring;
  }
  ~Mounted() {
    EXPECT_EQ(session_->connection().uring, uring_);
    EXPECT_EQ(session_->ring() != nullptr, uring_);
    if (ended_.HasBeenNotified()) return;
    EXPECT_TRUE(DetachMount(point_).ok());
    ended_.WaitForNotification();
  }

  const std::string& point() const { return point_; }
  std::string file() const { return point_ + "/file"; }
  SingleFile& operations() { return operations_; }
  std::shared_ptr<Session>& session() { return session_; }
  absl::Notification& ended() { return ended_; }

 private:
  const std::string point_;
  SingleFile operations_;
  std::shared_ptr<Session> session_;
  absl::Notification ended_;
  bool uring_ = false;
};

// With requests from /dev/fuse, and over io_uring.
class LoopMountTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!CanMount()) GTEST_SKIP() << "needs root and /dev/fuse";
    if (GetParam()) {
      parameter_ = std::make_unique<UringParameter>();
      if (!parameter_->set()) {
        GTEST_SKIP() << "the fuse module's enable_uring cannot be set here";
      }
    }
    options_.uring = GetParam();
    absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Start({});
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
    lower_ = scratch_.MakeFile("lower", "some text");
  }

  ScratchDirectory scratch_;
  std::string lower_;
  std::unique_ptr<UringParameter> parameter_;
  Session::Options options_;
  std::unique_ptr<Loop> loop_;
};

INSTANTIATE_TEST_SUITE_P(Transports, LoopMountTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "Uring" : "Dev";
                         });

std::string ReadAll(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY));
  EXPECT_TRUE(fd.valid()) << path;
  char buffer[256];
  const ssize_t size = read(fd.get(), buffer, sizeof(buffer));
  EXPECT_GE(size, 0) << errno;
  return std::string(buffer, size > 0 ? static_cast<size_t>(size) : 0);
}

TEST_P(LoopMountTest, ServesReadsByTheDaemon) {
  Session::Options options = options_;
  options.passthrough = false;
  Mounted mounted(*loop_, lower_, scratch_.MakeDirectory("m"), options);
  EXPECT_EQ(ReadAll(mounted.file()), "some text");
  EXPECT_EQ(mounted.operations().daemon_opens(), 1);
  EXPECT_GT(mounted.operations().received(FUSE_READ), 0);
  ASSERT_TRUE(mounted.session()->initialized());
  EXPECT_FALSE(mounted.session()->connection().passthrough);
  EXPECT_STREQ(mounted.session()->connection().passthrough_reason,
               "turned off");
}

TEST_P(LoopMountTest, PassthroughCostsNoRequests) {
  Mounted mounted(*loop_, lower_, scratch_.MakeDirectory("m"), options_);
  struct stat stat;
  ASSERT_EQ(::stat(mounted.file().c_str(), &stat), 0);
  ASSERT_TRUE(mounted.session()->initialized());
  if (!mounted.session()->connection().passthrough) {
    GTEST_SKIP() << mounted.session()->connection().passthrough_reason;
  }
  for (const int flags : {O_RDONLY, O_WRONLY, O_RDWR}) {
    const Fd fd(open(mounted.file().c_str(), flags));
    ASSERT_TRUE(fd.valid());
    if (flags != O_WRONLY) {
      char buffer[16];
      EXPECT_EQ(pread(fd.get(), buffer, sizeof(buffer), 0), 9);
    }
    if (flags != O_RDONLY) {
      EXPECT_EQ(pwrite(fd.get(), "S", 1, 0), 1);
      EXPECT_EQ(pwrite(fd.get(), "T", 1, 5), 1);
    }
  }
  EXPECT_EQ(ReadAll(lower_), "Some Text");
  EXPECT_EQ(mounted.operations().passthrough_opens(), 3);
  EXPECT_EQ(mounted.operations().received(FUSE_READ), 0);
  EXPECT_EQ(mounted.operations().received(FUSE_WRITE), 0);
  // The first write asked for security.capability and was told never again.
  EXPECT_LE(mounted.operations().received(FUSE_GETXATTR), 1);
  // The O_RDWR handle alone: locks may be held on it.
  EXPECT_EQ(mounted.operations().received(FUSE_FLUSH), 1);
  EXPECT_EQ(mounted.session()->backing().stats().registered, 1u);
}

TEST_P(LoopMountTest, SharedMappingOfADaemonServedFileWorks) {
  Session::Options options = options_;
  options.passthrough = false;
  Mounted mounted(*loop_, lower_, scratch_.MakeDirectory("m"), options);
  const Fd fd(open(mounted.file().c_str(), O_RDWR));
  ASSERT_TRUE(fd.valid());
  void* memory =
      mmap(nullptr, 9, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(memory, MAP_FAILED) << errno;
  static_cast<char*>(memory)[0] = 'X';
  EXPECT_EQ(msync(memory, 9, MS_SYNC), 0);
  munmap(memory, 9);
  EXPECT_EQ(ReadAll(lower_), "Xome text");
}

TEST_P(LoopMountTest, EndsOnceWhenUnmounted) {
  Mounted mounted(*loop_, lower_, scratch_.MakeDirectory("m"), options_);
  EXPECT_EQ(ReadAll(mounted.file()), "some text");
  ASSERT_TRUE(DetachMount(mounted.point()).ok());
  mounted.ended().WaitForNotification();  // a second call would abort
  EXPECT_EQ(mounted.operations().destroys(), 1);
  EXPECT_TRUE(mounted.session()->ended());
  Session::Buffer buffer;
  EXPECT_EQ(mounted.session()->Serve(buffer), Session::Progress::kEnded);
  EXPECT_EQ(mounted.operations().destroys(), 1);
}

TEST_P(LoopMountTest, ManySessionsAreServedAtOnce) {
  std::vector<std::unique_ptr<Mounted>> mounts;
  for (int i = 0; i < 50; ++i) {
    mounts.push_back(std::make_unique<Mounted>(
        *loop_, lower_, scratch_.MakeDirectory(absl::StrCat("m", i)),
        options_));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&mounts, t] {
      for (int i = 0; i < 200; ++i) {
        const Mounted& mounted =
            *mounts[static_cast<size_t>(i * 7 + t) % mounts.size()];
        EXPECT_EQ(ReadAll(mounted.file()), "some text");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& mounted : mounts) {
    EXPECT_EQ(mounted->session()->unanswered(), 0u);
    EXPECT_EQ(mounted->session()->malformed(), 0u);
  }
}

// A handler that waits, until it is told.
class SlowFile : public SingleFile {
 public:
  using SingleFile::SingleFile;
  void GetAttributes(const Caller& caller, NodeId node,
                     std::optional<HandleId> handle,
                     AttributesReply reply) override {
    if (node == kFileNode && !entered.HasBeenNotified()) {
      entered.Notify();
      proceed.WaitForNotification();
    }
    SingleFile::GetAttributes(caller, node, handle, std::move(reply));
  }
  void Release(NodeId node, HandleId handle,
               std::optional<uint64_t> flock_owner,
               StatusReply reply) override {
    if (holds_releases) release.WaitForNotification();
    SingleFile::Release(node, handle, flock_owner, std::move(reply));
  }
  absl::Notification entered;
  absl::Notification proceed;
  std::atomic<bool> holds_releases{false};
  absl::Notification release;
};

TEST_P(LoopMountTest, ASlowRequestHoldsUpNobodyElse) {
  SlowFile operations(Fd(open(lower_.c_str(), O_RDWR)));
  absl::StatusOr<FuseMount> mount = CreateFuseMount({});
  ASSERT_TRUE(mount.ok()) << mount.status();
  absl::StatusOr<std::unique_ptr<Session>> created =
      Session::Create(options_, &operations, std::move(mount->device));
  ASSERT_TRUE(created.ok());
  const std::shared_ptr<Session> session = *std::move(created);
  const std::string point = scratch_.MakeDirectory("slow");
  ASSERT_TRUE(AttachMount(mount->mount, point).ok());
  mount->mount.Reset();
  absl::Notification ended;
  ASSERT_TRUE(loop_->Add(session, [&ended] { ended.Notify(); }).ok());
  // A name without cached attributes: the second stat asks for them.
  Fd file(open((point + "/file").c_str(), O_RDONLY));
  ASSERT_TRUE(file.valid());

  std::thread waiter([&file] {
    struct stat stat;
    EXPECT_EQ(fstat(file.get(), &stat), 0);
  });
  operations.entered.WaitForNotification();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(access((point + "/none").c_str(), F_OK), -1);
  }
  operations.proceed.Notify();
  waiter.join();

  // Nor do the ends of handles, which come one behind the other.
  std::vector<Fd> files;
  for (int i = 0; i < 4; ++i) {
    files.emplace_back(open((point + "/file").c_str(), O_RDONLY));
    ASSERT_TRUE(files.back().valid());
  }
  operations.holds_releases = true;
  files.clear();
  EXPECT_EQ(access((point + "/none").c_str(), F_OK), -1);
  operations.release.Notify();
  file.Reset();  // it holds the superblock
  EXPECT_TRUE(DetachMount(point).ok());
  ended.WaitForNotification();
}

TEST_P(LoopMountTest, MoreSessionsThanThreadSpecificKeys) {
  // Libfuse makes one for each session; a process has 1024.
  std::vector<std::unique_ptr<Session>> sessions;
  SingleFile operations(Fd(open(lower_.c_str(), O_RDWR)));
  for (int i = 0; i < 1500; ++i) {
    Fd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    if (!device.valid() && errno == EMFILE) {
      GTEST_SKIP() << "not enough descriptors: " << i;
    }
    absl::StatusOr<std::unique_ptr<Session>> session =
        Session::Create({}, &operations, std::move(device));
    ASSERT_TRUE(session.ok()) << i << " " << session.status();
    sessions.push_back(*std::move(session));
  }
}

}  // namespace
}  // namespace fused::kernel
