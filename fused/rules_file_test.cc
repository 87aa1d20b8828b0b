#include "fused/rules_file.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"
#include "policy/parse.h"

namespace fused {
namespace {

using ::absl_testing::IsOkAndHolds;
using ::absl_testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class RulesFileTest : public testing::Test {
 protected:
  std::string Write(const std::string& content) {
    const std::string path = scratch_.Path("rules");
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static auto CannotBeRead(const std::string& path, const char* why) {
    return StatusIs(
        absl::StatusCode::kInvalidArgument,
        AllOf(HasSubstr(path + ": can't be read: "), HasSubstr(why)));
  }

  kernel::ScratchDirectory scratch_;
};

TEST_F(RulesFileTest, IsReadWhole) {
  std::string content(200'000, 'x');
  content[70'000] = '\0';
  EXPECT_THAT(ReadRulesFile(Write(content)), IsOkAndHolds(content));
  EXPECT_THAT(ReadRulesFile(Write("")), IsOkAndHolds(""));
}

TEST_F(RulesFileTest, NoMoreIsReadThanIsRefused) {
  const std::string path = Write(std::string(policy::kMaxInput + 5, ' '));
  EXPECT_THAT(ReadRulesFile(path), IsOkAndHolds(SizeIs(policy::kMaxInput + 1)));
}

// Each of them ended the daemon, or kept it for ever.
TEST_F(RulesFileTest, WhatIsNoFileIsAnError) {
  EXPECT_THAT(ReadRulesFile(scratch_.path()),
              CannotBeRead(scratch_.path(), "directory"));
  EXPECT_THAT(ReadRulesFile("/dev/zero"),
              CannotBeRead("/dev/zero", "Invalid argument"));
  const std::string fifo = scratch_.Path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(ReadRulesFile(fifo), CannotBeRead(fifo, "Invalid argument"));
  // Opens, and reads EIO.
  EXPECT_THAT(ReadRulesFile("/proc/self/mem"),
              CannotBeRead("/proc/self/mem", "Input/output error"));
  EXPECT_THAT(ReadRulesFile(scratch_.Path("absent")),
              CannotBeRead("absent", "No such file"));
}

}  // namespace
}  // namespace fused
