// Users share a volume's mount and nothing else: each has a tree of its own.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// The trees of users 0 and 10.
class Trees {
 public:
  Trees() {
    char name[] = "/tmp/fused-users.XXXXXX";
    EXPECT_NE(mkdtemp(name), nullptr);
    top_ = name;
    for (const char* user : {"0", "10"}) {
      for (const char* below : {"", "/media", "/media/DCIM", "/media/Download",
                                "/media/Android", "/media/Android/data"}) {
        const std::string path = absl::StrCat(top_, "/", user, below);
        EXPECT_EQ(mkdir(path.c_str(), 0770), 0) << path;
      }
    }
  }
  ~Trees() {
    std::error_code ignored;
    std::filesystem::remove_all(top_, ignored);
  }

  std::string lower() const { return top_ + "/{user}/media"; }
  std::string At(int user, std::string_view path) const {
    return absl::StrCat(top_, "/", user, "/media/", path);
  }
  const std::string& top() const { return top_; }

 private:
  std::string top_;
};

class UsersTest : public BothViewsTest {
 protected:
  const Trees trees_;
  Device device_{
      {.packages = StandardPackages(), .lower_path = trees_.lower()}};
};

TEST_P(UsersTest, EachSeesItsOwnTree) {
  ASSERT_TRUE(device_.Start());
  const App first = device_.Launch(kCamera, view(), 0);
  const App second = device_.Launch(kCamera, view(), 10);
  ASSERT_THAT(first.Create("DCIM/a.jpg", "first"), Succeeds());
  ASSERT_THAT(second.Create("DCIM/a.jpg", "second"), Succeeds());
  ASSERT_THAT(second.Create("DCIM/b.jpg", "b"), Succeeds());
  EXPECT_EQ(ReadFile(trees_.At(0, "DCIM/a.jpg")), "first");
  EXPECT_EQ(ReadFile(trees_.At(10, "DCIM/a.jpg")), "second");
  // Turn by turn: the kernel of a shared mount has one root for both.
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(first.Read("DCIM/a.jpg"), Reads("first"));
    EXPECT_THAT(second.Read("DCIM/a.jpg"), Reads("second"));
    EXPECT_THAT(first.List("DCIM"), Lists(ElementsAre("a.jpg")));
    EXPECT_THAT(second.List("DCIM"),
                Lists(UnorderedElementsAre("a.jpg", "b.jpg")));
    EXPECT_THAT(first.Stat("DCIM/b.jpg"), FailsWith(ENOENT));
  }
  ASSERT_THAT(second.MakeDirectory("Pictures"), Succeeds());
  EXPECT_THAT(second.List(""), Lists(Contains("Pictures")));
  EXPECT_THAT(first.List(""), Lists(testing::Not(Contains("Pictures"))));
  EXPECT_THAT(first.Stat("Pictures"), FailsWith(ENOENT));
  ASSERT_THAT(second.Rename("DCIM/b.jpg", "Pictures/b.jpg"), Succeeds());
  EXPECT_THAT(second.Read("Pictures/b.jpg"), Reads("b"));
}

TEST_P(UsersTest, WhatOneHasOpenStaysAsItIs) {
  ASSERT_TRUE(device_.Start());
  const App first = device_.Launch(kCamera, view(), 0);
  const App second = device_.Launch(kCamera, view(), 10);
  ASSERT_THAT(first.Create("DCIM/a.jpg", "first"), Succeeds());
  ASSERT_THAT(second.Create("DCIM/a.jpg", "second"), Succeeds());
  const File open = first.Open("DCIM/a.jpg", O_RDWR);
  ASSERT_THAT(open, Opens());
  ASSERT_THAT(second.Unlink("DCIM/a.jpg"), Succeeds());
  ASSERT_THAT(second.RemoveDirectory("DCIM"), FailsWith(EACCES));
  EXPECT_THAT(open.WriteAt(0, "F"), Succeeds());
  EXPECT_THAT(first.Read("DCIM/a.jpg"), Reads("First"));
  EXPECT_THAT(second.Stat("DCIM/a.jpg"), FailsWith(ENOENT));
}

// The same package is another app for each user.
TEST_P(UsersTest, PrivateDirectories) {
  ASSERT_TRUE(device_.Start());
  const App first = device_.Launch(kCamera, view(), 0);
  const App second = device_.Launch(kCamera, view(), 10);
  const std::string path = absl::StrCat("Android/data/", kCamera);
  ASSERT_THAT(first.MakeDirectory(path), Succeeds());
  ASSERT_THAT(first.Create(path + "/mine", "x"), Succeeds());
  EXPECT_THAT(second.Stat(path), FailsWith(ENOENT));
  EXPECT_THAT(second.Stat(path + "/mine"), FailsWith(ENOENT));
}

INSTANTIATE_BOTH_VIEWS(UsersTest);

class OtherUsersTest : public DeviceTest {};

TEST_F(OtherUsersTest, WhoHasNoTreeFindsNothing) {
  const Trees trees;
  Device device({.packages = StandardPackages(), .lower_path = trees.lower()});
  ASSERT_TRUE(device.Start());
  const App first = device.Launch(kCamera, View::kShared, 0);
  ASSERT_THAT(first.Create("DCIM/a.jpg", "first"), Succeeds());
  const App none = device.Launch(kCamera, View::kShared, 11);
  EXPECT_THAT(none, SeesNothingAt("DCIM"));
  EXPECT_THAT(none, SeesNothingAt("DCIM/a.jpg"));
  EXPECT_THAT(none.List(""), FailsWith(ENOENT));
  EXPECT_THAT(none.MakeDirectory("DCIM/new"), FailsWith(ENOENT));
  const Completed view =
      device.Ctl({"view", absl::StrCat("--package=", kCamera), "--user=11"});
  EXPECT_EQ(view.exit, 1) << view.error;
  EXPECT_THAT(view.error, testing::HasSubstr("user 11"));
  // A tree that comes is found.
  const std::string path = absl::StrCat(trees.top(), "/11");
  ASSERT_EQ(mkdir(path.c_str(), 0770), 0);
  ASSERT_EQ(mkdir((path + "/media").c_str(), 0770), 0);
  EXPECT_THAT(none.MakeDirectory("DCIM"), Succeeds());
  EXPECT_THAT(none.Create("DCIM/b.jpg", "b"), Succeeds());
  EXPECT_THAT(first.List("DCIM"), Lists(ElementsAre("a.jpg")));
}

// A volume with one tree is user 0's, also where the kernel knows its names.
TEST_F(OtherUsersTest, OneTreeIsUser0s) {
  Device device({.packages = StandardPackages()});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  const App first = device.Launch(kCamera, View::kShared, 0);
  ASSERT_THAT(first.Create("DCIM/a.jpg", "a"), Succeeds());
  ASSERT_THAT(first.Stat("DCIM/a.jpg"), Succeeds());
  for (const View view : {View::kShared, View::kApp}) {
    const App other = device.Launch(kCamera, view, 10);
    EXPECT_THAT(other, SeesNothingAt("DCIM/a.jpg"));
    EXPECT_THAT(other.Stat("DCIM"), FailsWith(ENOENT));
    EXPECT_THAT(other.List("DCIM"), FailsWith(ENOENT));
    EXPECT_THAT(other.Create("DCIM/b.jpg"), FailsWith(ENOENT));
  }
}

// Who runs as an app does not find the trees beside the mount.
TEST_F(OtherUsersTest, TheTreesAreHidden) {
  const Trees trees;
  Device device({.packages = StandardPackages(), .lower_path = trees.lower()});
  ASSERT_TRUE(device.Start());
  ASSERT_EQ(chmod(trees.top().c_str(), 0755), 0);
  const App app = device.Launch(kCamera, View::kApp);
  EXPECT_THAT(app.List(trees.top()),
              testing::AnyOf(FailsWith(EACCES), Lists(IsEmpty())));
}

TEST_F(OtherUsersTest, SeveralVolumes) {
  const Trees trees;
  Device device({.packages = StandardPackages(),
                 .lower_path = trees.lower(),
                 .second_volume = "card"});
  for (const char* name : {"DCIM", "Download"}) {
    ASSERT_TRUE(MakeDirectories(device.SecondLower() + "/" + name));
  }
  ASSERT_TRUE(device.Start());
  const std::string card = device.SecondMount() + "/DCIM/card.jpg";
  const App shared = device.Launch(kCamera, View::kShared);
  ASSERT_THAT(shared.Create(card, "card"), Succeeds());
  const App app = device.Launch(kCamera, View::kApp);
  EXPECT_THAT(app.Read(card), Reads("card"));
  ASSERT_THAT(app.Create("DCIM/main.jpg", "main"), Succeeds());
  EXPECT_THAT(app.Stat("DCIM/card.jpg"), FailsWith(ENOENT));
  const App other = device.Launch(kCamera, View::kApp, 10);
  EXPECT_THAT(other.Stat(card), FailsWith(ENOENT));
  // Views by path do not stand in each other's way.
  std::vector<std::string> paths;
  for (const char* volume : {"external_primary", "card"}) {
    const Completed view =
        device.Ctl({"view", absl::StrCat("--package=", kCamera),
                    absl::StrCat("--volume=", volume)});
    ASSERT_EQ(view.exit, 0) << view.error;
    paths.push_back(view.output.substr(0, view.output.find('\n')));
  }
  EXPECT_EQ(paths[0], absl::StrCat(device.views(), "/0/", kCamera, "/storage"));
  EXPECT_EQ(ReadFile(paths[0] + "/DCIM/main.jpg"), "main");
  EXPECT_EQ(ReadFile(paths[1] + "/DCIM/card.jpg"), "card");
  EXPECT_TRUE(device.Stop());
}

}  // namespace
}  // namespace fused::androidtest
