// What one view changes the others see: at once in the own one, in the others
// when `fusedctl sync` returns at the latest.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
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

using testing::ElementsAre;
using testing::Gt;
using testing::IsEmpty;

using Views = std::tuple<View, View>;

class CoherenceTest : public testing::TestWithParam<Views> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(device_.Start());
  }

  App First() { return device_.Launch(kCamera, std::get<0>(GetParam())); }
  App Second() { return device_.Launch(kGallery, std::get<1>(GetParam())); }

  Device device_{{.policy = AllowAllPolicy(), .packages = StandardPackages()}};
};

TEST_P(CoherenceTest, NamesComeAndGo) {
  const App a = First();
  const App b = Second();
  // It has been told that there is nothing.
  EXPECT_THAT(b.Stat("new"), FailsWith(ENOENT));
  EXPECT_THAT(b.List(""), Lists(IsEmpty()));

  ASSERT_THAT(a.Create("new", "content"), Succeeds());
  EXPECT_THAT(a.Read("new"), Reads("content"));
  EXPECT_THAT(a.List(""), Lists(ElementsAre("new")));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Stat("new"), HasSize(7));
  EXPECT_THAT(b.Read("new"), Reads("content"));
  EXPECT_THAT(b.List(""), Lists(ElementsAre("new")));

  ASSERT_THAT(a.Rename("new", "newer"), Succeeds());
  EXPECT_THAT(a.Stat("new"), FailsWith(ENOENT));
  EXPECT_THAT(a.Read("newer"), Reads("content"));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Stat("new"), FailsWith(ENOENT));
  EXPECT_THAT(b.Read("newer"), Reads("content"));
  EXPECT_THAT(b.List(""), Lists(ElementsAre("newer")));

  ASSERT_THAT(a.Unlink("newer"), Succeeds());
  EXPECT_THAT(a.Stat("newer"), FailsWith(ENOENT));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Stat("newer"), FailsWith(ENOENT));
  EXPECT_THAT(b.Open("newer", O_RDONLY), FailsWith(ENOENT));
  EXPECT_THAT(b.List(""), Lists(IsEmpty()));
}

TEST_P(CoherenceTest, DirectoriesComeAndGo) {
  const App a = First();
  const App b = Second();
  ASSERT_THAT(a.MakeDirectory("d"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  ASSERT_THAT(b.Create("d/file", "b's"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(a.Read("d/file"), Reads("b's"));
  EXPECT_THAT(a.RemoveDirectory("d"), FailsWith(ENOTEMPTY));

  ASSERT_THAT(a.Rename("d", "e"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Read("e/file"), Reads("b's"));
  EXPECT_THAT(b.Read("d/file"), FailsWith(ENOENT));
  // Another of the old name is another.
  ASSERT_THAT(b.MakeDirectory("d"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(a.List("d"), Lists(IsEmpty()));
  EXPECT_THAT(a.Read("d/file"), FailsWith(ENOENT));

  ASSERT_THAT(b.Unlink("e/file"), Succeeds());
  ASSERT_THAT(b.RemoveDirectory("e"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(a.Stat("e"), FailsWith(ENOENT));
  EXPECT_THAT(a.List(""), Lists(ElementsAre("d")));
}

TEST_P(CoherenceTest, ContentAndSizeFollow) {
  const App a = First();
  const App b = Second();
  ASSERT_THAT(a.Create("f", "0123456789"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Stat("f"), HasSize(10));
  {
    const File file = a.Open("f", O_RDWR);
    ASSERT_THAT(file.WriteAt(10, "more"), Returns(4));
    EXPECT_THAT(a.Stat("f"), HasSize(14));
    // While it is open for writing nobody keeps its attributes.
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(b.Stat("f"), HasSize(14));
    ASSERT_THAT(file.WriteAt(14, "!"), Returns(1));
    EXPECT_THAT(b.Stat("f"), HasSize(15));
    EXPECT_THAT(b.Read("f"), Reads("0123456789more!"));
  }
  ASSERT_THAT(a.Truncate("f", 3), Succeeds());
  EXPECT_THAT(a.Stat("f"), HasSize(3));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Stat("f"), HasSize(3));
  EXPECT_THAT(b.Read("f"), Reads("012"));
  ASSERT_THAT(a.SetTimes("f", 1'500'000'000'000'000'000), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_EQ(b.Stat("f").attributes.modified(), 1'500'000'000'000'000'000);
}

TEST_P(CoherenceTest, AnOpenFileOutlivesItsName) {
  const App a = First();
  const App b = Second();
  ASSERT_THAT(a.Create("f", "content"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const File file = b.Open("f", O_RDWR);
  ASSERT_THAT(file, Opens());
  ASSERT_THAT(a.Unlink("f"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(file.ReadAt(0, 100), Reads("content"));
  EXPECT_THAT(file.WriteAt(0, "CON"), Returns(3));
  EXPECT_THAT(file.ReadAt(0, 100), Reads("CONtent"));
  EXPECT_THAT(file.Stat(), HasSize(7));
  EXPECT_EQ(file.Stat().attributes.links(), 0U);
  EXPECT_THAT(file.Truncate(2), Succeeds());
  EXPECT_THAT(file.ReadAt(0, 100), Reads("CO"));
}

TEST_P(CoherenceTest, WhatIsReplacedIsGone) {
  const App a = First();
  const App b = Second();
  ASSERT_THAT(a.Create("f", "old"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Read("f"), Reads("old"));
  ASSERT_THAT(a.Create("g", "newer"), Succeeds());
  ASSERT_THAT(a.Rename("g", "f"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Read("f"), Reads("newer"));
  EXPECT_THAT(b.Stat("f"), HasSize(5));
  ASSERT_THAT(a.Create("g", "other"), Succeeds());
  ASSERT_THAT(a.Rename("g", "f", RENAME_NOREPLACE), FailsWith(EEXIST));
  ASSERT_THAT(a.Rename("g", "f", RENAME_EXCHANGE), Succeeds());
  EXPECT_THAT(a.Read("f"), Reads("other"));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Read("f"), Reads("other"));
  EXPECT_THAT(b.Read("g"), Reads("newer"));
}

// DIRECTORY ROUNDS
APP_PROGRAM(MakeAndRemove) {
  int rounds = 0;
  if (!absl::SimpleAtoi(arguments[1], &rounds)) return Wrong("ROUNDS");
  for (int i = 0; i < rounds; ++i) {
    const std::string path = absl::StrCat(arguments[0], "/n", i % 50);
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return Failed("open");
    close(fd);
    const std::string moved = path + ".moved";
    if (rename(path.c_str(), moved.c_str()) != 0) return Failed("rename");
    if (unlink(moved.c_str()) != 0) return Failed("unlink");
  }
  return Done(rounds);
}

// DIRECTORY ROUNDS
APP_PROGRAM(LookAround) {
  int rounds = 0;
  if (!absl::SimpleAtoi(arguments[1], &rounds)) return Wrong("ROUNDS");
  for (int i = 0; i < rounds; ++i) {
    for (const char* end : {"", ".moved", ".never"}) {
      struct stat st;
      const std::string path = absl::StrCat(arguments[0], "/n", i % 50, end);
      if (stat(path.c_str(), &st) != 0 && errno != ENOENT && errno != ESTALE) {
        return Failed("stat");
      }
    }
  }
  return Done(rounds);
}

// Notifications are posted for a directory in which lookups are unanswered, all
// the time, from both sides. The kernel deadlocks who posts them wrongly.
TEST_P(CoherenceTest, NotificationsAndLookupsDoNotMeet) {
  const App a = First();
  const App b = Second();
  const App c = Second();
  ASSERT_THAT(a.MakeDirectory("d"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const std::string rounds = IsLong() ? "50000" : "2000";
  a.Begin("MakeAndRemove", {a.At("d"), rounds});
  b.Begin("LookAround", {b.At("d"), rounds});
  c.Begin("LookAround", {c.At("d"), rounds});
  EXPECT_TRUE(device_.Sync());
  EXPECT_THAT(a.Finish(), Succeeds());
  EXPECT_THAT(b.Finish(), Succeeds());
  EXPECT_THAT(c.Finish(), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.List("d"), Lists(IsEmpty()));
  const control::v1::VolumeStatus volume = device_.Status().volumes(0);
  EXPECT_EQ(volume.invalidations().queued(), 0U);
  EXPECT_EQ(volume.unanswered(), 0U);
  EXPECT_TRUE(device_.Stop());
}

// Within the shared view the kernel keeps names by itself.
TEST_P(CoherenceTest, OtherViewsAreTold) {
  if (GetParam() == Views(View::kShared, View::kShared)) {
    EXPECT_THAT(First().Create("f", "x"), Succeeds());
    EXPECT_THAT(Second().Read("f"), Reads("x"));
    return;
  }
  const App a = First();
  const App b = Second();
  ASSERT_THAT(a.Create("f", "x"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(b.Read("f"), Reads("x"));
  ASSERT_THAT(a.Unlink("f"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const control::v1::Invalidations told =
      device_.Status().volumes(0).invalidations();
  EXPECT_THAT(told.entries() + told.epochs(), Gt(0U));
}

std::string ViewsName(const testing::TestParamInfo<Views>& info) {
  return Name(std::get<0>(info.param)) + "And" + Name(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(
    , CoherenceTest,
    testing::Combine(testing::Values(View::kApp, View::kShared),
                     testing::Values(View::kApp, View::kShared)),
    ViewsName);

}  // namespace
}  // namespace fused::androidtest
