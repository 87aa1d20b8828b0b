// What opens are for, and what handles keep.
#include "fused/handle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "fused/lower_tree.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using policy::Operation;

TEST(IntentTest, EveryCombinationOfFlags) {
  struct Mode {
    int flags;
    bool read;
    bool write;
    kernel::Access access;
  };
  // Linux' fourth mode asks for both permissions, and for ioctl(2) alone.
  const Mode modes[] = {
      {O_RDONLY, true, false, kernel::Access::kRead},
      {O_WRONLY, false, true, kernel::Access::kWrite},
      {O_RDWR, true, true, kernel::Access::kReadWrite},
      {O_ACCMODE, true, true, kernel::Access::kReadWrite},
  };
  const int optional[] = {O_TRUNC,    O_APPEND,    O_CREAT,   O_EXCL,
                          O_DIRECT,   O_SYNC,      O_DSYNC,   O_NOATIME,
                          O_NONBLOCK, O_LARGEFILE, O_CLOEXEC, O_NOFOLLOW};
  constexpr int kOptional = std::size(optional);
  for (const Mode& mode : modes) {
    for (int set = 0; set < 1 << kOptional; ++set) {
      int flags = mode.flags;
      for (int i = 0; i < kOptional; ++i) {
        if ((set >> i & 1) != 0) flags |= optional[i];
      }
      const Intent intent = Intent::FromFlags(flags);
      const bool truncate = (flags & O_TRUNC) != 0;
      const bool create = (flags & O_CREAT) != 0;
      ASSERT_EQ(intent.read, mode.read) << flags;
      ASSERT_EQ(intent.write, mode.write) << flags;
      ASSERT_EQ(intent.truncate, truncate) << flags;
      ASSERT_EQ(intent.append, (flags & O_APPEND) != 0) << flags;
      ASSERT_EQ(intent.create, create) << flags;
      ASSERT_EQ(intent.access(), mode.access) << flags;
      const policy::OperationSet operations = intent.operations();
      ASSERT_EQ(operations.Has(Operation::kRead), mode.read) << flags;
      // An O_RDONLY | O_TRUNC is a write.
      ASSERT_EQ(operations.Has(Operation::kWrite), mode.write || truncate)
          << flags;
      ASSERT_EQ(operations.Has(Operation::kCreate), create) << flags;
      ASSERT_EQ(operations.bits() & ~(policy::OperationSet(Operation::kRead) |
                                      Operation::kWrite | Operation::kCreate)
                                         .bits(),
                0u);
    }
  }
}

class HandleTest : public testing::Test {
 protected:
  void SetUp() override {
    scratch_.MakeFile("file", "0123456789");
    kernel::Fd root(
        open(scratch_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    absl::StatusOr<std::unique_ptr<LowerTree>> tree =
        LowerTree::Create(std::move(root), {});
    ASSERT_THAT(tree, IsOk());
    tree_ = *std::move(tree);
    absl::StatusOr<LowerTree::Found> found =
        tree_->Lookup(tree_->root(), "file");
    ASSERT_THAT(found, IsOk());
    node_ = Node::Make(2, found->node, NodeKey(), std::nullopt);
  }
  void TearDown() override { node_ = nullptr; }

  std::shared_ptr<Handle> Open(int flags) {
    HandleRecord record;
    record.id = 1;
    record.flags = flags;
    record.intent = Intent::FromFlags(flags);
    return std::make_shared<Handle>(record, node_);
  }

  kernel::ScratchDirectory scratch_;
  std::unique_ptr<LowerTree> tree_;
  Ref<Node> node_;
};

TEST_F(HandleTest, DescriptorIsAsTheAppOpenedIt) {
  for (const int flags :
       {O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND, O_WRONLY | O_DSYNC}) {
    const std::shared_ptr<Handle> handle = Open(flags);
    const absl::StatusOr<int> fd = handle->Descriptor();
    ASSERT_THAT(fd, IsOk());
    constexpr int kKept = O_ACCMODE | O_APPEND | O_DSYNC;
    EXPECT_EQ(fcntl(*fd, F_GETFL) & kKept, flags);
    EXPECT_EQ(fcntl(*fd, F_GETFD), FD_CLOEXEC);
    // One for the handle's whole life.
    EXPECT_EQ(*handle->Descriptor(), *fd);
  }
}

TEST_F(HandleTest, DescriptorNeverTruncatesOrCreates) {
  const std::shared_ptr<Handle> handle =
      Open(O_RDWR | O_TRUNC | O_CREAT | O_EXCL);
  ASSERT_THAT(handle->Descriptor(), IsOk());
  struct stat stat = {};
  ASSERT_EQ(::stat(scratch_.Path("file").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_size, 10);
}

TEST_F(HandleTest, DescriptorOfWhatWasUnlinked) {
  const std::shared_ptr<Handle> handle = Open(O_RDONLY);
  ASSERT_EQ(unlink(scratch_.Path("file").c_str()), 0);
  const absl::StatusOr<int> fd = handle->Descriptor();
  ASSERT_THAT(fd, IsOk());
  char bytes[4] = {};
  EXPECT_EQ(pread(*fd, bytes, 3, 4), 3);
  EXPECT_STREQ(bytes, "456");
}

TEST_F(HandleTest, ThreadsGetOneDescriptor) {
  const std::shared_ptr<Handle> handle = Open(O_RDONLY);
  constexpr int kThreads = 8;
  int fds[kThreads] = {};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const absl::StatusOr<int> fd = handle->Descriptor();
      fds[i] = fd.ok() ? *fd : -1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(fds[0], 0);
  for (const int fd : fds) EXPECT_EQ(fd, fds[0]);
}

TEST_F(HandleTest, KeepsLockOwnersOnce) {
  const std::shared_ptr<Handle> handle = Open(O_RDWR);
  EXPECT_TRUE(handle->lock_owners().empty());
  for (const uint64_t owner : {7u, 8u, 7u, 9u, 8u}) {
    handle->NoteLockOwner(owner);
  }
  EXPECT_EQ(handle->lock_owners(), (std::vector<uint64_t>{7, 8, 9}));
}

TEST(HandleTableTest, FindsAndRemoves) {
  HandleTable<std::string> table;
  std::vector<kernel::HandleId> ids;
  for (int i = 0; i < 100; ++i) {
    const kernel::HandleId id = table.NewId();
    EXPECT_NE(id, 0u);
    table.Insert(id, std::make_shared<std::string>(std::to_string(id)));
    ids.push_back(id);
  }
  EXPECT_EQ(table.size(), 100u);
  EXPECT_EQ(table.All().size(), 100u);
  for (const kernel::HandleId id : ids) {
    ASSERT_NE(table.Find(id), nullptr);
    EXPECT_EQ(*table.Find(id), std::to_string(id));
  }
  EXPECT_EQ(*table.Remove(ids[3]), std::to_string(ids[3]));
  EXPECT_EQ(table.Remove(ids[3]), nullptr);
  EXPECT_EQ(table.Find(ids[3]), nullptr);
  EXPECT_EQ(table.size(), 99u);
  for (const kernel::HandleId id : {uint64_t{0}, uint64_t{1000}, UINT64_MAX}) {
    EXPECT_EQ(table.Find(id), nullptr);
    EXPECT_EQ(table.Remove(id), nullptr);
  }
  // An id that was given back is not given again.
  EXPECT_EQ(std::count(ids.begin(), ids.end(), table.NewId()), 0);
}

TEST(HandleTableTest, OneRemovalWins) {
  HandleTable<int> table;
  constexpr int kThreads = 4;
  constexpr int kHandles = 1000;
  for (int i = 0; i < kHandles; ++i) {
    table.Insert(table.NewId(), std::make_shared<int>(i));
  }
  std::atomic<int> removed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (kernel::HandleId id = 1; id <= kHandles; ++id) {
        if (table.Remove(id) != nullptr) ++removed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(removed, kHandles);
  EXPECT_EQ(table.size(), 0u);
}

}  // namespace
}  // namespace fused
