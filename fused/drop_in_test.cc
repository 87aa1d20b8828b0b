// What is taken from a drop-in directory, and what is not.
#include "fused/drop_in.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using ::absl_testing::StatusIs;
using control::v1::PushRequest;
using control::v1::PushResponse;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class DropInTest : public testing::Test {
 protected:
  DropInTest() : directory_(scratch_.Path("drop")) {}

  absl::Status Start() {
    drop_in_ = nullptr;
    // Who runs the test is an admin.
    absl::StatusOr<std::unique_ptr<DropIn>> drop_in = DropIn::Start(
        {directory_, {getuid()}}, [this](const PushRequest& push) {
          absl::MutexLock lock(&mutex_);
          pushes_.push_back(push);
          PushResponse response;
          response.set_accepted(push.content() != "bad");
          response.set_changed(true);
          response.set_version(pushes_.size());
          response.set_sha256("abc");
          if (push.content() == "closes") {
            response.set_stale_handles(3);
            response.set_draining("one hangs");
          }
          if (!response.accepted()) {
            response.add_issues()->set_reason("it is bad");
          }
          return response;
        });
    if (!drop_in.ok()) return drop_in.status();
    drop_in_ = *std::move(drop_in);
    return absl::OkStatus();
  }

  std::string At(std::string_view name) const {
    return absl::StrCat(directory_, "/", name);
  }
  // As config management does.
  void Drop(const std::string& name, const std::string& content) {
    std::ofstream(At(".tmp")) << content;
    ASSERT_EQ(chmod(At(".tmp").c_str(), 0644), 0);
    ASSERT_EQ(rename(At(".tmp").c_str(), At(name).c_str()), 0);
  }
  std::string Result(std::string_view stem) const {
    std::ifstream in(At(absl::StrCat(stem, ".result")));
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  // Until so many were pushed; the last.
  PushRequest Await(size_t count) {
    struct Wanted {
      DropInTest* test;
      size_t count;
    } wanted = {this, count};
    absl::MutexLock lock(&mutex_);
    const bool came = mutex_.AwaitWithTimeout(
        absl::Condition(
            +[](Wanted* wanted) {
              return wanted->test->Count() >= wanted->count;
            },
            &wanted),
        absl::Seconds(20));
    EXPECT_TRUE(came);
    return pushes_.empty() ? PushRequest() : pushes_.back();
  }
  size_t Count() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return pushes_.size(); }

  // A push that comes after all that were dropped before it.
  void Settle() {
    size_t count = 0;
    {
      absl::MutexLock lock(&mutex_);
      count = pushes_.size();
    }
    Drop("apps.binpb", "settle");
    Await(count + 1);
  }

  kernel::ScratchDirectory scratch_;
  const std::string directory_;
  absl::Mutex mutex_;
  std::vector<PushRequest> pushes_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<DropIn> drop_in_;
};

TEST_F(DropInTest, TheResultSaysWhatIsOpenAllTheSame) {
  ASSERT_THAT(Start(), IsOk());
  Drop("policy.textproto", "closes");
  Await(1);
  drop_in_ = nullptr;
  EXPECT_THAT(Result("policy"), StartsWith("ACK version 1 abc"));
  EXPECT_THAT(Result("policy"), HasSubstr("warning: one hangs"));
  EXPECT_THAT(Result("policy"), HasSubstr("3 open files stay"));
}

TEST_F(DropInTest, WhatIsRenamedIntoItIsPushed) {
  ASSERT_THAT(Start(), IsOk());
  Drop("policy.textproto", "rules");
  PushRequest push = Await(1);
  EXPECT_EQ(push.kind(), PushRequest::POLICY);
  EXPECT_EQ(push.content(), "rules");
  EXPECT_EQ(push.file_name(), At("policy.textproto"));
  EXPECT_EQ(push.peer_uid(), getuid());
  Drop("apps.binpb", "apps");
  push = Await(2);
  EXPECT_EQ(push.kind(), PushRequest::APPS);
  EXPECT_EQ(push.content(), "apps");
  // Written in place it counts when it is closed.
  std::ofstream(At("policy.textproto")) << "others";
  EXPECT_EQ(Await(3).content(), "others");
  drop_in_ = nullptr;
  EXPECT_THAT(Result("policy"), StartsWith("ACK version 3 abc"));
  EXPECT_THAT(Result("apps"), StartsWith("ACK version 2 abc"));
}

TEST_F(DropInTest, WhatIsThereAtStartIsPushedBeforeItIsBack) {
  scratch_.MakeDirectory("drop");
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  Drop("apps.textproto", "apps");
  Drop("policy.binpb", "rules");
  ASSERT_THAT(Start(), IsOk());
  absl::MutexLock lock(&mutex_);
  ASSERT_EQ(pushes_.size(), 2u);
  EXPECT_EQ(pushes_[0].content(), "rules");
  EXPECT_EQ(pushes_[1].content(), "apps");
}

TEST_F(DropInTest, WhatIsRefusedSaysWhy) {
  ASSERT_THAT(Start(), IsOk());
  Drop("policy.textproto", "bad");
  Await(1);
  drop_in_ = nullptr;
  EXPECT_THAT(Result("policy"), StartsWith("NACK version 1 abc"));
  EXPECT_THAT(Result("policy"), HasSubstr("it is bad"));
}

TEST_F(DropInTest, OtherFilesAreNobodys) {
  ASSERT_THAT(Start(), IsOk());
  for (const char* name : {".policy.textproto", "policy.textproto.swp",
                           "policy", "README", "policy.result"}) {
    Drop(name, "x");
  }
  Settle();
  EXPECT_EQ(Await(1).content(), "settle");
  drop_in_ = nullptr;
  EXPECT_EQ(Result("policy"), "x");
}

TEST_F(DropInTest, WhatOthersMayHaveWrittenIsNotTaken) {
  ASSERT_THAT(Start(), IsOk());
  const auto refused = [&](const char* why) {
    Settle();
    EXPECT_THAT(Result("policy"), StartsWith("NACK")) << why;
    EXPECT_THAT(Result("policy"), HasSubstr(why));
  };
  const std::string real = scratch_.MakeFile("real", "rules");
  ASSERT_EQ(symlink(real.c_str(), At(".link").c_str()), 0);
  ASSERT_EQ(rename(At(".link").c_str(), At("policy.textproto").c_str()), 0);
  refused("a link is not followed");

  std::ofstream(At(".open")) << "rules";
  ASSERT_EQ(chmod(At(".open").c_str(), 0664), 0);
  ASSERT_EQ(rename(At(".open").c_str(), At("policy.textproto").c_str()), 0);
  refused("may write it");

  ASSERT_EQ(mkfifo(At(".pipe").c_str(), 0600), 0);
  ASSERT_EQ(rename(At(".pipe").c_str(), At("policy.textproto").c_str()), 0);
  refused("not a regular file");

  if (getuid() == 0) {
    std::ofstream(At(".others")) << "rules";
    ASSERT_EQ(chmod(At(".others").c_str(), 0644), 0);
    ASSERT_EQ(chown(At(".others").c_str(), 12345, 12345), 0);
    ASSERT_EQ(rename(At(".others").c_str(), At("policy.textproto").c_str()), 0);
    refused("it belongs to uid 12345");
  }
  drop_in_ = nullptr;
  absl::MutexLock lock(&mutex_);
  for (const PushRequest& push : pushes_) EXPECT_EQ(push.content(), "settle");
}

TEST_F(DropInTest, ADirectoryThatOthersMayWriteIsRefused) {
  scratch_.MakeDirectory("drop");
  ASSERT_EQ(chmod(directory_.c_str(), 0777), 0);
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  EXPECT_THAT(Start(), IsOk());
}

}  // namespace
}  // namespace fused
