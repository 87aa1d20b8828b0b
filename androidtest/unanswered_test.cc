// A lookup that is not answered keeps its own caller waiting, and nobody else:
// not even who is told, meanwhile, that a name in that directory has gone. The
// kernel holds the directory's lock for the one, and wants it for the other.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "androidtest/harness/control.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/program.h"
#include "androidtest/harness/stalling_lower.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;
using Views = std::tuple<View, View>;

// PATH: as App::Stat(), which does not wait.
APP_PROGRAM(StatPath) {
  struct stat st;
  return stat(arguments[0].c_str(), &st) == 0 ? Done() : Failed("stat");
}

// PATH: the names in a directory.
APP_PROGRAM(ListPath) {
  DIR* const directory = opendir(arguments[0].c_str());
  if (directory == nullptr) return Failed("opendir");
  std::string names;
  while (const struct dirent* entry = readdir(directory)) {
    absl::StrAppend(&names, entry->d_name, " ");
  }
  closedir(directory);
  return Done(0, names);
}

// What is in `d` is not there.
std::string ClosingPolicy(uint64_t version) {
  return absl::StrCat("name: 'closing' version: ", version, R"(
path_classes { name: "d" patterns: "d/*" }
rules { name: "d" path_classes: "d" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "rest" operations: ANY effect { allow {} } }
)");
}

class UnansweredTest : public testing::TestWithParam<Views> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    char path[] = "/tmp/fused-stalling.XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    path_ = path;
    lower_.emplace(path_, std::vector<std::string>{"a", "b", "c", "e"});
    ASSERT_TRUE(lower_->mounted());
    device_.emplace(Device::Options{.policy = AllowAllPolicy(),
                                    .packages = StandardPackages(),
                                    .lower_path = path_});
    ASSERT_TRUE(device_->Start());
  }

  void TearDown() override {
    // First, lest the daemon cannot even die.
    if (lower_.has_value()) lower_->Release();
    device_.reset();
    lower_.reset();
    if (!path_.empty()) rmdir(path_.c_str());
  }

  App Launch(const char* package, View view) {
    return device_->Launch(package, view);
  }

  std::string path_;
  std::optional<StallingLower> lower_;
  std::optional<Device> device_;
};

TEST_P(UnansweredTest, ANotificationDoesNotHangTheMount) {
  const App waiting = Launch(kCamera, std::get<0>(GetParam()));
  const App acting = Launch(kGallery, std::get<1>(GetParam()));
  const App bystander = Launch(kMusic, std::get<0>(GetParam()));
  // Both views know these names.
  for (const App& app : {waiting, acting, bystander}) {
    for (const char* name : {"d/a", "d/b", "d/c", "d/e"}) {
      ASSERT_THAT(app.Stat(name), Succeeds());
    }
  }
  lower_->Stall();
  waiting.Begin("StatPath", {waiting.At("d/slow")});
  ASSERT_TRUE(lower_->AwaitCaller(absl::Seconds(20)));

  // Each of these posts that a name has gone from the directory.
  EXPECT_THAT(acting.Unlink("d/a"), Succeeds());
  EXPECT_THAT(acting.Unlink("d/b"), Succeeds());
  EXPECT_THAT(acting.Stat("d/a"), FailsWith(ENOENT));
  EXPECT_THAT(bystander.Stat("d/c"), Succeeds());
  EXPECT_THAT(bystander.Stat(""), Succeeds());
  EXPECT_THAT(acting.Unlink("d/e"), Succeeds());
  EXPECT_EQ(device_->Status().state(), "SERVING");
  EXPECT_FALSE(waiting.Answered());

  lower_->Release();
  EXPECT_THAT(waiting.Finish(), Succeeds());
  EXPECT_TRUE(device_->Sync());
  EXPECT_THAT(waiting.Stat("d/a"), FailsWith(ENOENT));
  EXPECT_THAT(waiting.Stat("d/c"), Succeeds());
  const control::v1::Invalidations told =
      device_->Status().volumes(0).invalidations();
  EXPECT_GT(told.entries() + told.epochs(), 0U) << "nothing was posted";
  EXPECT_TRUE(device_->Stop());
}

// Nor does a push, which has every view ask anew.
TEST_P(UnansweredTest, APushDoesNotHangTheMount) {
  const App waiting = Launch(kCamera, std::get<0>(GetParam()));
  const App acting = Launch(kGallery, std::get<1>(GetParam()));
  ASSERT_THAT(acting.Stat("d/a"), Succeeds());
  lower_->Stall();
  waiting.Begin("StatPath", {waiting.At("d/slow")});
  ASSERT_TRUE(lower_->AwaitCaller(absl::Seconds(20)));
  EXPECT_EQ(
      device_->Ctl({"push", device_->Keep("p.textproto", AllowAllPolicy(2))})
          .exit,
      0);
  EXPECT_THAT(acting.Stat("d/a"), Succeeds());
  EXPECT_FALSE(waiting.Answered());
  lower_->Release();
  EXPECT_THAT(waiting.Finish(), Succeeds());
  EXPECT_TRUE(device_->Sync());
  EXPECT_TRUE(device_->Stop());
}

// A request of rules that are not those before, but older: it is told of as
// long as it lasts, and what it leaves in a cache goes when it is over.
TEST_P(UnansweredTest, WhatOldRulesDecideIsToldUntilItIsOver) {
  const App waiting = Launch(kCamera, std::get<0>(GetParam()));
  const App acting = Launch(kGallery, std::get<1>(GetParam()));
  ASSERT_THAT(acting.Stat("d/a"), Succeeds());
  Control control(device_->control());
  const auto push = [&control](uint64_t version) {
    control::v1::Request request;
    request.mutable_push()->set_kind(control::v1::PushRequest::POLICY);
    request.mutable_push()->set_content(ClosingPolicy(version));
    return control.Ask(request).value_or(control::v1::Response()).push();
  };
  lower_->Stall();
  waiting.Begin("ListPath", {waiting.At("d")});
  ASSERT_TRUE(lower_->AwaitCaller(absl::Seconds(20)));
  for (const uint64_t version : {2, 3, 3}) {
    const control::v1::PushResponse response = push(version);
    EXPECT_TRUE(response.accepted());
    EXPECT_THAT(response.draining(), HasSubstr("is not answered yet"))
        << version;
  }
  EXPECT_THAT(acting.Stat("d/a"), FailsWith(ENOENT));
  lower_->Release();
  const Outcome listed = waiting.Finish();
  EXPECT_THAT(listed, Succeeds());
  // By the rules that it began under: with their names.
  EXPECT_THAT(listed.data, HasSubstr("a"));
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (!push(3).draining().empty()) ASSERT_LT(absl::Now(), deadline);
  EXPECT_THAT(waiting.Stat("d/a"), FailsWith(ENOENT));
  EXPECT_TRUE(device_->Stop());
}

INSTANTIATE_TEST_SUITE_P(, UnansweredTest,
                         testing::Values(Views(View::kApp, View::kApp),
                                         Views(View::kApp, View::kShared),
                                         Views(View::kShared, View::kApp)),
                         [](const testing::TestParamInfo<Views>& info) {
                           return Name(std::get<0>(info.param)) + "WaitsAnd" +
                                  Name(std::get<1>(info.param)) + "Acts";
                         });

}  // namespace
}  // namespace fused::androidtest
