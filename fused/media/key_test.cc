#include "fused/media/key.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <string>

#include "absl/status/status_matchers.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/testing/scratch.h"

namespace fused::media {
namespace {

std::string NoPath() {
  ADD_FAILURE() << "a path was asked for";
  return "";
}

TEST(FoldPathTest, FoldsCaseAndNothingElse) {
  EXPECT_EQ(FoldPath("DCIM/Camera/IMG_1.JPG"), "dcim/camera/img_1.jpg");
  EXPECT_EQ(FoldPath("a./b..."), "a/b");
  EXPECT_EQ(FoldPath(".../.a"), "./.a");
  // É and é, and the three sigmas.
  EXPECT_EQ(FoldPath("\u00c9"), FoldPath("\u00e9"));
  EXPECT_EQ(FoldPath("\u03a3"), FoldPath("\u03c2"));
  EXPECT_EQ(FoldPath("\u03c3"), FoldPath("\u03c2"));
  // What FAT keeps apart: composed and not, full width, zero width, ß and ss.
  EXPECT_NE(FoldPath("\u00e9"), FoldPath("e\u0301"));
  EXPECT_NE(FoldPath("\uff41"), FoldPath("a"));
  EXPECT_NE(FoldPath("a\u200b"), FoldPath("a"));
  EXPECT_NE(FoldPath("\u00df"), FoldPath("ss"));
  // No UTF-8.
  EXPECT_EQ(FoldPath("\xff\xfeZ"), "\xff\xfez");
}

TEST(PathKeyTest, MovesKeepTheBirthTime) {
  for (const KeyKind kind : {KeyKind::kPath, KeyKind::kFoldedPath}) {
    const FileKey key = PathKey(kind, "a/b", 12345);
    EXPECT_EQ(MovedKey(kind, key, "c"), PathKey(kind, "c", 12345));
    EXPECT_TRUE(HasBirthTime(key));
    EXPECT_FALSE(HasBirthTime(PathKey(kind, "a/b", 0)));
    EXPECT_TRUE(IsOfKind(kind, key.bytes));
    EXPECT_FALSE(IsOfKind(KeyKind::kHandle, key.bytes));
    EXPECT_EQ(key.bytes.rfind(PrefixBelow(kind, "a"), 0), 0U);
    EXPECT_NE(PathKey(kind, "ab/b", 1).bytes.rfind(PrefixBelow(kind, "a"), 0),
              0U);
  }
  EXPECT_EQ(PathKey(KeyKind::kFoldedPath, "A/B", 1),
            PathKey(KeyKind::kFoldedPath, "a/b", 1));
  EXPECT_FALSE(PathKey(KeyKind::kPath, "A/B", 1) ==
               PathKey(KeyKind::kPath, "a/b", 1));
}

TEST(MakeKeyTest, AHandleIsTheFilesThroughRenamesAndNotTheNextOnes) {
  if (!kernel::CanMount()) GTEST_SKIP() << "needs root";
  const kernel::ScratchDirectory scratch;
  const std::string root = scratch.MakeDirectory("root");
  ASSERT_EQ(mount("tmpfs", root.c_str(), "tmpfs", 0, ""), 0);
  {
    const kernel::Fd directory(open(root.c_str(), O_PATH | O_DIRECTORY));
    ASSERT_EQ(KindOf(directory.get()), KeyKind::kHandle);
    const auto make = [&](const char* name) {
      return kernel::Fd(openat(directory.get(), name, O_CREAT | O_RDWR, 0600));
    };
    const auto key_of = [&](const kernel::Fd& fd) {
      absl::StatusOr<FileKey> key = MakeKey(KeyKind::kHandle, fd.get(), NoPath);
      EXPECT_THAT(key, absl_testing::IsOk());
      return key.ok() ? *key : FileKey();
    };
    const kernel::Fd a = make("a");
    const FileKey key = key_of(a);
    EXPECT_EQ(renameat(directory.get(), "a", directory.get(), "b"), 0);
    EXPECT_EQ(key_of(make("b")), key);
    EXPECT_FALSE(key_of(make("a")) == key);
  }
  EXPECT_EQ(umount(root.c_str()), 0);
}

TEST(KindOfTest, WhatHasNoStableNumbersGoesByPath) {
  if (!kernel::CanMount()) GTEST_SKIP() << "needs root";
  const kernel::ScratchDirectory scratch;
  const std::string root = scratch.MakeDirectory("root");
  ASSERT_EQ(mount("ramfs", root.c_str(), "ramfs", 0, ""), 0);
  {
    const kernel::Fd directory(open(root.c_str(), O_PATH | O_DIRECTORY));
    EXPECT_EQ(KindOf(directory.get()), KeyKind::kPath);
  }
  EXPECT_EQ(umount(root.c_str()), 0);
}

}  // namespace
}  // namespace fused::media
