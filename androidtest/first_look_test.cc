// An app looks at a file for the first time while another, in another view,
// changes it: what the first is shown from then on is not what the file was in
// between. Its kernel can be told of nothing that it does not know yet.
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <new>
#include <string>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

constexpr int kSize = 100;

// How far the two apps have come, in a file that both have mapped.
struct Pace {
  // So many names are there.
  std::atomic<int> made{0};
  // So many have been looked at.
  std::atomic<int> seen{0};
  // One of the two has given up.
  std::atomic<bool> over{false};

  // Until `count` has come so far; false: never.
  bool Await(const std::atomic<int>& count, int far) const {
    while (count.load() < far) {
      if (over.load()) return false;
      sched_yield();
    }
    return true;
  }
};

Pace* MapPace(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* const at =
      mmap(nullptr, sizeof(Pace), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  return at == MAP_FAILED ? nullptr : static_cast<Pace*>(at);
}

// What becomes of a name when it is looked at.
enum class Kind { kWritten, kCut, kDirectory, kRemoved, kRenamed, kMade };
constexpr int kKinds = 6;

Kind KindOf(int number) { return static_cast<Kind>(number % kKinds); }

std::string PathOf(const std::string& directory, int number) {
  return absl::StrCat(directory, "/", number);
}

// So that changes come at all times of a look, which takes some microseconds.
void Linger(int number) {
  for (int left = number / kKinds % 64 * 200; left > 0; --left) {
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

int Make(const std::string& path) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666);
}

bool FillAndClose(int fd) {
  const std::string content(kSize, 'x');
  const bool written = write(fd, content.data(), content.size()) == kSize;
  return close(fd) == 0 && written;
}

// Makes a file that is empty, says so, and changes it.
bool MakeAndChange(const std::string& path, int number, Pace& pace) {
  const auto say = [&] {
    pace.made = number + 1;
    Linger(number);
  };
  const Kind kind = KindOf(number);
  if (kind == Kind::kDirectory) {
    if (mkdir(path.c_str(), 0777) != 0) return false;
    say();
    return mkdir((path + "/below").c_str(), 0777) == 0;
  }
  if (kind == Kind::kMade) say();
  const int fd = Make(path);
  if (fd < 0) return false;
  if (kind == Kind::kMade) return FillAndClose(fd);
  if (kind == Kind::kWritten) {
    say();
    return FillAndClose(fd);
  }
  close(fd);
  say();
  switch (kind) {
    case Kind::kRemoved:
      return unlink(path.c_str()) == 0;
    case Kind::kRenamed:
      return rename(path.c_str(), (path + "r").c_str()) == 0;
    default:
      return truncate(path.c_str(), kSize) == 0;
  }
}

// Whether it is shown as it was before.
bool IsOld(const std::string& path, Kind kind) {
  struct stat attributes;
  const bool there = stat(path.c_str(), &attributes) == 0;
  switch (kind) {
    case Kind::kRemoved:
      return there;
    case Kind::kRenamed:
      return there || stat((path + "r").c_str(), &attributes) != 0;
    case Kind::kDirectory:
      return !there || attributes.st_nlink != 3;
    default:
      return !there || attributes.st_size != kSize;
  }
}

// PACE DIRECTORY COUNT
APP_PROGRAM(MakeMany) {
  Pace* const pace = MapPace(arguments[0]);
  int count = 0;
  if (pace == nullptr || !absl::SimpleAtoi(arguments[2], &count)) {
    return Failed("pace");
  }
  for (int i = 0; i < count; ++i) {
    if (!MakeAndChange(PathOf(arguments[1], i), i, *pace)) {
      const v1::Reply reply = Failed("make");
      pace->over = true;
      return reply;
    }
    if (!pace->Await(pace->seen, i + 1)) return Wrong("nobody looks");
  }
  return Done();
}

// The same. Looks at each as soon as it is there.
APP_PROGRAM(LookAtMany) {
  Pace* const pace = MapPace(arguments[0]);
  int count = 0;
  if (pace == nullptr || !absl::SimpleAtoi(arguments[2], &count)) {
    return Failed("pace");
  }
  for (int i = 0; i < count; ++i) {
    if (!pace->Await(pace->made, i + 1)) return Wrong("nobody makes");
    struct stat attributes;
    // Of some there is nothing yet, or nothing any more.
    if (stat(PathOf(arguments[1], i).c_str(), &attributes) != 0 &&
        errno != ENOENT) {
      const v1::Reply reply = Failed("stat");
      pace->over = true;
      return reply;
    }
    pace->seen = i + 1;
  }
  return Done();
}

// DIRECTORY COUNT: how many are not what they have become.
APP_PROGRAM(CountOld) {
  int count = 0;
  if (!absl::SimpleAtoi(arguments[1], &count)) return Failed("count");
  int64_t old = 0;
  for (int i = 0; i < count; ++i) {
    old += IsOld(PathOf(arguments[0], i), KindOf(i));
  }
  return Done(old);
}

class FirstLookTest : public testing::TestWithParam<std::tuple<View, View>> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(device_.Start());
  }

  Device device_{{.policy = AllowAllPolicy(), .packages = StandardPackages()}};
};

TEST_P(FirstLookTest, NothingStaysAsItWas) {
  const App maker = device_.Launch(kCamera, std::get<0>(GetParam()));
  const App looker = device_.Launch(kGallery, std::get<1>(GetParam()));
  ASSERT_THAT(maker.MakeDirectory("box"), Succeeds());
  const std::string path = device_.Keep("pace", std::string(sizeof(Pace), 0));
  ASSERT_EQ(chmod(path.c_str(), 0666), 0);
  Pace* const pace = MapPace(path);
  ASSERT_NE(pace, nullptr);
  new (pace) Pace;
  const std::string count = absl::StrCat(IsLong() ? 200'000 : 10'000);

  maker.Begin("MakeMany", {path, maker.At("box"), count});
  looker.Begin("LookAtMany", {path, looker.At("box"), count});
  EXPECT_THAT(maker.Finish(), Succeeds());
  EXPECT_THAT(looker.Finish(), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(looker.Run("CountOld", {looker.At("box"), count}), Returns(0));
}

std::string ViewsName(
    const testing::TestParamInfo<std::tuple<View, View>>& info) {
  return Name(std::get<0>(info.param)) + "And" + Name(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(, FirstLookTest,
                         testing::Values(std::tuple(View::kApp, View::kApp),
                                         std::tuple(View::kApp, View::kShared),
                                         std::tuple(View::kShared, View::kApp)),
                         ViewsName);

}  // namespace
}  // namespace fused::androidtest
