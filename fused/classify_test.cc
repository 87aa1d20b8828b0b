// How the policy sees a lower node, wherever it goes.
#include "fused/lower_node.h"
#include "fused/lower_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "fused/testing/lower_fixture.h"
#include "fused/testing/snapshot.h"
#include "gtest/gtest.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;

class ClassifyTest : public LowerNodeTest {
 protected:
  void SetUp() override {
    LowerNodeTest::SetUp();
    for (const char* name : {"Pictures", "Music", "Pictures/d"}) {
      scratch_.MakeDirectory(name);
    }
    scratch_.MakeFile("Pictures/d/f", "");
    pictures_ = Lookup("Pictures");
    music_ = Lookup("Music");
    directory_ = Lookup(pictures_, "d");
    file_ = Lookup(directory_, "f");
  }
  void TearDown() override {
    pictures_ = music_ = directory_ = file_ = nullptr;
    LowerNodeTest::TearDown();
  }

  NodePtr pictures_;
  NodePtr music_;
  NodePtr directory_;
  NodePtr file_;
};

TEST_F(ClassifyTest, ByPlace) {
  EXPECT_EQ(ClassOf(tree_->root()), "other");
  EXPECT_EQ(ClassOf(pictures_), "photos");
  EXPECT_EQ(ClassOf(file_), "photos");
  EXPECT_EQ(tree_->PathOf(*file_), "Pictures/d/f");
  EXPECT_EQ(tree_->PathOf(*tree_->root()), "");
}

TEST_F(ClassifyTest, ANewPlaceIsANewClass) {
  EXPECT_EQ(ClassOf(file_), "photos");
  EXPECT_TRUE(file_->SetPlace(music_, "f"));
  EXPECT_EQ(ClassOf(file_), "music");
  EXPECT_FALSE(file_->SetPlace(music_, "f"));
  EXPECT_EQ(ClassOf(file_), "music");
}

TEST_F(ClassifyTest, KeptUntilTheGenerationChanges) {
  EXPECT_EQ(ClassOf(file_), "photos");
  Rename("Pictures/d", "Music/d");
  directory_->SetPlace(music_, "d");
  EXPECT_EQ(ClassOf(directory_), "music");
  // What is below is not looked at again...
  EXPECT_EQ(ClassOf(file_), "photos");
  // ...until it is said that something moved.
  tree_->BumpGeneration();
  EXPECT_EQ(ClassOf(file_), "music");
}

TEST_F(ClassifyTest, ADirectoryMovedBehindTheDaemonIsNoticedAtTheNextLookup) {
  EXPECT_EQ(ClassOf(file_), "photos");
  const uint64_t before = tree_->generation();
  Rename("Pictures/d", "Music/e");
  EXPECT_EQ(Lookup(music_, "e"), directory_);
  EXPECT_GT(tree_->generation(), before);
  EXPECT_EQ(ClassOf(file_), "music");
  EXPECT_EQ(tree_->PathOf(*file_), "Music/e/f");
}

TEST_F(ClassifyTest, ANewEpochIsANewClass) {
  EXPECT_EQ(ClassOf(file_), "photos");
  snapshot_ = MakeSnapshot(R"(
    name: "test" version: 2
    path_classes { name: "everything" patterns: "**" }
    rules { name: "all" operations: ANY effect { allow {} } })",
                           kApps, 2);
  EXPECT_EQ(ClassOf(file_), "everything");
  EXPECT_EQ(ClassOf(tree_->root()), "everything");
}

TEST_F(ClassifyTest, OwnersAreFacts) {
  const auto owner = [this] {
    return file_->Classify(*snapshot_).object.file_owner;
  };
  EXPECT_EQ(owner(), policy::kNoApp);
  file_->SetOwner(Owner{"com.example", 10001});
  EXPECT_EQ(owner(), snapshot_->AppOf("com.example", 10001));
  EXPECT_NE(owner(), policy::kNoApp);
  // A package of that name with another app id inherits nothing.
  file_->SetOwner(Owner{"com.example", 10002});
  EXPECT_EQ(owner(), policy::kNoApp);
  file_->SetOwner(std::nullopt);
  EXPECT_EQ(owner(), policy::kNoApp);
}

TEST_F(ClassifyTest, OwnersAreReadFromTheLowerFileOnce) {
  if (!tree_->has_xattrs()) {
    GTEST_SKIP() << "NOT TESTED: trusted extended attributes need root";
  }
  const kernel::Fd fd(
      open(scratch_.Path("Pictures/d/f").c_str(), O_RDWR | O_CLOEXEC));
  const Owner owner{"com.example", 10001};
  ASSERT_THAT(WriteOwner(fd.get(), owner), IsOk());
  EXPECT_EQ(file_->owner(), owner);
  ASSERT_THAT(WriteOwner(fd.get(), {"com.other", 10002}), IsOk());
  EXPECT_EQ(file_->owner(), owner);
  EXPECT_EQ(directory_->owner(), std::nullopt);
}

TEST_F(ClassifyTest, WhileDirectoriesMove) {
  std::thread moving([this] {
    for (int i = 0; i < 3000; ++i) {
      directory_->SetPlace(i % 2 == 0 ? music_ : pictures_, "d");
      tree_->BumpGeneration();
    }
  });
  for (int i = 0; i < 3000; ++i) {
    const std::string found = ClassOf(file_);
    ASSERT_TRUE(found == "photos" || found == "music") << found;
  }
  moving.join();
  EXPECT_EQ(ClassOf(file_), "photos");
}

// Two moves behind the daemon's back, of which it learns the second first: the
// places that it knows then run in a circle.
TEST_F(ClassifyTest, PlacesInACircleEndAndAllowNothing) {
  Rename("Pictures/d", "d");
  Rename("Pictures", "d/Pictures");
  EXPECT_EQ(Lookup(directory_, "Pictures"), pictures_);
  EXPECT_EQ(pictures_->place().parent, directory_);
  const policy::Subject app = snapshot_->SubjectOf(10001);
  for (const NodePtr& node : {file_, directory_, pictures_}) {
    EXPECT_FALSE(snapshot_
                     ->Decide(app, node->Classify(*snapshot_).object,
                              policy::Operation::kLookup)
                     .allowed());
    tree_->PathOf(*node);
  }
  // The next lookup from above puts it right.
  EXPECT_EQ(Lookup("d"), directory_);
  EXPECT_EQ(ClassOf(file_), "other");
  EXPECT_TRUE(snapshot_
                  ->Decide(app, file_->Classify(*snapshot_).object,
                           policy::Operation::kLookup)
                  .allowed());
  EXPECT_EQ(tree_->PathOf(*file_), "d/f");
}

// What has no place yet is not taken for the root.
TEST_F(ClassifyTest, WithoutAPlaceNothingIsAllowed) {
  absl::StatusOr<kernel::Fd> fd =
      kernel::OpenBeneath(tree_->root_descriptor(), "Music", O_PATH);
  ASSERT_THAT(fd, IsOk());
  music_ = nullptr;
  absl::StatusOr<LowerTree::Found> found = tree_->Intern(*std::move(fd));
  ASSERT_THAT(found, IsOk());
  EXPECT_FALSE(snapshot_
                   ->Decide(snapshot_->SubjectOf(10001),
                            found->node->Classify(*snapshot_).object,
                            policy::Operation::kLookup)
                   .allowed());
}

}  // namespace
}  // namespace fused
