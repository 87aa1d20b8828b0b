#include "fused/directories.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "gtest/gtest.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using ::absl_testing::StatusIs;

class DirectoriesTest : public testing::TestWithParam<mode_t> {
 protected:
  DirectoriesTest() : umask_(umask(GetParam())) {}
  ~DirectoriesTest() override { umask(umask_); }
  mode_t ModeOf(const std::string& path) {
    struct stat stat = {};
    EXPECT_EQ(::stat(scratch_.Path(path).c_str(), &stat), 0) << path;
    return stat.st_mode & 07777;
  }

  kernel::ScratchDirectory scratch_;
  const mode_t umask_;
};

TEST_P(DirectoriesTest, WhatIsMadeIsAsOpenAsIsAskedFor) {
  EXPECT_THAT(MakeDirectories(scratch_.Path("a/b//c/"), 0700), IsOk());
  EXPECT_EQ(ModeOf("a"), 0755u);
  EXPECT_EQ(ModeOf("a/b"), 0755u);
  EXPECT_EQ(ModeOf("a/b/c"), 0700u);
}

TEST_P(DirectoriesTest, WhatIsThereStaysAsItIs) {
  ASSERT_THAT(MakeDirectories(scratch_.Path("a"), 0750), IsOk());
  EXPECT_THAT(MakeDirectories(scratch_.Path("a"), 0700), IsOk());
  EXPECT_EQ(ModeOf("a"), 0750u);
  ASSERT_EQ(symlink("a", scratch_.Path("link").c_str()), 0);
  EXPECT_THAT(MakeDirectories(scratch_.Path("link/b"), 0711), IsOk());
  EXPECT_EQ(ModeOf("a/b"), 0711u);
  EXPECT_THAT(MakeDirectories("/", 0700), IsOk());
}

TEST_P(DirectoriesTest, AFileIsNoDirectory) {
  std::ofstream(scratch_.Path("file")) << "x";
  for (const char* path : {"file", "file/a", "file/a/b"}) {
    EXPECT_TRUE(
        kernel::IsErrno(MakeDirectories(scratch_.Path(path), 0700), ENOTDIR))
        << path;
  }
}

TEST(OwnDirectoryTest, IsOnesOwnAndWrittenByNobodyElse) {
  struct stat stat = {};
  stat.st_uid = geteuid();
  for (const mode_t mode : {0700, 0750, 0755, 01755}) {
    stat.st_mode = S_IFDIR | mode;
    EXPECT_THAT(CheckOwnDirectory("/a", stat), IsOk());
  }
  for (const mode_t mode : {0770, 0702, 01777}) {
    stat.st_mode = S_IFDIR | mode;
    EXPECT_THAT(CheckOwnDirectory("/a", stat),
                StatusIs(absl::StatusCode::kPermissionDenied));
  }
  stat.st_mode = S_IFDIR | 0700;
  stat.st_uid = geteuid() + 1;
  EXPECT_THAT(CheckOwnDirectory("/a", stat),
              StatusIs(absl::StatusCode::kPermissionDenied));
}

// The daemon's own, and a careful one's.
INSTANTIATE_TEST_SUITE_P(Umasks, DirectoriesTest, testing::Values(0, 077));

}  // namespace
}  // namespace fused
