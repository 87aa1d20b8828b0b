// What a view does when the rules have changed.
#include <fcntl.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "fused/testing/mounted_view.h"
#include "fused/testing/view_fixture.h"
#include "fused/view.h"
#include "gtest/gtest.h"
#include "kernel/testing/fake_kernel.h"

namespace fused {
namespace {

using RecheckTest = ViewTest;

constexpr char kLocations[] = R"(
name: "locations" version: 2
media_types { name: "IMAGE" extensions: "jpg" }
rules { name: "plain" operations: ANY when { permission: "SEES_PLACES" }
        effect { allow {} } }
rules { name: "hidden" operations: ANY effect { allow { redact: LOCATION } } }
)";
constexpr char kWith[] =
    "apps { package: 'com.example' uid: 10001 permissions: 'SEES_PLACES' }";
constexpr char kWithout[] = "apps { package: 'com.example' uid: 10001 }";

// A push waits for no parser: what there was no time to read counts as stale.
TEST_F(RecheckTest, AfterTheDeadlineNoFileIsRead) {
  MakeFile("a.jpg", "no picture at all");
  SetRules(kLocations, kWith);
  MountedView& view = MountApp();
  view.Open(view.Walk("a.jpg"), O_RDONLY);
  SetRules(kLocations, kWithout);
  StaleCount count = view.view().AfterRules(nullptr, absl::InfinitePast());
  EXPECT_EQ(count.stale, 1u);
  EXPECT_EQ(count.unread, 1u);
  // It tells no place.
  count = view.view().AfterRules(nullptr, absl::InfiniteFuture());
  EXPECT_EQ(count.stale, 0u);
  EXPECT_EQ(count.unread, 0u);
  // Which is known from now on.
  count = view.view().AfterRules(nullptr, absl::InfinitePast());
  EXPECT_EQ(count.stale, 0u);
}

// Who pushes has to wait for what goes by the worker.
TEST_F(RecheckTest, WithoutEpochsNamesGoByTheWorker) {
  MakeFile("f", "content");
  MountedView& newer = Mount();
  views_.push_back(std::make_unique<MountedView>(
      context_, ViewIdentity{}, kernel::FakeKernel::AllFlags(), 43));
  MountedView& older = *views_.back();
  for (MountedView* view : {&newer, &older}) {
    ASSERT_NE(view->Walk("f"), 0u);
    view->Notifications();
    EXPECT_EQ(view->view().TellRules(), view == &older);
    Sync();
    EXPECT_EQ(MountedView::Names(view->Notifications(), kernel::kRootNode, "f"),
              view == &older);
  }
}

TEST_F(RecheckTest, MoreIsCountedThanIsListed) {
  MakeFile("f", "content");
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  for (int i = 0; i < kMostListed + 3; ++i) view.Open(f, O_RDONLY);
  control::v1::HandlesResponse response;
  view.view().ListHandles({}, false, response);
  EXPECT_EQ(response.handles_size(), kMostListed);
  EXPECT_EQ(response.more(), 3u);
  EXPECT_LT(response.ByteSizeLong(), size_t{16} << 20);
}

}  // namespace
}  // namespace fused
