// A loop whose threads are kept, against a fake kernel.

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kernel/libfuse.h"
#include "kernel/loop.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/fake_operations.h"
#include "kernel/testing/looped_peer.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;

// Holds each ACCESS until the test lets them all go.
class HoldingOperations : public FakeOperations {
 public:
  void Access(const Caller&, NodeId, int, StatusReply reply) override {
    held.fetch_add(1);
    gate.load()->WaitForNotification();
    reply.Ok();
  }
  void AwaitHeld(int count) const {
    while (held.load() < count) std::this_thread::yield();
  }
  void Write(const Caller&, NodeId, HandleId, std::string_view data, off_t,
             bool, WriteReply reply) override {
    {
      absl::MutexLock lock(&mu_);
      written_.insert(data.size());
    }
    reply.Send(data.size());
  }
  std::multiset<size_t> written() {
    absl::MutexLock lock(&mu_);
    return written_;
  }
  std::atomic<int> held{0};
  absl::Notification proceed;
  std::atomic<absl::Notification*> gate{&proceed};

 private:
  absl::Mutex mu_;
  std::multiset<size_t> written_ ABSL_GUARDED_BY(mu_);
};

class StuckLoopTest : public testing::Test {
 protected:
  StuckLoopTest() {
    options_.threads = 1;
    options_.max_threads = 4;
    options_.threads_per_uid = 2;
    options_.stuck = absl::Milliseconds(10);
    options_.wary = absl::Milliseconds(50);
  }
  void Start() {
    absl::StatusOr<std::unique_ptr<Loop>> loop = Loop::Start(options_);
    ASSERT_THAT(loop, IsOk());
    loop_ = *std::move(loop);
    peer_.Start(*loop_, operations_);
  }
  // An answer that is there is the only one.
  FakeKernel::Message Ask() {
    const uint64_t unique = peer_.kernel.Send(FUSE_LOOKUP, 1, Terminated("a"));
    FakeKernel::Message message = peer_.kernel.Receive();
    EXPECT_EQ(message.unique, unique);
    return message;
  }
  void SendAccess(uid_t uid) { SendAs(uid, FUSE_ACCESS, fuse_access_in{}, {}); }
  void SendWrite(uid_t uid, std::string_view data) {
    fuse_write_in in = {};
    in.size = static_cast<uint32_t>(data.size());
    SendAs(uid, FUSE_WRITE, in, data);
  }
  template <typename T>
  void SendAs(uid_t uid, uint32_t opcode, const T& in, std::string_view rest) {
    std::string body(reinterpret_cast<const char*>(&in), sizeof(in));
    body.append(rest);
    std::string packet = peer_.kernel.Packet(opcode, 1, body);
    std::memcpy(&packet[offsetof(fuse_in_header, uid)], &uid, sizeof(uid));
    peer_.kernel.SendRaw(packet);
  }

  Loop::Options options_;
  HoldingOperations operations_;
  LoopedPeer peer_;
  std::unique_ptr<Loop> loop_;
};

TEST_F(StuckLoopTest, AnotherThreadStandsIn) {
  Start();
  SendAccess(10001);
  operations_.AwaitHeld(1);
  EXPECT_EQ(Ask().error, -ENOSYS);
  EXPECT_EQ(loop_->stats().threads, 2);
  EXPECT_EQ(loop_->stats().stuck, 1);
  operations_.proceed.Notify();
  EXPECT_EQ(peer_.kernel.Receive().error, 0);
  // And goes when it is needed no more.
  while (loop_->stats().threads != 1) EXPECT_EQ(Ask().error, -ENOSYS);
  EXPECT_EQ(loop_->stats().expired, 0u);
}

// Long before it is stuck; and one more is enough.
TEST_F(StuckLoopTest, ASlowOneHoldsUpNobodyForLong) {
  options_.stuck = absl::Seconds(20);
  Start();
  EXPECT_EQ(loop_->stats().threads, 1);
  SendAccess(10001);
  operations_.AwaitHeld(1);
  EXPECT_EQ(Ask().error, -ENOSYS);
  EXPECT_EQ(loop_->stats().threads, 2);
  EXPECT_EQ(loop_->stats().stuck, 0);
  operations_.proceed.Notify();
  EXPECT_EQ(peer_.kernel.Receive().error, 0);
  while (loop_->stats().threads != 1) EXPECT_EQ(Ask().error, -ENOSYS);
}

TEST_F(StuckLoopTest, WhatIsLateIsAnsweredOnce) {
  options_.deadline = absl::Milliseconds(50);
  Start();
  SendAccess(10001);
  const uint64_t unique = peer_.kernel.last_unique();
  const FakeKernel::Message late = peer_.kernel.Receive();
  EXPECT_EQ(late.error, -ETIMEDOUT);
  EXPECT_EQ(late.unique, unique);
  EXPECT_EQ(peer_.session->expired(), 1u);
  EXPECT_EQ(loop_->stats().expired, 1u);
  EXPECT_EQ(Ask().error, -ENOSYS);
  EXPECT_EQ(peer_.session->expired(), 1u);
  operations_.proceed.Notify();
}

TEST_F(StuckLoopTest, OneCallerWaitsForItsOwnOnly) {
  Start();
  for (int i = 0; i < 2; ++i) SendAccess(10007);
  operations_.AwaitHeld(2);
  for (int i = 0; i < 3; ++i) SendAccess(10007);
  while (loop_->stats().parked < 3) std::this_thread::yield();
  EXPECT_EQ(operations_.held.load(), 2);
  // Another one has a thread still.
  EXPECT_EQ(Ask().error, -ENOSYS);
  SendAccess(10008);
  operations_.AwaitHeld(3);
  operations_.proceed.Notify();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(peer_.kernel.Receive().error, 0);
  EXPECT_EQ(loop_->stats().parked, 0);
  EXPECT_EQ(operations_.held.load(), 6);
}

// Who comes with slow requests again and again takes the others' threads once.
TEST_F(StuckLoopTest, IsReadyForTheNextSlowOnes) {
  options_.wary = absl::Hours(1);
  Start();
  for (int i = 0; i < 2; ++i) SendAccess(10007);
  operations_.AwaitHeld(2);
  while (loop_->stats().stuck < 2) std::this_thread::yield();
  absl::Notification again;
  operations_.gate = &again;
  operations_.proceed.Notify();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(peer_.kernel.Receive().error, 0);
  while (loop_->stats().stuck > 0) std::this_thread::yield();
  EXPECT_EQ(loop_->stats().threads, 3);
  for (int i = 0; i < 3; ++i) SendAccess(10007);
  operations_.AwaitHeld(4);
  // The third waits at once, whether or not the two count as stuck yet.
  while (loop_->stats().parked < 1) std::this_thread::yield();
  EXPECT_EQ(Ask().error, -ENOSYS);
  EXPECT_EQ(operations_.held.load(), 4);
  again.Notify();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(peer_.kernel.Receive().error, 0);
}

// The kernel would take a refusal for the end of the handle, which would keep
// its locks and its backing id for ever.
TEST_F(StuckLoopTest, TheEndOfAHandleIsNotPutOff) {
  options_.max_parked = 0;
  Start();
  for (int i = 0; i < 2; ++i) SendAccess(0);
  operations_.AwaitHeld(2);
  while (loop_->stats().stuck < 2) std::this_thread::yield();
  for (const uint32_t opcode : {FUSE_RELEASE, FUSE_RELEASEDIR}) {
    SendAs(0, opcode, fuse_release_in{}, {});
    EXPECT_EQ(peer_.kernel.Receive().error, -ENOSYS);
  }
  SendAs(0, FUSE_FLUSH, fuse_flush_in{}, {});
  EXPECT_EQ(peer_.kernel.Receive().error, -ENOSYS);
  EXPECT_EQ(loop_->stats().refused, 0u);
  operations_.proceed.Notify();
}

TEST_F(StuckLoopTest, WhoWaitsIsLateToo) {
  options_.max_parked = 1;
  options_.deadline = absl::Milliseconds(300);
  Start();
  for (int i = 0; i < 2; ++i) SendAccess(10007);
  operations_.AwaitHeld(2);
  SendAccess(10007);
  while (loop_->stats().parked < 1) std::this_thread::yield();
  SendAccess(10007);
  // There is no more room, for this uid.
  EXPECT_EQ(peer_.kernel.Receive().error, -EBUSY);
  EXPECT_EQ(loop_->stats().refused, 1u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(peer_.kernel.Receive().error, -ETIMEDOUT);
  }
  EXPECT_EQ(loop_->stats().parked, 0);
  EXPECT_EQ(loop_->stats().expired, 3u);
  EXPECT_EQ(peer_.session->expired(), 2u);
  operations_.proceed.Notify();
}

TEST_F(StuckLoopTest, WhatWaitsAtTheEndIsRefused) {
  Start();
  for (int i = 0; i < 3; ++i) SendAccess(10007);
  while (loop_->stats().parked < 1) std::this_thread::yield();
  std::thread end([&] { loop_->Stop(); });
  operations_.proceed.Notify();
  end.join();
  EXPECT_EQ(loop_->stats().parked, 0);
}

// Large requests that wait are bounded by what they take, and hold no more.
TEST_F(StuckLoopTest, WhatWaitsIsBoundedByBytes) {
  constexpr size_t kLarge = 20'000;
  options_.max_parked_bytes = 200'000;
  Start();
  for (int i = 0; i < 2; ++i) SendAccess(10001);
  operations_.AwaitHeld(2);
  SendWrite(10001, std::string(kLarge, 'a'));
  while (loop_->stats().parked < 1) std::this_thread::yield();
  EXPECT_GT(loop_->stats().parked_bytes, kLarge);
  EXPECT_LT(loop_->stats().parked_bytes, 2 * kLarge);
  // A fourth, one uid may have: that was most of it.
  SendWrite(10001, std::string(2 * kLarge, 'b'));
  EXPECT_EQ(peer_.kernel.Receive().error, -EBUSY);
  SendWrite(10001, "c");
  while (loop_->stats().parked < 2) std::this_thread::yield();
  operations_.proceed.Notify();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(peer_.kernel.Receive().error, 0);
  EXPECT_EQ(loop_->stats().parked_bytes, 0u);
  EXPECT_EQ(operations_.written(), (std::multiset<size_t>{1, kLarge}));
}

TEST_F(StuckLoopTest, WhatAllUidsWaitWithIsBoundedByBytes) {
  options_.max_parked_bytes = 131'072;
  options_.threads_per_uid = 1;
  options_.max_threads = 16;
  Start();
  constexpr int kUids = 6;
  for (int i = 0; i < kUids; ++i) {
    SendAccess(10001 + i);
    operations_.AwaitHeld(i + 1);
  }
  for (int i = 0; i < kUids; ++i) {
    SendWrite(10001 + i, std::string(20'000, 'a'));
  }
  EXPECT_EQ(peer_.kernel.Receive().error, -EBUSY);
  while (loop_->stats().parked < kUids - 1) std::this_thread::yield();
  EXPECT_LE(loop_->stats().parked_bytes, options_.max_parked_bytes);
  EXPECT_EQ(loop_->stats().refused, 1u);
  operations_.proceed.Notify();
  for (int i = 1; i < 2 * kUids; ++i) {
    EXPECT_EQ(peer_.kernel.Receive().error, 0);
  }
}

// Nothing moves: the last thing to do. A fake kernel has no connection to
// abort; loop_mount_test has.
TEST_F(StuckLoopTest, AbortsOnlyWhenNothingMoves) {
  options_.max_threads = 2;
  options_.abort_after = absl::Seconds(1);
  Start();
  SendAccess(10001);
  operations_.AwaitHeld(1);
  for (const absl::Time end = absl::Now() + absl::Milliseconds(1500);
       absl::Now() < end;) {
    EXPECT_EQ(Ask().error, -ENOSYS);
  }
  EXPECT_EQ(loop_->stats().not_aborted, 0u);
  SendAccess(10002);
  operations_.AwaitHeld(2);
  // What no kernel made can't be aborted; limits_test has one that can.
  while (loop_->stats().not_aborted == 0) std::this_thread::yield();
  EXPECT_EQ(loop_->stats().aborted, 0u);
  // There are threads for the others.
  EXPECT_EQ(Ask().error, -ENOSYS);
  operations_.proceed.Notify();
}

}  // namespace
}  // namespace fused::kernel
