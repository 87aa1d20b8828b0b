// Bytes take the kernel's way: whichever call an app reads and writes with, the
// daemon sees none of them.
#include <fcntl.h>

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/bulk.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Le;

using Place = std::tuple<View, Device::Lower>;

class DataPathsTest : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    PlantDirectories(device_);
    ASSERT_TRUE(device_.Start());
  }

  void TearDown() override {
    if (!device_.daemon().started()) return;
    EXPECT_TRUE(device_.Stop());
  }

  // 1 GiB for the acceptance; a disk is too slow for that by nine ways.
  static uint64_t Size() {
    if (std::get<1>(GetParam()) == Device::Lower::kTmpfs) {
      return IsLong() ? 1 << 30 : 64 << 20;
    }
    return IsLong() ? 128 << 20 : 16 << 20;
  }

  // What no app's bytes may cause.
  void ExpectNoBytesMoved(const Counts& counts, const std::string& how) {
    EXPECT_EQ(counts.Requests("READ"), 0) << how;
    EXPECT_EQ(counts.Requests("WRITE"), 0) << how;
    EXPECT_THAT(counts.moved, Le(static_cast<int64_t>(Size() / 64)))
        << how << ": " << testing::PrintToString(counts);
    EXPECT_EQ(counts.passthrough, 1) << how;
    EXPECT_EQ(counts.daemon, 0) << how;
  }

  Device device_{
      {.lower = std::get<1>(GetParam()), .packages = StandardPackages()}};
};

TEST_P(DataPathsTest, NoWayToReadOrWriteReachesTheDaemon) {
  const App camera = device_.Launch(kCamera, std::get<0>(GetParam()));
  const App native = device_.LaunchAt(device_.lower(), 0, 0);
  const std::string size = absl::StrCat(Size());
  const std::vector<std::string> writers = WriteMethods();
  const std::vector<std::string> readers = ReadMethods();
  ASSERT_EQ(writers.size(), readers.size());
  // The kernel asks once for each connection whether there are attributes.
  ASSERT_THAT(camera.Create("Download/first.bin", "first"), Succeeds());
  for (size_t i = 0; i < writers.size(); ++i) {
    const std::string& writer = writers[i];
    const std::string& reader = readers[i];
    const std::string path = absl::StrCat("Download/", writer, ".bin");
    const std::string seed = absl::StrCat(i + 1);

    const Counts before = device_.Count();
    ASSERT_THAT(camera.Run("Fill", {writer, camera.At(path), size, seed}),
                Succeeds())
        << writer;
    const Counts written = device_.Count();
    ExpectNoBytesMoved(written - before, "written by " + writer);
    EXPECT_EQ((written - before).Requests("GETXATTR"), 0) << writer;
    if (writer != "mapping") {
      EXPECT_EQ((written - before).Requests("FLUSH"), 0)
          << "a write-only open, written by " << writer;
    }
    EXPECT_THAT(native.Run("Check", {"read", native.At(path), size, seed}),
                Succeeds())
        << "natively, written by " << writer;

    const Counts unread = device_.Count();
    EXPECT_THAT(camera.Run("Check", {reader, camera.At(path), size, seed}),
                Succeeds())
        << reader;
    const Counts read = device_.Count() - unread;
    ExpectNoBytesMoved(read, "read by " + reader);
    EXPECT_EQ(read.Requests("GETXATTR"), 0) << reader;
    EXPECT_EQ(read.Requests("FLUSH"), 0) << reader;
    EXPECT_THAT(camera.Unlink(path), Succeeds());
  }
}

TEST_P(DataPathsTest, ManySmallWritesCostNoRequests) {
  const App camera = device_.Launch(kCamera, std::get<0>(GetParam()));
  for (const int flags : {O_WRONLY, O_RDWR, O_WRONLY | O_APPEND}) {
    const std::string path = absl::StrCat("Download/small", flags, ".bin");
    ASSERT_THAT(camera.Create(path, ""), Succeeds());
    const File file = camera.Open(path, flags);
    ASSERT_THAT(file, Opens());
    const Counts before = device_.Count();
    EXPECT_THAT(camera.Run("SmallWrites",
                           {absl::StrCat(file.fd()), "20000", "100", "3"}),
                Returns(20000));
    const Counts counts = device_.Count() - before;
    EXPECT_THAT(counts.AllRequests(), Le(2)) << testing::PrintToString(counts);
    EXPECT_THAT(file.Stat(), HasSize(20000 * 100));
    EXPECT_THAT(camera.Stat(path), HasSize(20000 * 100));
  }
}

// The attributes that reads and writes change are the lower file's.
TEST_P(DataPathsTest, SizesAndTimesFollow) {
  const App camera = device_.Launch(kCamera, std::get<0>(GetParam()));
  const App native = device_.LaunchAt(device_.lower(), 0, 0);
  ASSERT_THAT(camera.Create("Download/a.bin", "0123456789"), Succeeds());
  const File file = camera.Open("Download/a.bin", O_RDWR);
  ASSERT_THAT(file, Opens());
  EXPECT_THAT(file.WriteAt(10, "abc"), Returns(3));
  EXPECT_THAT(file.Stat(), HasSize(13));
  EXPECT_THAT(file.Truncate(4), Succeeds());
  EXPECT_THAT(file.Stat(), HasSize(4));
  EXPECT_THAT(file.ReadAt(0, 100), Reads("0123"));
  EXPECT_THAT(file.Seek(0, SEEK_END), Returns(4));
  EXPECT_THAT(file.Allocate(0, 0, 8192), Succeeds());
  EXPECT_THAT(file.Stat(), HasSize(8192));
  EXPECT_EQ(file.Stat().attributes.modified(),
            native.Stat("Download/a.bin").attributes.modified());
  EXPECT_THAT(camera.SetTimes("Download/a.bin", 1'600'000'000'123'456'789),
              Succeeds());
  EXPECT_EQ(native.Stat("Download/a.bin").attributes.modified(),
            1'600'000'000'123'456'789);
  EXPECT_EQ(file.Stat().attributes.modified(), 1'600'000'000'123'456'789);
  EXPECT_THAT(file.Sync(), Succeeds());
}

// An open with O_TRUNC is truncated although the kernel then serves it.
TEST_P(DataPathsTest, TruncatesAtOpen) {
  const App camera = device_.Launch(kCamera, std::get<0>(GetParam()));
  ASSERT_THAT(camera.Create("Download/a.bin", "0123456789"), Succeeds());
  const File file = camera.Open("Download/a.bin", O_WRONLY | O_TRUNC);
  ASSERT_THAT(file, Opens());
  EXPECT_THAT(file.Stat(), HasSize(0));
  EXPECT_THAT(file.Write("ab"), Returns(2));
  EXPECT_THAT(camera.Read("Download/a.bin"), Reads("ab"));
  EXPECT_THAT(camera.Open("Download/a.bin", O_RDONLY | O_TRUNC), Opens());
  EXPECT_THAT(camera.Stat("Download/a.bin"), HasSize(0));
}

// A hole is found where the lower file has it.
TEST_P(DataPathsTest, FindsHoles) {
  const App camera = device_.Launch(kCamera, std::get<0>(GetParam()));
  ASSERT_THAT(camera.Create("Download/a.bin", ""), Succeeds());
  const File file = camera.Open("Download/a.bin", O_RDWR);
  ASSERT_THAT(file, Opens());
  constexpr int64_t kHole = 1 << 20;
  EXPECT_THAT(file.WriteAt(0, std::string(4096, 'a')), Returns(4096));
  EXPECT_THAT(file.WriteAt(kHole, std::string(4096, 'b')), Returns(4096));
  EXPECT_THAT(file.Seek(0, SEEK_HOLE), Returns(4096));
  EXPECT_THAT(file.Seek(4096, SEEK_DATA), Returns(kHole));
  EXPECT_THAT(file.Seek(kHole + 4096, SEEK_DATA), FailsWith(ENXIO));
}

std::string PlaceName(const testing::TestParamInfo<Place>& info) {
  return Name(std::get<0>(info.param)) +
         (std::get<1>(info.param) == Device::Lower::kTmpfs ? "OnTmpfs"
                                                           : "OnDisk");
}

INSTANTIATE_TEST_SUITE_P(
    , DataPathsTest,
    testing::Combine(testing::Values(View::kApp, View::kShared),
                     testing::Values(Device::Lower::kTmpfs,
                                     Device::Lower::kDisk)),
    PlaceName);

}  // namespace
}  // namespace fused::androidtest
