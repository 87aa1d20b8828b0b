// What a view answers by names and nodes: decisions first, then the lower tree.
#include "fused/view.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fuse_kernel.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"
#include "kernel/testing/fake_kernel.h"

namespace fused {
namespace {

using kernel::kRootNode;
using kernel::Terminated;

constexpr From kOther{.uid = kOtherUid, .gid = kOtherUid};
constexpr From kUnlisted{.uid = 10003, .gid = 10003};
constexpr uint64_t kNoNode = 4711;
constexpr uint64_t kNoHandle = 4711;

std::set<std::string> NamesOf(const std::vector<ListedName>& listed) {
  std::set<std::string> names;
  for (const ListedName& name : listed) names.insert(name.name);
  return names;
}

TEST_F(ViewTest, LooksUpWhatIsThere) {
  MakeDirectory("d");
  MakeFile("d/f", "12345");
  MountedView& view = Mount();
  const kernel::NodeId d = view.Walk("d");
  ASSERT_NE(d, 0u);
  const Answer f = view.Lookup(d, "f");
  ASSERT_EQ(f.error, 0);
  EXPECT_EQ(f.As<fuse_entry_out>().attr.size, 5u);
  EXPECT_TRUE(S_ISREG(f.As<fuse_entry_out>().attr.mode));
  EXPECT_EQ(view.Walk("d/f"), f.node());
  EXPECT_EQ(view.Lookup(d, "absent").error, ENOENT);
  EXPECT_EQ(view.Lookup(f.node(), "below").error, ENOTDIR);
  EXPECT_EQ(view.view().nodes(), 3u);
}

// While it lives, nothing can be opened.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &usual_);
    struct rlimit none = usual_;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &usual_); }

 private:
  struct rlimit usual_ = {};
};

// A name that is denied is answered before the lower tree is asked: which would
// fail in another way.
TEST_F(ViewTest, DeniedNamesNeverReachTheLowerTree) {
  MakeDirectory("Private");
  MakeDirectory("Private/com.other");
  MakeFile("Private/com.other/f", "");
  MakeFile("there", "");
  MountedView& view = Mount();
  const kernel::NodeId directory = view.Walk("Private");
  ASSERT_NE(directory, 0u);
  auto none = std::make_unique<NoDescriptors>();
  EXPECT_EQ(view.Lookup(kRootNode, "there").error, EMFILE);

  for (const std::string name : {"com.other", "absent"}) {
    const size_t nodes = tree_->nodes();
    EXPECT_EQ(view.Lookup(directory, name).error, ENOENT);
    EXPECT_EQ(view.Create(directory, name, O_RDWR).error, ENOENT);
    EXPECT_EQ(view.Mkdir(directory, name).error, ENOENT);
    EXPECT_EQ(view.Unlink(directory, name).error, ENOENT);
    EXPECT_EQ(view.Rmdir(directory, name).error, ENOENT);
    EXPECT_EQ(view.Rename(directory, name, kRootNode, "x").error, ENOENT);
    EXPECT_EQ(view.Call(FUSE_SYMLINK, directory,
                        Terminated(name) + Terminated("target"))
                  .error,
              ENOENT);
    fuse_mknod_in mknod = {};
    mknod.mode = S_IFREG | 0644;
    EXPECT_EQ(view.Call(FUSE_MKNOD, directory, mknod, Terminated(name)).error,
              ENOENT);
    fuse_link_in link = {};
    link.oldnodeid = directory;
    EXPECT_EQ(view.Call(FUSE_LINK, directory, link, Terminated(name)).error,
              ENOENT);
    EXPECT_EQ(tree_->nodes(), nodes);
  }
  none = nullptr;
  for (const char* name : {"com.other", "absent"}) {
    EXPECT_EQ(view.Rename(kRootNode, "Private", directory, name).error, ENOENT);
  }
  EXPECT_TRUE(Exists("Private/com.other/f"));
  // Its owner sees it.
  EXPECT_NE(view.Walk("Private/com.other/f", kOther), 0u);
}

// A node that one caller has looked up serves no other.
// No name that the lower tree can't hold is there; what may be made is another
// question.
TEST_F(ViewTest, TooLongNamesAreNotThere) {
  MountedView& view = Mount();
  const std::string name(256, 'n');
  EXPECT_EQ(view.Lookup(kRootNode, name).error, ENOENT);
  EXPECT_EQ(view.Unlink(kRootNode, name).error, ENOENT);
  EXPECT_EQ(view.Create(kRootNode, name, O_RDWR).error, ENAMETOOLONG);
  MakeDirectory("Images");
  EXPECT_EQ(view.Create(view.Walk("Images"), name + ".jpg", O_RDWR).error,
            EPERM);
}

TEST_F(ViewTest, ANodeidIsNoKey) {
  MakeDirectory("Private");
  MakeDirectory("Private/com.other");
  MakeFile("Private/com.other/f", "secret");
  MountedView& view = Mount();
  const kernel::NodeId directory = view.Walk("Private/com.other", kOther);
  const kernel::NodeId file = view.Walk("Private/com.other/f", kOther);
  ASSERT_NE(file, 0u);
  for (const From from : {From{}, kUnlisted}) {
    EXPECT_EQ(view.Lookup(directory, "f", from).error, ENOENT);
    EXPECT_EQ(view.GetAttributes(file, from).error, ENOENT);
    EXPECT_EQ(view.GetAttributes(directory, from).error, ENOENT);
    EXPECT_EQ(view.Open(file, O_RDONLY, from).error, ENOENT);
    EXPECT_EQ(view.Open(file, O_RDONLY | O_TRUNC, from).error, ENOENT);
    EXPECT_EQ(
        view.Call(FUSE_OPENDIR, directory, fuse_open_in{}, "", from).error,
        ENOENT);
    EXPECT_EQ(view.Call(FUSE_ACCESS, file, fuse_access_in{}, "", from).error,
              ENOENT);
    EXPECT_EQ(view.Call(FUSE_STATX, file, fuse_statx_in{}, "", from).error,
              ENOENT);
    fuse_setattr_in setattr = {};
    setattr.valid = FATTR_SIZE;
    EXPECT_EQ(view.Call(FUSE_SETATTR, file, setattr, "", from).error, ENOENT);
    setattr.valid = FATTR_MODE;
    EXPECT_EQ(view.Call(FUSE_SETATTR, file, setattr, "", from).error, ENOENT);
  }
  EXPECT_EQ(Content("Private/com.other/f"), "secret");
}

TEST_F(ViewTest, ListingsLeaveOutWhatIsDenied) {
  for (const char* name :
       {"Private", "Private/com.example", "Private/com.other", "Secret", "d"}) {
    MakeDirectory(name);
  }
  MakeFile("f", "");
  MountedView& view = Mount();
  for (const bool plus : {false, true}) {
    EXPECT_EQ(NamesOf(view.List(kRootNode, plus)),
              (std::set<std::string>{"Private", "d", "f"}));
    EXPECT_EQ(NamesOf(view.List(view.Walk("Private"), plus)),
              (std::set<std::string>{"com.example"}));
    EXPECT_EQ(NamesOf(view.List(view.Walk("Private"), plus, 4096, kOther)),
              (std::set<std::string>{"com.other"}));
    EXPECT_EQ(NamesOf(view.List(view.Walk("Private"), plus, 4096, kUnlisted)),
              (std::set<std::string>{}));
  }
}

TEST_F(ViewTest, SymbolicLinksAndSpecialFilesDoNotExist) {
  ASSERT_EQ(symlink("/etc", Path("link").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  MountedView& view = Mount();
  EXPECT_EQ(view.Lookup(kRootNode, "link").error, ENOENT);
  EXPECT_EQ(view.Lookup(kRootNode, "fifo").error, ENOENT);
  EXPECT_TRUE(view.List(kRootNode).empty());
  EXPECT_EQ(view.Call(FUSE_READLINK, kRootNode, "").error, EINVAL);
  // And are not made.
  EXPECT_EQ(
      view.Call(FUSE_SYMLINK, kRootNode, Terminated("new") + Terminated("/etc"))
          .error,
      EPERM);
  for (const mode_t type : {S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK}) {
    fuse_mknod_in in = {};
    in.mode = type | 0666;
    EXPECT_EQ(view.Call(FUSE_MKNOD, kRootNode, in, Terminated("new")).error,
              EPERM);
  }
  fuse_link_in link = {};
  link.oldnodeid = kRootNode;
  EXPECT_EQ(view.Call(FUSE_LINK, kRootNode, link, Terminated("new")).error,
            EPERM);
  EXPECT_FALSE(Exists("new"));
}

TEST_F(ViewTest, LargeDirectoriesAreListedWhole) {
  constexpr int kFiles = 2000;
  MakeDirectory("d");
  for (int i = 0; i < kFiles; ++i) MakeFile(absl::StrCat("d/file-", i), "");
  MountedView& view = Mount();
  const kernel::NodeId d = view.Walk("d");
  for (const uint32_t size : {256u, 4096u, 1u << 20}) {
    EXPECT_EQ(view.List(d, false, size).size(), size_t{kFiles});
  }
  const size_t nodes = view.view().nodes();
  const std::vector<ListedName> listed = view.List(d, true);
  EXPECT_EQ(NamesOf(listed).size(), size_t{kFiles});
  EXPECT_EQ(view.view().nodes(), nodes + kFiles);
  // Each entry was one lookup, and no more.
  for (const ListedName& name : listed) view.Forget(name.entry.nodeid, 1);
  EXPECT_EQ(view.view().nodes(), nodes);
}

TEST_F(ViewTest, ForgettingIsCounted) {
  MakeFile("a", "");
  MakeFile("b", "");
  MountedView& view = Mount();
  const kernel::NodeId a = view.Walk("a");
  EXPECT_EQ(view.Walk("a"), a);
  const kernel::NodeId b = view.Walk("b");
  view.Forget(a, 1);
  EXPECT_EQ(view.GetAttributes(a).error, 0);
  view.Forget(a, 1);
  EXPECT_EQ(view.GetAttributes(a).error, ESTALE);
  // What was never there, and the root.
  for (const uint64_t node : {a, kNoNode, uint64_t{0}, UINT64_MAX}) {
    view.Forget(node, UINT64_MAX);
  }
  view.Forget(kRootNode, UINT64_MAX);
  EXPECT_EQ(view.GetAttributes(kRootNode).error, 0);
  const fuse_forget_one forgets[] = {
      {b, 1}, {kNoNode, 5}, {kRootNode, 1}, {b, 1}};
  fuse_batch_forget_in batch = {};
  batch.count = 4;
  view.Send(FUSE_BATCH_FORGET, 0,
            MountedView::Bytes(batch) + MountedView::Bytes(forgets));
  EXPECT_EQ(view.GetAttributes(b).error, ESTALE);
  EXPECT_EQ(view.view().nodes(), 1u);
  EXPECT_EQ(view.session().unanswered(), 0u);
}

TEST_F(ViewTest, UnknownNodesAreStale) {
  MountedView& view = Mount();
  const std::string name = Terminated("name");
  const auto error = [&](uint32_t opcode, const auto& in,
                         std::string_view rest) {
    return view.Call(opcode, kNoNode, in, rest).error;
  };
  EXPECT_EQ(view.Lookup(kNoNode, "a").error, ESTALE);
  EXPECT_EQ(view.Create(kNoNode, "a", O_RDWR).error, ESTALE);
  EXPECT_EQ(view.Mkdir(kNoNode, "a").error, ESTALE);
  EXPECT_EQ(view.Unlink(kNoNode, "a").error, ESTALE);
  EXPECT_EQ(view.Rmdir(kNoNode, "a").error, ESTALE);
  EXPECT_EQ(view.Rename(kNoNode, "a", kRootNode, "b").error, ESTALE);
  EXPECT_EQ(view.Rename(kRootNode, "a", kNoNode, "b").error, ESTALE);
  EXPECT_EQ(view.Call(FUSE_SYMLINK, kNoNode, name + name).error, ESTALE);
  EXPECT_EQ(view.Call(FUSE_READLINK, kNoNode, "").error, ESTALE);
  EXPECT_EQ(error(FUSE_MKNOD, fuse_mknod_in{}, name), ESTALE);
  EXPECT_EQ(error(FUSE_LINK, fuse_link_in{kRootNode}, name), ESTALE);
  EXPECT_EQ(error(FUSE_GETATTR, fuse_getattr_in{}, ""), ESTALE);
  EXPECT_EQ(error(FUSE_STATX, fuse_statx_in{}, ""), ESTALE);
  EXPECT_EQ(error(FUSE_SETATTR, fuse_setattr_in{}, ""), ESTALE);
  EXPECT_EQ(error(FUSE_OPEN, fuse_open_in{}, ""), ESTALE);
  EXPECT_EQ(error(FUSE_OPENDIR, fuse_open_in{}, ""), ESTALE);
  EXPECT_EQ(error(FUSE_TMPFILE, fuse_create_in{}, ""), ESTALE);
  EXPECT_EQ(error(FUSE_ACCESS, fuse_access_in{}, ""), ESTALE);
  EXPECT_EQ(view.Call(FUSE_LINK, kRootNode, fuse_link_in{kNoNode}, name).error,
            ESTALE);
}

TEST_F(ViewTest, UnknownHandlesAreBad) {
  MakeFile("f", "");
  MountedView& view = Mount();
  const kernel::NodeId file = view.Walk("f");
  const auto error = [&](uint32_t opcode, auto in) {
    in.fh = kNoHandle;
    return view.Call(opcode, file, in, "").error;
  };
  EXPECT_EQ(error(FUSE_READ, fuse_read_in{}), EBADF);
  EXPECT_EQ(error(FUSE_WRITE, fuse_write_in{}), EBADF);
  EXPECT_EQ(error(FUSE_FLUSH, fuse_flush_in{}), EBADF);
  EXPECT_EQ(error(FUSE_RELEASE, fuse_release_in{}), EBADF);
  EXPECT_EQ(error(FUSE_FSYNC, fuse_fsync_in{}), EBADF);
  EXPECT_EQ(error(FUSE_READDIR, fuse_read_in{}), EBADF);
  EXPECT_EQ(error(FUSE_READDIRPLUS, fuse_read_in{}), EBADF);
  EXPECT_EQ(error(FUSE_RELEASEDIR, fuse_release_in{}), EBADF);
  EXPECT_EQ(error(FUSE_FSYNCDIR, fuse_fsync_in{}), EBADF);
  EXPECT_EQ(error(FUSE_FALLOCATE, fuse_fallocate_in{}), EBADF);
  fuse_lseek_in seek = {};
  seek.whence = SEEK_HOLE;
  EXPECT_EQ(error(FUSE_LSEEK, seek), EBADF);
  fuse_ioctl_in ioctl = {};
  ioctl.cmd = 2;  // FIGETBSZ
  ioctl.out_size = 4;
  EXPECT_EQ(error(FUSE_IOCTL, ioctl), EBADF);
  fuse_lk_in lock = {};
  lock.lk.type = F_WRLCK;
  for (const uint32_t opcode : {FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW}) {
    EXPECT_EQ(error(opcode, lock), EBADF);
  }
  lock.lk_flags = FUSE_LK_FLOCK;
  EXPECT_EQ(error(FUSE_SETLKW, lock), EBADF);
  const uint64_t good = view.Open(file, O_RDWR).opened().fh;
  fuse_copy_file_range_in copy = {};
  copy.nodeid_out = file;
  for (const auto& [in, out] : {std::pair{good, kNoHandle},
                                {kNoHandle, good},
                                {kNoHandle, kNoHandle}}) {
    copy.fh_in = in;
    copy.fh_out = out;
    EXPECT_EQ(view.Call(FUSE_COPY_FILE_RANGE, file, copy, "").error, EBADF);
  }
}

TEST_F(ViewTest, ErrorsByThePolicy) {
  MakeDirectory("ReadOnly");
  MakeFile("ReadOnly/f", "content");
  MakeDirectory("Images");
  MountedView& view = Mount();
  const kernel::NodeId directory = view.Walk("ReadOnly");
  const kernel::NodeId file = view.Walk("ReadOnly/f");
  EXPECT_EQ(view.Open(file, O_RDONLY).error, 0);
  for (const int flags : {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_ACCMODE}) {
    EXPECT_EQ(view.Open(file, flags).error, EACCES) << flags;
  }
  EXPECT_EQ(view.Create(directory, "new", O_RDWR).error, EACCES);
  EXPECT_EQ(view.Mkdir(directory, "new").error, EACCES);
  EXPECT_EQ(view.Unlink(directory, "f").error, EACCES);
  EXPECT_EQ(view.Rmdir(directory, "f").error, EACCES);
  EXPECT_EQ(view.Rename(directory, "f", kRootNode, "f").error, EACCES);
  EXPECT_EQ(view.Rename(kRootNode, "Images", directory, "i").error, EACCES);
  fuse_mknod_in mknod = {};
  mknod.mode = S_IFREG;
  EXPECT_EQ(view.Call(FUSE_MKNOD, directory, mknod, Terminated("new")).error,
            EACCES);
  fuse_create_in tmpfile = {};
  tmpfile.flags = O_RDWR;
  EXPECT_EQ(view.Call(FUSE_TMPFILE, directory, tmpfile, "").error, EACCES);
  fuse_setattr_in setattr = {};
  for (const uint32_t valid :
       {FATTR_SIZE, FATTR_ATIME, FATTR_MTIME, FATTR_MODE, FATTR_UID}) {
    setattr.valid = valid;
    EXPECT_EQ(view.Call(FUSE_SETATTR, file, setattr, "").error, EACCES)
        << valid;
  }
  EXPECT_EQ(view.Call(FUSE_ACCESS, file, fuse_access_in{R_OK}, "").error, 0);
  for (const uint32_t mask : {W_OK, X_OK, R_OK | W_OK}) {
    EXPECT_EQ(view.Call(FUSE_ACCESS, file, fuse_access_in{mask}, "").error,
              EACCES);
  }
  EXPECT_EQ(Content("ReadOnly/f"), "content");
  // Nobody may: another type, a name that FAT can't hold.
  const kernel::NodeId images = view.Walk("Images");
  EXPECT_EQ(view.Create(images, "f.txt", O_RDWR).error, EPERM);
  EXPECT_EQ(view.Create(images, "a:b.jpg", O_RDWR).error, EPERM);
  EXPECT_EQ(view.Mkdir(images, "a?b").error, EPERM);
  EXPECT_EQ(view.Create(images, "f.jpg", O_RDWR).error, 0);
  // A caller that is in no entry.
  EXPECT_EQ(
      view.Open(view.Walk("ReadOnly/f", kUnlisted), O_RDONLY, kUnlisted).error,
      EACCES);
  EXPECT_GT(view.view().counters().denied, 0u);
}

TEST_F(ViewTest, AttributesAreMadeUp) {
  MakeDirectory("d");
  MakeFile("f", "123");
  ASSERT_EQ(chmod(Path("f").c_str(), 06777), 0);
  MountedView& shared = Mount();
  MountedView& app = MountApp();
  struct Expected {
    MountedView& view;
    uint32_t uid;
    uint32_t gid;
  };
  for (const Expected& expected :
       {Expected{shared, 0, 1023}, Expected{app, kAppUid, kAppUid}}) {
    const fuse_attr file = expected.view.GetAttributes(expected.view.Walk("f"))
                               .As<fuse_attr_out>()
                               .attr;
    EXPECT_EQ(file.mode, S_IFREG | 0660u);
    EXPECT_EQ(file.uid, expected.uid);
    EXPECT_EQ(file.gid, expected.gid);
    EXPECT_EQ(file.size, 3u);
    const fuse_attr directory =
        expected.view.GetAttributes(expected.view.Walk("d"))
            .As<fuse_attr_out>()
            .attr;
    EXPECT_EQ(directory.mode, S_IFDIR | 0770u);
    EXPECT_EQ(directory.uid, expected.uid);
    fuse_statx_in in = {};
    in.sx_mask = STATX_BASIC_STATS | STATX_BTIME;
    const auto statx =
        expected.view.Call(FUSE_STATX, expected.view.Walk("f"), in, "")
            .As<fuse_statx_out>();
    EXPECT_EQ(statx.stat.mode, S_IFREG | 0660);
    EXPECT_EQ(statx.stat.uid, expected.uid);
    EXPECT_EQ(statx.stat.size, 3u);
  }
}

TEST_F(ViewTest, SetsTimesAndSizesAndNoModes) {
  MakeFile("f", "0123456789");
  MountedView& view = Mount();
  const kernel::NodeId file = view.Walk("f");
  fuse_setattr_in in = {};
  in.valid = FATTR_SIZE | FATTR_MTIME;
  in.size = 4;
  in.mtime = 1000000;
  in.mtimensec = 5;
  const Answer answer = view.Call(FUSE_SETATTR, file, in, "");
  ASSERT_EQ(answer.error, 0);
  EXPECT_EQ(answer.As<fuse_attr_out>().attr.size, 4u);
  EXPECT_EQ(answer.As<fuse_attr_out>().attr.mtime, 1000000u);
  EXPECT_EQ(Content("f"), "0123");
  struct stat before = {};
  ASSERT_EQ(stat(Path("f").c_str(), &before), 0);
  EXPECT_EQ(before.st_mtim.tv_nsec, 5);
  in = {};
  in.valid = FATTR_MODE | FATTR_UID | FATTR_GID;
  in.mode = 07777;
  in.uid = in.gid = kAppUid;
  EXPECT_EQ(view.Call(FUSE_SETATTR, file, in, "").error, 0);
  struct stat after = {};
  ASSERT_EQ(stat(Path("f").c_str(), &after), 0);
  EXPECT_EQ(after.st_mode, before.st_mode);
  EXPECT_EQ(after.st_uid, before.st_uid);
  // A directory has no size to set.
  in.valid = FATTR_SIZE;
  EXPECT_EQ(view.Call(FUSE_SETATTR, kRootNode, in, "").error, EINVAL);
}

// Root and whoever comes through an app view is the app.
TEST_F(ViewTest, AnAppViewIsTheApps) {
  MakeDirectory("Private");
  MakeDirectory("Private/com.example");
  MakeDirectory("Private/com.other");
  MountedView& view = MountApp();
  for (const From from : {From{}, kOther, From{0, 0}, From{2000, 2000}}) {
    EXPECT_NE(view.Walk("Private/com.example", from), 0u);
    EXPECT_EQ(view.Walk("Private/com.other", from), 0u);
  }
  // Another app that got the uid is not this one.
  SetRules(kViewPolicy, R"(version: 2
                           apps { package: "com.heir" uid: 10001 })");
  EXPECT_EQ(view.Walk("Private/com.example"), 0u);
  EXPECT_EQ(view.Walk("Private/com.heir"), 0u);
}

TEST_F(ViewTest, CachesOnlyWhatIsTheSameForAll) {
  MakeDirectory("Private");
  MakeDirectory("Private/com.example");
  MakeDirectory("d");
  MakeDirectory("d/e");
  MountedView& shared = Mount();
  const kernel::NodeId directory = shared.Walk("Private");
  EXPECT_EQ(
      shared.Lookup(directory, "com.example").As<fuse_entry_out>().entry_valid,
      0u);
  // For another user's caller there is nothing in the root; he comes no deeper.
  EXPECT_EQ(shared.Lookup(kRootNode, "d").As<fuse_entry_out>().entry_valid, 0u);
  EXPECT_GT(
      shared.Lookup(shared.Walk("d"), "e").As<fuse_entry_out>().entry_valid,
      0u);
  MountedView& app = MountApp();
  EXPECT_GT(app.Lookup(app.Walk("Private"), "com.example")
                .As<fuse_entry_out>()
                .entry_valid,
            0u);
}

TEST_F(ViewTest, CountsWhatCameAndWhatWas) {
  MakeFile("f", "");
  MountedView& view = Mount();
  view.Walk("f");
  view.Lookup(kRootNode, "absent");
  EXPECT_EQ(view.view().counters().requests[FUSE_LOOKUP], 2u);
  EXPECT_EQ(view.view().counters().requests[FUSE_INIT], 1u);
  EXPECT_EQ(view.Call(60, kRootNode, "").error, ENOSYS);
  EXPECT_EQ(view.view().counters().requests[60], 1u);
}

TEST_F(ViewTest, StatfsIsTheLowerTrees) {
  MountedView& view = Mount();
  const Answer answer = view.Call(FUSE_STATFS, kRootNode, "");
  ASSERT_EQ(answer.error, 0);
  EXPECT_GT(answer.As<fuse_statfs_out>().st.blocks, 0u);
}

}  // namespace
}  // namespace fused
