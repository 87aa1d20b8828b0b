#include "fused/audit/path_key.h"

#include <sys/stat.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused::audit {
namespace {

using absl_testing::IsOk;
using absl_testing::StatusIs;

TEST(PathKeyTest, ThePathIsTheSameAndNotToldWhich) {
  const kernel::ScratchDirectory scratch;
  const std::string file = scratch.Path("key");
  const auto first = PathKey::LoadOrMake(file);
  ASSERT_THAT(first, IsOk());
  const std::string hidden = first->Hide("DCIM/a.jpg");
  EXPECT_TRUE(absl::StartsWith(hidden, "hmac-sha256:"));
  EXPECT_FALSE(absl::StrContains(hidden, "jpg"));
  EXPECT_NE(hidden, first->Hide("DCIM/b.jpg"));
  // After a restart too.
  EXPECT_EQ(hidden, PathKey::LoadOrMake(file)->Hide("DCIM/a.jpg"));
  struct stat stat = {};
  ASSERT_EQ(::stat(file.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  // Of another installation it is another.
  EXPECT_NE(hidden,
            PathKey::LoadOrMake(scratch.Path("other"))->Hide("DCIM/a.jpg"));
}

// Anyone who has the key can make the digest again.
TEST(PathKeyTest, IsTheKeyedDigest) {
  const kernel::ScratchDirectory scratch;
  const std::string file = scratch.MakeFile("key", std::string(32, '\x0b'));
  // printf DCIM | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b...
  EXPECT_EQ(PathKey::LoadOrMake(file)->Hide("DCIM"),
            "hmac-sha256:d84e78d84add8c3d909f8ff8f347157b");
}

TEST(PathKeyTest, AKeyThatIsNoneIsRefused) {
  const kernel::ScratchDirectory scratch;
  EXPECT_THAT(PathKey::LoadOrMake(scratch.MakeFile("short", "abc")),
              StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(
      PathKey::LoadOrMake(scratch.MakeFile("long", std::string(33, 'x'))),
      StatusIs(absl::StatusCode::kDataLoss));
  const std::string link = scratch.Path("link");
  ASSERT_EQ(symlink("/etc/hostname", link.c_str()), 0);
  EXPECT_FALSE(PathKey::LoadOrMake(link).ok());
}

}  // namespace
}  // namespace fused::audit
