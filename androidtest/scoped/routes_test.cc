// One file by two routes at once: through the kernel, through the daemon, in
// another view, and past all of them in the lower tree. Whatever one route
// writes the others read.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::ElementsAre;

enum class Route {
  kKernelInAppView,
  kDaemonInAppView,
  kKernelInSharedView,
  kDaemonInSharedView,
  kLowerTree,
};

std::string RouteName(Route route) {
  switch (route) {
    case Route::kKernelInAppView:
      return "KernelInAppView";
    case Route::kDaemonInAppView:
      return "DaemonInAppView";
    case Route::kKernelInSharedView:
      return "KernelInSharedView";
    case Route::kDaemonInSharedView:
      return "DaemonInSharedView";
    case Route::kLowerTree:
      return "LowerTree";
  }
  return "";
}

using Routes = std::tuple<Route, Route>;

class RoutesTest : public testing::TestWithParam<Routes> {
 public:
  static void SetUpTestSuite() {
    if (!WhyNoDevice().empty()) return;
    state_ = new State;
    EXPECT_TRUE(state_->device.Start());
    for (int i = 0; i < 5; ++i) {
      state_->apps.push_back(Launch(static_cast<Route>(i)));
    }
  }
  static void TearDownTestSuite() {
    if (state_ == nullptr) return;
    state_->apps.clear();
    EXPECT_TRUE(state_->device.Stop());
    delete state_;
    state_ = nullptr;
  }

 protected:
  struct State {
    Device device{{.policy = AllowAllPolicy(), .packages = StandardPackages()}};
    std::vector<App> apps;
  };

  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    name_ = absl::StrReplaceAll(
        testing::UnitTest::GetInstance()->current_test_info()->name(),
        {{"/", "-"}});
    ASSERT_THAT(First().Create(name_, "0123456789"), Succeeds());
    ASSERT_TRUE(Sync());
  }

  static App Launch(Route route) {
    Device& device = state_->device;
    switch (route) {
      case Route::kKernelInAppView:
        return device.Launch(kCamera, View::kApp);
      case Route::kDaemonInAppView:
        return device.Launch(kServed, View::kApp);
      case Route::kKernelInSharedView:
        return device.Launch(kCamera, View::kShared);
      case Route::kDaemonInSharedView:
        return device.Launch(kServed, View::kShared);
      case Route::kLowerTree:
        break;
    }
    return device.LaunchAt(device.lower(), 0, 0);
  }

  const App& First() const { return At(std::get<0>(GetParam())); }
  const App& Second() const { return At(std::get<1>(GetParam())); }
  const App& At(Route route) const {
    return state_->apps[static_cast<int>(route)];
  }
  static testing::AssertionResult Sync() { return state_->device.Sync(); }
  // What is changed below is not told to anybody.
  bool FirstIsTold() const {
    return std::get<0>(GetParam()) != Route::kLowerTree;
  }

  std::string name_;
  static State* state_;
};

RoutesTest::State* RoutesTest::state_ = nullptr;

TEST_P(RoutesTest, WriteReadWriteRead) {
  const File first = First().Open(name_, O_RDWR);
  const File second = Second().Open(name_, O_RDWR);
  ASSERT_THAT(first, Opens());
  ASSERT_THAT(second, Opens());
  EXPECT_THAT(first.WriteAt(0, "abc"), Returns(3));
  EXPECT_THAT(second.ReadAt(0, 5), Reads("abc34"));
  EXPECT_THAT(second.WriteAt(1, "XY"), Returns(2));
  EXPECT_THAT(first.ReadAt(0, 5), Reads("aXY34"));
  EXPECT_THAT(first.WriteAt(9, "z"), Returns(1));
  EXPECT_THAT(second.ReadAt(8, 5), Reads("8z"));
}

TEST_P(RoutesTest, AReaderFollowsAWriter) {
  const File reader = Second().Open(name_, O_RDONLY);
  const File writer = First().Open(name_, O_WRONLY);
  ASSERT_THAT(reader, Opens());
  ASSERT_THAT(writer, Opens());
  for (int i = 0; i < 10; ++i) {
    const std::string text = absl::StrCat("round ", i);
    EXPECT_THAT(writer.WriteAt(0, text), Returns(7));
    EXPECT_THAT(reader.ReadAt(0, 7), Reads(text));
  }
}

TEST_P(RoutesTest, AFileThatGrows) {
  const File reader = Second().Open(name_, O_RDONLY);
  const File writer = First().Open(name_, O_WRONLY | O_APPEND);
  ASSERT_THAT(writer.Write("abc"), Returns(3));
  EXPECT_THAT(reader.ReadAt(0, 100), Reads("0123456789abc"));
  ASSERT_THAT(writer.Write(std::string(100'000, 'x')), Returns(100'000));
  EXPECT_THAT(reader.ReadAt(100'000, 100), Reads(std::string(13, 'x')));
}

TEST_P(RoutesTest, AFileThatShrinks) {
  const File reader = Second().Open(name_, O_RDONLY);
  EXPECT_THAT(reader.ReadAt(0, 100), Reads("0123456789"));
  ASSERT_THAT(First().Truncate(name_, 4), Succeeds());
  EXPECT_THAT(reader.ReadAt(0, 100), Reads("0123"));
}

TEST_P(RoutesTest, AttributesFollow) {
  if (!FirstIsTold()) return;
  EXPECT_THAT(Second().Stat(name_), HasSize(10));
  {
    const File writer = First().Open(name_, O_WRONLY);
    ASSERT_THAT(writer.WriteAt(10, "abc"), Returns(3));
    ASSERT_TRUE(Sync());
    EXPECT_THAT(Second().Stat(name_), HasSize(13));
  }
  ASSERT_THAT(First().SetTimes(name_, 1'000'000'000'000'000'000), Succeeds());
  ASSERT_TRUE(Sync());
  EXPECT_EQ(Second().Stat(name_).attributes.modified(),
            1'000'000'000'000'000'000);
  ASSERT_THAT(First().Truncate(name_, 2), Succeeds());
  ASSERT_TRUE(Sync());
  EXPECT_THAT(Second().Stat(name_), HasSize(2));
}

TEST_P(RoutesTest, AnUnlinkedFileStaysOpen) {
  const File reader = Second().Open(name_, O_RDWR);
  ASSERT_THAT(First().Unlink(name_), Succeeds());
  EXPECT_THAT(reader.ReadAt(0, 100), Reads("0123456789"));
  EXPECT_THAT(reader.WriteAt(0, "abc"), Returns(3));
  if (!FirstIsTold()) return;
  ASSERT_TRUE(Sync());
  EXPECT_THAT(Second().Open(name_, O_RDONLY), FailsWith(ENOENT));
}

TEST_P(RoutesTest, ARenamedFileIsTheSame) {
  const File reader = Second().Open(name_, O_RDONLY);
  const std::string moved = name_ + ".moved";
  ASSERT_THAT(First().Rename(name_, moved), Succeeds());
  ASSERT_THAT(First().Overwrite(moved, "abc"), Succeeds());
  EXPECT_THAT(reader.ReadAt(0, 4), Reads("abc3"));
  if (!FirstIsTold()) return;
  ASSERT_TRUE(Sync());
  EXPECT_THAT(Second().Read(moved), Reads("abc3456789"));
  EXPECT_THAT(Second().Stat(name_), FailsWith(ENOENT));
}

TEST_P(RoutesTest, AReplacedFileIsAnother) {
  if (!FirstIsTold()) return;
  const File reader = Second().Open(name_, O_RDONLY);
  ASSERT_THAT(First().Create(name_ + ".new", "new"), Succeeds());
  ASSERT_THAT(First().Rename(name_ + ".new", name_), Succeeds());
  EXPECT_THAT(reader.ReadAt(0, 100), Reads("0123456789"));
  ASSERT_TRUE(Sync());
  EXPECT_THAT(Second().Read(name_), Reads("new"));
  EXPECT_THAT(reader.ReadAt(0, 100), Reads("0123456789"));
}

TEST_P(RoutesTest, ADirectoryAndItsNames) {
  if (!FirstIsTold()) return;
  const std::string dir = name_ + ".d";
  EXPECT_THAT(Second().Stat(dir), FailsWith(ENOENT));
  ASSERT_THAT(First().MakeDirectory(dir), Succeeds());
  ASSERT_TRUE(Sync());
  ASSERT_THAT(First().Create(dir + "/a", "a"), Succeeds());
  ASSERT_TRUE(Sync());
  EXPECT_THAT(Second().List(dir), Lists(ElementsAre("a")));
  EXPECT_THAT(Second().Read(dir + "/a"), Reads("a"));
  ASSERT_THAT(First().Rename(dir, dir + "2"), Succeeds());
  ASSERT_TRUE(Sync());
  EXPECT_THAT(Second().Read(dir + "2/a"), Reads("a"));
  EXPECT_THAT(Second().Stat(dir), FailsWith(ENOENT));
}

// A large write, and the reads that straddle its pages.
TEST_P(RoutesTest, ManyPages) {
  const std::string content(300'000, 'c');
  const File writer = First().Open(name_, O_WRONLY);
  const File reader = Second().Open(name_, O_RDONLY);
  ASSERT_THAT(writer.WriteAt(5'000, content), Returns(300'000));
  EXPECT_THAT(reader.ReadAt(4'990, 20),
              Reads(std::string(10, '\0') + std::string(10, 'c')));
  ASSERT_THAT(writer.WriteAt(8'190, "0123"), Returns(4));
  EXPECT_THAT(reader.ReadAt(8'188, 8), Reads("cc0123cc"));
  EXPECT_THAT(reader.ReadAt(304'999, 20), Reads("c"));
}

std::string RoutesName(const testing::TestParamInfo<Routes>& info) {
  return absl::StrCat(RouteName(std::get<0>(info.param)), "And",
                      RouteName(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(
    , RoutesTest,
    testing::Combine(
        testing::Values(Route::kKernelInAppView, Route::kDaemonInAppView,
                        Route::kKernelInSharedView, Route::kDaemonInSharedView,
                        Route::kLowerTree),
        testing::Values(Route::kKernelInAppView, Route::kDaemonInAppView,
                        Route::kKernelInSharedView,
                        Route::kDaemonInSharedView)),
    RoutesName);

}  // namespace
}  // namespace fused::androidtest
