// One file at once by passthrough and by the daemon: never an EIO, and the same
// bytes for everybody.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "androidtest/harness/bulk.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::AnyOf;
using testing::Ge;
using testing::Gt;

// Opens, reads, checks and closes, again and again.
class Reader {
 public:
  Reader(std::string path, uint64_t seed, absl::Time until)
      : path_(std::move(path)), seed_(seed), until_(until) {}

  void Run() {
    while (absl::Now() < until_ && !failed_) Once();
  }

  v1::Reply Result() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return failed_ ? failure_ : Done(opens_);
  }

 private:
  void Once() {
    char buffer[4096];
    const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return Fail(Failed("open"));
    ++opens_;
    const ssize_t n = pread(fd, buffer, sizeof(buffer), 8192);
    if (n != sizeof(buffer)) {
      Fail(Failed("pread"));
    } else if (FirstWrong(buffer, n, 8192, seed_) != sizeof(buffer)) {
      Fail(Wrong("other bytes"));
    }
    if (close(fd) != 0) Fail(Failed("close"));
  }

  void Fail(const v1::Reply& failure) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failed_) failure_ = failure;
    failed_ = true;
  }

  const std::string path_;
  const uint64_t seed_;
  const absl::Time until_;
  std::atomic<int64_t> opens_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;
  v1::Reply failure_;
};

// PATH SEED THREADS SECONDS; returns the number of opens.
APP_PROGRAM(ReadAgainAndAgain) {
  uint64_t seed = 0;
  int threads = 0;
  int seconds = 0;
  if (!absl::SimpleAtoi(arguments[1], &seed) ||
      !absl::SimpleAtoi(arguments[2], &threads) ||
      !absl::SimpleAtoi(arguments[3], &seconds)) {
    return Wrong("PATH SEED THREADS SECONDS");
  }
  Reader reader(arguments[0], seed, absl::Now() + absl::Seconds(seconds));
  std::vector<std::thread> running;
  running.reserve(threads);
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([&reader] { reader.Run(); });
  }
  for (std::thread& thread : running) thread.join();
  return reader.Result();
}

Device::Options AllowAll() {
  return {.policy = AllowAllPolicy(), .packages = StandardPackages()};
}

using Views = std::tuple<View, View>;

class MixedIoTest : public testing::TestWithParam<Views> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(device_.Start());
  }

  Device device_{AllowAll()};
};

TEST_P(MixedIoTest, BothSeeTheSameBytes) {
  const App fast = device_.Launch(kCamera, std::get<0>(GetParam()));
  const App served = device_.Launch(kServed, std::get<1>(GetParam()));
  const std::string size = absl::StrCat(kBulkChunk);
  ASSERT_THAT(fast.Run("Fill", {"write", fast.At("a.bin"), size, "7"}),
              Succeeds());
  ASSERT_TRUE(device_.Sync());

  const Counts before = device_.Count();
  const File by_kernel = fast.Open("a.bin", O_RDWR);
  const File by_daemon = served.Open("a.bin", O_RDWR);
  ASSERT_THAT(by_kernel, Opens());
  ASSERT_THAT(by_daemon, Opens());
  EXPECT_EQ((device_.Count() - before).passthrough, 1);
  EXPECT_EQ((device_.Count() - before).daemon, 1);

  for (const std::string& method : ReadMethods()) {
    EXPECT_THAT(fast.Run("Check", {method, fast.At("a.bin"), size, "7"}),
                Succeeds())
        << method;
    EXPECT_THAT(served.Run("Check", {method, served.At("a.bin"), size, "7"}),
                Succeeds())
        << method;
  }

  EXPECT_THAT(by_kernel.WriteAt(10, "by the kernel"), Returns(13));
  EXPECT_THAT(by_daemon.ReadAt(10, 13), Reads("by the kernel"));
  EXPECT_THAT(by_daemon.WriteAt(5000, "by the daemon"), Returns(13));
  EXPECT_THAT(by_kernel.ReadAt(5000, 13), Reads("by the daemon"));
  EXPECT_THAT(fast.Open("a.bin", O_RDONLY).ReadAt(5000, 13),
              Reads("by the daemon"));
  EXPECT_THAT(by_daemon.WriteAt(static_cast<int64_t>(kBulkChunk), "more"),
              Returns(4));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(fast.Stat("a.bin"), HasSize(kBulkChunk + 4));
  EXPECT_THAT(by_kernel.ReadAt(static_cast<int64_t>(kBulkChunk), 10),
              Reads("more"));
}

TEST_P(MixedIoTest, EveryWayToWriteIsServedByTheDaemonToo) {
  const App fast = device_.Launch(kCamera, std::get<0>(GetParam()));
  const App served = device_.Launch(kServed, std::get<1>(GetParam()));
  const std::string size = absl::StrCat(4 * kBulkChunk);
  for (const std::string& method : WriteMethods()) {
    ASSERT_THAT(served.Run("Fill", {method, served.At(method), size, "9"}),
                Succeeds())
        << method;
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(fast.Run("Check", {"read", fast.At(method), size, "9"}),
                Succeeds())
        << method;
  }
}

std::string ViewsName(const testing::TestParamInfo<Views>& info) {
  return Name(std::get<0>(info.param)) + "And" + Name(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(
    , MixedIoTest,
    testing::Combine(testing::Values(View::kApp, View::kShared),
                     testing::Values(View::kApp, View::kShared)),
    ViewsName);

class ManyOpensTest : public DeviceTest {};

TEST_F(ManyOpensTest, FiftyThreadsThroughMixedViewsSeeNoError) {
  Device device(AllowAll());
  ASSERT_TRUE(device.Start());
  const std::vector<App> apps = {
      device.Launch(kCamera, View::kApp),
      device.Launch(kServed, View::kApp),
      device.Launch(kCamera, View::kShared),
      device.Launch(kServed, View::kShared),
  };
  const std::string size = absl::StrCat(kBulkChunk);
  ASSERT_THAT(apps[0].Run("Fill", {"write", apps[0].At("a.bin"), size, "5"}),
              Succeeds());
  ASSERT_TRUE(device.Sync());

  const Counts before = device.Count();
  const std::string seconds = IsLong() ? "60" : "3";
  for (const App& app : apps) {
    app.Begin("ReadAgainAndAgain", {app.At("a.bin"), "5", "13", seconds});
  }
  int64_t opens = 0;
  for (const App& app : apps) {
    const Outcome outcome = app.Finish();
    EXPECT_THAT(outcome, Returns(outcome.value));
    EXPECT_THAT(outcome.value, Gt(0)) << app.name();
    opens += outcome.value;
  }
  const Counts counts = device.Count() - before;
  EXPECT_EQ(counts.passthrough + counts.daemon, opens);
  EXPECT_THAT(counts.passthrough, Gt(0));
  EXPECT_THAT(counts.daemon, Gt(0));

  // One for each view that has had the file on passthrough.
  EXPECT_TRUE(Eventually([&] {
    const control::v1::VolumeStatus volume = device.Status().volumes(0);
    return volume.handles() == 0 && volume.backing_ids() <= 2;
  })) << device.Status().volumes(0).DebugString();
  EXPECT_EQ(device.Status().volumes(0).unanswered(), 0);
  EXPECT_TRUE(device.Stop());
}

TEST_F(ManyOpensTest, WarmBackingIdsAreBounded) {
  Device::Options options = AllowAll();
  options.config = "warm_backing_ids: 8\n";
  Device device(options);
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, View::kShared);
  std::vector<File> files;
  for (int i = 0; i < 40; ++i) {
    const std::string path = absl::StrCat("f", i);
    ASSERT_THAT(app.Create(path, "content"), Succeeds());
    files.push_back(app.Open(path, O_RDONLY));
    ASSERT_THAT(files.back(), Opens());
  }
  EXPECT_THAT(device.Status().volumes(0).backing_ids(), Ge(40U));
  files.clear();
  EXPECT_TRUE(Eventually([&] {
    const control::v1::VolumeStatus volume = device.Status().volumes(0);
    return volume.handles() == 0 && volume.backing_ids() == 8;
  })) << device.Status().volumes(0).DebugString();
  for (int i = 0; i < 40; ++i) {
    EXPECT_THAT(app.Read(absl::StrCat("f", i)), Reads("content"));
  }
  EXPECT_TRUE(device.Stop());
}

TEST_F(ManyOpensTest, ARemovedFileKeepsNoBackingId) {
  Device device(AllowAll());
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, View::kApp);
  for (int i = 0; i < 10; ++i) {
    ASSERT_THAT(app.Create("a", "content"), Succeeds());
    ASSERT_THAT(app.Read("a"), Reads("content"));
    ASSERT_THAT(app.Unlink("a"), Succeeds());
  }
  EXPECT_TRUE(Eventually([&] {
    return device.Status().volumes(0).backing_ids() == 0;
  })) << device.Status().volumes(0).DebugString();
  EXPECT_TRUE(device.Stop());
}

// A file without a name is opened again through the descriptor that is left,
// while that is open: with the backing file that the kernel knows for it.
TEST_F(ManyOpensTest, ARemovedFileIsOpenedAgain) {
  Device device(AllowAll());
  ASSERT_TRUE(device.Start());
  for (const View view : {View::kApp, View::kShared}) {
    for (const char* remover : {kCamera, kGallery}) {
      const App app = device.Launch(kCamera, view);
      const App other = device.Launch(remover, View::kApp);
      ASSERT_THAT(app.Create("a", "content"), Succeeds());
      ASSERT_TRUE(device.Sync());
      const File first = app.Open("a", O_RDWR);
      ASSERT_THAT(first, Opens());
      ASSERT_THAT(other.Unlink("a"), Succeeds());
      ASSERT_TRUE(device.Sync());
      const std::string again = absl::StrCat("/proc/self/fd/", first.fd());
      const File second = app.Open(again, O_RDWR);
      EXPECT_THAT(second, Opens()) << app.name();
      EXPECT_THAT(second.WriteAt(0, "C"), Returns(1)) << app.name();
      EXPECT_THAT(first.ReadAt(0, 10), Reads("Content")) << app.name();
      EXPECT_THAT(app.Open(again, O_RDONLY), Opens()) << app.name();
      EXPECT_THAT(app.Stat("a"), FailsWith(ENOENT)) << app.name();
    }
  }
  EXPECT_TRUE(Eventually([&] {
    const control::v1::VolumeStatus volume = device.Status().volumes(0);
    return volume.handles() == 0 && volume.backing_ids() == 0;
  })) << device.Status().volumes(0).DebugString();
  EXPECT_TRUE(device.Stop());
}

// The same while the app's kernel has not been told yet: it opens what it knows
// by that name, or nothing.
TEST_F(ManyOpensTest, AFileIsOpenedWhileItIsRemovedElsewhere) {
  Device device(AllowAll());
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, View::kApp);
  const App other = device.Launch(kGallery, View::kApp);
  for (int i = 0; i < 300; ++i) {
    ASSERT_THAT(other.Create("a", "content"), Succeeds());
    ASSERT_TRUE(device.Sync());
    const File first = app.Open("a", O_RDWR);
    ASSERT_THAT(first, Opens()) << i;
    ASSERT_THAT(other.Unlink("a"), Succeeds());
    const File second = app.Open("a", O_RDWR);
    EXPECT_THAT(second, AnyOf(Opens(), FailsWith(ENOENT))) << i;
    EXPECT_THAT(first.ReadAt(0, 10), Reads("content")) << i;
  }
  EXPECT_TRUE(device.Stop());
}

// What was replaced is not what is read.
TEST_F(ManyOpensTest, AReplacedFileIsReadAnew) {
  Device device(AllowAll());
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, View::kApp);
  const App other = device.Launch(kGallery, View::kShared);
  ASSERT_THAT(app.Create("a", "old"), Succeeds());
  const File old = app.Open("a", O_RDONLY);
  ASSERT_THAT(app.Create("b", "new"), Succeeds());
  ASSERT_THAT(app.Rename("b", "a"), Succeeds());
  EXPECT_THAT(app.Read("a"), Reads("new"));
  EXPECT_THAT(old.ReadAt(0, 10), Reads("old"));
  ASSERT_TRUE(device.Sync());
  EXPECT_THAT(other.Read("a"), Reads("new"));
  EXPECT_TRUE(device.Stop());
}

}  // namespace
}  // namespace fused::androidtest
