// Where a photo was taken: who is told, by every way to read it.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/photo.h"
#include "androidtest/harness/program.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

class LocationTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("Pictures");
    path_ = place_ + "/a.jpg";
    ASSERT_NO_FATAL_FAILURE(Given(kCamera, path_, Photo()));
  }

  Counts Since(const Counts& before) { return device().Count() - before; }

  std::string place_;
  std::string path_;
};

TEST_P(LocationTest, IsHiddenWithoutThePermission) {
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
}

TEST_P(LocationTest, IsToldWithThePermission) {
  EXPECT_THAT(As(kGallery).Read(path_), Reads(Photo()));
  EXPECT_THAT(As(kLastReader).Read(path_), Reads(Photo()));
}

TEST_P(LocationTest, IsTheOwnersToKnow) {
  EXPECT_THAT(As(kCamera).Read(path_), Reads(Photo()));
  EXPECT_THAT(As(kCameraEditor).Read(path_), Reads(Photo()));
}

TEST_P(LocationTest, IsToldToRolesThatManageFiles) {
  for (const char* package : {kManager, kMtp, kDownloads}) {
    EXPECT_THAT(As(package).Read(path_), Reads(Photo())) << package;
  }
  for (const uid_t uid : {0, 2000}) {
    EXPECT_THAT(device().LaunchUid(uid).Read(path_), Reads(Photo())) << uid;
  }
}

// The role is not on the list of those who are told.
TEST_P(LocationTest, IsHiddenFromTheSystemGalleryWithoutThePermission) {
  EXPECT_THAT(As(kSystemGallery).Read(path_), IsRedacted());
}

TEST_P(LocationTest, TheSizeIsTheSame) {
  EXPECT_THAT(As(kBlind).Stat(path_), HasSize(Photo().size()));
  const File file = As(kBlind).Open(path_, O_RDONLY);
  EXPECT_THAT(file.Stat(), HasSize(Photo().size()));
  EXPECT_THAT(file.Seek(0, SEEK_END), Returns(Photo().size()));
}

TEST_P(LocationTest, ReadingsOfEverySize) {
  const File file = As(kBlind).Open(path_, O_RDONLY);
  const auto size = static_cast<int64_t>(Photo().size());
  for (const int64_t step : {1, 2, 3, 5, 7, 13, 64, 4096}) {
    std::string bytes;
    for (int64_t i = 0; i < size; i += step) {
      bytes += file.ReadAt(i, step).data;
    }
    EXPECT_TRUE(HidesTheLatitude(bytes)) << step;
  }
}

// PATH: what a mapping of the file shows.
APP_PROGRAM(ReadByMapping) {
  const int fd = open(arguments[0].c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed("open");
  int kind = 0;
  size_t size = 0;
  if (!absl::SimpleAtoi(arguments[1], &kind) ||
      !absl::SimpleAtoi(arguments[2], &size)) {
    return Wrong("PATH KIND SIZE");
  }
  void* map = mmap(nullptr, size, PROT_READ, kind, fd, 0);
  close(fd);
  if (map == MAP_FAILED) return Failed("mmap");
  v1::Reply reply =
      Done(0, std::string_view(static_cast<const char*>(map), size));
  munmap(map, size);
  return reply;
}

TEST_P(LocationTest, Mappings) {
  for (const int kind : {MAP_SHARED, MAP_PRIVATE}) {
    const Arguments arguments = {As(kBlind).At(path_), absl::StrCat(kind),
                                 absl::StrCat(Photo().size())};
    const Outcome blind = As(kBlind).Run("ReadByMapping", arguments);
    if (blind.ok()) {
      EXPECT_TRUE(HidesTheLatitude(blind.data)) << kind;
    }
    EXPECT_THAT(As(kGallery).Run("ReadByMapping", arguments), Reads(Photo()));
  }
}

TEST_P(LocationTest, CopiesOfTheFile) {
  const App& app = As(kBlind);
  const File from = app.Open(path_, O_RDONLY);
  const File to = app.Open(place_ + "/copy.jpg", O_RDWR | O_CREAT);
  ASSERT_THAT(to, Opens());
  const Outcome copied = from.CopyTo(to, 10'000);
  if (!copied.ok()) {
    EXPECT_EQ(ErrorName(copied.error), "EXDEV");
  }
  EXPECT_NE(to.ReadAt(0, 10'000).data, Photo());
  EXPECT_THAT(app.Read(place_ + "/copy.jpg"), testing::Not(Reads(Photo())));
}

// A handle to read and write would show what it must not.
TEST_P(LocationTest, NoReadingByWriting) {
  EXPECT_THAT(As(kBlind).Open(path_, O_RDWR), FailsWith(EACCES));
  EXPECT_THAT(As(kSystemGallery).Open(path_, O_RDWR), FailsWith(EACCES));
  EXPECT_THAT(As(kSystemGallery).Open(path_, O_WRONLY), Opens());
}

// It is content that has a place, not a name.
TEST_P(LocationTest, UnderAnotherName) {
  const std::string download = Place("Download");
  for (const char* name : {"/a.png", "/a.mp4", "/a.heic"}) {
    Given(kCamera, download + name, Photo());
    const App& reader =
        std::string_view(name) == "/a.mp4" ? As(kSystemGallery) : As(kBlind);
    EXPECT_THAT(reader.Read(download + name), IsRedacted()) << name;
  }
}

// A photo that passes as music.
TEST_P(LocationTest, UnderANameOfAnotherType) {
  const std::string music = Place("Music");
  Given(kCamera, music + "/a.mp3", Photo());
  EXPECT_THAT(As(kMusic).Read(music + "/a.mp3"), IsRedacted());
}

TEST_P(LocationTest, RenamedToMedia) {
  const std::string download = Place("Download");
  Given(kCamera, download + "/a.bin", Photo());
  EXPECT_THAT(As(kBlind).Open(download + "/a.bin", O_RDONLY),
              FailsWith(EACCES));
  ASSERT_THAT(As(kCamera).Rename(download + "/a.bin", download + "/a.jpg"),
              Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Read(download + "/a.jpg"), IsRedacted());
  EXPECT_THAT(As(kGallery).Read(download + "/a.jpg"), Reads(Photo()));
}

TEST_P(LocationTest, AnExchangeOfPhotos) {
  const std::string plain = place_ + "/plain.jpg";
  Given(kCamera, plain, "nothing to hide");
  EXPECT_THAT(As(kBlind).Read(plain), Reads("nothing to hide"));
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
  ASSERT_THAT(As(kCamera).Rename(plain, path_, RENAME_EXCHANGE), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Read(path_), Reads("nothing to hide"));
  EXPECT_THAT(As(kBlind).Read(plain), IsRedacted());
}

TEST_P(LocationTest, APhotoThatGetsAPlace) {
  const std::string path = place_ + "/b.jpg";
  Given(kCamera, path, "dummy");
  EXPECT_THAT(As(kBlind).Read(path), Reads("dummy"));
  ASSERT_THAT(As(kCamera).Overwrite(path, Photo()), Succeeds());
  EXPECT_THAT(As(kBlind).Read(path), IsRedacted());
}

TEST_P(LocationTest, APhotoThatLosesItsPlace) {
  ASSERT_THAT(As(kCamera).Open(path_, O_WRONLY | O_TRUNC), Opens());
  ASSERT_THAT(As(kCamera).Overwrite(path_, "dummy"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Read(path_), Reads("dummy"));
}

// While somebody writes, the next open is judged by what is there then.
TEST_P(LocationTest, APhotoThatIsBeingWritten) {
  const std::string path = place_ + "/b.jpg";
  Given(kCamera, path, "");
  const File writer = As(kCamera).Open(path, O_RDWR);
  EXPECT_THAT(As(kBlind).Open(path, O_RDONLY), Opens());
  ASSERT_THAT(writer.WriteAt(0, Photo()), Returns(Photo().size()));
  EXPECT_THAT(As(kBlind).Read(path), IsRedacted());
  EXPECT_THAT(writer.ReadAt(0, 10'000), Reads(Photo()));
}

TEST_P(LocationTest, OnePhotoReadByTwoAtOnce) {
  const File whole = As(kGallery).Open(path_, O_RDONLY);
  const File hidden = As(kBlind).Open(path_, O_RDONLY);
  const File there = In(other_view(), kBlind).Open(path_, O_RDONLY);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(hidden.ReadAt(0, 10'000), IsRedacted());
    EXPECT_THAT(whole.ReadAt(0, 10'000), Reads(Photo()));
    EXPECT_THAT(there.ReadAt(0, 10'000), IsRedacted());
  }
}

TEST_P(LocationTest, PhotosWithoutAPlaceAreTheKernels) {
  const std::string path = place_ + "/b.jpg";
  Given(kCamera, path, "dummy");
  EXPECT_THAT(As(kBlind).Read(path), Reads("dummy"));
  const Counts before = device().Count();
  EXPECT_THAT(As(kBlind).Read(path), Reads("dummy"));
  EXPECT_THAT(As(kGallery).Read(path_), Reads(Photo()));
  EXPECT_EQ(Since(before).passthrough, 2);
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
  EXPECT_EQ(Since(before).redacted, 1);
  EXPECT_EQ(Since(before).passthrough, 2);
}

// One's own copy is one's own.
TEST_P(LocationTest, OnesOwnPhotoIsWhole) {
  const std::string own = place_ + "/own.jpg";
  Given(kBlind, own, Photo());
  EXPECT_THAT(As(kBlind).Read(own), Reads(Photo()));
  EXPECT_THAT(As(kBlind).Open(own, O_RDWR), Opens());
}

TEST_P(LocationTest, InAndroidMedia) {
  As(kCamera).MakeDirectory(MediaOf(kCamera));
  const std::string path = MediaOf(kCamera, Own() + ".jpg");
  Given(kCamera, path, Photo());
  EXPECT_THAT(As(kBlind).Read(path), IsRedacted());
  EXPECT_THAT(As(kGallery).Read(path), Reads(Photo()));
}

INSTANTIATE_BOTH_VIEWS(LocationTest);

}  // namespace
}  // namespace fused::androidtest
