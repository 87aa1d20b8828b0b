// Grants of single files, as a photo picker gives them.
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;

class GrantsTest : public BothViewsTest {
 protected:
  void SetUp() override {
    BothViewsTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    ASSERT_TRUE(device_.Start());
    const App camera = device_.Launch(kCamera, view());
    for (const char* path :
         {"DCIM/a.jpg", "DCIM/b.jpg", "Documents/paper.pdf"}) {
      ASSERT_THAT(camera.Create(path, "content"), Succeeds());
    }
  }

  std::string Grant(std::string_view path, std::string_view access = "READ",
                    std::string_view more = "",
                    std::string_view package = kStranger) {
    return absl::StrCat("grants { package: '", package, "' path: '", path,
                        "' access: GRANT_", access, " ", more, "}\n");
  }

  // Makes these all the grants that there are.
  Completed Push(const std::vector<std::string>& grants) {
    std::string text = AppsText(StandardPackages(), ++version_);
    for (const std::string& grant : grants) text += grant;
    Completed done =
        device_.Ctl({"apps", device_.Keep("granted.textproto", text)});
    EXPECT_EQ(done.exit, 0) << done.error;
    return done;
  }

  App Stranger(uid_t user = 0) {
    return device_.Launch(kStranger, view(), user);
  }

  Device device_{{.packages = StandardPackages()}};
  uint64_t version_ = 1;
};

TEST_P(GrantsTest, CountAtTheNextOpen) {
  const App stranger = Stranger();
  EXPECT_THAT(stranger.Read("DCIM/a.jpg"), FailsWith(EACCES));
  Push({Grant("DCIM/a.jpg")});
  EXPECT_THAT(stranger.Read("DCIM/a.jpg"), Reads("content"));
  EXPECT_THAT(stranger.Read("DCIM/b.jpg"), FailsWith(EACCES));
  EXPECT_THAT(stranger.Overwrite("DCIM/a.jpg", "x"), FailsWith(EACCES));
  EXPECT_THAT(stranger.Open("DCIM/a.jpg", O_RDONLY | O_TRUNC),
              FailsWith(EACCES));
  EXPECT_THAT(stranger.Unlink("DCIM/a.jpg"), FailsWith(EACCES));
  EXPECT_THAT(stranger.Rename("DCIM/a.jpg", "DCIM/c.jpg"), FailsWith(EACCES));
  EXPECT_THAT(device_.Launch(kMusic, view()).Read("DCIM/a.jpg"),
              FailsWith(EACCES));
  Push({});
  EXPECT_THAT(stranger.Read("DCIM/a.jpg"), FailsWith(EACCES));
}

TEST_P(GrantsTest, ToWrite) {
  const App stranger = Stranger();
  Push({Grant("Documents/paper.pdf", "WRITE")});
  EXPECT_THAT(stranger.Read("Documents/paper.pdf"), Reads("content"));
  EXPECT_THAT(stranger.Overwrite("Documents/paper.pdf", "CON"), Succeeds());
  EXPECT_THAT(stranger.Read("Documents/paper.pdf"), Reads("CONtent"));
  EXPECT_THAT(stranger.Truncate("Documents/paper.pdf", 3), Succeeds());
  EXPECT_THAT(stranger.Unlink("Documents/paper.pdf"), FailsWith(EACCES));
}

// What the name comes to stand for later was not granted.
TEST_P(GrantsTest, AreOfTheFileAndNotOfItsName) {
  const App camera = device_.Launch(kCamera, view());
  const App stranger = Stranger();
  Push({Grant("DCIM/a.jpg")});
  ASSERT_THAT(camera.Rename("DCIM/a.jpg", "Pictures/moved.jpg"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(stranger.Read("Pictures/moved.jpg"), Reads("content"));
  ASSERT_THAT(camera.Create("DCIM/a.jpg", "another"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(stranger.Read("DCIM/a.jpg"), FailsWith(EACCES));
  // A later push with the same grant is no new one.
  Push({Grant("DCIM/a.jpg"), Grant("DCIM/b.jpg")});
  EXPECT_THAT(stranger.Read("DCIM/a.jpg"), FailsWith(EACCES));
  EXPECT_THAT(stranger.Read("Pictures/moved.jpg"), Reads("content"));
  EXPECT_THAT(stranger.Read("DCIM/b.jpg"), Reads("content"));
  // Nor is a restart.
  for (const bool killed : {false, true}) {
    if (killed) {
      device_.Kill();
    } else {
      ASSERT_TRUE(device_.Stop());
    }
    ASSERT_TRUE(device_.Start());
    const App again = Stranger();
    EXPECT_THAT(again.Read("DCIM/a.jpg"), FailsWith(EACCES));
    EXPECT_THAT(again.Read("Pictures/moved.jpg"), Reads("content"));
  }
}

TEST_P(GrantsTest, GoWithTheFile) {
  const App camera = device_.Launch(kCamera, view());
  const App stranger = Stranger();
  Push({Grant("DCIM/a.jpg"), Grant("DCIM/b.jpg")});
  EXPECT_THAT(stranger.Read("DCIM/a.jpg"), Reads("content"));
  ASSERT_THAT(camera.Unlink("DCIM/a.jpg"), Succeeds());
  ASSERT_THAT(camera.Create("DCIM/c.jpg", "c"), Succeeds());
  ASSERT_THAT(camera.Rename("DCIM/c.jpg", "DCIM/b.jpg"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  // Lower file systems give inode numbers away again.
  for (int i = 0; i < 20; ++i) {
    const std::string path = absl::StrCat("DCIM/new", i, ".jpg");
    ASSERT_THAT(camera.Create(path, "new"), Succeeds());
    EXPECT_THAT(stranger.Read(path), FailsWith(EACCES));
  }
  EXPECT_THAT(stranger.Read("DCIM/b.jpg"), FailsWith(EACCES));
  const Completed done = Push({Grant("DCIM/a.jpg"), Grant("Documents/none")});
  EXPECT_THAT(done.error + done.output, HasSubstr("grants[0]"));
  EXPECT_THAT(done.error + done.output, HasSubstr("grants[1]"));
}

TEST_P(GrantsTest, ToOneUserAndOneVolume) {
  Push({Grant("DCIM/a.jpg", "READ", "user: 10"),
        Grant("DCIM/b.jpg", "READ", "volume: 'card'")});
  EXPECT_THAT(Stranger().Read("DCIM/a.jpg"), FailsWith(EACCES));
  EXPECT_THAT(Stranger().Read("DCIM/b.jpg"), FailsWith(EACCES));
  EXPECT_THAT(Stranger(10).Read("DCIM/a.jpg"), FailsWith(ENOENT));
  Push({Grant("DCIM/b.jpg", "READ", "volume: 'external_primary'")});
  EXPECT_THAT(Stranger().Read("DCIM/b.jpg"), Reads("content"));
}

TEST_P(GrantsTest, Expire) {
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  Push({Grant("DCIM/a.jpg", "READ",
              absl::StrCat("expires { seconds: ", now - 1, " } ")),
        Grant("DCIM/b.jpg", "READ",
              absl::StrCat("expires { seconds: ", now + 3600, " } "))});
  EXPECT_THAT(Stranger().Read("DCIM/a.jpg"), FailsWith(EACCES));
  EXPECT_THAT(Stranger().Read("DCIM/b.jpg"), Reads("content"));
}

// The same as for those who may read all pictures: not where they were taken.
TEST_P(GrantsTest, ShowNoLocation) {
  Push({Grant("DCIM/a.jpg"), Grant("DCIM/b.jpg", "READ", "", kMusic)});
  const Completed told = device_.Ctl(
      {"--json", "explain", "--uid=10064", "--op=READ", "DCIM/a.jpg"});
  EXPECT_THAT(told.output, HasSubstr("granted"));
  EXPECT_THAT(told.output, HasSubstr("REDACTED"));
}

// Nobody is granted what does not exist for him.
TEST_P(GrantsTest, NothingPrivate) {
  const App camera = device_.Launch(kCamera, view());
  const std::string path = absl::StrCat("Android/data/", kCamera, "/a.jpg");
  ASSERT_THAT(camera.Create(path, "private"), Succeeds());
  Push({Grant(path, "WRITE")});
  EXPECT_THAT(Stranger(), SeesNothingAt(path));
}

INSTANTIATE_BOTH_VIEWS(GrantsTest);

}  // namespace
}  // namespace fused::androidtest
