// Names, links, special files and ranges in the profile `posix`.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/posix_scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// A file handle, as name_to_handle_at(2) makes it.
class NamedFile {
 public:
  explicit NamedFile(const std::string& path) {
    handle_.head.handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    ok_ = name_to_handle_at(AT_FDCWD, path.c_str(), &handle_.head, &mount, 0) ==
          0;
  }
  bool ok() const { return ok_; }
  // A descriptor, or -1 and errno.
  int Open(int mount, int flags) {
    return open_by_handle_at(mount, &handle_.head, flags | O_CLOEXEC);
  }

 private:
  struct {
    struct file_handle head;
    char bytes[MAX_HANDLE_SZ];
  } handle_ = {};
  bool ok_ = false;
};

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

// What an NFS server does for clients that come back.
TEST_P(PosixTest, FileHandlesOutliveTheKernelsCaches) {
  ASSERT_TRUE(MakeDirectories(device_.LowerPath("mounted/d/e")));
  ASSERT_TRUE(WriteFile(device_.LowerPath("mounted/d/e/f"), "content"));
  const Descriptor mount(open(device_.mount().c_str(), O_RDONLY | O_DIRECTORY));
  NamedFile file(device_.MountPath("mounted/d/e/f"));
  NamedFile directory(device_.MountPath("mounted/d/e"));
  ASSERT_TRUE(file.ok() && directory.ok());

  // What was used a moment ago stays the first time.
  const auto forget = [this] {
    return Eventually([this] {
      const Descriptor drop(open("/proc/sys/vm/drop_caches", O_WRONLY));
      return write(drop.get(), "2", 1) == 1 &&
             device_.Status().volumes(0).nodes() == 1;
    });
  };
  ASSERT_TRUE(forget());
  {
    const Descriptor opened(file.Open(mount.get(), O_RDWR));
    ASSERT_GE(opened.get(), 0) << strerror(errno);
    char content[16] = {};
    EXPECT_EQ(pread(opened.get(), content, sizeof(content), 0), 7);
    EXPECT_STREQ(content, "content");
    EXPECT_EQ(pwrite(opened.get(), "C", 1, 0), 1);
  }
  EXPECT_EQ(ReadFile(device_.LowerPath("mounted/d/e/f")), "Content");
  ASSERT_TRUE(forget());
  {
    const Descriptor opened(
        directory.Open(mount.get(), O_RDONLY | O_DIRECTORY));
    ASSERT_GE(opened.get(), 0) << strerror(errno);
    char path[PATH_MAX] = {};
    EXPECT_GT(readlink(absl::StrCat("/proc/self/fd/", opened.get()).c_str(),
                       path, sizeof(path) - 1),
              0);
    EXPECT_EQ(path, device_.MountPath("mounted/d/e"));
    EXPECT_EQ(faccessat(opened.get(), "../e/f", R_OK, 0), 0);
  }
  ASSERT_EQ(unlink(device_.MountPath("mounted/d/e/f").c_str()), 0);
  EXPECT_EQ(file.Open(mount.get(), O_RDONLY), -1);
  EXPECT_EQ(errno, ESTALE);
  ASSERT_TRUE(forget());
  ASSERT_EQ(rmdir(device_.LowerPath("mounted/d/e").c_str()), 0);
  EXPECT_EQ(directory.Open(mount.get(), O_RDONLY), -1);
  EXPECT_EQ(errno, ESTALE);
}

INSTANTIATE_ON_TMPFS_AND_DISK(PosixTest);

}  // namespace
}  // namespace fused::androidtest
