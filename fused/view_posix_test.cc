// The posix profile: the lower tree's own ownership and modes, all kinds of
// files, and set-id bits that go when they must.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>

#include "fuse_kernel.h"
#include "fused/owner.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"
#include "kernel/testing/fake_kernel.h"

namespace fused {
namespace {

using kernel::kRootNode;
using kernel::Terminated;

class PosixTest : public ViewTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) {
      GTEST_SKIP() << "NOT TESTED: files of others can be made by root alone";
    }
    ViewTest::SetUp();
    context_.posix = true;
    MakeFile("f", "0123456789");
  }

  struct stat StatOf(std::string_view name) const {
    struct stat stat = {};
    EXPECT_EQ(lstat(Path(name).c_str(), &stat), 0) << name;
    return stat;
  }
};

TEST_F(PosixTest, WhatIsMadeIsTheCallers) {
  MountedView& view = Mount();
  constexpr From kCaller{.uid = 1234, .gid = 2345};
  fuse_create_in create = {};
  create.flags = O_RDWR | O_CREAT;
  create.mode = S_IFREG | 0666;
  create.umask = 027;
  ASSERT_EQ(
      view.Call(FUSE_CREATE, kRootNode, create, Terminated("new"), kCaller)
          .error,
      0);
  fuse_mkdir_in mkdir = {};
  mkdir.mode = 01777;
  mkdir.umask = 022;
  ASSERT_EQ(
      view.Call(FUSE_MKDIR, kRootNode, mkdir, Terminated("d"), kCaller).error,
      0);
  fuse_mknod_in mknod = {};
  mknod.mode = S_IFIFO | 0600;
  ASSERT_EQ(view.Call(FUSE_MKNOD, kRootNode, mknod, Terminated("fifo"), kCaller)
                .error,
            0);
  ASSERT_EQ(view.Call(FUSE_SYMLINK, kRootNode,
                      Terminated("link") + Terminated("../target"), kCaller)
                .error,
            0);
  for (const char* name : {"new", "d", "fifo", "link"}) {
    EXPECT_EQ(StatOf(name).st_uid, 1234u) << name;
    EXPECT_EQ(StatOf(name).st_gid, 2345u) << name;
  }
  EXPECT_EQ(StatOf("new").st_mode, S_IFREG | 0640u);
  EXPECT_EQ(StatOf("d").st_mode, S_IFDIR | 01755u);
  EXPECT_EQ(StatOf("fifo").st_mode, S_IFIFO | 0600u);
  // The daemon is itself again.
  MakeFile("own", "");
  EXPECT_EQ(StatOf("own").st_uid, 0u);
  EXPECT_EQ(view.Call(FUSE_READLINK, view.Walk("link"), "").body, "../target");
  const fuse_attr shown =
      view.GetAttributes(view.Walk("new")).As<fuse_attr_out>().attr;
  EXPECT_EQ(shown.uid, 1234u);
  EXPECT_EQ(shown.mode, S_IFREG | 0640u);
}

TEST_F(PosixTest, HardLinksAreOneNode) {
  MountedView& view = Mount();
  const kernel::NodeId file = view.Walk("f");
  const Answer linked =
      view.Call(FUSE_LINK, kRootNode, fuse_link_in{file}, Terminated("g"));
  ASSERT_EQ(linked.error, 0);
  EXPECT_EQ(linked.node(), file);
  EXPECT_EQ(linked.As<fuse_entry_out>().attr.nlink, 2u);
  EXPECT_EQ(view.Call(FUSE_LINK, kRootNode, fuse_link_in{file}, Terminated("g"))
                .error,
            EEXIST);
}

TEST_F(PosixTest, ChangesOwnersAndModes) {
  MountedView& view = Mount();
  const kernel::NodeId file = view.Walk("f");
  fuse_setattr_in in = {};
  in.valid = FATTR_MODE | FATTR_UID | FATTR_GID;
  in.mode = S_IFREG | 0604;
  in.uid = 1;
  in.gid = 2;
  ASSERT_EQ(view.Call(FUSE_SETATTR, file, in, "").error, 0);
  EXPECT_EQ(StatOf("f").st_mode, S_IFREG | 0604u);
  EXPECT_EQ(StatOf("f").st_uid, 1u);
  EXPECT_EQ(StatOf("f").st_gid, 2u);
}

// The kernel has not checked whether the caller may open what it did not know
// of: it is made to look again.
TEST_F(PosixTest, CreateOfWhatIsThereIsLookedUpAgain) {
  MountedView& view = Mount();
  ASSERT_EQ(chmod(Path("f").c_str(), 0600), 0);
  EXPECT_EQ(view.Create(kRootNode, "f", O_RDWR).error, ESTALE);
  EXPECT_EQ(view.Create(kRootNode, "f", O_RDWR | O_TRUNC).error, ESTALE);
  EXPECT_EQ(view.Create(kRootNode, "f", O_RDWR | O_EXCL).error, EEXIST);
  EXPECT_EQ(Content("f"), "0123456789");
}

TEST_F(PosixTest, SetIdFilesAreServedByTheDaemonAndLoseTheirBits) {
  ASSERT_EQ(chmod(Path("f").c_str(), 06777), 0);
  MountedView& view = Mount();
  const kernel::NodeId file = view.Walk("f");
  const fuse_open_out out = view.Open(file, O_RDWR).opened();
  EXPECT_EQ(out.backing_id, 0);
  EXPECT_EQ(view.backing().opens(), 0);
  // By root they stay, by others the kernel says that they go.
  ASSERT_EQ(view.Write(file, out.fh, 0, "a").error, 0);
  EXPECT_EQ(StatOf("f").st_mode & 07777, 06777u);
  ASSERT_EQ(view.Write(file, out.fh, 0, "b", FUSE_WRITE_KILL_SUIDGID).error, 0);
  EXPECT_EQ(StatOf("f").st_mode & 07777, 0777u);

  ASSERT_EQ(chmod(Path("f").c_str(), 04755), 0);
  fuse_setattr_in in = {};
  in.valid = FATTR_SIZE | FATTR_KILL_SUIDGID;
  in.size = 1;
  ASSERT_EQ(view.Call(FUSE_SETATTR, file, in, "").error, 0);
  EXPECT_EQ(StatOf("f").st_mode & 07777, 0755u);

  ASSERT_EQ(chmod(Path("f").c_str(), 04755), 0);
  fuse_open_in open = {};
  open.flags = O_WRONLY | O_TRUNC;
  open.open_flags = FUSE_OPEN_KILL_SUIDGID;
  ASSERT_EQ(view.Call(FUSE_OPEN, file, open, "").error, 0);
  EXPECT_EQ(StatOf("f").st_mode & 07777, 0755u);
  // A set-group-id bit without the group's execute bit stays for who is in the
  // group.
  ASSERT_EQ(chown(Path("f").c_str(), 0, kAppUid), 0);
  ASSERT_EQ(chmod(Path("f").c_str(), 02744), 0);
  ASSERT_EQ(view.Write(file, out.fh, 0, "c", FUSE_WRITE_KILL_SUIDGID).error, 0);
  EXPECT_EQ(StatOf("f").st_mode & 07777, 02744u);
  ASSERT_EQ(chown(Path("f").c_str(), 0, kOtherUid), 0);
  ASSERT_EQ(chmod(Path("f").c_str(), 02744), 0);
  ASSERT_EQ(view.Write(file, out.fh, 0, "d", FUSE_WRITE_KILL_SUIDGID).error, 0);
  EXPECT_EQ(StatOf("f").st_mode & 07777, 0744u);
}

TEST_F(PosixTest, SetIdBitsAreNotSetUnderAPassthroughWriter) {
  MountedView& one = Mount();
  MountedView& two = Mount();
  const kernel::NodeId f1 = one.Walk("f");
  const kernel::NodeId f2 = two.Walk("f");
  fuse_setattr_in in = {};
  in.valid = FATTR_MODE;
  in.mode = 04755;
  const uint64_t reader = one.Open(f1, O_RDONLY).opened().fh;
  const fuse_open_out writer = one.Open(f1, O_WRONLY).opened();
  ASSERT_GT(writer.backing_id, 0);
  EXPECT_EQ(one.Call(FUSE_SETATTR, f1, in, "").error, ETXTBSY);
  EXPECT_EQ(two.Call(FUSE_SETATTR, f2, in, "").error, ETXTBSY);
  in.mode = 0755;
  EXPECT_EQ(two.Call(FUSE_SETATTR, f2, in, "").error, 0);
  one.Release(f1, writer.fh);
  in.mode = 04755;
  EXPECT_EQ(two.Call(FUSE_SETATTR, f2, in, "").error, 0);
  // From now on it is another node: nobody writes past the daemon.
  EXPECT_EQ(one.Open(f1, O_WRONLY).error, ESTALE);
  EXPECT_EQ(one.Open(one.Walk("f"), O_WRONLY).opened().backing_id, 0);
  one.Release(f1, reader);
}

TEST_F(PosixTest, ExtendedAttributesButNotTheDaemonsOwn) {
  MountedView& view = Mount();
  const kernel::NodeId file = view.Walk("f");
  const auto set = [&](std::string_view name, std::string_view value) {
    // The short form of the structure: SETXATTR_EXT is not asked for.
    fuse_setxattr_in in = {};
    in.size = static_cast<uint32_t>(value.size());
    std::string body =
        MountedView::Bytes(in).substr(0, FUSE_COMPAT_SETXATTR_IN_SIZE);
    body.append(Terminated(name)).append(value);
    return view.Call(FUSE_SETXATTR, file, body).error;
  };
  const auto get = [&](std::string_view name, uint32_t size) {
    fuse_getxattr_in in = {};
    in.size = size;
    return view.Call(FUSE_GETXATTR, file, in, Terminated(name));
  };
  if (setxattr(Path("f").c_str(), "user.probe", "x", 1, 0) != 0) {
    GTEST_SKIP() << "NOT TESTED: no extended attributes here";
  }
  ASSERT_EQ(set("user.name", "value"), 0);
  EXPECT_EQ(get("user.name", 0).As<fuse_getxattr_out>().size, 5u);
  EXPECT_EQ(get("user.name", 5).body, "value");
  EXPECT_EQ(get("user.name", 4).error, ERANGE);
  EXPECT_EQ(get("user.absent", 100).error, ENODATA);
  EXPECT_EQ(set(kOwnerXattr, "1:10001:com.example"), EPERM);
  EXPECT_EQ(set("trusted.fused.anything", "x"), EPERM);
  ASSERT_EQ(setxattr(Path("f").c_str(), kOwnerXattr, "1:1:a", 5, 0), 0);
  EXPECT_EQ(get(kOwnerXattr, 100).error, ENODATA);
  EXPECT_EQ(view.Call(FUSE_REMOVEXATTR, file, Terminated(kOwnerXattr)).error,
            EPERM);
  fuse_getxattr_in in = {};
  in.size = 4096;
  const std::string names = view.Call(FUSE_LISTXATTR, file, in, "").body;
  EXPECT_NE(names.find(Terminated("user.name")), std::string::npos);
  EXPECT_EQ(names.find("trusted.fused"), std::string::npos);
  in.size = 0;
  EXPECT_EQ(
      view.Call(FUSE_LISTXATTR, file, in, "").As<fuse_getxattr_out>().size,
      names.size());
  in.size = 3;
  EXPECT_EQ(view.Call(FUSE_LISTXATTR, file, in, "").error, ERANGE);
  EXPECT_EQ(view.Call(FUSE_REMOVEXATTR, file, Terminated("user.name")).error,
            0);
  EXPECT_EQ(get("user.name", 100).error, ENODATA);
}

TEST_F(PosixTest, UnnamedFiles) {
  MountedView& view = Mount();
  fuse_create_in in = {};
  in.flags = O_RDWR;
  in.mode = S_IFREG | 0640;
  const Answer made = view.Call(FUSE_TMPFILE, kRootNode, in, "");
  ASSERT_EQ(made.error, 0);
  EXPECT_EQ(made.As<fuse_entry_out>().attr.mode, S_IFREG | 0640u);
  ASSERT_EQ(view.Call(FUSE_LINK, kRootNode, fuse_link_in{made.node()},
                      Terminated("named"))
                .error,
            0);
  EXPECT_EQ(view.Walk("named"), made.node());
}

// What opening a file handle of an exported mount asks for.
TEST_F(PosixTest, ForgottenNodesAreFoundByTheirIds) {
  MakeDirectory("d");
  MakeFile("d/g", "content");
  MountedView& view = Mount();
  const Answer d = view.Lookup(kRootNode, "d");
  const Answer g = view.Lookup(d.node(), "g");
  ASSERT_EQ(g.error, 0);
  EXPECT_NE(g.As<fuse_entry_out>().generation, 0u);
  view.Forget(g.node(), 1);
  view.Forget(d.node(), 1);
  EXPECT_EQ(view.view().nodes(), 1u);
  EXPECT_EQ(view.GetAttributes(g.node()).error, ESTALE);

  const Answer again = view.Lookup(g.node(), ".");
  ASSERT_EQ(again.error, 0);
  EXPECT_EQ(again.node(), g.node());
  EXPECT_EQ(again.As<fuse_entry_out>().generation,
            g.As<fuse_entry_out>().generation);
  EXPECT_EQ(again.As<fuse_entry_out>().attr.ino, StatOf("d/g").st_ino);
  EXPECT_EQ(view.Lookup(g.node(), "..").error, ENOTDIR);
  EXPECT_EQ(view.Lookup(d.node(), ".").node(), d.node());
  const Answer root = view.Lookup(d.node(), "..");
  EXPECT_EQ(root.node(), kRootNode);
  EXPECT_EQ(root.As<fuse_entry_out>().generation, 0u);
  EXPECT_EQ(view.Lookup(kRootNode, "..").node(), kRootNode);
  const Answer opened = view.Open(g.node(), O_RDONLY);
  EXPECT_EQ(opened.error, 0);
  EXPECT_EQ(view.Walk("d/g"), g.node());
  EXPECT_EQ(view.Lookup(12345, ".").error, ESTALE);
}

TEST_F(PosixTest, AForgottenNodeIsStaleWhenItsFileIsGoneOrChanged) {
  MountedView& view = Mount();
  MakeFile("s", "content");
  const kernel::NodeId f = view.Lookup(kRootNode, "f").node();
  const kernel::NodeId s = view.Lookup(kRootNode, "s").node();
  view.Forget(f, 1);
  view.Forget(s, 1);
  ASSERT_EQ(unlink(Path("f").c_str()), 0);
  EXPECT_EQ(view.Lookup(f, ".").error, ESTALE);
  // Is to be served by the daemon now, so it is another node.
  ASSERT_EQ(chmod(Path("s").c_str(), 06755), 0);
  EXPECT_EQ(view.Lookup(s, ".").error, ESTALE);
  // Nothing of an earlier mount.
  MountedView& next = Mount();
  EXPECT_NE(next.Lookup(kRootNode, "s").As<fuse_entry_out>().generation,
            view.Lookup(kRootNode, "s").As<fuse_entry_out>().generation);
}

}  // namespace
}  // namespace fused
