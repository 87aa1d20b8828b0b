// Lower nodes with a media index.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "fused/expiry.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/media/index.h"
#include "fused/media/interner.h"
#include "fused/media/testing/fake_storage.h"
#include "fused/owner.h"
#include "fused/testing/lower_fixture.h"
#include "gtest/gtest.h"
#include "kernel/invalidation.h"
#include "kernel/lower.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using absl_testing::IsOk;

const Owner kOwner{"com.example", 10001};
const Owner kOther{"com.other", 10002};

class LowerMediaTest : public LowerNodeTest {
 protected:
  void SetUp() override {
    if (!kernel::CanMount()) GTEST_SKIP() << "needs root";
    root_ = scratch_.MakeDirectory("root");
    // Nothing is scanned but by the tests.
    disk_.SetClean();
  }
  void TearDown() override {
    End();
    umount(root_.c_str());
  }

  void Begin(time_t settled = 3) {
    index_ = std::make_unique<media::Index>(
        std::make_unique<media::Interner>(),
        std::make_unique<media::FakeStorage>(&disk_), media::Index::Options{});
    index_->Start([] {});
    LowerTree::Options options;
    options.index = index_.get();
    options.volume = "volume";
    options.settled = settled;
    absl::StatusOr<std::unique_ptr<LowerTree>> tree = LowerTree::Create(
        kernel::Fd(open(root_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
        options);
    ASSERT_THAT(tree, IsOk());
    tree_ = *std::move(tree);
  }
  void End() {
    tree_ = nullptr;
    index_ = nullptr;
  }
  void Mount(const char* type) {
    ASSERT_EQ(mount(type, root_.c_str(), type, 0, ""), 0);
  }

  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  void Make(const std::string& name) const {
    const int fd =
        open(Path(name).c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0) << name;
    close(fd);
  }
  // As the daemon makes it for an app.
  NodePtr MakeOwned(const std::string& name, const Owner& owner) {
    Make(name);
    const NodePtr node = Lookup(name);
    const absl::StatusOr<uint64_t> ticket = node->RecordOwner(owner);
    EXPECT_THAT(ticket, IsOk());
    EXPECT_THAT(tree_->AwaitIndex(*ticket), IsOk());
    return node;
  }
  // Looks it up when nobody has a node of it, and whose it is.
  std::optional<Owner> Fresh(const std::string& name) {
    return Lookup(name)->owner();
  }
  // As somebody else does who may.
  void Mark(const std::string& name, const Owner& owner) const {
    struct stat before = {};
    struct stat after = {};
    ASSERT_EQ(stat(Path(name).c_str(), &before), 0);
    // Kernels before 6.13 have changes of one time.
    do {
      const std::string mark = EncodeOwner(owner);
      ASSERT_EQ(lsetxattr(Path(name).c_str(), kOwnerXattr, mark.data(),
                          mark.size(), 0),
                0);
      ASSERT_EQ(stat(Path(name).c_str(), &after), 0);
    } while (after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
             after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
  }

  media::Tree::ScanStats Scan() {
    const std::atomic<bool> stop{false};
    tree_->media()->Scan(true, stop);
    return tree_->media()->scan_stats();
  }

  media::FakeDisk disk_;
  std::string root_;
  std::unique_ptr<media::Index> index_;
};

TEST_F(LowerMediaTest, AnOwnerIsOnDiskBeforeItIsAcknowledged) {
  Mount("ramfs");
  Begin();
  ASSERT_TRUE(tree_->media()->rows_alone());
  MakeOwned("a", kOwner);
  EXPECT_EQ(disk_.rows().size(), 1U);
  End();
  Begin();
  EXPECT_EQ(Lookup("a")->owner(), kOwner);
}

TEST_F(LowerMediaTest, WhoseAFileIsIsReadOnce) {
  Mount("tmpfs");
  Begin(/*settled=*/0);
  ASSERT_TRUE(tree_->keeps_marks());
  // Before it is nobody knows that a file is nobody's.
  while (!index_->loaded()) std::this_thread::yield();
  MakeOwned("a", kOwner);
  Mark("a", kOwner);
  Make("b");
  EXPECT_EQ(Fresh("a"), kOwner);
  EXPECT_EQ(Fresh("b"), std::nullopt);

  const size_t held = tree_->descriptors();
  const NodePtr a = Lookup("a");
  const NodePtr b = Lookup("b");
  EXPECT_EQ(a->owner(), kOwner);
  EXPECT_EQ(b->owner(), std::nullopt);
  EXPECT_EQ(tree_->descriptors(), held);
  EXPECT_EQ(Lookup("a"), a);
  const absl::StatusOr<struct stat> stat = a->Stat();
  ASSERT_THAT(stat, IsOk());
  EXPECT_EQ(stat->st_ino, a->inode());
  EXPECT_EQ(tree_->descriptors(), held + 1);
  EXPECT_EQ(Lookup("a"), a);
}

TEST_F(LowerMediaTest, AMarkThatHasChangedIsReadAgain) {
  Mount("tmpfs");
  Begin(/*settled=*/0);
  MakeOwned("a", kOwner);
  Mark("a", kOwner);
  Make("b");
  EXPECT_EQ(Fresh("a"), kOwner);
  EXPECT_EQ(Fresh("b"), std::nullopt);
  Mark("a", kOther);
  Mark("b", kOther);
  EXPECT_EQ(Fresh("a"), kOther);
  EXPECT_EQ(Fresh("b"), kOther);
  EXPECT_EQ(Fresh("b"), kOther);
  // Another file of that name.
  Make("c");
  ASSERT_EQ(rename(Path("c").c_str(), Path("a").c_str()), 0);
  EXPECT_EQ(Fresh("a"), std::nullopt);
  // Told of it (LowerWatch), it is read again whatever its time.
  ASSERT_TRUE(tree_->marks().any());
  const std::optional<kernel::FileHandle> handle = Lookup("a")->Handle();
  ASSERT_TRUE(handle.has_value());
  tree_->marks().Forget(*handle);
  const size_t held = tree_->descriptors();
  const NodePtr a = Lookup("a");
  EXPECT_EQ(tree_->descriptors(), held + 1);
}

TEST_F(LowerMediaTest, AFreshMarkIsNotTrusted) {
  Mount("tmpfs");
  Begin(/*settled=*/3600);
  MakeOwned("a", kOwner);
  EXPECT_EQ(Fresh("a"), kOwner);
  EXPECT_FALSE(tree_->marks().any());
}

// What is found without being opened can be used as what it was taken for, or
// not at all.
TEST_F(LowerMediaTest, NamesThatAreSwappedWhileTheyAreLookedUp) {
  Mount("tmpfs");
  Begin(/*settled=*/0);
  const ino_t a = MakeOwned("a", kOwner)->inode();
  const ino_t b = MakeOwned("b", kOther)->inode();
  Mark("a", kOwner);
  Mark("b", kOther);
  EXPECT_EQ(Fresh("a"), kOwner);
  EXPECT_EQ(Fresh("b"), kOther);
  std::atomic<bool> stop{false};
  std::thread swapper([&] {
    while (!stop) {
      renameat2(AT_FDCWD, Path("a").c_str(), AT_FDCWD, Path("b").c_str(),
                RENAME_EXCHANGE);
    }
  });
  int good = 0;
  for (int i = 0; i < 20000; ++i) {
    absl::StatusOr<NodePtr> found = TryLookup(tree_->root(), "a");
    if (!found.ok()) continue;
    const absl::StatusOr<Pin> pin = (*found)->Descriptor();
    if (!pin.ok()) continue;
    const absl::StatusOr<struct stat> stat = kernel::Stat((*pin)->get());
    ASSERT_THAT(stat, IsOk());
    ASSERT_EQ(stat->st_ino, (*found)->inode());
    ASSERT_TRUE(stat->st_ino == a || stat->st_ino == b);
    ASSERT_EQ((*found)->owner(), stat->st_ino == a ? kOwner : kOther);
    ++good;
  }
  stop = true;
  swapper.join();
  EXPECT_GT(good, 0);
}

TEST_F(LowerMediaTest, WhatCanNotBeKeptIsNotAcknowledged) {
  Mount("ramfs");
  Begin();
  disk_.FailWith(absl::ResourceExhaustedError("full"));
  Make("a");
  const absl::StatusOr<uint64_t> ticket = Lookup("a")->RecordOwner(kOwner);
  ASSERT_THAT(ticket, IsOk());
  EXPECT_TRUE(kernel::IsErrno(tree_->AwaitIndex(*ticket), ENOSPC));
  disk_.FailWith(absl::UnavailableError("locked"));
  const absl::StatusOr<uint64_t> again = Lookup("a")->RecordOwner(kOther);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(kernel::IsErrno(tree_->AwaitIndex(*again), EACCES));
}

TEST_F(LowerMediaTest, TheFileItselfCounts) {
  Mount("tmpfs");
  Begin();
  MakeOwned("a", kOwner);
  const kernel::Fd fd(open(Path("a").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_THAT(WriteOwner(fd.get(), kOther), IsOk());
  End();
  Begin();
  const NodePtr node = Lookup("a");
  EXPECT_EQ(node->owner(), kOther);
  EXPECT_EQ(tree_->media()->OwnerOf(*KeyOf(*node)), kOther);
}

TEST_F(LowerMediaTest, ALostMarkComesBackAndStaysThatFiles) {
  Mount("tmpfs");
  Begin();
  MakeOwned("a", kOwner);
  End();
  Begin();
  ASSERT_EQ(rename(Path("a").c_str(), Path("b").c_str()), 0);
  Make("a");
  EXPECT_EQ(Lookup("b")->owner(), kOwner);
  EXPECT_EQ(Lookup("a")->owner(), std::nullopt);
  const kernel::Fd fd(open(Path("b").c_str(), O_PATH | O_CLOEXEC));
  EXPECT_EQ(ReadOwner(fd.get()), kOwner);
}

TEST_F(LowerMediaTest, WhatIsNotLoadedYetIsAskedForAgain) {
  Mount("ramfs");
  Begin();
  MakeOwned("a", kOwner);
  End();
  disk_.FailWith(absl::UnavailableError("locked"));
  Begin();
  const NodePtr node = Lookup("a");
  const Facts before = node->Classify(*snapshot_);
  EXPECT_EQ(before.object.file_owner, policy::kNoApp);
  disk_.FailWith(absl::OkStatus());
  ASSERT_THAT(index_->Flush(), IsOk());
  EXPECT_EQ(node->owner(), kOwner);
  EXPECT_NE(node->Classify(*snapshot_).object.file_owner, policy::kNoApp);
}

TEST_F(LowerMediaTest, AScanAdoptsRepairsAndDrops) {
  Mount("tmpfs");
  Begin();
  ASSERT_EQ(mkdir(Path("d").c_str(), 0700), 0);
  for (const char* name : {"d/marked", "unmarked", "gone"}) Make(name);
  {
    const kernel::Fd fd(open(Path("d/marked").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_THAT(WriteOwner(fd.get(), kOther), IsOk());
  }
  ASSERT_THAT(Lookup("unmarked")->RecordOwner(kOwner), IsOk());
  ASSERT_THAT(Lookup("gone")->RecordOwner(kOwner), IsOk());
  ASSERT_EQ(unlink(Path("gone").c_str()), 0);
  // Its inode lives for as long as somebody has it open.
  End();
  Begin();
  ASSERT_EQ(symlink("unmarked", Path("link").c_str()), 0);
  const media::Tree::ScanStats stats = Scan();
  EXPECT_EQ(stats.scanned, 2U);
  EXPECT_EQ(stats.adopted, 1U);
  EXPECT_EQ(stats.repaired, 1U);
  EXPECT_EQ(stats.dropped, 1U);
  EXPECT_EQ(tree_->media()->owned(), 2U);
  const media::Tree::ScanStats again = Scan();
  EXPECT_EQ(again.adopted + again.repaired + again.dropped, 0U);
}

TEST_F(LowerMediaTest, ATreeThatIsNotThereLosesNothing) {
  Mount("ramfs");
  Begin();
  MakeOwned("a", kOwner);
  End();
  // The card is out: an empty directory of another kind.
  ASSERT_EQ(umount2(root_.c_str(), MNT_DETACH), 0);
  Begin();
  EXPECT_EQ(Scan().dropped, 0U);
  EXPECT_EQ(disk_.rows().size(), 1U);
  End();
  // Another card: only who asks for it.
  Mount("ramfs");
  Begin();
  const std::atomic<bool> stop{false};
  tree_->media()->Scan(false, stop);
  EXPECT_EQ(disk_.rows().size(), 1U);
  EXPECT_EQ(Scan().dropped, 1U);
  EXPECT_EQ(disk_.rows().size(), 0U);
}

TEST_F(LowerMediaTest, ALocationIsOfTheFileAsItWas) {
  Mount("tmpfs");
  Begin();
  Make("a.jpg");
  const NodePtr node = Lookup("a.jpg");
  struct stat stat = *node->Stat();
  // It may still change within the tick.
  EXPECT_FALSE(node->RecordLocation(false, stat));
  stat.st_ctim.tv_sec -= 100;
  EXPECT_TRUE(node->RecordLocation(false, stat));
  EXPECT_EQ(node->KnownLocation(stat), media::Location::kNone);
  struct stat other = stat;
  other.st_size += 1;
  EXPECT_EQ(node->KnownLocation(other), media::Location::kUnknown);
  other = stat;
  other.st_ctim.tv_nsec ^= 1;
  EXPECT_EQ(node->KnownLocation(other), media::Location::kUnknown);
  // Nobody while somebody may write.
  node->AddWriter();
  EXPECT_FALSE(node->RecordLocation(true, stat));
  node->RemoveWriter();
}

TEST_F(LowerMediaTest, TheClockIsNotTrustedTooFar) {
  Mount("tmpfs");
  Begin();
  constexpr int64_t kNow = 1'800'000'000;
  constexpr int64_t kDay = int64_t{24} * 60 * 60;
  const auto name = [](int64_t at) {
    return absl::StrCat(".pending-", at, "-a");
  };
  // The postponed one's first name is taken.
  for (const int64_t at : {kNow, kNow + 1, kNow - 7 * kDay, kNow - 7 * kDay - 1,
                           kNow + 7 * kDay}) {
    Make(name(at));
  }
  kernel::InvalidationWorker invalidations({});
  const Telling telling(&invalidations, nullptr);
  const std::atomic<bool> stop{false};
  const ExpiryResult result = ExpireFiles(*tree_, telling, kNow, stop);
  EXPECT_EQ(result.failed, 0U);
  EXPECT_EQ(result.files.size(), 3U);
  const auto there = [&](int64_t at) {
    return access(Path(name(at)).c_str(), F_OK) == 0;
  };
  EXPECT_FALSE(there(kNow));
  EXPECT_TRUE(there(kNow + 1));
  EXPECT_FALSE(there(kNow - 7 * kDay));
  EXPECT_FALSE(there(kNow - 7 * kDay - 1));
  EXPECT_TRUE(there(kNow + 7 * kDay));
  EXPECT_TRUE(there(kNow + 7 * kDay + 1));
  // A week on it is believed.
  EXPECT_EQ(ExpireFiles(*tree_, telling, kNow + 8 * kDay, stop).files.size(),
            3U);
  EXPECT_FALSE(there(kNow + 7 * kDay));
}

}  // namespace
}  // namespace fused
