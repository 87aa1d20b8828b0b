// The loop, against fake kernels.

#include "kernel/loop.h"

#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/barrier.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kernel/libfuse.h"
#include "kernel/session.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/fake_operations.h"
#include "kernel/testing/looped_peer.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;

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
  std::vector<std::unique_ptr<LoopedPeer>> peers;
  const std::unique_ptr<Loop> loop = StartLoop(3);
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<LoopedPeer>());
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

// The only thread looks for the next request for a moment; whether that comes
// while it looks, when it stops, or later, it is answered.
TEST(LoopTest, WhatComesWhenAThreadStopsLookingIsAnswered) {
  FakeOperations operations;
  LoopedPeer peers[2];
  const std::unique_ptr<Loop> loop = StartLoop(1);
  for (LoopedPeer& peer : peers) peer.Start(*loop, operations);
  for (int i = 0; i < 20000; ++i) {
    const absl::Time then = absl::Now() + absl::Microseconds(i % 60);
    while (absl::Now() < then) {
    }
    FakeKernel& kernel = peers[i / 1000 % 2].kernel;
    kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
    ASSERT_EQ(kernel.Receive().error, -ENOSYS);
  }
}

// Neither keeps the thread from the other.
TEST(LoopTest, TwoThatAskWithoutEndAreBothAnswered) {
  FakeOperations operations;
  LoopedPeer busy;
  LoopedPeer other;
  const std::unique_ptr<Loop> loop = StartLoop(1);
  busy.Start(*loop, operations);
  other.Start(*loop, operations);
  std::atomic<bool> over{false};
  std::thread asking([&] {
    while (!over.load()) {
      busy.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
      busy.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
      busy.kernel.Receive();
      busy.kernel.Receive();
    }
  });
  for (int i = 0; i < 200; ++i) {
    other.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
    EXPECT_EQ(other.kernel.Receive().error, -ENOSYS);
  }
  over.store(true);
  asking.join();
}

// While the thread looks for more of one's it turns to what others ask for now
// and then: both may have come since it last looked.
TEST(LoopTest, TwoThatAskTogetherAreBothAnswered) {
  FakeOperations operations;
  LoopedPeer peers[2];
  const std::unique_ptr<Loop> loop = StartLoop(1);
  for (LoopedPeer& peer : peers) peer.Start(*loop, operations);
  std::vector<std::thread> asking;
  for (LoopedPeer& peer : peers) {
    asking.emplace_back([&peer] {
      for (int i = 0; i < 100000; ++i) {
        peer.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
        ASSERT_EQ(peer.kernel.Receive().error, -ENOSYS);
      }
    });
  }
  for (std::thread& thread : asking) thread.join();
}

// The first waits until the others are there; all take their time.
class TardyOperations : public FakeOperations {
 public:
  void Access(const Caller&, NodeId, int, StatusReply reply) override {
    Dawdle();
    reply.Ok();
  }
  void Release(NodeId, HandleId, std::optional<uint64_t>,
               StatusReply reply) override {
    Dawdle();
    reply.Ok();
  }
  absl::Notification all_there;
  std::atomic<int> served{0};

 private:
  void Dawdle() {
    all_there.WaitForNotification();
    const absl::Time then = absl::Now() + absl::Milliseconds(2);
    while (absl::Now() < then) {
    }
    served.fetch_add(1);
  }
};

// With requests of which none is slow by itself: `send` sends one.
void ExpectOthersAreServed(absl::Duration spin,
                           const std::function<void(FakeKernel&)>& send) {
  TardyOperations tardy;
  FakeOperations operations;
  LoopedPeer busy;
  LoopedPeer other;
  Loop::Options options;
  options.threads = 1;
  options.slow = options.stuck = absl::Seconds(20);
  options.spin = spin;
  absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Start(options);
  ASSERT_THAT(loop, IsOk());
  busy.Start(**loop, tardy);
  other.Start(**loop, operations);
  constexpr int kRequests = 50;
  for (int i = 0; i < kRequests; ++i) send(busy.kernel);
  other.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
  tardy.all_there.Notify();
  EXPECT_EQ(other.kernel.Receive().error, -ENOSYS);
  EXPECT_LT(tardy.served.load(), kRequests / 2);
  for (int i = 0; i < kRequests; ++i) {
    EXPECT_EQ(busy.kernel.Receive().error, 0);
  }
}

TEST(LoopTest, OneThatAsksForMuchAtOnceKeepsNobody) {
  ExpectOthersAreServed(Loop::Options().spin, [](FakeKernel& kernel) {
    kernel.SendStruct(FUSE_ACCESS, 1, fuse_access_in{});
  });
}

// The end of a handle is taken together with what comes next.
TEST(LoopTest, OneThatClosesMuchAtOnceKeepsNobody) {
  for (const absl::Duration spin : {Loop::Options().spin, absl::Duration()}) {
    ExpectOthersAreServed(spin, [](FakeKernel& kernel) {
      kernel.SendStruct(FUSE_RELEASE, 1, fuse_release_in{});
    });
  }
}

// Many requests that are there before any thread looks: all are answered.
TEST(LoopTest, AnswersABacklog) {
  FakeOperations operations;
  LoopedPeer peer;
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
  LoopedPeer peer;
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
  LoopedPeer peer;
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
  LoopedPeer peer;
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
  LoopedPeer ending;
  ending.Start(*loop, operations);
  std::weak_ptr<Session> weak = ending.session;
  ending.session.reset();
  EXPECT_NE(weak.lock(), nullptr);
  ending.kernel.Close();
  ending.ended.WaitForNotification();
  // Stop() returns after the thread has: what it held is gone.
  LoopedPeer living;
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
        LoopedPeer peer;
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
  LoopedPeer peer;
  const std::unique_ptr<Loop> loop = StartLoop(1);
  peer.Start(*loop, operations);
  peer.kernel.SendStruct(FUSE_ACCESS, 1, fuse_access_in{077, 0});
  EXPECT_EQ(peer.kernel.Receive().error, 0);
  EXPECT_EQ(umask(mine), static_cast<mode_t>(022));
}

}  // namespace
}  // namespace fused::kernel
