// Who made a file, as it stands on the lower file.
#include "fused/owner.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;

TEST(OwnerTest, EncodesAndDecodes) {
  for (const Owner& owner : {Owner{"com.example.app", 10001}, Owner{"a", 0},
                             Owner{"with:colons:in.it", 4294967295u},
                             Owner{std::string(255, 'p'), 19999}}) {
    EXPECT_EQ(DecodeOwner(EncodeOwner(owner)), owner) << EncodeOwner(owner);
  }
  EXPECT_EQ(EncodeOwner({"com.example", 10061}), "1:10061:com.example");
}

TEST(OwnerTest, RefusesWhatItDidNotMake) {
  for (const std::string_view text :
       {"", "1", "1:", "1::", "1:10001", "1:10001:", ":10001:a", "2:10001:a",
        "01:10001:a", "1:x:a", "1:-1:a", "1:4294967296:a", "1:1 2:a",
        "10001:a"}) {
    EXPECT_EQ(DecodeOwner(text), std::nullopt) << text;
  }
}

class OwnerXattrTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = scratch_.MakeFile("file", "content");
    fd_.Reset(open(path_.c_str(), O_RDWR | O_CLOEXEC));
    path_fd_.Reset(open(path_.c_str(), O_PATH | O_CLOEXEC));
    if (fsetxattr(fd_.get(), kOwnerXattr, "x", 1, 0) != 0) {
      GTEST_SKIP() << "NOT TESTED: trusted extended attributes need root and a "
                      "file system that has them";
    }
    ASSERT_EQ(fremovexattr(fd_.get(), kOwnerXattr), 0);
  }

  kernel::ScratchDirectory scratch_;
  std::string path_;
  kernel::Fd fd_;
  kernel::Fd path_fd_;
};

TEST_F(OwnerXattrTest, NothingIsRecordedAtFirst) {
  EXPECT_EQ(ReadOwner(fd_.get()), std::nullopt);
  EXPECT_EQ(ReadOwner(path_fd_.get()), std::nullopt);
}

TEST_F(OwnerXattrTest, WritesAndReads) {
  const Owner owner{"com.example.app", 10001};
  ASSERT_THAT(WriteOwner(fd_.get(), owner), IsOk());
  EXPECT_EQ(ReadOwner(fd_.get()), owner);
  EXPECT_EQ(ReadOwner(path_fd_.get()), owner);
  const Owner heir{"com.example.heir", 10002};
  ASSERT_THAT(WriteOwner(fd_.get(), heir), IsOk());
  EXPECT_EQ(ReadOwner(path_fd_.get()), heir);
}

TEST_F(OwnerXattrTest, TheLongestPackageNameFits) {
  const Owner owner{std::string(255, 'p'), 4294967295u};
  ASSERT_THAT(WriteOwner(fd_.get(), owner), IsOk());
  EXPECT_EQ(ReadOwner(path_fd_.get()), owner);
}

TEST_F(OwnerXattrTest, ABrokenRecordBelongsToNobody) {
  for (const std::string& value :
       {std::string("garbage"), std::string("1:10001:"),
        std::string(4000, 'x')}) {
    ASSERT_EQ(fsetxattr(fd_.get(), kOwnerXattr, value.data(), value.size(), 0),
              0);
    EXPECT_EQ(ReadOwner(path_fd_.get()), std::nullopt) << value.size();
  }
}

TEST_F(OwnerXattrTest, OPathDescriptorsCannotWrite) {
  EXPECT_FALSE(WriteOwner(path_fd_.get(), {"a", 1}).ok());
}

}  // namespace
}  // namespace fused
