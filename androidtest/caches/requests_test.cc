// What reaches the daemon of what an app has asked before: by the daemon's own
// count.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

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

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

// The machine may drop what its kernel caches at any time: what is asked again
// is free if it is free once.
constexpr int kAttempts = 50;

class RequestsTest : public DeviceTest {
 protected:
  RequestsTest() : RequestsTest({.packages = StandardPackages()}) {}
  explicit RequestsTest(const Device::Options& options) : device_(options) {}

  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    for (int i = 0; i < kFiles; ++i) {
      ASSERT_TRUE(WriteFile(
          device_.LowerPath(absl::StrCat("Download/many/f", i)), "x"));
    }
    ASSERT_TRUE(device_.Start());
  }

  // Whether, some time, `act` costs none of these.
  testing::AssertionResult Spares(const std::vector<std::string>& opcodes,
                                  const std::function<void()>& act) {
    std::string last;
    for (int i = 0; i < kAttempts; ++i) {
      const Counts before = device_.Count();
      act();
      const Counts cost = device_.Count() - before;
      int64_t sum = 0;
      for (const std::string& opcode : opcodes) sum += cost.Requests(opcode);
      if (sum == 0) return testing::AssertionSuccess();
      last = testing::PrintToString(cost);
    }
    return testing::AssertionFailure() << "costs " << last;
  }

  // Whether, some time, `act` costs these and no others.
  testing::AssertionResult Costs(const std::map<std::string, int64_t>& wanted,
                                 const std::function<void()>& act) {
    std::map<std::string, int64_t> last;
    for (int i = 0; i < kAttempts; ++i) {
      const Counts before = device_.Count();
      act();
      last = (device_.Count() - before).requests;
      std::erase_if(last, [](const auto& one) {
        // What the kernel gives back is not asked for.
        return one.second == 0 || one.first == "FORGET" ||
               one.first == "BATCH_FORGET";
      });
      if (last == wanted) return testing::AssertionSuccess();
    }
    return testing::AssertionFailure()
           << "costs " << testing::PrintToString(last);
  }

  // Of the app's own view.
  int64_t RequestsOf(std::string_view package) {
    int64_t sum = 0;
    const control::v1::Status status = device_.Status();
    for (const auto& view : status.volumes(0).views()) {
      if (view.package() != package) continue;
      for (const auto& [opcode, count] : view.requests()) {
        // What the kernel gives back is not asked for.
        if (opcode != "FORGET" && opcode != "BATCH_FORGET") {
          sum += static_cast<int64_t>(count);
        }
      }
    }
    return sum;
  }

  const int kFiles = IsLong() ? 10'000 : 1'000;
  Device device_;
  const std::vector<std::string> kLooks = {"LOOKUP", "GETATTR", "READDIR",
                                           "READDIRPLUS"};
};

// DIRECTORY: as `ls -l`.
APP_PROGRAM(ListAndStat) {
  const int fd = open(arguments[0].c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const directory = fd < 0 ? nullptr : fdopendir(fd);
  if (directory == nullptr) return Failed("open");
  int count = 0;
  while (const dirent* entry = readdir(directory)) {
    struct stat st;
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
      return Failed("fstatat");
    }
    ++count;
  }
  closedir(directory);
  return Done(count);
}

TEST_F(RequestsTest, AListingAgain) {
  const App app = device_.Launch(kCamera, View::kApp);
  EXPECT_TRUE(Spares(kLooks, [&] {
    EXPECT_THAT(app.Run("ListAndStat", {app.At("Download/many")}),
                Returns(kFiles + 2));
  }));
  EXPECT_TRUE(Spares(kLooks, [&] {
    EXPECT_THAT(app.List("Download/many").names, SizeIs(kFiles));
  }));
}

// In the shared view too, where all are shown the same.
TEST_F(RequestsTest, AListingAgainInTheSharedView) {
  const App app = device_.Launch(kCamera, View::kShared);
  const App other = device_.Launch(kStranger, View::kShared);
  for (const App* who : {&app, &other, &app}) {
    EXPECT_TRUE(Spares({"GETATTR", "READDIR", "READDIRPLUS"}, [&] {
      EXPECT_THAT(who->List("Download/many").names, SizeIs(kFiles));
    }));
  }
}

// By rules that show and serve all alike. (Where some are to see no location,
// the name of a file is looked up for each.)
class AlikeTest : public RequestsTest {
 protected:
  explicit AlikeTest(const Arguments& flags = {})
      : RequestsTest({.policy = AllowAllPolicy(),
                      .packages = {{.name = kCamera, .uid = 10001},
                                   {.name = kStranger, .uid = 10002}},
                      .flags = flags}) {}

  void SetUp() override {
    RequestsTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(WriteFile(device_.LowerPath("Download/x/y"), "y"));
  }
};

// Callers of other users find nothing in the root, so it is asked for each.
TEST_F(AlikeTest, APathInTheSharedViewCostsOneLookup) {
  const App app = device_.Launch(kCamera, View::kShared);
  EXPECT_TRUE(Costs({{"LOOKUP", 1}}, [&] {
    EXPECT_THAT(app.Stat("Download/x/y"), Succeeds());
  }));
  EXPECT_TRUE(Costs({{"LOOKUP", 1}}, [&] {
    EXPECT_THAT(app.Stat("Download/x/absent"), FailsWith(ENOENT));
  }));
}

// The operator says that there are none.
class OneUserTest : public AlikeTest {
 protected:
  OneUserTest() : AlikeTest({"--single_user=true"}) {}

  std::string Warnings() {
    return testing::PrintToString(device_.Status().volumes(0).warnings());
  }
};

TEST_F(OneUserTest, WhatIsKnownCostsTheSharedViewNothing) {
  const App app = device_.Launch(kCamera, View::kShared);
  for (const char* path : {"Download/x/y", "Download"}) {
    EXPECT_TRUE(Costs({}, [&] { EXPECT_THAT(app.Stat(path), Succeeds()); }))
        << path;
  }
  for (const char* path : {"Download/x/absent", "absent"}) {
    EXPECT_TRUE(Costs({}, [&] {
      EXPECT_THAT(app.Stat(path), FailsWith(ENOENT));
    })) << path;
  }
  EXPECT_TRUE(Costs({{"OPEN", 1}, {"RELEASE", 1}}, [&] {
    EXPECT_THAT(app.Open("Download/x/y", O_RDONLY), Opens());
  }));
  EXPECT_TRUE(Costs({{"OPENDIR", 1}, {"RELEASEDIR", 1}}, [&] {
    EXPECT_THAT(app.Run("ListAndStat", {app.At("Download/many")}),
                Returns(kFiles + 2));
  }));
  EXPECT_TRUE(Costs({{"OPENDIR", 1}, {"RELEASEDIR", 1}},
                    [&] { EXPECT_THAT(app.List(""), Succeeds()); }));
  EXPECT_THAT(Warnings(), Not(HasSubstr("single_user")));
}

// And is wrong: who asks is told what he was told before, and it is said.
TEST_F(OneUserTest, AnotherUserIsWarnedOf) {
  const App owner = device_.Launch(kCamera, View::kShared);
  const App other = device_.LaunchUid(1010001);
  EXPECT_THAT(other.Stat("Download"), FailsWith(ENOENT));
  EXPECT_THAT(other.List(""), FailsWith(ENOENT));
  // Nor is that kept for the one user.
  EXPECT_THAT(owner.Stat("Download"), Succeeds());
  EXPECT_THAT(device_.Status().volumes(0).warnings(),
              Contains(AllOf(HasSubstr("single_user"), HasSubstr("1010001"))));
}

TEST_F(RequestsTest, AnAbsentNameAgain) {
  const App app = device_.Launch(kCamera, View::kApp);
  for (const char* path : {"Download/absent", "absent", "Android/data/absent",
                           "Download/many/absent"}) {
    EXPECT_TRUE(Spares({"LOOKUP"}, [&] {
      EXPECT_THAT(app.Stat(path), FailsWith(ENOENT));
    })) << path;
  }
}

// The next question takes as long, and costs as much, for both.
TEST_F(RequestsTest, ADeniedNameIsKeptAsAnAbsentOne) {
  const App app = device_.Launch(kCamera, View::kApp);
  const App gallery = device_.Launch(kGallery, View::kApp);
  const std::string denied = absl::StrCat("Android/data/", kGallery);
  EXPECT_TRUE(Spares(
      {"LOOKUP"}, [&] { EXPECT_THAT(app.Stat(denied), FailsWith(ENOENT)); }));
  // Nor is it looked up again when the owner has done something there: that
  // would tell that there is something.
  ASSERT_THAT(gallery.MakeDirectory(denied + "/d"), Succeeds());
  bool quiet = false;
  for (int i = 0; i < kAttempts && !quiet; ++i) {
    app.Stat(denied);
    app.Stat("Android/data");
    const int64_t before = RequestsOf(kCamera);
    for (const char* name : {"/d", "/e"}) {
      ASSERT_THAT(gallery.Rename(denied + "/d", denied + "/f"), Succeeds());
      ASSERT_THAT(gallery.Rename(denied + "/f", denied + "/d"), Succeeds());
      ASSERT_THAT(gallery.Create(denied + "/new"), Succeeds());
      ASSERT_THAT(gallery.Unlink(denied + "/new"), Succeeds());
      ASSERT_TRUE(device_.Sync());
      EXPECT_THAT(app.Stat(denied), FailsWith(ENOENT)) << name;
      EXPECT_THAT(app.Stat("Android/data"), Succeeds());
    }
    quiet = RequestsOf(kCamera) == before;
  }
  EXPECT_TRUE(quiet);
}

// The same of the directory itself.
TEST_F(RequestsTest, AHiddenDirectoryComesAndGoesInSilence) {
  const App app = device_.Launch(kCamera, View::kApp);
  const App owner = device_.Launch(kStranger, View::kApp);
  const std::string denied = absl::StrCat("Android/obb/", kStranger);
  bool quiet = false;
  for (int i = 0; i < kAttempts && !quiet; ++i) {
    app.Stat(denied);
    app.Stat("Android/obb");
    const int64_t before = RequestsOf(kCamera);
    owner.RemoveDirectory(denied);
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(app.Stat(denied), FailsWith(ENOENT));
    ASSERT_THAT(owner.MakeDirectory(denied), Succeeds());
    ASSERT_TRUE(device_.Sync());
    EXPECT_THAT(app.Stat(denied), FailsWith(ENOENT));
    EXPECT_THAT(app.Stat("Android/obb"), Succeeds());
    quiet = RequestsOf(kCamera) == before;
  }
  EXPECT_TRUE(quiet);
}

TEST_F(RequestsTest, AttributesOfWhatOneChanged) {
  const App app = device_.Launch(kCamera, View::kApp);
  ASSERT_THAT(app.Create("Download/own", "x"), Succeeds());
  EXPECT_TRUE(Spares(
      kLooks, [&] { EXPECT_THAT(app.Stat("Download/own"), HasSize(1)); }));
  // The answer to what changed them carries them.
  EXPECT_TRUE(Spares(kLooks, [&] {
    EXPECT_THAT(app.ChangeMode("Download/own", 0600), Succeeds());
    EXPECT_THAT(app.Stat("Download/own"), HasSize(1));
  }));
  EXPECT_TRUE(Spares(kLooks, [&] {
    EXPECT_THAT(app.SetTimes("Download/own", 1'000'000'000), Succeeds());
    EXPECT_THAT(app.Stat("Download/own"), HasSize(1));
  }));
}

TEST_F(RequestsTest, ExtendedAttributesAreFree) {
  const App app = device_.Launch(kCamera, View::kApp);
  ASSERT_THAT(app.Create("Download/own", "x"), Succeeds());
  EXPECT_TRUE(Spares({"GETXATTR", "LOOKUP"}, [&] {
    EXPECT_THAT(app.GetXattr("Download/own", "user.a"), FailsWith(EOPNOTSUPP));
  }));
}

class PosixRequestsTest : public DeviceTest {
 protected:
  Device device_{{.flags = {"--profile=posix"}}};
};

TEST_F(PosixRequestsTest, ASymbolicLinkAgain) {
  ASSERT_EQ(symlink("target", device_.LowerPath("link").c_str()), 0);
  ASSERT_TRUE(device_.Start());
  const App app = device_.LaunchUid(0);
  bool free = false;
  for (int i = 0; i < kAttempts && !free; ++i) {
    const Counts before = device_.Count();
    EXPECT_THAT(app.ReadLink("link"), Succeeds());
    EXPECT_THAT(app.Stat("absent"), FailsWith(ENOENT));
    free = (device_.Count() - before).AllRequests() == 0;
  }
  EXPECT_TRUE(free);
}

}  // namespace
}  // namespace fused::androidtest
