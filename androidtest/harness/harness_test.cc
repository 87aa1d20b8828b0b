// The harness itself, with no daemon: agents that act on a plain file system.
#include <fcntl.h>
#include <sys/stat.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/bulk.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

APP_PROGRAM(AddUp) {
  int64_t sum = 0;
  for (const std::string& argument : arguments) sum += std::stoll(argument);
  return Done(sum, "sum");
}

class HarnessTest : public DeviceTest {};

TEST_F(HarnessTest, AnAgentActsWithItsIdentity) {
  Device device;
  const App app = device.LaunchAt(device.lower(), 10061, 10061, {});
  EXPECT_THAT(app.Create("a.txt", "hello"), Returns(5));
  EXPECT_THAT(app.Read("a.txt"), Reads("hello"));
  EXPECT_EQ(app.Stat("a.txt").attributes.uid(), 10061U);
  EXPECT_THAT(app.Stat("a.txt"), AllOf(HasSize(5), HasMode(0600)));

  const App other = device.LaunchAt(device.lower(), 10062, 10062, {});
  EXPECT_THAT(other.Open("a.txt", O_RDONLY), FailsWith(EACCES));
  EXPECT_THAT(other.Open("a.txt", O_RDONLY), Not(Opens()));
  EXPECT_THAT(other.List(""), Lists(ElementsAre("a.txt")));
  EXPECT_THAT(other.Unlink("b.txt"), FailsWith(ENOENT));
  EXPECT_THAT(other, Not(SeesNothingAt("a.txt")));
}

TEST_F(HarnessTest, AFileIsClosedWithItsObject) {
  Device device;
  const App app = device.LaunchAt(device.lower(), 0, 0);
  int fd = -1;
  {
    const File file = app.Open("a", O_RDWR | O_CREAT);
    ASSERT_THAT(file, Opens());
    fd = file.fd();
    EXPECT_THAT(file.Write("abc"), Succeeds());
    EXPECT_THAT(file.ReadAt(1, 10), Reads("bc"));
    EXPECT_THAT(file.Lock(F_SETLK, F_WRLCK), Succeeds());
  }
  EXPECT_EQ(app.Open("a", O_RDONLY).fd(), fd);
}

TEST_F(HarnessTest, AProgramRunsInTheAgent) {
  Device device;
  const App app = device.LaunchAt(device.lower(), 10061, 10061, {});
  EXPECT_THAT(app.Run("AddUp", {"1", "2"}), AllOf(Returns(3), Reads("sum")));
  EXPECT_THAT(app.Run("Missing", {}), Fails());
}

TEST_F(HarnessTest, AKilledAgentAnswersNothing) {
  Device device;
  const App app = device.LaunchAt(device.lower(), 10061, 10061, {});
  app.Kill();
  EXPECT_THAT(app.Stat(""), FailsWith(ECONNRESET));
}

TEST_F(HarnessTest, ADeviceLeavesNothingBehind) {
  std::string directory;
  {
    Device device({.lower = Device::Lower::kOverlay});
    directory = device.directory();
    EXPECT_THAT(MountsBelow(directory), Not(IsEmpty()));
  }
  EXPECT_THAT(MountsBelow(directory), IsEmpty());
  struct stat st;
  EXPECT_NE(stat(directory.c_str(), &st), 0);
}

TEST_F(HarnessTest, CommandsTellWhatTheyPrintAndHowTheyEnd) {
  const Completed done =
      RunCommand({"/bin/sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(done.exit, 7);
  EXPECT_EQ(done.output, "out\n");
  EXPECT_EQ(done.error, "err\n");
  EXPECT_EQ(RunCommand({"/bin/sh", "-c", "kill -9 $$"}).exit, 128 + SIGKILL);
  EXPECT_EQ(RunCommand({"/nonexistent"}).exit, 127);
}

TEST_F(HarnessTest, ReadsMountInfo) {
  const std::vector<MountLine> mounts = ParseMountInfo(
      "30 1 0:29 / /a rw,nosuid shared:3 - fuse.fused src rw,user_id=0\n"
      "31 1 0:30 / /b ro - tmpfs tmpfs rw\n");
  ASSERT_THAT(mounts, SizeIs(2));
  EXPECT_EQ(mounts[0].path, "/a");
  EXPECT_EQ(mounts[0].type, "fuse.fused");
  EXPECT_EQ(mounts[0].source, "src");
  EXPECT_EQ(mounts[0].options, "rw,nosuid");
}

// Whatever these find on a mount of ours is then ours.
class HarnessBulkTest : public testing::TestWithParam<Device::Lower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }
};

TEST_P(HarnessBulkTest, EveryWayToWriteAgreesWithEveryWayToRead) {
  Device device({.lower = GetParam()});
  const App app = device.LaunchAt(device.lower(), 10061, 10061, {});
  const std::string size = absl::StrCat(2 * kBulkChunk);
  for (const std::string& writer : WriteMethods()) {
    const std::string path = app.At(writer);
    ASSERT_THAT(app.Run("Fill", {writer, path, size, "1"}), Succeeds())
        << writer;
    for (const std::string& reader : ReadMethods()) {
      EXPECT_THAT(app.Run("Check", {reader, path, size, "1"}), Succeeds())
          << writer << ", " << reader;
      EXPECT_THAT(app.Run("Check", {reader, path, size, "2"}), Fails())
          << writer << ", " << reader;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, HarnessBulkTest,
                         testing::Values(Device::Lower::kTmpfs,
                                         Device::Lower::kDisk));

}  // namespace
}  // namespace fused::androidtest
