// Rings: what is answered late, or by a thread that is stuck, on a real mount.

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/loop.h"
#include "kernel/mount.h"
#include "kernel/ring.h"
#include "kernel/session.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"
#include "kernel/testing/single_file.h"
#include "kernel/testing/uring_parameter.h"

namespace fused::kernel {
namespace {

// The file's attributes are never cached, and may be kept waiting for: by a
// thread, or without one.
class HoldingFile : public SingleFile {
 public:
  enum Mode { kAnswer, kKeepThread, kKeepReply };
  using SingleFile::SingleFile;

  void GetAttributes(const Caller& caller, NodeId node,
                     std::optional<HandleId> handle,
                     AttributesReply reply) override {
    if (node == kFileNode && mode == kKeepReply) {
      absl::MutexLock lock(&mu_);
      kept_.push_back(std::move(reply));
      return;
    }
    if (node == kFileNode && mode == kKeepThread) {
      held.fetch_add(1);
      proceed.WaitForNotification();
    }
    SingleFile::GetAttributes(caller, node, handle, std::move(reply));
  }

  void AwaitKept(size_t count) {
    const auto all = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return kept_.size() >= count;
    };
    absl::MutexLock lock(&mu_);
    ASSERT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&all), absl::Seconds(40)));
  }
  void AwaitHeld(int count) const {
    while (held.load() < count) std::this_thread::yield();
  }
  // On the calling thread.
  void AnswerKept() {
    std::vector<AttributesReply> kept;
    {
      absl::MutexLock lock(&mu_);
      kept.swap(kept_);
    }
    for (AttributesReply& reply : kept) reply.Error(ErrnoStatus(EXDEV));
  }

  std::atomic<Mode> mode{kAnswer};
  std::atomic<int> held{0};
  absl::Notification proceed;

 private:
  absl::Mutex mu_;
  std::vector<AttributesReply> kept_ ABSL_GUARDED_BY(mu_);
};

// How often the threads of the process's loop have waited for something.
int64_t WaitsOfTheSet() {
  int64_t waits = 0;
  for (const auto& task :
       std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream name(task.path() / "comm");
    std::string line;
    if (!std::getline(name, line) || !line.starts_with("fused-loop")) continue;
    std::ifstream status(task.path() / "status");
    constexpr std::string_view kCount = "voluntary_ctxt_switches:";
    while (std::getline(status, line)) {
      if (line.starts_with(kCount)) {
        waits += std::stoll(line.substr(kCount.size()));
      }
    }
  }
  return waits;
}

// The calling thread's requests go to this queue.
void StayOn(int processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(static_cast<unsigned>(processor), &only);
  ASSERT_EQ(pthread_setaffinity_np(pthread_self(), sizeof(only), &only), 0);
}

class RingMountTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CanMount()) GTEST_SKIP() << "needs root and /dev/fuse";
    parameter_ = std::make_unique<UringParameter>();
    if (!parameter_->set()) {
      GTEST_SKIP() << "the fuse module's enable_uring cannot be set here";
    }
    options_.stuck = absl::Milliseconds(20);
    point_ = scratch_.MakeDirectory("m");
  }
  void TearDown() override {
    over_.Notify();
    if (guard_.joinable()) guard_.join();
    file_.Reset();
    if (session_ == nullptr) return;
    EXPECT_EQ(session_->unanswered(), 0u);
    EXPECT_TRUE(DetachMount(point_).ok());
    ended_.WaitForNotification();
    loop_->Stop();
  }

  void Start() {
    absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Start(options_);
    ASSERT_TRUE(loop.ok()) << loop.status();
    loop_ = *std::move(loop);
    operations_ = std::make_unique<HoldingFile>(
        Fd(open(scratch_.MakeFile("lower", "text").c_str(), O_RDWR)));
    absl::StatusOr<FuseMount> mount = CreateFuseMount({});
    ASSERT_TRUE(mount.ok()) << mount.status();
    Session::Options options;
    options.uring = true;
    absl::StatusOr<std::unique_ptr<Session>> session =
        Session::Create(options, operations_.get(), std::move(mount->device));
    ASSERT_TRUE(session.ok()) << session.status();
    session_ = *std::move(session);
    struct statx root = {};
    ASSERT_EQ(statx(mount->mount.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
                    0, &root),
              0);
    session_->SetConnection(root.stx_dev_minor);
    // Who waits for an answer that never comes can't be killed.
    guard_ = std::thread([this, session = session_]() mutable {
      const std::weak_ptr<Session> weak = std::exchange(session, nullptr);
      if (over_.WaitForNotificationWithTimeout(absl::Seconds(30))) return;
      ADD_FAILURE() << "an answer does not come";
      if (const auto living = weak.lock()) (void)living->Abort();
    });
    ASSERT_TRUE(AttachMount(mount->mount, point_).ok());
    ASSERT_TRUE(loop_->Add(session_, [this] { ended_.Notify(); }).ok());
    file_.Reset(open((point_ + "/file").c_str(), O_RDONLY));
    ASSERT_TRUE(file_.valid());
    ASSERT_NE(session_->ring(), nullptr);
  }
  // On threads of their own, all at one queue.
  void StartStats(int count, int processor = 0) {
    for (int i = 0; i < count; ++i) {
      waiting_.emplace_back([this, processor] {
        StayOn(processor);
        struct stat stat;
        const int error = fstat(file_.get(), &stat) == 0 ? 0 : errno;
        absl::MutexLock lock(&mu_);
        errors_.push_back(error);
      });
    }
  }
  std::vector<int> AwaitStats() {
    for (std::thread& thread : waiting_) thread.join();
    waiting_.clear();
    absl::MutexLock lock(&mu_);
    return std::exchange(errors_, {});
  }
  size_t CountErrors() {
    absl::MutexLock lock(&mu_);
    return errors_.size();
  }
  void ExpectServed() const {
    StayOn(0);
    struct stat stat;
    EXPECT_EQ(::stat((point_ + "/none").c_str(), &stat), -1);
    EXPECT_EQ(errno, ENOENT);
  }

  ScratchDirectory scratch_;
  std::unique_ptr<UringParameter> parameter_;
  Loop::Options options_;
  std::string point_;
  std::unique_ptr<HoldingFile> operations_;
  std::unique_ptr<Loop> loop_;
  std::shared_ptr<Session> session_;
  absl::Notification ended_;
  absl::Notification over_;
  std::thread guard_;
  Fd file_;
  std::vector<std::thread> waiting_;
  absl::Mutex mu_;
  std::vector<int> errors_ ABSL_GUARDED_BY(mu_);
};

// Many more than there are threads, and again with the entries that they had.
TEST_F(RingMountTest, WhatIsAnsweredLateKeepsNobody) {
  Start();
  constexpr int kWaiting = 50;
  for (int round = 0; round < 3; ++round) {
    operations_->mode = HoldingFile::kKeepReply;
    StartStats(kWaiting);
    operations_->AwaitKept(kWaiting);
    for (int i = 0; i < 20; ++i) ExpectServed();
    operations_->mode = HoldingFile::kAnswer;
    operations_->AnswerKept();
    EXPECT_EQ(AwaitStats(), std::vector<int>(kWaiting, EXDEV));
  }
  EXPECT_EQ(loop_->stats().stuck, 0);
  const size_t entries = session_->ring()->stats().entries;
  EXPECT_GT(entries, size_t{kWaiting});
  EXPECT_LT(entries, size_t{kWaiting} * 2);
  const Loop::Stats stats = loop_->stats();
  EXPECT_EQ(stats.rings, 1);
  EXPECT_EQ(stats.seats, options_.seats_per_queue * session_->ring()->queues());
  EXPECT_GT(stats.ring_bytes, entries * 4096);
}

// A thread that commits an answer for another queue would have an entry, and
// none of its own queue.
TEST_F(RingMountTest, WhatIsAnsweredLateIsOfItsQueue) {
  if (sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "needs two processors";
  Start();
  for (int round = 0; round < 20; ++round) {
    operations_->mode = HoldingFile::kKeepReply;
    StartStats(1, /*processor=*/1);
    operations_->AwaitKept(1);
    operations_->AnswerKept();
    EXPECT_EQ(AwaitStats(), std::vector<int>(1, EXDEV));
    StartStats(1);
    operations_->AwaitKept(1);
    ExpectServed();
    operations_->AnswerKept();
    EXPECT_EQ(AwaitStats(), std::vector<int>(1, EXDEV));
  }
}

// Of the entries that a thread had for late answers, the kernel puts nothing
// into any but one: or what is in another would wait for the thread.
TEST_F(RingMountTest, ASlowOneHoldsUpNobodyAfterALateAnswer) {
  options_.stuck = absl::Seconds(20);
  Start();
  operations_->mode = HoldingFile::kKeepReply;
  StartStats(5);
  operations_->AwaitKept(5);
  operations_->AnswerKept();
  EXPECT_EQ(AwaitStats(), std::vector<int>(5, EXDEV));
  for (int i = 0; i < 20; ++i) ExpectServed();
  operations_->mode = HoldingFile::kKeepThread;
  StartStats(1);
  operations_->AwaitHeld(1);
  operations_->mode = HoldingFile::kAnswer;
  StartStats(3);
  while (CountErrors() < 3) std::this_thread::yield();
  for (int i = 0; i < 20; ++i) ExpectServed();
  operations_->proceed.Notify();
  EXPECT_EQ(AwaitStats(), std::vector<int>(4, 0));
}

TEST_F(RingMountTest, ThereIsRoomAgainWhenThoseWhoWaitedAreAnswered) {
  Start();
  constexpr int kMost = Ring::kMostEntries - Ring::kReserved;
  for (int round = 0; round < 2; ++round) {
    operations_->mode = HoldingFile::kKeepReply;
    StartStats(kMost + 1);
    operations_->AwaitKept(kMost + 1);
    EXPECT_FALSE(session_->ring()->HasRoom());
    operations_->AnswerKept();
    EXPECT_EQ(AwaitStats(), std::vector<int>(kMost + 1, EXDEV));
    EXPECT_TRUE(session_->ring()->HasRoom());
  }
  ExpectServed();
}

TEST_F(RingMountTest, AnotherThreadStandsInForAStuckOne) {
  Start();
  operations_->mode = HoldingFile::kKeepThread;
  const int stuck = options_.seats_per_queue + 3;
  StartStats(stuck);
  operations_->AwaitHeld(stuck);
  for (int i = 0; i < 20; ++i) ExpectServed();
  operations_->proceed.Notify();
  EXPECT_EQ(AwaitStats(), std::vector<int>(static_cast<size_t>(stuck), 0));
  EXPECT_EQ(loop_->stats().expired, 0u);
  ExpectServed();
}

// Long before anything is stuck; and after a time without a request.
TEST_F(RingMountTest, ASlowOneHasAnotherBesideItFromThenOn) {
  options_.stuck = absl::Seconds(20);
  Start();
  const int queues = session_->ring()->queues();
  EXPECT_EQ(loop_->stats().seats, queues);
  operations_->mode = HoldingFile::kKeepThread;
  StartStats(1);
  operations_->AwaitHeld(1);
  for (int i = 0; i < 20; ++i) ExpectServed();
  EXPECT_EQ(loop_->stats().seats, queues + 1);
  EXPECT_EQ(loop_->stats().stuck, 0);
  operations_->proceed.Notify();
  EXPECT_EQ(AwaitStats(), std::vector<int>(1, 0));
  for (int i = 0; i < 20; ++i) ExpectServed();
  EXPECT_EQ(loop_->stats().seats, queues + 1);
}

TEST_F(RingMountTest, WhatIsLateIsAnsweredOnce) {
  options_.deadline = absl::Milliseconds(100);
  Start();
  operations_->mode = HoldingFile::kKeepThread;
  const int stuck = options_.seats_per_queue + 1;
  StartStats(stuck);
  EXPECT_EQ(AwaitStats(),
            std::vector<int>(static_cast<size_t>(stuck), ETIMEDOUT));
  EXPECT_EQ(session_->expired(), static_cast<uint64_t>(stuck));
  for (int i = 0; i < 20; ++i) ExpectServed();
  operations_->mode = HoldingFile::kAnswer;
  operations_->proceed.Notify();
  struct stat stat;
  EXPECT_EQ(fstat(file_.get(), &stat), 0);
}

// Parked: it keeps its entry, and no thread.
TEST_F(RingMountTest, OneCallerWaitsForItsOwnOnly) {
  options_.threads_per_uid = 2;
  Start();
  operations_->mode = HoldingFile::kKeepThread;
  StartStats(2);
  operations_->AwaitHeld(2);
  while (loop_->stats().stuck < 2) std::this_thread::yield();
  StartStats(5);
  while (loop_->stats().parked < 5) std::this_thread::yield();
  EXPECT_EQ(operations_->held.load(), 2);
  // Another one has a thread.
  std::thread other([this] {
    StayOn(0);
    setfsuid(10001);  // of this thread alone
    struct stat stat;
    EXPECT_EQ(fstat(file_.get(), &stat), 0);
  });
  operations_->AwaitHeld(3);
  operations_->proceed.Notify();
  other.join();
  EXPECT_EQ(AwaitStats(), std::vector<int>(7, 0));
  EXPECT_EQ(loop_->stats().parked, 0);
}

// A FORGET comes by the device, which a thread of its own reads.
TEST_F(RingMountTest, WhatIsForgottenWakesNoThreadOfTheSet) {
  Start();
  file_.Reset();
  constexpr size_t kForgets = 200;
  const int64_t before = WaitsOfTheSet();
  for (size_t i = 0; i < kForgets; ++i) {
    struct stat stat;
    ASSERT_EQ(::stat((point_ + "/file").c_str(), &stat), 0);
    ASSERT_TRUE(session_->InvalidateEntry(kRootNode, "file").ok());
  }
  while (operations_->forgets().size() < kForgets) std::this_thread::yield();
  EXPECT_LT(WaitsOfTheSet() - before, int64_t{kForgets} / 10);
}

TEST_F(RingMountTest, LeavesAtTheLoopsEnd) {
  Start();
  operations_->mode = HoldingFile::kKeepReply;
  StartStats(3);
  operations_->AwaitKept(3);
  loop_->Stop();
  EXPECT_EQ(loop_->stats().seats, 0);
  // The device goes with the last who holds the session.
  operations_->AnswerKept();
  session_ = nullptr;
  EXPECT_EQ(AwaitStats().size(), 3u);
}

}  // namespace
}  // namespace fused::kernel
