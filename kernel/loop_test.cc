// The loop, against fake kernels.

#include "kernel/loop.h"

#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "kernel/backing_fake.h"
#include "kernel/libfuse.h"
#include "kernel/session.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/fake_operations.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;

struct Peer {
  Peer() = default;
  void Start(Loop& loop, Operations& operations) {
    absl::StatusOr<std::unique_ptr<Session>> created =
        Session::Create({}, &operations, kernel.TakeDevice(),
                        std::make_unique<FakeBackingDevice>());
    ASSERT_THAT(created, IsOk());
    session = *std::move(created);
    kernel.SendInit(45, FakeKernel::AllFlags());
    ASSERT_THAT(loop.Add(session, [this] { ended.Notify(); }), IsOk());
    kernel.Receive();
  }

  FakeKernel kernel;
  std::shared_ptr<Session> session;
  absl::Notification ended;
};

std::unique_ptr<Loop> StartLoop(int threads) {
  Loop::Options options;
  options.threads = threads;
  absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Start(options);
  EXPECT_THAT(loop, IsOk());
  return *std::move(loop);
}

TEST(LoopTest, NeedsAThread) {
  Loop::Options options;
  options.threads = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(Loop::Start(options).status()));
}

TEST(LoopTest, ServesManySessions) {
  FakeOperations operations;
  std::vector<std::unique_ptr<Peer>> peers;
  const std::unique_ptr<Loop> loop = StartLoop(3);
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<Peer>());
    peers.back()->Start(*loop, operations);
  }
  for (int round = 0; round < 50; ++round) {
    for (const auto& peer : peers) {
      peer->kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
    }
    for (const auto& peer : peers) {
      EXPECT_EQ(peer->kernel.Receive().error, -ENOSYS);
    }
  }
  for (const auto& peer : peers) peer->kernel.Close();
  for (const auto& peer : peers) peer->ended.WaitForNotification();
  EXPECT_EQ(operations.destroys(), 20);
}

// Many requests that are there before any thread looks: all are answered.
TEST(LoopTest, AnswersABacklog) {
  FakeOperations operations;
  Peer peer;
  const std::unique_ptr<Loop> loop = StartLoop(2);
  peer.Start(*loop, operations);
  constexpr int kRequests = 200;
  for (int i = 0; i < kRequests; ++i) {
    peer.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
  }
  for (int i = 0; i < kRequests; ++i) peer.kernel.Receive();
  EXPECT_EQ(operations.received(FUSE_LOOKUP), kRequests);
}

// Handlers that meet: each needs the other to be running.
class MeetingOperations : public FakeOperations {
 public:
  void Access(const Caller&, NodeId, int, StatusReply reply) override {
    if (meeting.load() != nullptr && meeting.load()->Block()) {
      delete meeting.exchange(nullptr);
    }
    reply.Ok();
  }
  std::atomic<absl::Barrier*> meeting{nullptr};
};

TEST(LoopTest, ARequestDoesNotWaitForTheOneBeforeIt) {
  MeetingOperations operations;
  Peer peer;
  const std::unique_ptr<Loop> loop = StartLoop(2);
  peer.Start(*loop, operations);
  for (int i = 0; i < 200; ++i) {
    operations.meeting = new absl::Barrier(2);
    // Both may well be there when the first thread wakes.
    peer.kernel.SendStruct(FUSE_ACCESS, 1, fuse_access_in{});
    peer.kernel.SendStruct(FUSE_ACCESS, 1, fuse_access_in{});
    EXPECT_EQ(peer.kernel.Receive().error, 0);
    EXPECT_EQ(peer.kernel.Receive().error, 0);
  }
}

// Waits in its method until the test lets it go.
class SlowOperations : public FakeOperations {
 public:
  void Access(const Caller&, NodeId, int, StatusReply reply) override {
    entered.Notify();
    proceed.WaitForNotification();
    EXPECT_EQ(destroys(), 0);
    reply.Ok();
  }
  absl::Notification entered;
  absl::Notification proceed;
};

TEST(LoopTest, EndsOnlyWhenNoThreadIsInTheSession) {
  SlowOperations operations;
  Peer peer;
  const std::unique_ptr<Loop> loop = StartLoop(2);
  peer.Start(*loop, operations);
  peer.kernel.SendStruct(FUSE_ACCESS, 1, fuse_access_in{});
  operations.entered.WaitForNotification();
  peer.kernel.Close();
  EXPECT_FALSE(peer.ended.HasBeenNotified());
  operations.proceed.Notify();
  peer.ended.WaitForNotification();
  EXPECT_EQ(operations.destroys(), 1);
}

TEST(LoopTest, DestroyEndsToo) {
  FakeOperations operations;
  Peer peer;
  const std::unique_ptr<Loop> loop = StartLoop(2);
  peer.Start(*loop, operations);
  peer.kernel.Send(FUSE_DESTROY, 0, "");
  EXPECT_EQ(peer.kernel.Receive().error, 0);
  peer.ended.WaitForNotification();
  EXPECT_EQ(operations.destroys(), 1);
}

TEST(LoopTest, LetsGoOfSessions) {
  FakeOperations operations;
  std::unique_ptr<Loop> loop = StartLoop(1);
  Peer ending;
  ending.Start(*loop, operations);
  std::weak_ptr<Session> weak = ending.session;
  ending.session.reset();
  EXPECT_NE(weak.lock(), nullptr);
  ending.kernel.Close();
  ending.ended.WaitForNotification();
  // Stop() returns after the thread has: what it held is gone.
  Peer living;
  living.Start(*loop, operations);
  loop->Stop();
  EXPECT_EQ(weak.lock(), nullptr);
  EXPECT_EQ(living.session.use_count(), 1);
  EXPECT_FALSE(living.ended.HasBeenNotified());
  loop->Stop();  // again
}

TEST(LoopTest, SessionsComeAndGoWhileItRuns) {
  FakeOperations operations;
  const std::unique_ptr<Loop> loop = StartLoop(3);
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 30; ++i) {
        Peer peer;
        peer.Start(*loop, operations);
        peer.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
        if (i % 2 == 0) peer.kernel.Receive();
        peer.kernel.Close();
        peer.ended.WaitForNotification();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(operations.destroys(), 90);
}

// The umask is a thread's own.
class UmaskOperations : public FakeOperations {
 public:
  void Access(const Caller&, NodeId, int mask, StatusReply reply) override {
    const mode_t before = umask(static_cast<mode_t>(mask));
    EXPECT_EQ(before, expected.exchange(static_cast<mode_t>(mask)));
    reply.Ok();
  }
  std::atomic<mode_t> expected{0};
};

TEST(LoopTest, ThreadsHaveTheirOwnUmask) {
  const mode_t mine = umask(022);
  UmaskOperations operations;
  operations.expected = 022;
  Peer peer;
  const std::unique_ptr<Loop> loop = StartLoop(1);
  peer.Start(*loop, operations);
  peer.kernel.SendStruct(FUSE_ACCESS, 1, fuse_access_in{077, 0});
  EXPECT_EQ(peer.kernel.Receive().error, 0);
  EXPECT_EQ(umask(mine), static_cast<mode_t>(022));
}

}  // namespace
}  // namespace fused::kernel
