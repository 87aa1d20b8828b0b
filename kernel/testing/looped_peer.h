// A fake kernel whose session a loop serves.
#ifndef FUSED_KERNEL_TESTING_LOOPED_PEER_H_
#define FUSED_KERNEL_TESTING_LOOPED_PEER_H_

#include <memory>
#include <utility>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "kernel/backing_fake.h"
#include "kernel/loop.h"
#include "kernel/session.h"
#include "kernel/testing/fake_kernel.h"

namespace fused::kernel {

struct LoopedPeer {
  LoopedPeer() = default;
  void Start(Loop& loop, Operations& operations) {
    absl::StatusOr<std::unique_ptr<Session>> created =
        Session::Create({}, &operations, kernel.TakeDevice(),
                        std::make_unique<FakeBackingDevice>());
    ASSERT_THAT(created, absl_testing::IsOk());
    session = *std::move(created);
    kernel.SendInit(45, FakeKernel::AllFlags());
    ASSERT_THAT(loop.Add(session, [this] { ended.Notify(); }),
                absl_testing::IsOk());
    kernel.Receive();
  }

  FakeKernel kernel;
  std::shared_ptr<Session> session;
  absl::Notification ended;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TESTING_LOOPED_PEER_H_
