// Where passthrough cannot be had the daemon serves the bytes, and says why.
#include <fcntl.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/bulk.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::ElementsAre;
using testing::Gt;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;

class FallbackTest : public BothViewsTest {
 protected:
  // Writes and reads by every method.
  void ExpectAllServed(Device* device) {
    const App camera = device->Launch(kCamera, view());
    const App native = device->LaunchAt(device->lower(), 0, 0);
    const std::string size = absl::StrCat(4 * kBulkChunk);
    for (const std::string& writer : WriteMethods()) {
      const std::string path = "Download/" + writer;
      ASSERT_THAT(camera.Run("Fill", {writer, camera.At(path), size, "1"}),
                  Succeeds())
          << writer;
      EXPECT_THAT(native.Run("Check", {"read", native.At(path), size, "1"}),
                  Succeeds())
          << writer;
      for (const std::string& reader : ReadMethods()) {
        EXPECT_THAT(camera.Run("Check", {reader, camera.At(path), size, "1"}),
                    Succeeds())
            << writer << ", " << reader;
      }
    }
  }
};

TEST_P(FallbackTest, PassthroughOff) {
  Device device(
      {.packages = StandardPackages(), .flags = {"--passthrough=off"}});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  ExpectAllServed(&device);
  const control::v1::VolumeStatus volume = device.Status().volumes(0);
  EXPECT_FALSE(volume.passthrough());
  EXPECT_THAT(volume.passthrough_reason(), Not(IsEmpty()));
  EXPECT_EQ(volume.opens().passthrough(), 0U);
  EXPECT_THAT(volume.opens().daemon(), Gt(0U));
  EXPECT_THAT(device.Count().Requests("WRITE"), Gt(0));
  EXPECT_TRUE(device.Stop());
}

TEST_P(FallbackTest, TheKernelRefusesAnOverlay) {
  Device device(
      {.lower = Device::Lower::kOverlay, .packages = StandardPackages()});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  ExpectAllServed(&device);
  const control::v1::VolumeStatus volume = device.Status().volumes(0);
  EXPECT_EQ(volume.opens().passthrough(), 0U);
  EXPECT_THAT(volume.opens().daemon(), Gt(0U));
  uint64_t fallbacks = 0;
  for (const auto& [reason, count] : volume.fallbacks()) {
    EXPECT_THAT(reason, Not(IsEmpty()));
    fallbacks += count;
  }
  EXPECT_EQ(fallbacks, volume.opens().daemon());
  EXPECT_TRUE(device.Stop());
}

TEST_P(FallbackTest, AnOverlayIsServedByTheKernelWhereStackingMayBeDeep) {
  Device device({.lower = Device::Lower::kOverlay,
                 .packages = StandardPackages(),
                 .flags = {"--max_stack_depth=2"}});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  const App camera = device.Launch(kCamera, view());
  EXPECT_THAT(camera.Create("Download/a.bin", "content"), Succeeds());
  EXPECT_THAT(camera.Read("Download/a.bin"), Reads("content"));
  const Counts counts = device.Count();
  EXPECT_EQ(counts.passthrough, 2);
  EXPECT_EQ(counts.daemon, 0);
  EXPECT_TRUE(device.Stop());
}

// More files open at once than the view may have backing ids.
TEST_P(FallbackTest, AFullIdTable) {
  constexpr int kIds = 4;
  constexpr int kFiles = 10;
  Device device({.packages = StandardPackages(),
                 .config = absl::StrCat("max_backing_ids: ", kIds, "\n")});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  const App camera = device.Launch(kCamera, view());
  const auto path = [](int i) { return absl::StrCat("Download/", i); };
  const auto closed = [&device] {
    return Eventually(
        [&] { return device.Status().volumes(0).handles() == 0; });
  };
  // An id that is only kept for a next open makes room for another file's.
  for (int i = 0; i < kFiles; ++i) {
    ASSERT_THAT(camera.Create(path(i), path(i)), Succeeds());
    ASSERT_TRUE(closed());
  }
  EXPECT_EQ(device.Count().passthrough, kFiles);
  EXPECT_EQ(device.Status().volumes(0).backing_ids(), kIds);

  std::vector<File> files;
  for (int i = 0; i < kFiles; ++i) {
    files.push_back(camera.Open(path(i), O_RDWR));
    ASSERT_THAT(files.back(), Opens()) << i;
  }
  for (int i = 0; i < kFiles; ++i) {
    EXPECT_THAT(files[i].Read(100), Reads(path(i)));
    EXPECT_THAT(files[i].WriteAt(0, "changed!"), Succeeds()) << i;
    EXPECT_THAT(files[i].ReadAt(0, 8), Reads("changed!"));
  }
  control::v1::VolumeStatus volume = device.Status().volumes(0);
  EXPECT_EQ(volume.opens().passthrough(), kFiles + kIds);
  EXPECT_EQ(volume.opens().daemon(), kFiles - kIds);
  EXPECT_EQ(volume.backing_ids(), kIds);
  EXPECT_THAT(volume.fallbacks(),
              ElementsAre(Pair("no backing ids are left", kFiles - kIds)));

  // The last was served by the daemon while the table was full.
  files.clear();
  ASSERT_TRUE(closed());
  const File again = camera.Open(path(kFiles - 1), O_RDONLY);
  EXPECT_THAT(again.Read(8), Reads("changed!"));
  EXPECT_EQ(device.Count().passthrough, kFiles + kIds + 1);
  EXPECT_TRUE(device.Stop());
}

INSTANTIATE_BOTH_VIEWS(FallbackTest);

class FallbackOnProcTest : public DeviceTest {};

// Files without a size, which only read(2) tells the content of.
TEST_F(FallbackOnProcTest, ProcIsServedByTheDaemon) {
  Device device(
      {.flags = {"--profile=posix"}, .lower_path = "/proc/sys/kernel"});
  ASSERT_TRUE(device.Start());
  const App root = device.LaunchUid(0);
  EXPECT_THAT(root.Read("ostype"), Reads("Linux\n"));
  const control::v1::VolumeStatus volume = device.Status().volumes(0);
  EXPECT_EQ(volume.opens().passthrough(), 0U);
  EXPECT_EQ(volume.opens().daemon(), 1U);
  EXPECT_THAT(volume.fallbacks(), Not(IsEmpty()));
  EXPECT_TRUE(device.Stop());
}

}  // namespace
}  // namespace fused::androidtest
