// The same while somebody moves the ground: names that change between one step
// of a walk and the next.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::AnyOf;

constexpr char kInside[] = "inside";
constexpr char kOutside[] = "outside";

// The path as it is, from the working directory.
APP_PROGRAM(ReadPath) {
  const int fd = open(arguments[0].c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Failed("open");
  char buffer[256];
  const ssize_t n = read(fd, buffer, sizeof(buffer));
  close(fd);
  return n < 0 ? Failed("read") : Done(n, std::string_view(buffer, n));
}

// DIRECTORY PAIRS ROUNDS: reads dI/photo.jpg and makes dI/new<round>.jpg, for
// every I; returns how many reads succeeded. Fails if one read what lies
// outside.
APP_PROGRAM(WalkPairs) {
  int pairs = 0;
  int rounds = 0;
  if (!absl::SimpleAtoi(arguments[1], &pairs) ||
      !absl::SimpleAtoi(arguments[2], &rounds)) {
    return Wrong("DIRECTORY PAIRS ROUNDS");
  }
  int64_t reads = 0;
  for (int round = 0; round < rounds; ++round) {
    for (int i = 0; i < pairs; ++i) {
      const std::string directory = absl::StrCat(arguments[0], "/d", i);
      const v1::Reply reply = ReadPathProgram({directory + "/photo.jpg"});
      if (reply.data() == kOutside) return Wrong("read outside");
      if (reply.value() > 0) ++reads;
      const std::string path = absl::StrCat(directory, "/new", round, ".jpg");
      const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
      if (fd >= 0) close(fd);
    }
  }
  return Done(reads);
}

// PATH ROUNDS: nothing may be at the path, ever.
APP_PROGRAM(SeeNothing) {
  int rounds = 0;
  if (!absl::SimpleAtoi(arguments[1], &rounds)) return Wrong("PATH ROUNDS");
  const char* path = arguments[0].c_str();
  for (int round = 0; round < rounds; ++round) {
    struct stat st;
    if (stat(path, &st) == 0) return Wrong("stat succeeded");
    if (errno != ENOENT) return Failed("stat");
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) return Wrong("open succeeded");
    if (errno != ENOENT) return Failed("open");
  }
  return Done();
}

// Does something until it is destroyed.
class Meanwhile {
 public:
  explicit Meanwhile(std::function<void()> what)
      : thread_([this, what = std::move(what)] {
          while (!stop_) what();
        }) {}
  ~Meanwhile() {
    stop_ = true;
    thread_.join();
  }
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

class EscapeRaceTest : public BothViewsTest {
 protected:
  void SetUp() override {
    BothViewsTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    chmod(device_.lower().c_str(), 0700);
  }

  Device device_{{.packages = StandardPackages()}};
};

// A directory and a symbolic link to a place outside change their names, below
// the daemon, while an app walks through them.
TEST_P(EscapeRaceTest, ALinkThatTakesADirectorysPlaceLeadsNowhere) {
  const int pairs = 200;
  const int rounds = IsLong() ? 50 : 4;
  const std::string outside = device_.directory() + "/outside";
  ASSERT_TRUE(WriteFile(outside + "/photo.jpg", kOutside, 0600));
  chmod(outside.c_str(), 0700);
  const std::string base = device_.LowerPath("Pictures/d");
  const std::string links = device_.LowerPath("Pictures/l");
  for (int i = 0; i < pairs; ++i) {
    ASSERT_TRUE(WriteFile(absl::StrCat(base, i, "/photo.jpg"), kInside));
    ASSERT_EQ(symlink(outside.c_str(), absl::StrCat(links, i).c_str()), 0);
  }
  ASSERT_TRUE(device_.Start());
  const App gallery = device_.Launch(kGallery, view());
  {
    const Meanwhile exchanging([&] {
      for (int i = 0; i < pairs; ++i) {
        renameat2(AT_FDCWD, absl::StrCat(base, i).c_str(), AT_FDCWD,
                  absl::StrCat(links, i).c_str(), RENAME_EXCHANGE);
      }
    });
    EXPECT_THAT(
        gallery.Run("WalkPairs", {gallery.At("Pictures"), absl::StrCat(pairs),
                                  absl::StrCat(rounds)}),
        Succeeds());
  }
  const auto found = std::filesystem::directory_iterator(outside);
  EXPECT_EQ(std::distance(begin(found), end(found)), 1)
      << "something was made outside";
  EXPECT_TRUE(device_.Stop());
}

// A directory goes to and fro between a collection and an app's own directory.
TEST_P(EscapeRaceTest, AMovedDirectoryIsJudgedByWhereItIs) {
  ASSERT_TRUE(WriteFile(device_.LowerPath("Pictures/trip/photo.jpg"), kInside));
  ASSERT_TRUE(device_.Start());
  const std::string in_public = "Pictures/trip";
  const std::string in_private =
      absl::StrCat("Android/data/", kStranger, "/files/trip");
  const App gallery = device_.Launch(kGallery, view());
  const App root = device_.LaunchUid(0);
  gallery.Begin("SeeNothing", {gallery.At(in_private + "/photo.jpg"),
                               IsLong() ? "200000" : "5000"});
  int moves = 0;
  while (!gallery.Answered()) {
    ASSERT_THAT(root.Rename(in_public, in_private), Succeeds());
    ASSERT_THAT(root.Rename(in_private, in_public), Succeeds());
    ++moves;
  }
  EXPECT_THAT(gallery.Finish(), Succeeds()) << "after " << moves << " moves";
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(gallery.Read(in_public + "/photo.jpg"), Reads(kInside));
  EXPECT_TRUE(device_.Stop());
}

// Who stands in a directory that is moved away from under it sees no more than
// who comes by its new name.
TEST_P(EscapeRaceTest, AWorkingDirectoryGivesNothingAfterAMove) {
  ASSERT_TRUE(WriteFile(device_.LowerPath("Pictures/trip/photo.jpg"), kInside));
  ASSERT_TRUE(
      WriteFile(device_.LowerPath("Pictures/trip/more/photo.jpg"), kInside));
  ASSERT_TRUE(device_.Start());
  const std::string in_private =
      absl::StrCat("Android/data/", kStranger, "/files/trip");
  const App gallery = device_.Launch(kGallery, view());
  const App stranger = device_.Launch(kStranger, view());
  const App root = device_.LaunchUid(0);
  ASSERT_THAT(gallery.ChangeDirectory("Pictures/trip"), Succeeds());
  EXPECT_THAT(gallery.Run("ReadPath", {"photo.jpg"}), Reads(kInside));
  EXPECT_THAT(gallery.Run("ReadPath", {"more/photo.jpg"}), Reads(kInside));
  ASSERT_THAT(root.Rename("Pictures/trip", in_private), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(gallery.Run("ReadPath", {"photo.jpg"}), FailsWith(ENOENT));
  EXPECT_THAT(gallery.Run("ReadPath", {"more/photo.jpg"}), FailsWith(ENOENT));
  EXPECT_THAT(gallery.Run("ReadPath", {"../trip/photo.jpg"}),
              FailsWith(ENOENT));
  EXPECT_THAT(stranger.Read(in_private + "/photo.jpg"), Reads(kInside));
  EXPECT_THAT(stranger.Read(in_private + "/more/photo.jpg"), Reads(kInside));
  ASSERT_THAT(root.Rename(in_private, "Pictures/trip"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(gallery.Read("Pictures/trip/more/photo.jpg"), Reads(kInside));
  EXPECT_TRUE(device_.Stop());
}

// What comes by a removed parent is not there.
TEST_P(EscapeRaceTest, AParentThatGoesDuringTheWalk) {
  ASSERT_TRUE(device_.Start());
  const App gallery = device_.Launch(kGallery, view());
  const std::string there = device_.LowerPath("Pictures/there");
  const Meanwhile coming([&] {
    WriteFile(there + "/photo.jpg", kInside);
    std::error_code ignored;
    std::filesystem::remove_all(there, ignored);
  });
  for (int i = 0; i < 300; ++i) {
    EXPECT_THAT(
        gallery.Read("Pictures/there/photo.jpg"),
        AnyOf(Reads(kInside), Reads(""), FailsWith(ENOENT), FailsWith(ESTALE)));
  }
}

INSTANTIATE_BOTH_VIEWS(EscapeRaceTest);

}  // namespace
}  // namespace fused::androidtest
