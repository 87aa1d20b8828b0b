// What moves has an owner on disk at every moment.
#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/status_matchers.h"
#include "fused/media/index.h"
#include "fused/media/testing/fake_storage.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/testing/scratch.h"

namespace fused::media {
namespace {

using absl_testing::IsOk;

TEST(TreeMoveTest, NoCommitFindsItWithoutAnOwner) {
  const kernel::ScratchDirectory scratch;
  const kernel::Fd root(open(scratch.path().c_str(), O_PATH | O_DIRECTORY));
  FakeDisk disk;
  Index index(std::make_unique<Interner>(),
              std::make_unique<FakeStorage>(&disk),
              {.gather = absl::ZeroDuration()});
  disk.SetClean();
  index.Start([] {});
  const TreeName name{"card", 0};
  const std::unique_ptr<Tree> tree =
      index.Attach({.name = name, .root = root.get(), .kind = KeyKind::kPath});
  // Without birth times: a target's key is the same before and after.
  const FileKey a = PathKey(KeyKind::kPath, "a", 0);
  const FileKey b = PathKey(KeyKind::kPath, "b", 0);
  ASSERT_THAT(tree->Wait(tree->SetOwner(a, "a", {"com.example", 1})), IsOk());
  // Where the file is in the lower tree.
  std::atomic<char> place{'a'};
  std::atomic<int> lost{0};
  disk.OnCommit([&](const FakeDisk::Rows& rows) {
    const char now = place.load();
    const auto found = rows.find({name, now == 'a' ? a.bytes : b.bytes});
    if (found == rows.end() || found->second.owner == nullptr) ++lost;
  });
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      // Other news of both, so that the writer looks at them all the time.
      struct stat stat = {};
      while (!stop.load()) {
        ++stat.st_size;
        for (const FileKey& key : {a, b}) {
          tree->SetLocation(key, "x", Location::kHas, stat);
        }
        std::this_thread::yield();
      }
    });
  }
  for (int i = 0; i < 2000; ++i) {
    const bool back = i % 2 != 0;
    const Tree::End from{.path = back ? "b" : "a", .file = back ? b : a};
    // What it replaces has no owner.
    const Tree::End to{.path = back ? "a" : "b", .file = back ? a : b};
    const std::vector<Tree::Moved> plan = tree->PlanMove(from, to, false);
    ASSERT_EQ(plan.size(), 1U);
    ASSERT_THAT(tree->StageMove(plan), IsOk());
    place.store(back ? 'a' : 'b');
    tree->FinishMove(plan, to, false, true);
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(lost.load(), 0);
  disk.OnCommit(nullptr);
  index.Detach(tree.get());
}

}  // namespace
}  // namespace fused::media
