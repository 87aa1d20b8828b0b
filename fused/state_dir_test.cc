// What is on disk is the old content or the new, and one daemon's.
#include "fused/state_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using ::absl_testing::IsOkAndHolds;
using ::absl_testing::StatusIs;

using Content = std::optional<std::string>;

constexpr char kPolicyFile[] = "policy.binpb";
constexpr char kAppsFile[] = "apps.binpb";

mode_t ModeOf(const std::string& path) {
  struct stat stat = {};
  EXPECT_EQ(::stat(path.c_str(), &stat), 0) << path;
  return stat.st_mode & 07777;
}

std::string Raw(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class StateDirTest : public testing::Test {
 protected:
  std::unique_ptr<StateDir> Open() {
    absl::StatusOr<std::unique_ptr<StateDir>> state =
        StateDir::Open(scratch_.Path("state"));
    EXPECT_THAT(state, IsOk());
    return state.ok() ? *std::move(state) : nullptr;
  }

  kernel::ScratchDirectory scratch_;
};

TEST_F(StateDirTest, MakesWhatIsMissingForItselfAlone) {
  const std::string path = scratch_.Path("a/b/state");
  ASSERT_THAT(StateDir::Open(path), IsOk());
  EXPECT_EQ(ModeOf(path), 0700u);
}

TEST_F(StateDirTest, ATrailingSlashChangesNothing) {
  const std::string path = scratch_.Path("state/");
  ASSERT_THAT(StateDir::Open(path), IsOk());
  EXPECT_EQ(ModeOf(path), 0700u);
}

TEST_F(StateDirTest, WhereOthersMayWriteIsNotUsed) {
  const std::string path = scratch_.MakeDirectory("state");
  ASSERT_EQ(chmod(path.c_str(), 0770), 0);
  EXPECT_THAT(StateDir::Open(path),
              StatusIs(absl::StatusCode::kPermissionDenied));
  ASSERT_EQ(chmod(path.c_str(), 0750), 0);
  EXPECT_THAT(StateDir::Open(path), IsOk());
}

TEST_F(StateDirTest, AFileInTheWayIsAnError) {
  scratch_.MakeFile("state", "");
  EXPECT_FALSE(StateDir::Open(scratch_.Path("state")).ok());
}

TEST_F(StateDirTest, WhatWasWrittenIsRead) {
  const std::unique_ptr<StateDir> state = Open();
  EXPECT_THAT(state->Read(kPolicyFile), IsOkAndHolds(Content()));
  // Longer than one read, and with bytes that are no text.
  const std::string content = std::string(200000, '\0') + "\xff end";
  for (const std::string& value :
       {std::string("first"), content, std::string(), std::string("last")}) {
    ASSERT_THAT(state->Write(kPolicyFile, value), IsOk());
    EXPECT_THAT(state->Read(kPolicyFile), IsOkAndHolds(Content(value)));
  }
  EXPECT_THAT(state->Read(kAppsFile), IsOkAndHolds(Content()));
  EXPECT_EQ(ModeOf(scratch_.Path("state/policy.binpb")), 0600u);
}

TEST_F(StateDirTest, ItLastsOverARestart) {
  ASSERT_THAT(Open()->Write(kAppsFile, "kept"), IsOk());
  EXPECT_THAT(Open()->Read(kAppsFile), IsOkAndHolds(Content("kept")));
}

TEST_F(StateDirTest, ASecondDaemonIsRefused) {
  std::unique_ptr<StateDir> first = Open();
  EXPECT_THAT(StateDir::Open(scratch_.Path("state")),
              StatusIs(absl::StatusCode::kAlreadyExists));
  // Another process too.
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    _exit(absl::IsAlreadyExists(StateDir::Open(scratch_.Path("state")).status())
              ? 0
              : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  first = nullptr;
  EXPECT_THAT(StateDir::Open(scratch_.Path("state")), IsOk());
}

TEST_F(StateDirTest, AHalfWrittenFileIsIgnored) {
  {
    const std::unique_ptr<StateDir> state = Open();
    ASSERT_THAT(state->Write(kPolicyFile, "whole"), IsOk());
  }
  // As a crash between the two steps leaves it.
  scratch_.MakeFile("state/policy.binpb.new", "hal");
  scratch_.MakeFile("state/apps.binpb.new", "hal");
  const std::unique_ptr<StateDir> state = Open();
  EXPECT_THAT(state->Read(kPolicyFile), IsOkAndHolds(Content("whole")));
  EXPECT_THAT(state->Read(kAppsFile), IsOkAndHolds(Content()));
  ASSERT_THAT(state->Write(kPolicyFile, "n"), IsOk());
  EXPECT_EQ(Raw(scratch_.Path("state/policy.binpb")), "n");
  EXPECT_NE(access(scratch_.Path("state/policy.binpb.new").c_str(), F_OK), 0);
}

TEST_F(StateDirTest, ALinkIsNotFollowed) {
  const std::unique_ptr<StateDir> state = Open();
  scratch_.MakeFile("victim", "untouched");
  ASSERT_EQ(symlink(scratch_.Path("victim").c_str(),
                    scratch_.Path("state/policy.binpb.new").c_str()),
            0);
  EXPECT_FALSE(state->Write(kPolicyFile, "new").ok());
  EXPECT_EQ(Raw(scratch_.Path("victim")), "untouched");
}

TEST_F(StateDirTest, AWriteThatFailsLeavesTheOldContent) {
  const std::unique_ptr<StateDir> state = Open();
  ASSERT_THAT(state->Write(kPolicyFile, "old"), IsOk());
  // A directory can't be replaced by a file.
  scratch_.MakeDirectory("state/apps.binpb");
  EXPECT_FALSE(state->Write(kAppsFile, "new").ok());
  EXPECT_NE(access(scratch_.Path("state/apps.binpb.new").c_str(), F_OK), 0);
  scratch_.MakeDirectory("state/policy.binpb.new");
  EXPECT_FALSE(state->Write(kPolicyFile, "new").ok());
  EXPECT_THAT(state->Read(kPolicyFile), IsOkAndHolds(Content("old")));
}

TEST_F(StateDirTest, AReaderSeesTheOldOrTheNew) {
  const std::unique_ptr<StateDir> state = Open();
  const std::string contents[] = {std::string(100000, 'a'),
                                  std::string(50000, 'b')};
  ASSERT_THAT(state->Write(kPolicyFile, contents[0]), IsOk());
  std::atomic<bool> done{false};
  int wrong = 0;
  std::thread reader([&] {
    while (!done) {
      const std::string raw = Raw(scratch_.Path("state/policy.binpb"));
      if (raw != contents[0] && raw != contents[1]) ++wrong;
    }
  });
  for (int i = 0; i < 30; ++i) {
    EXPECT_THAT(state->Write(kPolicyFile, contents[i % 2]), IsOk());
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace fused
