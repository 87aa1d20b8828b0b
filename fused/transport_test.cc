#include "fused/transport.h"

#include <utility>

#include "absl/status/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

using ::absl_testing::IsOkAndHolds;
using ::absl_testing::StatusIs;
using ::testing::HasSubstr;

kernel::Features Kernel(bool uring) {
  kernel::Features features;
  features.has["over_io_uring"] = uring;
  return features;
}

Settings Asking(config::v1::Transport transport, bool mounts_end = false) {
  Settings settings;
  settings.transport = transport;
  settings.mounts_end_with_daemon = mounts_end;
  return settings;
}

TEST(TransportTest, UringWhereItIsAskedForOrMayBe) {
  using config::v1::DEV;
  using config::v1::TRANSPORT_AUTO;
  using config::v1::URING;
  EXPECT_THAT(ViewsOverUring(Asking(URING), Kernel(true), 2), IsOkAndHolds(4));
  EXPECT_THAT(ViewsOverUring(Asking(DEV, true), Kernel(true), 2),
              IsOkAndHolds(0));
  EXPECT_THAT(ViewsOverUring(Asking(TRANSPORT_AUTO), Kernel(true), 2),
              IsOkAndHolds(0));
  EXPECT_THAT(ViewsOverUring(Asking(TRANSPORT_AUTO, true), Kernel(true), 2),
              IsOkAndHolds(4));
  EXPECT_THAT(ViewsOverUring(Asking(TRANSPORT_AUTO, true), Kernel(false), 2),
              IsOkAndHolds(0));
  EXPECT_THAT(
      ViewsOverUring(Asking(URING), Kernel(false), 2),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("enable_uring")));
}

TEST(TransportTest, ThreadsAreBounded) {
  const Settings settings = Asking(config::v1::URING);
  EXPECT_THAT(ViewsOverUring(settings, Kernel(true), 24), IsOkAndHolds(2));
  EXPECT_THAT(ViewsOverUring(settings, Kernel(true), 64), IsOkAndHolds(1));
  EXPECT_THAT(
      ViewsOverUring(settings, Kernel(true), 128),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("256 threads")));
}

TEST(TransportTest, PlacesAreGivenBack) {
  UringPlaces places(2);
  UringPlaces::Place first = places.Take();
  {
    UringPlaces::Place second = places.Take();
    EXPECT_TRUE(first.held() && second.held());
    EXPECT_FALSE(places.Take().held());
  }
  UringPlaces::Place third = places.Take();
  EXPECT_TRUE(third.held());
  EXPECT_FALSE(places.Take().held());
  UringPlaces::Place moved = std::move(third);
  EXPECT_TRUE(moved.held());
  EXPECT_FALSE(places.Take().held());
}

}  // namespace
}  // namespace fused
