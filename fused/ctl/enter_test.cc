// With plain tmpfs mounts in place of views, so that no daemon is needed.

#include "fused/ctl/enter.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fused/ctl/mount_table.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

constexpr uint32_t kUid = 10061;

void Write(const std::string& path) {
  std::ofstream(path) << "content\n";
  EXPECT_EQ(0, chmod(path.c_str(), 0666)) << path;
}

void MakeDirectory(const std::string& path) {
  EXPECT_EQ(0, mkdir(path.c_str(), 0755)) << path;
  EXPECT_EQ(0, chmod(path.c_str(), 0755)) << path;
}

void Bind(const std::string& from, const std::string& to) {
  MakeDirectory(to);
  EXPECT_EQ(0, mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr))
      << to;
}

// A detached tmpfs with a file "view".
kernel::Fd MakeView() {
  kernel::Fd context(fsopen("tmpfs", FSOPEN_CLOEXEC));
  fsconfig(context.get(), FSCONFIG_SET_STRING, "mode", "0777", 0);
  fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
  kernel::Fd view(fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  EXPECT_TRUE(view.valid());
  kernel::Fd file(
      openat(view.get(), "view", O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
  EXPECT_TRUE(file.valid());
  return view;
}

class EnterTest : public testing::Test {
 protected:
  // BASE is a file system with the lower tree, on which are mounted: the
  // shared view at mnt, and every tree once more elsewhere.
  void SetUp() override {
    if (getuid() != 0 || unshare(CLONE_NEWNS) != 0) {
      GTEST_SKIP() << "needs root";
    }
    ASSERT_EQ(0, mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
    std::string pattern = "/tmp/fused_enter_XXXXXX";
    ASSERT_NE(nullptr, mkdtemp(pattern.data()));
    base_ = pattern;
    ASSERT_EQ(0, mount("base", base_.c_str(), "tmpfs", 0, "mode=0755"));
    MakeDirectory(base_ + "/lower");
    MakeDirectory(base_ + "/lower/sub");
    MakeDirectory(base_ + "/lower/other");
    Write(base_ + "/lower/secret");
    Write(base_ + "/lower/sub/secret");
    ASSERT_EQ(0, mount("inner", (base_ + "/lower/other").c_str(), "tmpfs", 0,
                       "mode=0755"));
    Write(base_ + "/lower/other/secret");
    MakeDirectory(base_ + "/views");
    Write(base_ + "/views/secret");
    MakeDirectory(base_ + "/open");
    Write(base_ + "/open/file");
    MakeDirectory(base_ + "/mnt");
    ASSERT_EQ(
        0, mount("shared", (base_ + "/mnt").c_str(), "tmpfs", 0, "mode=0755"));
    MakeDirectory(base_ + "/mnt/below");
    Write(base_ + "/mnt/secret");
    Bind(base_ + "/lower", base_ + "/same");
    Bind(base_ + "/lower/sub", base_ + "/inside");
    Bind(base_, base_ + "/above");
    Bind(base_ + "/mnt", base_ + "/shared alias");
    // One upon the other: what is below comes to light.
    ASSERT_EQ(0, mount((base_ + "/lower").c_str(), (base_ + "/same").c_str(),
                       nullptr, MS_BIND, nullptr));
    response_.set_uid(kUid);
    response_.add_mounts()->set_mountpoint(base_ + "/mnt");
    response_.add_hide(base_ + "/lower");
    response_.add_hide(base_ + "/views");
    response_.add_hide(base_ + "/absent");
  }

  void TearDown() override {
    if (base_.empty()) return;
    if (chdir("/") != 0) ADD_FAILURE();
    umount2(base_.c_str(), MNT_DETACH);
    rmdir(base_.c_str());
  }

  // The status that the command exits with as the app; 125 where it could not
  // be entered.
  int Run(const std::vector<std::string>& command) {
    kernel::Fd view = MakeView();
    const pid_t child = fork();
    if (child == 0) {
      std::vector<kernel::Fd> views;
      views.push_back(std::move(view));
      auto status = EnterNamespace(response_, std::move(views));
      if (status.ok()) status = BecomeApp(response_.uid());
      if (!status.ok()) {
        std::fprintf(stderr, "%s\n", kernel::Describe(status).c_str());
        _exit(125);
      }
      _exit(Execute(command));
    }
    int status = 0;
    EXPECT_EQ(child, waitpid(child, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

  int Shell(const std::string& script) {
    return Run({"/bin/sh", "-c", absl::StrCat("B=", base_, "\n", script)});
  }

  std::string base_;
  control::v1::RunResponse response_;
};

TEST_F(EnterTest, TheMountPointIsTheView) {
  EXPECT_EQ(0,
            Shell("test -f $B/mnt/view && test ! -e $B/mnt/secret &&"
                  " echo new > $B/mnt/file && grep -q content $B/open/file"));
  // Outside nothing has changed.
  EXPECT_EQ(0, access((base_ + "/mnt/secret").c_str(), F_OK));
  EXPECT_EQ(0, access((base_ + "/same/secret").c_str(), F_OK));
}

TEST_F(EnterTest, NoPathLeadsToWhatIsHidden) {
  EXPECT_EQ(0, Shell("found=$(find $B -name secret 2>/dev/null)\n"
                     "test -z \"$found\" || { echo \"$found\" >&2; exit 1; }"));
  for (const char* path :
       {"lower/secret", "lower/sub/secret", "lower/other/secret", "same/secret",
        "inside/secret", "above/lower/secret", "views/secret",
        "above/views/secret", "shared alias/secret"}) {
    EXPECT_EQ(0, access(absl::StrCat(base_, "/", path).c_str(), F_OK)) << path;
    EXPECT_EQ(1, Shell(absl::StrCat("test -e \"$B/", path, "\""))) << path;
  }
  EXPECT_EQ(0, Shell("! touch $B/lower/new 2>/dev/null"));
}

TEST_F(EnterTest, OtherProcessesDoNotHelp) {
  const std::string outside = absl::StrCat("/proc/", getpid());
  EXPECT_EQ(
      0, access(absl::StrCat(outside, "/root", base_, "/lower/secret").c_str(),
                F_OK));
  ASSERT_EQ(0, chdir((base_ + "/lower").c_str()));
  const kernel::Fd held(
      open((base_ + "/lower").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (const std::string& way : {absl::StrCat("/root", base_, "/lower/secret"),
                                 std::string("/cwd/secret"),
                                 absl::StrCat("/fd/", held.get(), "/secret")}) {
    EXPECT_EQ(0, access((outside + way).c_str(), F_OK)) << way;
    EXPECT_EQ(1, Shell(absl::StrCat("test -e ", outside, way))) << way;
  }
}

TEST_F(EnterTest, ANewUserNamespaceDoesNotHelp) {
  EXPECT_EQ(0, Shell("unshare -Urm sh -c \"umount $B/lower; umount -l $B/views;"
                     " mount --bind $B $B/mnt; find $B -name secret\""
                     " 2>/dev/null > $B/mnt/out\n"
                     "test ! -s $B/mnt/out"));
}

TEST_F(EnterTest, ItIsTheAppAndNoMore) {
  EXPECT_EQ(0, Shell("test \"$(id -u) $(id -g) $(id -G)\" ="
                     " '10061 10061 10061'"));
  EXPECT_EQ(0, Shell("s=/proc/self/status\n"
                     "for set in CapInh CapPrm CapEff CapBnd CapAmb; do\n"
                     "  grep -q \"^$set:.0000000000000000$\" $s || exit 1\n"
                     "done\n"
                     "grep -q '^NoNewPrivs:.1$' $s"));
}

TEST_F(EnterTest, DescriptorsAreClosed) {
  const int inherited =
      open((base_ + "/lower").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_GE(inherited, 3);
  EXPECT_EQ(1, Shell(absl::StrCat("test -e /proc/self/fd/", inherited)));
  close(inherited);
}

TEST_F(EnterTest, TheWorkingDirectory) {
  auto in = [&](const std::string& directory) {
    EXPECT_EQ(0, chdir((base_ + directory).c_str()));
    return [&](const std::string& wanted) {
      return Shell(absl::StrCat("test \"$(/bin/pwd)\" = ", wanted));
    };
  };
  EXPECT_EQ(0, in("/open")("$B/open"));
  EXPECT_EQ(0, in("/mnt")("$B/mnt"));
  EXPECT_EQ(0, in("/mnt/below")("$B/mnt"));
  EXPECT_EQ(0, in("/lower/sub")("$B/mnt"));
  // A way to the hidden tree that is no more.
  EXPECT_EQ(0, in("/same/sub")("/"));
}

TEST_F(EnterTest, ExitCodes) {
  EXPECT_EQ(7, Shell("exit 7"));
  EXPECT_EQ(1009, Shell("kill -9 $$"));
  EXPECT_EQ(127, Run({"/does/not/exist"}));
  EXPECT_EQ(127, Run({"no-such-command-anywhere"}));
  EXPECT_EQ(126, Run({base_ + "/open/file"}));
  response_.set_uid(0);
  EXPECT_EQ(125, Shell("true"));
}

TEST_F(EnterTest, AMountPointInWhatIsHiddenIsRefused) {
  response_.add_hide(base_);
  EXPECT_EQ(125, Shell("true"));
}

TEST(MountTableTest, Parses) {
  const auto entries = ParseMountTable(
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "bad line\n"
      "23 22 0:30 /a\\040b /with\\134slash rw - tmpfs none rw\n");
  ASSERT_EQ(2u, entries.size());
  EXPECT_EQ(22u, entries[0].id);
  EXPECT_EQ("8:1", entries[0].device);
  EXPECT_EQ("/a b", entries[1].root);
  EXPECT_EQ("/with\\slash", entries[1].path);
}

TEST(MountTableTest, Within) {
  EXPECT_TRUE(IsWithin("/a/b", "/a"));
  EXPECT_TRUE(IsWithin("/a", "/a"));
  EXPECT_TRUE(IsWithin("/a", "/"));
  EXPECT_FALSE(IsWithin("/ab", "/a"));
  EXPECT_FALSE(IsWithin("/", "/a"));
  EXPECT_EQ("/b", RestOf("/a/b", "/a"));
  EXPECT_EQ("", RestOf("/a", "/a"));
  EXPECT_EQ("/a", RestOf("/a", "/"));
  EXPECT_EQ("", RestOf("/", "/"));
}

}  // namespace
}  // namespace fused::ctl
