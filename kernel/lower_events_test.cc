#include "kernel/lower_events.h"

#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/mount.h"
#include "kernel/testing/scratch.h"

namespace fused::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = LowerEvent::Kind;

class LowerEventsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    root_.Reset(
        open(scratch_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    absl::StatusOr<std::unique_ptr<LowerEvents>> events =
        LowerEvents::Open(root_.get());
    ASSERT_THAT(events, absl_testing::IsOk());
    events_ = *std::move(events);
  }

  // What happened in the directory, readable; of nothing that `except` did.
  std::vector<std::string> Told(pid_t except = 0) {
    const absl::StatusOr<FileHandle> here = HandleOf(root_.get());
    std::vector<std::string> told;
    const auto take = [&](const LowerEvent& event) {
      if (!event.directory.has_value() || !(*event.directory == *here)) return;
      EXPECT_TRUE(event.object.has_value());
      told.push_back(absl::StrCat(static_cast<int>(event.kind), " ", event.name,
                                  event.is_directory ? "/" : ""));
    };
    while (events_->Read(except, take)) {
    }
    return told;
  }
  static std::string Of(Kind kind, const char* name) {
    return absl::StrCat(static_cast<int>(kind), " ", name);
  }

  ScratchDirectory scratch_;
  Fd root_;
  std::unique_ptr<LowerEvents> events_;
};

TEST_F(LowerEventsTest, TellsOfNamesAndOfWhatHasThem) {
  const std::string a = scratch_.path() + "/a";
  const std::string b = scratch_.path() + "/b";
  ASSERT_EQ(mkdir(a.c_str(), 0700), 0);
  EXPECT_THAT(Told(), ElementsAre(Of(Kind::kMade, "a/")));
  ASSERT_EQ(rename(a.c_str(), b.c_str()), 0);
  EXPECT_THAT(Told(), ElementsAre(Of(Kind::kMovedFrom, "a/"),
                                  Of(Kind::kMovedTo, "b/")));
  ASSERT_EQ(rmdir(b.c_str()), 0);
  EXPECT_THAT(Told(), ElementsAre(Of(Kind::kRemoved, "b/")));
  const Fd file(open(a.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(file.valid());
  EXPECT_THAT(Told(), ElementsAre(Of(Kind::kMade, "a")));
  ASSERT_EQ(write(file.get(), "x", 1), 1);
  EXPECT_THAT(Told(), IsEmpty());
  ASSERT_EQ(fchmod(file.get(), 0640), 0);
  EXPECT_THAT(Told(), ElementsAre(Of(Kind::kChanged, "a")));
}

TEST_F(LowerEventsTest, TellsOfAWriteWhenItIsClosed) {
  const std::string a = scratch_.path() + "/a";
  {
    const Fd file(open(a.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(write(file.get(), "x", 1), 1);
    Told();
  }
  EXPECT_THAT(Told(), ElementsAre(Of(Kind::kChanged, "a")));
}

TEST_F(LowerEventsTest, LeavesOutWhatIsWrittenOnOneMount) {
  const absl::StatusOr<Fd> own = CloneTree(scratch_.path());
  ASSERT_THAT(own, absl_testing::IsOk());
  ASSERT_THAT(events_->LeaveOutWritesOn(own->get()), absl_testing::IsOk());
  scratch_.MakeFile("a", "");
  Told();
  {
    const Fd fd(openat(own->get(), "a", O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(write(fd.get(), "x", 1), 1);
  }
  EXPECT_THAT(Told(), IsEmpty());
  // Names are told of all the same, and what is written elsewhere.
  ASSERT_TRUE(Fd(openat(own->get(), "b", O_CREAT | O_RDONLY, 0600)).valid());
  scratch_.MakeFile("a", "xx");
  EXPECT_THAT(Told(),
              ElementsAre(Of(Kind::kMade, "b"), Of(Kind::kChanged, "a")));
}

TEST_F(LowerEventsTest, LeavesOutWhatOneProcessDoes) {
  const std::string b = scratch_.path() + "/b";
  scratch_.MakeFile("a", "");
  const pid_t child = fork();
  if (child == 0) _exit(mkdir(b.c_str(), 0700) == 0 ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  scratch_.MakeFile("c", "");
  EXPECT_THAT(Told(getpid()), ElementsAre(Of(Kind::kMade, "b/")));
}

TEST(ParseLowerEventsTest, RefusesWhatIsCutShort) {
  fanotify_event_metadata head = {};
  head.event_len = sizeof(head);
  head.metadata_len = sizeof(head);
  head.mask = FAN_Q_OVERFLOW;
  const std::string whole(reinterpret_cast<const char*>(&head), sizeof(head));
  ASSERT_EQ(ParseLowerEvents(whole).size(), 1u);
  EXPECT_EQ(ParseLowerEvents(whole)[0].kind, Kind::kLost);
  EXPECT_THAT(ParseLowerEvents(whole.substr(1)), IsEmpty());
  EXPECT_THAT(ParseLowerEvents(""), IsEmpty());

  // A record that is longer than the report.
  fanotify_event_info_header info = {};
  info.info_type = FAN_EVENT_INFO_TYPE_FID;
  info.len = 100;
  head.mask = FAN_CREATE;
  head.event_len = sizeof(head) + sizeof(info);
  std::string cut(reinterpret_cast<const char*>(&head), sizeof(head));
  cut.append(reinterpret_cast<const char*>(&info), sizeof(info));
  EXPECT_THAT(ParseLowerEvents(cut), IsEmpty());
}

}  // namespace
}  // namespace fused::kernel
