#include "fused/audit/rotating_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "kernel/status.h"
#include "kernel/testing/scratch.h"

namespace fused::audit {
namespace {

using absl_testing::IsOk;
using absl_testing::StatusIs;

class RotatingFileTest : public testing::Test {
 protected:
  RotatingFileTest() : directory_(scratch_.Path("audit")) {}

  std::unique_ptr<RotatingFile> Open(uint64_t bytes, uint32_t files) {
    auto file = RotatingFile::Open(directory_, "log", {bytes, files});
    EXPECT_THAT(file, IsOk());
    return file.ok() ? *std::move(file) : nullptr;
  }
  std::string Content(const std::string& name) const {
    std::ifstream in(directory_ + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::set<std::string> Names() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      names.insert(entry.path().filename());
    }
    return names;
  }
  uint64_t Total() const {
    uint64_t total = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      total += entry.file_size();
    }
    return total;
  }

  kernel::ScratchDirectory scratch_;
  const std::string directory_;
};

TEST_F(RotatingFileTest, NeverLargerThanItMayBe) {
  auto file = Open(1000, 4);
  for (int i = 0; i < 500; ++i) {
    ASSERT_THAT(file->Append(absl::StrCat("line ", i, "\n")), IsOk());
    ASSERT_LE(Total(), 1000u);
  }
  EXPECT_EQ(Names(), (std::set<std::string>{"log", "log.1", "log.2", "log.3"}));
  const std::string tail = *file->Tail(100000);
  EXPECT_TRUE(tail.ends_with("line 498\nline 499\n"));
  // Nothing between the oldest and the newest is missing.
  int expected = -1;
  for (std::string_view line : absl::StrSplit(tail, '\n', absl::SkipEmpty())) {
    const int number = std::stoi(std::string(line.substr(5)));
    if (expected >= 0) {
      EXPECT_EQ(number, expected);
    }
    expected = number + 1;
  }
}

TEST_F(RotatingFileTest, IsForItsOwnerAlone) {
  auto file = Open(1000, 2);
  ASSERT_THAT(file->Append("x\n"), IsOk());
  struct stat stat = {};
  ASSERT_EQ(::stat((directory_ + "/log").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0600u);
  ASSERT_EQ(::stat(directory_.c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0700u);
}

TEST_F(RotatingFileTest, GoesOnAfterARestart) {
  ASSERT_THAT(Open(1000, 2)->Append("one\n"), IsOk());
  std::ofstream(directory_ + "/log", std::ios::app) << "half a li";
  std::ofstream(directory_ + "/log.7") << "of more files";
  std::ofstream(directory_ + "/log.txt") << "not ours";
  auto file = Open(1000, 2);
  ASSERT_THAT(file->Append("two\n"), IsOk());
  EXPECT_EQ(Content("log"), "one\nhalf a li\ntwo\n");
  EXPECT_EQ(Names(), (std::set<std::string>{"log", "log.txt"}));
}

TEST_F(RotatingFileTest, OneFileBeginsAnew) {
  auto file = Open(10, 1);
  ASSERT_THAT(file->Append("12345\n"), IsOk());
  ASSERT_THAT(file->Append("67890\n"), IsOk());
  EXPECT_EQ(Content("log"), "67890\n");
  EXPECT_THAT(file->Append("12345678901\n"),
              StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(RotatingFileTest, TailBeginsWithAWholeLine) {
  auto file = Open(1000, 2);
  for (int i = 0; i < 9; ++i) {
    ASSERT_THAT(file->Append(absl::StrCat("line ", i, "\n")), IsOk());
  }
  EXPECT_EQ(*file->Tail(17), "line 7\nline 8\n");
}

// A file size limit cuts a write as a full file system does.
TEST_F(RotatingFileTest, HalfALineIsTakenBack) {
  auto file = Open(1 << 20, 2);
  ASSERT_THAT(file->Append("whole\n"), IsOk());
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit old = {};
  getrlimit(RLIMIT_FSIZE, &old);
  const struct rlimit small = {10, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status cut = file->Append("does not fit\n");
  const absl::Status none = file->Append("nor does this\n");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_FALSE(cut.ok());
  EXPECT_FALSE(none.ok());
  EXPECT_EQ(Content("log"), "whole\n");
  EXPECT_THAT(file->Append("again\n"), IsOk());
  EXPECT_EQ(Content("log"), "whole\nagain\n");
}

}  // namespace
}  // namespace fused::audit
