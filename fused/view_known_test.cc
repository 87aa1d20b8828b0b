// Names and rights that a view has found before, when they are others by now.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "fused/testing/mounted_view.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"
#include "kernel/types.h"

namespace fused {
namespace {

using KnownTest = ViewTest;

constexpr char kNone[] = R"(
name: "none" version: 2
rules { name: "see" operations: LOOKUP operations: LIST effect { allow {} } }
)";
constexpr char kApps[] = "apps { package: 'com.example' uid: 10001 }";

// Twice, so that the second is by what is known.
void OpenTwice(MountedView& view, kernel::NodeId node, int error) {
  for (int i = 0; i < 2; ++i) {
    const Answer opened = view.Open(node, O_RDONLY);
    EXPECT_EQ(opened.error, error);
    if (opened.error == 0) view.Release(node, opened.opened().fh);
  }
}

TEST_F(KnownTest, NewRulesHoldForWhatIsKnown) {
  MakeFile("f", "content");
  MountedView& view = MountApp();
  const kernel::NodeId f = view.Walk("f");
  OpenTwice(view, f, 0);
  SetRules(kNone, kApps);
  OpenTwice(view, f, EACCES);
  EXPECT_EQ(view.Lookup(kernel::kRootNode, "f").node(), f);
  SetRules(kViewPolicy, kViewApps);
  OpenTwice(view, f, 0);
}

TEST_F(KnownTest, AFileIsJudgedWhereItHasMoved) {
  MakeDirectory("ReadOnly");
  MakeFile("f", "content");
  MountedView& view = MountApp();
  MountedView& other = Mount();
  const kernel::NodeId f = view.Walk("f");
  OpenTwice(view, f, 0);
  // By another's hand, and told of by a lookup through another view.
  ASSERT_EQ(rename(Path("f").c_str(), Path("ReadOnly/f").c_str()), 0);
  ASSERT_NE(other.Walk("ReadOnly/f"), 0u);
  OpenTwice(view, f, 0);
  EXPECT_EQ(view.Open(f, O_WRONLY).error, EACCES);
  EXPECT_EQ(view.Lookup(kernel::kRootNode, "f").error, ENOENT);
}

TEST_F(KnownTest, ADirectoryThatMovesTakesItsFilesAlong) {
  MakeDirectory("d");
  MakeFile("d/f", "content");
  MountedView& view = MountApp();
  const kernel::NodeId f = view.Walk("d/f");
  OpenTwice(view, f, 0);
  EXPECT_EQ(
      view.Rename(kernel::kRootNode, "d", kernel::kRootNode, "Daemon").error,
      0);
  // It is served otherwise there: as another node.
  OpenTwice(view, f, ESTALE);
  const kernel::NodeId moved = view.Walk("Daemon/f");
  EXPECT_NE(moved, f);
  OpenTwice(view, moved, 0);
}

TEST_F(KnownTest, AnotherFileOfTheNameIsAnotherNode) {
  MakeFile("f", "content");
  MakeFile("g", "other");
  MountedView& view = MountApp();
  const kernel::NodeId f = view.Walk("f");
  EXPECT_EQ(view.Walk("f"), f);
  ASSERT_EQ(rename(Path("g").c_str(), Path("f").c_str()), 0);
  const kernel::NodeId g = view.Walk("f");
  EXPECT_NE(g, 0u);
  EXPECT_NE(g, f);
  ASSERT_EQ(unlink(Path("f").c_str()), 0);
  EXPECT_EQ(view.Lookup(kernel::kRootNode, "f").error, ENOENT);
}

TEST_F(KnownTest, ANameMoreIsSeen) {
  MakeFile("f", "content");
  MountedView& view = MountApp();
  const kernel::NodeId f = view.Walk("f");
  EXPECT_EQ(view.Walk("f"), f);
  ASSERT_EQ(link(Path("f").c_str(), Path("g").c_str()), 0);
  // One node for each class that its names lie in.
  EXPECT_NE(view.Walk("f"), f);
  EXPECT_EQ(view.Lookup(kernel::kRootNode, "f").As<fuse_entry_out>().attr.nlink,
            2u);
}

TEST_F(KnownTest, EachLookupIsForgottenOnce) {
  MakeFile("f", "content");
  MountedView& view = MountApp();
  const kernel::NodeId f = view.Walk("f");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(view.Walk("f"), f);
  view.Forget(f, 3);
  EXPECT_EQ(view.GetAttributes(f).error, 0);
  view.Forget(f, 1);
  EXPECT_EQ(view.GetAttributes(f).error, ESTALE);
  EXPECT_NE(view.Walk("f"), 0u);
}

// In a mount that all share each caller is judged for itself, by turns.
TEST_F(KnownTest, OneCallersRightsAreNotAnothers) {
  MakeFile("f", "content");
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  for (int i = 0; i < 4; ++i) {
    const Answer opened = view.Open(f, O_RDONLY);
    EXPECT_EQ(opened.error, 0);
    view.Release(f, opened.opened().fh);
    // Not listed: no more than LOOKUP and LIST.
    EXPECT_EQ(view.Open(f, O_RDONLY, {10003, 10003}).error, EACCES);
  }
}

}  // namespace
}  // namespace fused
