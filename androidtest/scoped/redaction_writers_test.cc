// A photo that somebody writes, by every way that tells nobody of it: what it
// holds when it is opened next counts, not what was found in it before.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/photo.h"
#include "androidtest/harness/program.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// An app's mapping of a photo, which stays between programs.
struct Mapped {
  int fd = -1;
  void* memory = nullptr;
};
Mapped mapped;

// PATH: maps the file, and has stored into it, so that its times change no more
// by further stores.
APP_PROGRAM(MapPhoto) {
  mapped.fd = open(arguments[0].c_str(), O_RDWR | O_CLOEXEC);
  if (mapped.fd < 0) return Failed("open");
  mapped.memory = mmap(nullptr, Photo().size(), PROT_READ | PROT_WRITE,
                       MAP_SHARED, mapped.fd, 0);
  if (mapped.memory == MAP_FAILED) return Failed("mmap");
  static_cast<volatile char*>(mapped.memory)[0] = 'd';
  return Done();
}

APP_PROGRAM(CloseMapped) {
  return close(mapped.fd) == 0 ? Done() : Failed("close");
}

APP_PROGRAM(StorePhoto) {
  memcpy(mapped.memory, Photo().data(), Photo().size());
  return Done();
}

APP_PROGRAM(UnmapPhoto) {
  return munmap(mapped.memory, Photo().size()) == 0 ? Done() : Failed("munmap");
}

class WritersTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    path_ = Place("Pictures") + "/a.jpg";
    plain_ = "d" + std::string(Photo().size() - 1, 'x');
    ASSERT_NO_FATAL_FAILURE(Given(kCamera, path_, plain_));
  }

  Outcome Writer(const char* program) {
    return As(kCamera).Run(program, {As(kCamera).At(path_)});
  }

  std::string path_;
  std::string plain_;  // as long as the photo, without a place
};

TEST_P(WritersTest, AStoreThroughAMappingThatIsGone) {
  ASSERT_THAT(Writer("MapPhoto"), Succeeds());
  EXPECT_THAT(As(kBlind).Read(path_), Reads(plain_));
  ASSERT_THAT(Writer("StorePhoto"), Succeeds());
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
  ASSERT_THAT(Writer("UnmapPhoto"), Succeeds());
  ASSERT_THAT(Writer("CloseMapped"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
}

TEST_P(WritersTest, AStoreBetweenTheLastLookAndTheClose) {
  ASSERT_THAT(Writer("MapPhoto"), Succeeds());
  EXPECT_THAT(As(kBlind).Read(path_), Reads(plain_));
  ASSERT_THAT(Writer("StorePhoto"), Succeeds());
  ASSERT_THAT(Writer("UnmapPhoto"), Succeeds());
  ASSERT_THAT(Writer("CloseMapped"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
}

// A mapping outlives the descriptor that it was made with.
TEST_P(WritersTest, AStoreThroughAMappingOfAFileThatWasClosed) {
  ASSERT_THAT(Writer("MapPhoto"), Succeeds());
  ASSERT_THAT(Writer("CloseMapped"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Read(path_), Reads(plain_));
  const File waiting = As(kBlind).Open(path_, O_RDONLY);
  ASSERT_THAT(Writer("StorePhoto"), Succeeds());
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
  ASSERT_THAT(Writer("UnmapPhoto"), Succeeds());
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
}

// One that nobody writes is on passthrough for everyone, also when it was
// written before.
TEST_P(WritersTest, AWriterThatIsGoneIsForgotten) {
  ASSERT_THAT(Writer("MapPhoto"), Succeeds());
  ASSERT_THAT(Writer("UnmapPhoto"), Succeeds());
  ASSERT_THAT(Writer("CloseMapped"), Succeeds());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(As(kBlind).Read(path_), Reads(plain_));
  const Counts before = device().Count();
  for (const char* package : {kBlind, kGallery, kCamera, kManager}) {
    EXPECT_THAT(As(package).Read(path_), Reads(plain_)) << package;
    EXPECT_THAT(In(other_view(), package).Read(path_), Reads(plain_))
        << package;
  }
  const Counts counts = device().Count() - before;
  EXPECT_EQ(counts.passthrough, 8);
  EXPECT_EQ(counts.redacted, 0);
  EXPECT_EQ(counts.daemon, 0);
}

// A reader that waits keeps the handle it has; the next open is redacted, while
// the writer is there and when it is gone.
TEST_P(WritersTest, APhotoThatGetsAPlaceWhileAReaderWaits) {
  EXPECT_THAT(As(kBlind).Read(path_), Reads(plain_));
  const Counts before = device().Count();
  const File waiting = As(kBlind).Open(path_, O_RDONLY);
  ASSERT_THAT(waiting, Opens());
  EXPECT_EQ((device().Count() - before).passthrough, 1);
  {
    const File writer = As(kCamera).Open(path_, O_WRONLY);
    ASSERT_THAT(writer.WriteAt(0, Photo()), Returns(Photo().size()));
    EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
  }
  ASSERT_TRUE(device().Sync());
  const Counts then = device().Count();
  EXPECT_THAT(As(kBlind).Read(path_), IsRedacted());
  EXPECT_THAT(In(other_view(), kBlind).Read(path_), IsRedacted());
  EXPECT_THAT(As(kGallery).Read(path_), Reads(Photo()));
  const Counts counts = device().Count() - then;
  EXPECT_EQ(counts.redacted, 2);
  EXPECT_EQ(counts.passthrough, 1);
}

INSTANTIATE_BOTH_VIEWS(WritersTest);

}  // namespace
}  // namespace fused::androidtest
