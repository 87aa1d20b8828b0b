// Who a caller is: by its uid in the shared view, by the view itself in an
// app's own.
#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Contains;

constexpr char kPhoto[] = "a photo";

// PATH: the options of what is mounted topmost there.
APP_PROGRAM(MountOptions) {
  std::string options;
  for (const MountLine& mount :
       ParseMountInfo(ReadFile("/proc/self/mountinfo"))) {
    if (mount.path == arguments[0]) options = mount.options;
  }
  return options.empty() ? Wrong("nothing is mounted there") : Done(0, options);
}

class IdentityTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    ASSERT_TRUE(WriteFile(device_.LowerPath(Private()), "private"));
    ASSERT_TRUE(device_.Start());
    ASSERT_THAT(
        device_.Launch(kCamera, View::kApp).Create("DCIM/photo.jpg", kPhoto),
        Succeeds());
    ASSERT_TRUE(device_.Sync());
  }

  static std::string Private() {
    return absl::StrCat("Android/data/", kStranger, "/files/private.bin");
  }

  Device device_{{.packages = StandardPackages()}};
};

TEST_F(IdentityTest, RootAndShellAreTheAbsoluteUids) {
  for (const uid_t uid : {0U, 2000U}) {
    const App app = device_.LaunchUid(uid);
    EXPECT_THAT(app.Read("DCIM/photo.jpg"), Reads(kPhoto)) << uid;
    EXPECT_THAT(app.Read(Private()), Reads("private")) << uid;
    EXPECT_THAT(app.List("Android/data"), Lists(Contains(kStranger))) << uid;
    EXPECT_THAT(app.Create(absl::StrCat("root", uid, ".txt")), Succeeds())
        << uid;
  }
  for (const uid_t uid : {100'000U, 102'000U, 200'000U, 1'000'000U}) {
    const App app = device_.LaunchUid(uid);
    EXPECT_THAT(app.Read("DCIM/photo.jpg"), Fails()) << uid;
    EXPECT_THAT(app.Read(Private()), FailsWith(ENOENT)) << uid;
    EXPECT_THAT(app.List("Android/data"), Fails()) << uid;
    EXPECT_THAT(app.Create(absl::StrCat("root", uid, ".txt")), Fails()) << uid;
    EXPECT_THAT(app.Open("DCIM/photo.jpg", O_WRONLY), Fails()) << uid;
    EXPECT_THAT(app.Unlink("DCIM/photo.jpg"), Fails()) << uid;
  }
  EXPECT_EQ(ReadFile(device_.LowerPath("DCIM/photo.jpg")), kPhoto);
}

// The volume is user 0's alone: another user's app sees nothing in it.
TEST_F(IdentityTest, AnotherUserSeesNothing) {
  for (const App& other : {device_.LaunchUid(100'000 + 10061),
                           device_.Launch(kCamera, View::kShared, /*user=*/1),
                           device_.Launch(kCamera, View::kApp, /*user=*/1)}) {
    EXPECT_THAT(other, SeesNothingAt("DCIM/photo.jpg"));
    EXPECT_THAT(other, SeesNothingAt(Private()));
    EXPECT_THAT(other.Create("DCIM/other.jpg"), FailsWith(ENOENT));
  }
  EXPECT_FALSE(Exists(device_.LowerPath("DCIM/other.jpg")));
}

// An app without permissions and without a package.
TEST_F(IdentityTest, AnUnlistedUidSeesWhatAllSee) {
  const App unlisted = device_.LaunchUid(19'999);
  EXPECT_THAT(unlisted.Stat("DCIM/photo.jpg"), Succeeds());
  EXPECT_THAT(unlisted.List("DCIM"), Lists(Contains("photo.jpg")));
  EXPECT_THAT(unlisted.List(""), Lists(Contains("DCIM")));
  EXPECT_THAT(unlisted.Read("DCIM/photo.jpg"), FailsWith(EACCES));
  EXPECT_THAT(unlisted.Open("DCIM/photo.jpg", O_WRONLY), FailsWith(EACCES));
  EXPECT_THAT(unlisted.Create("DCIM/new.jpg"), FailsWith(EACCES));
  EXPECT_THAT(unlisted.MakeDirectory("DCIM/new"), FailsWith(EACCES));
  EXPECT_THAT(unlisted.Unlink("DCIM/photo.jpg"), FailsWith(EACCES));
  EXPECT_THAT(unlisted.Rename("DCIM/photo.jpg", "DCIM/b.jpg"),
              FailsWith(EACCES));
  EXPECT_THAT(unlisted, SeesNothingAt(Private()));
}

// Packages that share a uid are one app.
TEST_F(IdentityTest, PackagesThatShareAUidShareTheirFiles) {
  for (const View view : {View::kApp, View::kShared}) {
    const App editor = device_.Launch(kCameraEditor, view);
    EXPECT_THAT(editor.Read("DCIM/photo.jpg"), Reads(kPhoto)) << Name(view);
    EXPECT_THAT(editor.Open("DCIM/photo.jpg", O_RDWR), Opens()) << Name(view);
    EXPECT_THAT(editor.Create(absl::StrCat("Android/data/", kCamera, "/files/",
                                           Name(view))),
                Succeeds())
        << Name(view);
  }
}

TEST_F(IdentityTest, RunGivesTheAppsIdentityAndNoMore) {
  const Completed id = device_.Ctl({"run", absl::StrCat("--package=", kCamera),
                                    "--", "/bin/cat", "/proc/self/status"});
  ASSERT_EQ(id.exit, 0) << testing::PrintToString(id);
  for (const char* line :
       {"Uid:\t10061\t10061\t10061\t10061\n",
        "Gid:\t10061\t10061\t10061\t10061\n", "Groups:\t \n",
        "CapInh:\t0000000000000000\n", "CapPrm:\t0000000000000000\n",
        "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n",
        "CapAmb:\t0000000000000000\n", "NoNewPrivs:\t1\n"}) {
    EXPECT_THAT(id.output, testing::HasSubstr(line));
  }
  const Completed descriptors =
      device_.Ctl({"run", absl::StrCat("--package=", kCamera), "--", "/bin/ls",
                   "/proc/self/fd"});
  // The last is ls's own.
  EXPECT_EQ(descriptors.output, "0\n1\n2\n3\n");
}

TEST_F(IdentityTest, RunTellsHowTheCommandEnded) {
  const std::string package = absl::StrCat("--package=", kCamera);
  const auto run = [&](const Arguments& command) {
    Arguments all = {"run", package, "--"};
    all.insert(all.end(), command.begin(), command.end());
    return device_.Ctl(all).exit;
  };
  EXPECT_EQ(run({"/bin/true"}), 0);
  EXPECT_EQ(run({"/bin/sh", "-c", "exit 7"}), 7);
  EXPECT_EQ(run({"/nonexistent"}), 127);
  EXPECT_EQ(run({"/etc/passwd"}), 126);
  EXPECT_EQ(
      device_.Ctl({"run", "--package=com.unknown", "--", "/bin/true"}).exit,
      125);
}

// The mounts are as a media volume's should be.
TEST_F(IdentityTest, OwnershipAndModesAreSynthesised) {
  const App own = device_.Launch(kCamera, View::kApp);
  const App shared = device_.Launch(kCamera, View::kShared);
  EXPECT_EQ(own.Stat("DCIM/photo.jpg").attributes.uid(), 10061U);
  EXPECT_EQ(own.Stat("DCIM/photo.jpg").attributes.mode(), S_IFREG | 0660U);
  EXPECT_EQ(own.Stat("DCIM").attributes.mode(), S_IFDIR | 0770U);
  EXPECT_EQ(shared.Stat("DCIM/photo.jpg").attributes.uid(), 0U);
  EXPECT_EQ(shared.Stat("DCIM/photo.jpg").attributes.gid(), 1023U);
  // The lower file, whatever the app asked for.
  struct stat st;
  ASSERT_EQ(stat(device_.LowerPath("DCIM/photo.jpg").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFREG | 0660U);
  EXPECT_EQ(st.st_uid, 0U);
  EXPECT_EQ(st.st_gid, 1023U);
  // Changes of both succeed and do nothing.
  EXPECT_THAT(own.ChangeMode("DCIM/photo.jpg", 0777), Succeeds());
  EXPECT_THAT(own.ChangeOwner("DCIM/photo.jpg", 10061, 10061), Succeeds());
  EXPECT_EQ(own.Stat("DCIM/photo.jpg").attributes.mode(), S_IFREG | 0660U);
  ASSERT_EQ(stat(device_.LowerPath("DCIM/photo.jpg").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode, S_IFREG | 0660U);
  EXPECT_THAT(own.GetXattr("DCIM/photo.jpg", "user.x"), FailsWith(EOPNOTSUPP));
}

TEST_F(IdentityTest, NothingIsExecutedOrTrustedOnTheMount) {
  const App camera = device_.Launch(kCamera, View::kApp);
  for (const App& app : {camera, device_.LaunchUid(0)}) {
    const Outcome mounts = app.Run("MountOptions", {device_.mount()});
    ASSERT_THAT(mounts, Succeeds()) << app.name();
    for (const char* option : {"nosuid", "nodev", "noexec", "noatime"}) {
      EXPECT_THAT(mounts.data, testing::HasSubstr(option)) << app.name();
    }
  }
}

}  // namespace
}  // namespace fused::androidtest
