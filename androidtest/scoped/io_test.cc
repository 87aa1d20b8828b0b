// What calls do to files, down to flags, offsets and times, under the rules.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

constexpr int64_t kLongAgo = 1'000'000'000'000'000'000;

// A picture of the camera's, which the gallery may read.
class IoTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("Pictures");
    path_ = place_ + "/a.jpg";
    Given(kCamera, path_, "0123456789");
  }

  int64_t Modified() { return As(kCamera).Stat(path_).attributes.modified(); }

  std::string place_;
  std::string path_;
};

TEST_P(IoTest, ExclusiveCreation) {
  constexpr int kNew = O_WRONLY | O_CREAT | O_EXCL;
  EXPECT_THAT(As(kCamera).Open(path_, kNew), FailsWith(EEXIST));
  EXPECT_THAT(As(kStranger).Open(path_, kNew), FailsWith(EEXIST));
  EXPECT_THAT(As(kStranger).Open(place_ + "/b.jpg", kNew), Opens());
  EXPECT_THAT(As(kCamera).Read(path_), Reads("0123456789"));
}

TEST_P(IoTest, CreationOfWhatIsThere) {
  EXPECT_THAT(As(kCamera).Open(path_, O_RDWR | O_CREAT), Opens());
  EXPECT_THAT(As(kGallery).Open(path_, O_RDONLY | O_CREAT), Opens());
  EXPECT_THAT(As(kGallery).Open(path_, O_RDWR | O_CREAT), FailsWith(EACCES));
  EXPECT_THAT(As(kStranger).Open(path_, O_RDONLY | O_CREAT), FailsWith(EACCES));
  EXPECT_THAT(As(kCamera).Read(path_), Reads("0123456789"));
}

TEST_P(IoTest, Truncation) {
  EXPECT_THAT(As(kCamera).Open(path_, O_WRONLY | O_TRUNC), Opens());
  EXPECT_THAT(As(kCamera).Stat(path_), HasSize(0));
  EXPECT_THAT(As(kCamera).Overwrite(path_, "abc"), Succeeds());
  EXPECT_THAT(As(kCamera).Truncate(path_, 5), Succeeds());
  EXPECT_THAT(As(kCamera).Read(path_), Reads(std::string("abc\0\0", 5)));
}

// A truncation is a write, however the file is opened.
TEST_P(IoTest, AReaderDoesNotTruncate) {
  const App& gallery = As(kGallery);
  EXPECT_THAT(gallery.Open(path_, O_RDONLY), Opens());
  EXPECT_THAT(gallery.Open(path_, O_RDONLY | O_TRUNC), FailsWith(EACCES));
  EXPECT_THAT(gallery.Open(path_, O_RDONLY | O_CREAT | O_TRUNC),
              FailsWith(EACCES));
  EXPECT_THAT(gallery.Truncate(path_, 0), FailsWith(EACCES));
  EXPECT_THAT(gallery.Open(path_, O_RDONLY).Truncate(0), FailsWith(EINVAL));
  EXPECT_THAT(gallery.Read(path_), Reads("0123456789"));
}

TEST_P(IoTest, AReaderDoesNotWrite) {
  const File file = As(kGallery).Open(path_, O_RDONLY);
  EXPECT_THAT(file.WriteAt(0, "x"), FailsWith(EBADF));
  EXPECT_THAT(file.Allocate(0, 0, 100), FailsWith(EBADF));
  EXPECT_THAT(As(kGallery).Open(path_, O_WRONLY | O_APPEND), FailsWith(EACCES));
  EXPECT_THAT(As(kGallery).SetTimes(path_, kLongAgo), FailsWith(EACCES));
}

TEST_P(IoTest, AWriterDoesNotRead) {
  const File file = As(kCamera).Open(path_, O_WRONLY);
  EXPECT_THAT(file.ReadAt(0, 10), FailsWith(EBADF));
  EXPECT_THAT(file.WriteAt(0, "x"), Returns(1));
}

TEST_P(IoTest, Appending) {
  const File first = As(kCamera).Open(path_, O_WRONLY | O_APPEND);
  const File second = As(kCameraEditor).Open(path_, O_WRONLY | O_APPEND);
  ASSERT_THAT(first, Opens());
  ASSERT_THAT(second, Opens());
  EXPECT_THAT(first.Write("ab"), Returns(2));
  EXPECT_THAT(second.Write("cd"), Returns(2));
  EXPECT_THAT(first.Write("ef"), Returns(2));
  EXPECT_THAT(As(kCamera).Read(path_), Reads("0123456789abcdef"));
}

TEST_P(IoTest, TheDescriptorsOwnOffset) {
  const File file = As(kCamera).Open(path_, O_RDWR);
  EXPECT_THAT(file.Read(4), Reads("0123"));
  EXPECT_THAT(file.Write("xy"), Returns(2));
  EXPECT_THAT(file.Read(4), Reads("6789"));
  EXPECT_THAT(file.Read(4), Reads(""));
  EXPECT_THAT(file.Seek(-2, SEEK_END), Returns(8));
  EXPECT_THAT(file.Seek(4, SEEK_SET), Returns(4));
  EXPECT_THAT(file.Read(2), Reads("xy"));
}

TEST_P(IoTest, AHole) {
  const File file = As(kCamera).Open(path_, O_RDWR);
  EXPECT_THAT(file.WriteAt(1 << 20, "end"), Returns(3));
  EXPECT_THAT(file.Stat(), HasSize((1 << 20) + 3));
  EXPECT_THAT(file.ReadAt(10, 4), Reads(std::string(4, '\0')));
  EXPECT_THAT(file.ReadAt((1 << 20) - 1, 10), Reads(std::string("\0end", 4)));
}

TEST_P(IoTest, AllocationOfSpace) {
  const File file = As(kCamera).Open(path_, O_RDWR);
  EXPECT_THAT(file.Allocate(0, 0, 8192), Succeeds());
  EXPECT_THAT(file.Stat(), HasSize(8192));
  EXPECT_THAT(file.ReadAt(0, 12), Reads(std::string("0123456789\0\0", 12)));
}

TEST_P(IoTest, CopiesFromFileToFile) {
  const App& camera = As(kCamera);
  const File from = camera.Open(path_, O_RDONLY);
  const File to = camera.Open(place_ + "/b.jpg", O_RDWR | O_CREAT);
  ASSERT_THAT(to, Opens());
  EXPECT_THAT(from.CopyTo(to, 10), Returns(10));
  EXPECT_THAT(to.ReadAt(0, 20), Reads("0123456789"));
  EXPECT_THAT(to.CopyTo(from, 10), FailsWith(EBADF));
}

TEST_P(IoTest, AWriteIsATime) {
  ASSERT_THAT(As(kCamera).SetTimes(path_, kLongAgo), Succeeds());
  EXPECT_EQ(Modified(), kLongAgo);
  EXPECT_THAT(As(kCamera).Overwrite(path_, "x"), Succeeds());
  EXPECT_GT(Modified(), kLongAgo);
}

TEST_P(IoTest, AnAppendIsATime) {
  ASSERT_THAT(As(kCamera).SetTimes(path_, kLongAgo), Succeeds());
  const File file = As(kCamera).Open(path_, O_WRONLY | O_APPEND);
  EXPECT_EQ(Modified(), kLongAgo);
  EXPECT_THAT(file.Write("x"), Returns(1));
  EXPECT_GT(Modified(), kLongAgo);
}

TEST_P(IoTest, ATruncationIsATime) {
  ASSERT_THAT(As(kCamera).SetTimes(path_, kLongAgo), Succeeds());
  EXPECT_THAT(As(kCamera).Open(path_, O_WRONLY | O_TRUNC), Opens());
  EXPECT_GT(Modified(), kLongAgo);
}

TEST_P(IoTest, AReadIsNone) {
  ASSERT_THAT(As(kCamera).SetTimes(path_, kLongAgo), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kGallery).Read(path_), Reads("0123456789"));
  EXPECT_THAT(As(kCamera).Rename(path_, place_ + "/b.jpg"), Succeeds());
  path_ = place_ + "/b.jpg";
  EXPECT_EQ(Modified(), kLongAgo);
}

TEST_P(IoTest, OpenForEveryKindOfThing) {
  const App& camera = As(kCamera);
  EXPECT_THAT(camera.Open(place_, O_RDWR), FailsWith(EISDIR));
  EXPECT_THAT(camera.Open(place_, O_WRONLY | O_CREAT), FailsWith(EISDIR));
  EXPECT_THAT(camera.Open(path_, O_RDONLY | O_DIRECTORY), FailsWith(ENOTDIR));
  EXPECT_THAT(camera.Open(path_, O_RDONLY | O_NOFOLLOW), Opens());
  EXPECT_THAT(camera.Open(path_ + "/", O_RDONLY), FailsWith(ENOTDIR));
  EXPECT_THAT(camera.Open(place_ + "/none.jpg", O_RDONLY), FailsWith(ENOENT));
  EXPECT_THAT(camera.Open(place_ + "/none/a.jpg", O_WRONLY | O_CREAT),
              FailsWith(ENOENT));
}

TEST_P(IoTest, AnEmptyFile) {
  EXPECT_THAT(As(kCamera).Create(place_ + "/b.jpg", ""), Succeeds());
  EXPECT_THAT(As(kCamera).Read(place_ + "/b.jpg"), Reads(""));
  EXPECT_THAT(As(kGallery).Read(place_ + "/b.jpg"), Reads(""));
  EXPECT_THAT(As(kGallery).Stat(place_ + "/b.jpg"), HasSize(0));
}

TEST_P(IoTest, ExtendedAttributesAreNone) {
  EXPECT_THAT(As(kCamera).GetXattr(path_, "user.a"), FailsWith(EOPNOTSUPP));
  // What only root may ask for, the kernel answers for the others.
  EXPECT_THAT(device().LaunchUid(0).GetXattr(path_, "trusted.fused.owner"),
              FailsWith(EOPNOTSUPP));
  EXPECT_THAT(As(kCamera).SetXattr(path_, "user.a", "b"),
              FailsWith(EOPNOTSUPP));
}

// What one asks for at creation is not what one gets.
TEST_P(IoTest, ModesAreTheVolumes) {
  const App& camera = As(kCamera);
  const std::string file = place_ + "/b.jpg";
  EXPECT_THAT(camera.Open(file, O_WRONLY | O_CREAT, 06777), Opens());
  EXPECT_THAT(camera.Stat(file), HasMode(0660));
  EXPECT_THAT(camera.MakeDirectory(place_ + "/d", 01777), Succeeds());
  EXPECT_THAT(camera.Stat(place_ + "/d"), HasMode(0770));
  EXPECT_THAT(camera.ChangeMode(file, 0400), Succeeds());
  EXPECT_THAT(camera.Stat(file), HasMode(0660));
  EXPECT_THAT(camera.Open(file, O_RDWR), Opens());
}

TEST_P(IoTest, AFileMadeReadOnlyIsWrittenByItsMaker) {
  const File file =
      As(kCamera).Open(place_ + "/b.jpg", O_RDWR | O_CREAT | O_EXCL, 0400);
  ASSERT_THAT(file, Opens());
  EXPECT_THAT(file.WriteAt(0, "x"), Returns(1));
  EXPECT_THAT(As(kCamera).Read(place_ + "/b.jpg"), Reads("x"));
}

INSTANTIATE_BOTH_VIEWS(IoTest);

}  // namespace
}  // namespace fused::androidtest
