// Who may do what, and with which modes and owners, in the profile `posix`.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/posix_scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// Every way to change a file's content, by Alice, by Bob, and by root.
void ChangeInEveryWay(Scene* scene, mode_t mode) {
  const auto name = [mode](const char* how) {
    return absl::StrFormat("%s%o", how, mode);
  };
  scene->File(name("of_team"), mode, kTeam);
  scene->TellOf(name("of_team"));
  scene->Tell(scene->alice().Overwrite(name("of_team"), "x"));
  scene->TellOf(name("of_team"));
  scene->File(name("written"), mode);
  scene->Tell(scene->alice().Overwrite(name("written"), "x"));
  scene->TellOf(name("written"));
  scene->File(name("truncated"), mode);
  scene->Tell(scene->alice().Truncate(name("truncated"), 3));
  scene->TellOf(name("truncated"));
  scene->File(name("opened"), mode);
  scene->Tell(scene->alice().Open(name("opened"), O_WRONLY | O_TRUNC));
  scene->TellOf(name("opened"));
  scene->File(name("appended"), mode);
  {
    const File file = scene->bob().Open(name("appended"), O_WRONLY | O_APPEND);
    scene->Tell(file.Write("more"));
    scene->Tell(file.Write("more"));
  }
  scene->TellOf(name("appended"));
  scene->File(name("allocated"), mode);
  {
    const File file = scene->alice().Open(name("allocated"), O_WRONLY);
    scene->Tell(file.Allocate(0, 0, 100));
  }
  scene->TellOf(name("allocated"));
  scene->File(name("copied"), mode);
  {
    const File from = scene->alice().Open(name("written"), O_RDONLY);
    const File to = scene->alice().Open(name("copied"), O_WRONLY);
    scene->Tell(from.CopyTo(to, 4));
  }
  scene->TellOf(name("copied"));
  scene->File(name("by_root"), mode);
  scene->Tell(scene->root().Overwrite(name("by_root"), "x"));
  scene->TellOf(name("by_root"));
}

TEST_P(PosixTest, WritingClearsSetIdBits) {
  ExpectAsNatively([](Scene* scene) {
    for (const mode_t mode : {06777, 04777, 02777, 04666, 0777}) {
      ChangeInEveryWay(scene, mode);
    }
  });
}

// The bit which once meant a mandatory lock stays for members of the group.
TEST_P(PosixTest, SetGidWithoutGroupExecution) {
  ExpectAsNatively([](Scene* scene) {
    for (const mode_t mode : {02767, 06666}) ChangeInEveryWay(scene, mode);
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

INSTANTIATE_ON_TMPFS_AND_DISK(PosixTest);

}  // namespace
}  // namespace fused::androidtest
