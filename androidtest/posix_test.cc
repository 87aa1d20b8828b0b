// In the profile `posix` a mount is as good as the file system below: each
// scenario is played by the same people on both, and told alike.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

constexpr uid_t kAlice = 1000;
constexpr uid_t kBob = 1001;
// Of which only Alice is a member.
constexpr gid_t kTeam = 2000;
constexpr gid_t kOthers = 3000;

// Who acts, and what was told of it.
class Scene {
 public:
  Scene(Device* device, const std::string& root)
      : root_(device->LaunchAt(root, 0, 0)),
        alice_(device->LaunchAt(root, kAlice, kAlice, {kTeam})),
        bob_(device->LaunchAt(root, kBob, kBob)) {}

  const App& root() const { return root_; }
  const App& alice() const { return alice_; }
  const App& bob() const { return bob_; }

  // A file of root's with exactly this mode.
  void File(const std::string& name, mode_t mode, gid_t group = 0) {
    Tell(root_.Create(name, "content"));
    Tell(root_.ChangeOwner(name, 0, group));
    Tell(root_.ChangeMode(name, mode));
  }

  void Tell(const Outcome& outcome) {
    story_.push_back(outcome.ok()
                         ? absl::StrCat(outcome.value, " ",
                                        absl::CHexEscape(outcome.data), " ",
                                        absl::StrJoin(outcome.names, ","))
                         : ErrorName(outcome.error));
  }
  void Tell(const androidtest::File& file) {
    story_.push_back(file.ok() ? "opened" : ErrorName(file.error()));
  }
  // What lstat(2) tells, but for times and numbers of inodes.
  void TellOf(const std::string& name) { TellAttributes(root_.LinkStat(name)); }
  void TellAttributes(const Outcome& outcome) {
    const v1::Attributes& a = outcome.attributes;
    story_.push_back(
        outcome.ok() ? absl::StrFormat(
                           "%o %d:%d links %d size %d device %x", a.mode(),
                           a.uid(), a.gid(), S_ISDIR(a.mode()) ? 0 : a.links(),
                           S_ISDIR(a.mode()) ? 0 : a.size(), a.device())
                     : ErrorName(outcome.error));
  }

  const std::vector<std::string>& story() const { return story_; }

 private:
  App root_;
  App alice_;
  App bob_;
  std::vector<std::string> story_;
};

class PosixTest : public testing::TestWithParam<Device::Lower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(MakeDirectories(device_.LowerPath("natively")));
    ASSERT_TRUE(MakeDirectories(device_.LowerPath("mounted")));
    ASSERT_TRUE(device_.Start());
  }

  void ExpectAsNatively(const std::function<void(Scene*)>& play) {
    Scene natively(&device_, device_.LowerPath("natively"));
    play(&natively);
    Scene mounted(&device_, device_.MountPath("mounted"));
    play(&mounted);
    EXPECT_THAT(mounted.story(), testing::ElementsAreArray(natively.story()));
  }

  Device device_{{.lower = GetParam(), .flags = {"--profile=posix"}}};
};

TEST_P(PosixTest, WritingClearsSetIdBits) {
  ExpectAsNatively([](Scene* scene) {
    for (const mode_t mode : {06777, 04777, 02777, 02767, 06666, 0777}) {
      const std::string name = absl::StrCat("written", mode);
      scene->File(name, mode, kTeam);
      scene->TellOf(name);
      scene->Tell(scene->alice().Overwrite(name, "x"));
      scene->TellOf(name);
      const std::string truncated = absl::StrCat("truncated", mode);
      scene->File(truncated, mode);
      scene->Tell(scene->alice().Truncate(truncated, 3));
      scene->TellOf(truncated);
      const std::string opened = absl::StrCat("opened", mode);
      scene->File(opened, mode);
      scene->Tell(scene->alice().Open(opened, O_WRONLY | O_TRUNC));
      scene->TellOf(opened);
      const std::string appended = absl::StrCat("appended", mode);
      scene->File(appended, mode);
      {
        const File file = scene->bob().Open(appended, O_WRONLY | O_APPEND);
        scene->Tell(file.Write("more"));
        scene->Tell(file.Write("more"));
      }
      scene->TellOf(appended);
      const std::string allocated = absl::StrCat("allocated", mode);
      scene->File(allocated, mode);
      scene->Tell(scene->alice().Open(allocated, O_WRONLY).Allocate(0, 0, 100));
      scene->TellOf(allocated);
      const std::string by_root = absl::StrCat("by_root", mode);
      scene->File(by_root, mode);
      scene->Tell(scene->root().Overwrite(by_root, "x"));
      scene->TellOf(by_root);
    }
  });
}

// Neither while the kernel serves a writer that came before the bits.
TEST_P(PosixTest, SetIdBitsDoNotSurviveAnOpenWriter) {
  const App root = device_.LaunchAt(device_.MountPath("mounted"), 0, 0);
  const App alice =
      device_.LaunchAt(device_.MountPath("mounted"), kAlice, kAlice);
  ASSERT_THAT(root.Create("f", "content"), Succeeds());
  ASSERT_THAT(root.ChangeMode("f", 0777), Succeeds());
  const File writer = alice.Open("f", O_WRONLY);
  ASSERT_THAT(writer, Opens());
  const Outcome changed = root.ChangeMode("f", 06777);
  EXPECT_THAT(changed, testing::AnyOf(Succeeds(), FailsWith(ETXTBSY)));
  EXPECT_THAT(writer.Write("x"), Returns(1));
  EXPECT_THAT(root.Stat("f"), HasMode(0777));
}

TEST_P(PosixTest, ChangingTheOwnerClearsThem) {
  ExpectAsNatively([](Scene* scene) {
    scene->Tell(scene->alice().Create("f", "x"));
    for (const mode_t mode : {06755, 02745, 04644}) {
      scene->Tell(scene->alice().ChangeMode("f", mode));
      scene->TellOf("f");
      scene->Tell(scene->alice().ChangeOwner("f", -1, kTeam));
      scene->TellOf("f");
      scene->Tell(scene->alice().ChangeMode("f", mode));
      scene->Tell(scene->root().ChangeOwner("f", kAlice, kAlice));
      scene->TellOf("f");
    }
  });
}

TEST_P(PosixTest, WhoMayChangeModeOwnerAndTimes) {
  ExpectAsNatively([](Scene* scene) {
    scene->Tell(scene->alice().Create("f", "x"));
    scene->Tell(scene->bob().ChangeMode("f", 0777));
    scene->Tell(scene->bob().ChangeOwner("f", kBob, kBob));
    scene->Tell(scene->alice().ChangeOwner("f", kBob, kAlice));
    scene->Tell(scene->alice().ChangeOwner("f", kAlice, kOthers));
    scene->Tell(scene->alice().ChangeOwner("f", kAlice, kTeam));
    scene->Tell(scene->bob().SetTimes("f", 5));
    scene->Tell(scene->alice().SetTimes("f", 5));
    // Set-gid for a group that one is not in.
    scene->File("g", 0644, kOthers);
    scene->Tell(scene->root().ChangeOwner("g", kAlice, kOthers));
    scene->Tell(scene->alice().ChangeMode("g", 02755));
    scene->TellOf("g");
    scene->TellOf("f");
  });
}

TEST_P(PosixTest, TheUmaskIsTheCallers) {
  ExpectAsNatively([](Scene* scene) {
    for (const mode_t mask : {0, 022, 027, 077, 0777}) {
      const auto name = [&](const char* what) {
        return absl::StrCat(what, mask);
      };
      scene->Tell(scene->alice().Umask(mask));
      scene->Tell(
          scene->alice().Open(name("f"), O_RDWR | O_CREAT | O_EXCL, 0666));
      scene->TellOf(name("f"));
      scene->Tell(
          scene->alice().Open(name("s"), O_RDWR | O_CREAT | O_EXCL, 06777));
      scene->TellOf(name("s"));
      scene->Tell(scene->alice().MakeDirectory(name("d"), 0777));
      scene->TellOf(name("d"));
      scene->Tell(scene->alice().MakeDirectory(name("t"), 01777));
      scene->TellOf(name("t"));
      scene->Tell(scene->alice().MakeNode(name("p"), S_IFIFO | 0666));
      scene->TellOf(name("p"));
      scene->Tell(scene->alice().MakeNode(name("n"), S_IFREG | 0666));
      scene->TellOf(name("n"));
    }
  });
}

// The kernel's binary form of an ACL.
std::string Acl(uint16_t owner, uint16_t alice, uint16_t group, uint16_t mask,
                uint16_t other) {
  std::string bytes;
  const auto put = [&](uint32_t value, int size) {
    for (int i = 0; i < size; ++i) {
      bytes.push_back(static_cast<char>(value >> (8 * i)));
    }
  };
  const auto entry = [&](uint16_t tag, uint16_t permissions, uint32_t id) {
    put(tag, 2);
    put(permissions, 2);
    put(id, 4);
  };
  constexpr uint32_t kNobody = 0xffffffff;
  put(2, 4);
  entry(0x01, owner, kNobody);
  entry(0x02, alice, kAlice);
  entry(0x04, group, kNobody);
  entry(0x10, mask, kNobody);
  entry(0x20, other, kNobody);
  return bytes;
}

constexpr char kAccessAcl[] = "system.posix_acl_access";
constexpr char kDefaultAcl[] = "system.posix_acl_default";

TEST_P(PosixTest, AccessListsDecide) {
  ExpectAsNatively([](Scene* scene) {
    scene->File("f", 0600);
    scene->Tell(scene->alice().Read("f"));
    scene->Tell(scene->root().SetXattr("f", kAccessAcl, Acl(6, 4, 0, 7, 0)));
    scene->TellOf("f");
    scene->Tell(scene->alice().Read("f"));
    scene->Tell(scene->alice().Overwrite("f", "x"));
    scene->Tell(scene->bob().Read("f"));
    scene->Tell(scene->alice().GetXattr("f", kAccessAcl));
    // The mask takes away.
    scene->Tell(scene->root().ChangeMode("f", 0604));
    scene->TellOf("f");
    scene->Tell(scene->alice().Read("f"));
    scene->Tell(scene->bob().Read("f"));
    scene->Tell(scene->root().GetXattr("f", kAccessAcl));
    scene->Tell(scene->bob().SetXattr("f", kAccessAcl, Acl(7, 7, 7, 7, 7)));
    scene->Tell(scene->root().SetXattr("f", kAccessAcl, "nonsense"));
  });
}

TEST_P(PosixTest, DefaultAccessListsAreInherited) {
  ExpectAsNatively([](Scene* scene) {
    scene->Tell(scene->root().MakeDirectory("d", 0777));
    scene->Tell(scene->root().SetXattr("d", kDefaultAcl, Acl(7, 6, 5, 6, 4)));
    scene->Tell(scene->alice().Umask(077));
    const auto tell = [scene](const std::string& name) {
      scene->TellOf(name);
      scene->Tell(scene->root().GetXattr(name, kAccessAcl));
      scene->Tell(scene->root().GetXattr(name, kDefaultAcl));
    };
    tell("d");
    scene->Tell(scene->alice().Open("d/f", O_RDWR | O_CREAT | O_EXCL, 0666));
    tell("d/f");
    scene->Tell(scene->alice().MakeDirectory("d/d", 0777));
    tell("d/d");
    scene->Tell(scene->alice().MakeNode("d/p", S_IFIFO | 0666));
    tell("d/p");
    scene->Tell(scene->bob().Open("d/d/f", O_RDWR | O_CREAT, 0640));
    tell("d/d/f");
    scene->Tell(scene->alice().Symlink("f", "d/l"));
    scene->TellOf("d/l");
  });
}

TEST_P(PosixTest, SupplementaryGroupsCount) {
  ExpectAsNatively([](Scene* scene) {
    scene->File("team", 0660, kTeam);
    scene->File("others", 0660, kOthers);
    for (const char* name : {"team", "others"}) {
      scene->Tell(scene->alice().Read(name));
      scene->Tell(scene->alice().Overwrite(name, "x"));
      scene->Tell(scene->bob().Read(name));
      scene->Tell(scene->alice().Access(name, R_OK | W_OK));
      scene->Tell(scene->bob().Access(name, R_OK));
    }
    scene->Tell(scene->root().MakeDirectory("d", 0770));
    scene->Tell(scene->root().ChangeOwner("d", 0, kTeam));
    scene->Tell(scene->alice().Create("d/f", "x"));
    scene->Tell(scene->bob().Create("d/g", "x"));
    scene->TellOf("d/f");
  });
}

TEST_P(PosixTest, ASetGidDirectoryGivesItsGroup) {
  ExpectAsNatively([](Scene* scene) {
    for (const gid_t group : {kTeam, kOthers}) {
      const auto name = [group](const char* what) {
        return absl::StrCat("d", group, what);
      };
      scene->Tell(scene->root().MakeDirectory(name("")));
      scene->Tell(scene->root().ChangeOwner(name(""), 0, group));
      scene->Tell(scene->root().ChangeMode(name(""), 02777));
      scene->Tell(scene->alice().Create(name("/f"), "x"));
      scene->TellOf(name("/f"));
      // A set-gid program of a group that one is not in is not made.
      scene->Tell(scene->alice().Open(name("/x"), O_WRONLY | O_CREAT, 02755));
      scene->TellOf(name("/x"));
      scene->Tell(scene->alice().MakeDirectory(name("/d")));
      scene->TellOf(name("/d"));
      scene->Tell(scene->alice().MakeNode(name("/p"), S_IFIFO | 0666));
      scene->TellOf(name("/p"));
      scene->Tell(scene->alice().Symlink("f", name("/l")));
      scene->TellOf(name("/l"));
      scene->Tell(scene->alice().Open(name(""), O_TMPFILE | O_RDWR, 02755));
    }
  });
}

TEST_P(PosixTest, AStickyDirectoryKeepsOthersFiles) {
  ExpectAsNatively([](Scene* scene) {
    scene->Tell(scene->root().MakeDirectory("d"));
    scene->Tell(scene->root().ChangeMode("d", 01777));
    scene->Tell(scene->alice().Create("d/f", "x"));
    scene->Tell(scene->bob().Create("d/g", "x"));
    scene->Tell(scene->bob().Unlink("d/f"));
    scene->Tell(scene->bob().Rename("d/f", "d/h"));
    scene->Tell(scene->bob().Rename("d/g", "d/f"));
    scene->Tell(scene->bob().Rename("d/g", "d/f", RENAME_EXCHANGE));
    scene->Tell(scene->alice().Unlink("d/f"));
    scene->Tell(scene->root().Unlink("d/g"));
  });
}

TEST_P(PosixTest, SymbolicLinksAreFollowed) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    scene->Tell(alice.MakeDirectory("d"));
    scene->Tell(alice.Create("d/f", "content"));
    scene->Tell(alice.Symlink("d/f", "l"));
    scene->Tell(alice.Symlink("d", "ld"));
    scene->Tell(alice.Symlink("loop", "loop"));
    scene->Tell(alice.Symlink("nowhere", "dangling"));
    for (const char* name : {"l", "ld", "loop", "dangling", "d"}) {
      scene->TellOf(name);
      scene->Tell(alice.ReadLink(name));
    }
    scene->Tell(alice.Read("l"));
    scene->Tell(alice.Read("ld/f"));
    scene->Tell(alice.Read("loop"));
    scene->Tell(alice.Read("dangling"));
    scene->Tell(alice.Open("l", O_RDONLY | O_NOFOLLOW));
    scene->Tell(alice.Open("dangling", O_WRONLY | O_CREAT | O_EXCL));
    scene->Tell(alice.Create("dangling", "x"));
    scene->Tell(alice.Open("dangling", O_WRONLY | O_CREAT));
    scene->TellOf("nowhere");
    scene->Tell(alice.Unlink("ld"));
    scene->Tell(alice.List("d"));
    scene->Tell(alice.Symlink("x", "l"));
    scene->Tell(alice.ChangeOwner("l", -1, kTeam));
    scene->TellOf("l");
    scene->TellOf("d/f");
  });
}

TEST_P(PosixTest, SpecialFilesAreThemselves) {
  ExpectAsNatively([](Scene* scene) {
    scene->Tell(scene->root().MakeNode("null", S_IFCHR | 0666, makedev(1, 3)));
    scene->Tell(scene->root().MakeNode("disk", S_IFBLK | 0600, makedev(7, 9)));
    scene->Tell(scene->root().MakeNode("fifo", S_IFIFO | 0600));
    scene->Tell(scene->root().MakeNode("socket", S_IFSOCK | 0600));
    for (const char* name : {"null", "disk", "fifo", "socket"}) {
      scene->TellOf(name);
    }
    scene->Tell(scene->alice().Overwrite("null", "gone"));
    scene->Tell(scene->alice().Read("null"));
    scene->Tell(
        scene->alice().MakeNode("null2", S_IFCHR | 0666, makedev(1, 3)));
    scene->Tell(scene->alice().MakeNode("fifo2", S_IFIFO | 0622));
    scene->Tell(scene->bob().Open("fifo2", O_RDONLY | O_NONBLOCK));
    scene->Tell(scene->bob().Open("fifo2", O_WRONLY | O_NONBLOCK));
    scene->Tell(scene->bob().Open("socket", O_RDWR));
  });
}

TEST_P(PosixTest, HardLinksAreOneFile) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    scene->Tell(alice.Create("a", "content"));
    scene->Tell(alice.Link("a", "b"));
    scene->TellOf("a");
    scene->TellOf("b");
    scene->Tell(alice.Overwrite("b", "CON"));
    scene->Tell(alice.Read("a"));
    scene->Tell(alice.Rename("a", "b"));
    scene->TellOf("a");
    scene->Tell(alice.Unlink("a"));
    scene->TellOf("b");
    scene->Tell(alice.Link("b", "b"));
    scene->Tell(alice.Link("nowhere", "c"));
    scene->Tell(alice.MakeDirectory("d"));
    scene->Tell(alice.Link("d", "e"));
    const File file = alice.Open("b", O_RDWR);
    scene->Tell(alice.Unlink("b"));
    scene->TellAttributes(file.Stat());
    scene->Tell(file.ReadAt(0, 10));
  });
}

TEST_P(PosixTest, RenamesFollowTheRules) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    scene->Tell(alice.MakeDirectory("d"));
    scene->Tell(alice.MakeDirectory("d/d"));
    scene->Tell(alice.MakeDirectory("full"));
    scene->Tell(alice.Create("full/f", "x"));
    scene->Tell(alice.Create("f", "f"));
    scene->Tell(alice.Create("g", "g"));
    scene->Tell(alice.Rename("d", "d/d/e"));
    scene->Tell(alice.Rename("d", "full"));
    scene->Tell(alice.Rename("f", "d"));
    scene->Tell(alice.Rename("d", "f"));
    scene->Tell(alice.Rename("f", "g", RENAME_NOREPLACE));
    scene->Tell(alice.Rename("f", "full", RENAME_EXCHANGE));
    scene->TellOf("f");
    scene->TellOf("full");
    scene->Tell(alice.Rename("f", "full", RENAME_EXCHANGE));
    scene->Tell(alice.Rename("nowhere", "x"));
    scene->Tell(alice.Rename("f", "f"));
    scene->Tell(alice.Rename("f", "g"));
    scene->Tell(alice.Read("g"));
    scene->Tell(alice.Rename("full", "d/full"));
    scene->Tell(alice.List("d"));
    scene->Tell(alice.Read("d/full/f"));
    scene->Tell(alice.RemoveDirectory("d"));
    scene->Tell(alice.Unlink("d"));
    scene->Tell(alice.RemoveDirectory("g"));
    scene->Tell(alice.List(""));
  });
}

TEST_P(PosixTest, OpensFollowTheRules) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    scene->Tell(alice.MakeDirectory("d"));
    scene->Tell(alice.Create("f", "content"));
    for (const char* name : {"d", "f", "f/x", "nowhere", "nowhere/x"}) {
      for (const int flags :
           {O_RDONLY, O_WRONLY, O_RDONLY | O_DIRECTORY, O_RDONLY | O_TRUNC,
            O_WRONLY | O_CREAT | O_EXCL, O_PATH, O_RDWR | O_NOFOLLOW}) {
        scene->Tell(alice.Open(name, flags));
      }
    }
    scene->Tell(alice.Open(std::string(255, 'n'), O_WRONLY | O_CREAT));
    scene->Tell(alice.Open(std::string(256, 'n'), O_WRONLY | O_CREAT));
    scene->Tell(alice.Open("\xff\xfe: odd *?", O_WRONLY | O_CREAT));
    for (const mode_t mode : {0000, 0200, 0400, 0100}) {
      const std::string name = absl::StrCat("m", mode);
      scene->Tell(alice.Open(name, O_RDWR | O_CREAT | O_EXCL, mode));
      scene->Tell(alice.Open(name, O_RDONLY));
      scene->Tell(alice.Open(name, O_WRONLY));
      scene->Tell(alice.Access(name, X_OK));
      scene->Tell(scene->root().Access(name, X_OK));
    }
    scene->Tell(alice.List(""));
  });
}

TEST_P(PosixTest, NamelessFilesGetNames) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    const File file = alice.Open("", O_TMPFILE | O_RDWR, 0640);
    scene->Tell(file);
    if (!file.ok()) return;
    scene->Tell(file.Write("content"));
    scene->TellAttributes(file.Stat());
    scene->Tell(file.LinkAs(alice.At("named")));
    scene->TellOf("named");
    scene->Tell(alice.Read("named"));
    scene->TellAttributes(file.Stat());
  });
}

TEST_P(PosixTest, ExtendedAttributesAreKept) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    scene->Tell(alice.Create("f", "x"));
    scene->Tell(alice.SetXattr("f", "user.colour", "blue"));
    scene->Tell(alice.GetXattr("f", "user.colour"));
    scene->Tell(alice.GetXattr("f", "user.none"));
    scene->Tell(scene->bob().SetXattr("f", "user.colour", "red"));
    scene->Tell(alice.SetXattr("f", "trusted.colour", "red"));
    scene->Tell(scene->root().SetXattr("f", "trusted.colour", "green"));
    scene->Tell(scene->root().GetXattr("f", "trusted.colour"));
    scene->Tell(alice.GetXattr("f", "trusted.colour"));
    scene->Tell(alice.SetXattr("f", "user.big", std::string(2000, 'b')));
    scene->Tell(alice.GetXattr("f", "user.big"));
  });
}

TEST_P(PosixTest, RangesAreAllocatedAndCopied) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    scene->Tell(alice.Create("a", std::string(10'000, 'a')));
    scene->Tell(alice.Create("b", ""));
    const File a = alice.Open("a", O_RDWR);
    const File b = alice.Open("b", O_RDWR);
    scene->Tell(a.CopyTo(b, 9'000));
    scene->TellOf("b");
    scene->Tell(b.ReadAt(8'990, 100));
    scene->Tell(a.Allocate(FALLOC_FL_KEEP_SIZE, 10'000, 50'000));
    scene->TellOf("a");
    scene->Tell(a.Allocate(0, 10'000, 50'000));
    scene->TellOf("a");
    scene->Tell(
        a.Allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4'096, 4'096));
    scene->Tell(a.ReadAt(4'090, 20));
    scene->Tell(a.Seek(0, SEEK_HOLE));
    scene->Tell(a.Seek(4'096, SEEK_DATA));
    scene->Tell(a.Truncate(5));
    scene->TellOf("a");
    scene->Tell(a.Sync());
  });
}

TEST_P(PosixTest, AWorkingDirectoryIsFollowed) {
  ExpectAsNatively([](Scene* scene) {
    const App& alice = scene->alice();
    scene->Tell(alice.MakeDirectory("d"));
    scene->Tell(alice.MakeDirectory("d/e"));
    scene->Tell(alice.ChangeDirectory("d/e"));
    scene->Tell(alice.Rename("d", "f"));
    const Outcome where = alice.WorkingDirectory();
    EXPECT_THAT(where.data, testing::EndsWith("/f/e"));
    scene->Tell(alice.RemoveDirectory("f/e"));
    scene->Tell(alice.Stat("/proc/self/cwd/x"));
    const Outcome gone = alice.WorkingDirectory();
    EXPECT_EQ(gone.error, ENOENT);
  });
}

INSTANTIATE_TEST_SUITE_P(
    , PosixTest, testing::Values(Device::Lower::kTmpfs, Device::Lower::kDisk),
    [](const testing::TestParamInfo<Device::Lower>& info) {
      return info.param == Device::Lower::kTmpfs ? "OnTmpfs" : "OnDisk";
    });

}  // namespace
}  // namespace fused::androidtest
