// What a file that the kernel knows costs the daemon: everything that there is
// of it, in a view and below, with the slack of the tables.
#include <fcntl.h>
#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/rules.h"
#include "fused/testing/mounted_view.h"
#include "fused/testing/snapshot.h"
#include "fused/view.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/invalidation.h"
#include "kernel/testing/scratch.h"
#include "kernel/types.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;

constexpr double kMost = 300;
// Tables double: at every size of one doubling at least.
constexpr int kFirst = 16'000;
constexpr int kLast = 40'000;
constexpr int kEach = 1'000;

bool IsSanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

TEST(NodeMemoryTest, AFileIsUnder300BytesWhateverTheSizeOfTheTables) {
  if (IsSanitized()) GTEST_SKIP() << "a sanitizer's allocator tells nothing";
  kernel::ScratchDirectory scratch;
  scratch.MakeDirectory("lower");
  scratch.MakeDirectory("lower/Pictures");
  absl::StatusOr<std::unique_ptr<LowerTree>> tree =
      LowerTree::Create(kernel::Fd(open(scratch.Path("lower").c_str(),
                                        O_PATH | O_DIRECTORY | O_CLOEXEC)),
                        {.descriptor_budget = 1024});
  ASSERT_THAT(tree, IsOk());
  if (!(*tree)->has_handles()) {
    GTEST_SKIP() << "NOT TESTED: opening files by handle needs root and a file "
                    "system that has handles";
  }
  Rules rules(BuiltInSnapshot(
      "version: 1 apps { package: \"com.example\" uid: 10001 }"));
  kernel::InvalidationWorker invalidations({});
  VolumeContext context;
  context.tree = tree->get();
  context.rules = &rules;
  context.invalidations = &invalidations;
  context.fallback = [](std::string_view) {};
  MountedView view(
      context, ViewIdentity{.package = "com.example", .user = 0, .uid = 10001});

  kernel::NodeId directory = 0;
  const size_t before = mallinfo2().uordblks;
  double worst = 0;
  for (int i = 0; i < kLast; ++i) {
    if (i % kEach == 0) {
      const std::string name = absl::StrCat("Pictures/album_", i);
      scratch.MakeDirectory(absl::StrCat("lower/", name));
      directory = view.Walk(name);
      ASSERT_NE(directory, 0u);
    }
    // As long as cameras make them.
    const std::string name = absl::StrCat("IMG_20240101_", 100'000 + i, ".jpg");
    scratch.MakeFile(
        absl::StrCat("lower/Pictures/album_", i / kEach * kEach, "/", name),
        "");
    ASSERT_EQ(view.Lookup(directory, name).error, 0);
    const int count = i + 1;
    if (count < kFirst || count % kEach != 0) continue;
    const size_t used = mallinfo2().uordblks - before;
    worst = std::max(worst, static_cast<double>(used) / count);
  }
  EXPECT_LT(worst, kMost);
  RecordProperty("bytes_for_each_node", absl::StrCat(worst));
  // They are nodes in full.
  EXPECT_GE(view.view().nodes(), static_cast<size_t>(kLast));
}

}  // namespace
}  // namespace fused
