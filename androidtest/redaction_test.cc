// One photo, two readers: who may see where it was taken, and who may not.
#include <fcntl.h>

#include <cerrno>
#include <string>
#include <vector>

#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/photo.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// May read pictures, and is not told where they were taken.
constexpr char kBlindGallery[] = "com.example.blind";

std::vector<Package> Packages() {
  std::vector<Package> packages = StandardPackages();
  packages.push_back({.name = kBlindGallery,
                      .uid = 10080,
                      .permissions = {"READ_MEDIA_IMAGES"}});
  return packages;
}

class RedactionTest : public BothViewsTest {
 protected:
  void SetUp() override {
    BothViewsTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    ASSERT_TRUE(device_.Start());
  }

  App Launch(const char* package) { return device_.Launch(package, view()); }

  Device device_{{.packages = Packages()}};
};

TEST_P(RedactionTest, OnePhotoTwoReaders) {
  const App camera = Launch(kCamera);
  const App gallery = Launch(kGallery);
  const App blind = Launch(kBlindGallery);
  ASSERT_THAT(camera.Create("DCIM/a.jpg", Photo()), Succeeds());
  ASSERT_TRUE(device_.Sync());

  const Counts before = device_.Count();
  EXPECT_THAT(camera.Read("DCIM/a.jpg"), Reads(Photo()));
  EXPECT_THAT(gallery.Read("DCIM/a.jpg"), Reads(Photo()));
  EXPECT_EQ((device_.Count() - before).redacted, 0);
  EXPECT_THAT(blind.Read("DCIM/a.jpg"), IsRedacted());
  EXPECT_EQ((device_.Count() - before).redacted, 1);

  // At once, in any order, the same file.
  const File seen = gallery.Open("DCIM/a.jpg", O_RDONLY);
  const File hidden = blind.Open("DCIM/a.jpg", O_RDONLY);
  ASSERT_THAT(seen, Opens());
  ASSERT_THAT(hidden, Opens());
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(hidden.ReadAt(0, 4096), IsRedacted());
    EXPECT_THAT(seen.ReadAt(0, 4096), Reads(Photo()));
  }
}

TEST_P(RedactionTest, NoWayRound) {
  const App camera = Launch(kCamera);
  const App blind = Launch(kBlindGallery);
  ASSERT_THAT(camera.Create("DCIM/a.jpg", Photo()), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const File from = blind.Open("DCIM/a.jpg", O_RDONLY);
  ASSERT_THAT(from, Opens());
  // The kernel copies what it reads, which is redacted.
  const File to = blind.Open("DCIM/copy.jpg", O_RDWR | O_CREAT, 0600);
  ASSERT_THAT(to, Opens());
  from.CopyTo(to, static_cast<int64_t>(Photo().size()));
  EXPECT_THAT(to.ReadAt(0, 4096), testing::Not(Reads(Photo())));
  // A byte at a time.
  std::string bytes;
  for (size_t i = 0; i < Photo().size(); ++i) {
    bytes += from.ReadAt(static_cast<int64_t>(i), 1).data;
  }
  EXPECT_TRUE(HidesTheLatitude(bytes));
}

TEST_P(RedactionTest, APhotoWithoutALocationIsTheKernels) {
  const App camera = Launch(kCamera);
  const App blind = Launch(kBlindGallery);
  ASSERT_THAT(camera.Create("DCIM/a.jpg", "dummy"), Succeeds());
  ASSERT_THAT(camera.Create("DCIM/empty.jpg", ""), Succeeds());
  ASSERT_TRUE(device_.Sync());
  for (int i = 0; i < 3; ++i) {
    const Counts before = device_.Count();
    EXPECT_THAT(blind.Read("DCIM/a.jpg"), Reads("dummy"));
    EXPECT_THAT(blind.Read("DCIM/empty.jpg"), Reads(""));
    const Counts counts = device_.Count() - before;
    EXPECT_EQ(counts.redacted, 0);
    EXPECT_EQ(counts.passthrough, 2);
  }
  // It gets one: redacted from the next open.
  ASSERT_THAT(camera.Overwrite("DCIM/a.jpg", Photo()), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(blind.Read("DCIM/a.jpg"), IsRedacted());
  // Another takes its name, which has none.
  ASSERT_THAT(camera.Unlink("DCIM/a.jpg"), Succeeds());
  ASSERT_THAT(camera.Create("DCIM/a.jpg", "dummy"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(blind.Read("DCIM/a.jpg"), Reads("dummy"));
}

INSTANTIATE_BOTH_VIEWS(RedactionTest);

}  // namespace
}  // namespace fused::androidtest
