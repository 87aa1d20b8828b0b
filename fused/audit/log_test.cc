#include "fused/audit/log.h"

#include <signal.h>
#include <sys/resource.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fused/audit/config.h"
#include "fused/audit/format.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused::audit {
namespace {

using absl_testing::IsOk;
using absl_testing::StatusIs;

class LogTest : public testing::Test {
 protected:
  // Writes when it is flushed, so that a test says what is one window.
  std::unique_ptr<Log> Open(const config::v1::Audit& config = {},
                            size_t recent = 100) {
    auto complete = Complete(config);
    EXPECT_THAT(complete, IsOk());
    auto log = Log::Open({.state_dir = scratch_.path(),
                          .config = *complete,
                          .window = absl::InfiniteDuration(),
                          .recent = recent});
    EXPECT_THAT(log, IsOk());
    return *std::move(log);
  }
  static void Deny(Log& log, uint32_t uid, uint32_t rule,
                   std::string_view path) {
    log.Note(
        {.kind = v1::Record::DENY, .uid = uid, .rule = rule, .error = ENOENT},
        [&](Event& event) {
          event.path = path;
          event.rule = absl::StrCat("rule", rule);
        });
  }
  static std::vector<v1::Record> All(
      Log& log, const control::v1::AuditRequest& request = {}) {
    log.Flush(absl::InfiniteDuration());
    const control::v1::AuditResponse answer = log.Answer(request);
    return {answer.records().begin(), answer.records().end()};
  }
  std::vector<std::string> Lines() const {
    std::ifstream in(scratch_.Path("audit/audit.jsonl"));
    const std::string text(std::istreambuf_iterator<char>(in), {});
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }

  kernel::ScratchDirectory scratch_;
};

TEST_F(LogTest, TheSameIsOneRecordWithACount) {
  auto log = Open();
  for (int i = 0; i < 1000; ++i) Deny(*log, 1, 1, absl::StrCat("a", i));
  Deny(*log, 1, 2, "b");
  Deny(*log, 2, 1, "c");
  const std::vector<v1::Record> records = All(*log);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].count(), 1000u);
  EXPECT_EQ(records[0].path(), "a0");
  EXPECT_EQ(records[0].rule(), "rule1");
  EXPECT_EQ(records[0].error(), "ENOENT");
  EXPECT_EQ(records[0].sequence(), 1u);
  EXPECT_EQ(records[1].count(), 1u);
  EXPECT_EQ(records[2].uid(), 2u);
  ASSERT_EQ(Lines().size(), 3u);
  EXPECT_EQ(FromLine(Lines()[0])->SerializeAsString(),
            records[0].SerializeAsString());
}

TEST_F(LogTest, OneUidDrownsNobody) {
  config::v1::Audit config;
  config.set_burst(10);
  config.set_per_second(1);
  auto log = Open(config);
  for (uint32_t rule = 0; rule < 500; ++rule) Deny(*log, 1, rule, "x");
  Deny(*log, 2, 1, "y");
  const std::vector<v1::Record> records = All(*log);
  ASSERT_EQ(records.size(), 12u);
  EXPECT_EQ(records[10].uid(), 2u);
  EXPECT_EQ(records[11].kind(), v1::Record::DROPPED);
  EXPECT_EQ(records[11].count(), 490u);
  EXPECT_EQ(log->stats().limited, 490u);
}

TEST_F(LogTest, AFollowerThatIsSlowIsTold) {
  auto log = Open({}, 4);
  control::v1::AuditRequest request;
  Deny(*log, 1, 0, "x");
  log->Flush(absl::InfiniteDuration());
  control::v1::AuditResponse answer = log->Answer(request);
  EXPECT_EQ(answer.records_size(), 1);
  EXPECT_EQ(answer.lost(), 0u);
  request.set_cursor(answer.next());
  for (uint32_t rule = 1; rule <= 10; ++rule) Deny(*log, 1, rule, "x");
  log->Flush(absl::InfiniteDuration());
  answer = log->Answer(request);
  EXPECT_EQ(answer.lost(), 6u);
  EXPECT_EQ(answer.records_size(), 4);
  request.set_cursor(answer.next());
  answer = log->Answer(request);
  EXPECT_EQ(answer.records_size(), 0);
  EXPECT_FALSE(answer.more());
  EXPECT_EQ(answer.next(), request.cursor());
  // Of another daemon.
  request.set_cursor(1000000);
  EXPECT_EQ(log->Answer(request).records_size(), 0);
}

TEST_F(LogTest, FiltersAndLimits) {
  auto log = Open();
  Deny(*log, 1, 1, "DCIM/a");
  Deny(*log, 1, 2, "Music/b");
  Deny(*log, 2, 1, "DCIM/c");
  v1::Record push = NewRecord(v1::Record::PUSH, "accepted");
  push.mutable_time()->set_seconds(1);
  log->Say(push);
  EXPECT_EQ(All(*log).size(), 4u);
  control::v1::AuditRequest request;
  request.set_uid(1);
  EXPECT_EQ(All(*log, request).size(), 2u);
  request.set_path_prefix("DCIM/");
  EXPECT_EQ(All(*log, request).size(), 1u);
  request.Clear();
  request.set_kind(v1::Record::PUSH);
  EXPECT_EQ(All(*log, request).size(), 1u);
  request.Clear();
  request.mutable_since()->set_seconds(2);
  EXPECT_EQ(All(*log, request).size(), 3u);
  request.Clear();
  request.set_limit(3);
  control::v1::AuditResponse answer = log->Answer(request);
  EXPECT_EQ(answer.records_size(), 3);
  EXPECT_TRUE(answer.more());
  request.set_cursor(answer.next());
  answer = log->Answer(request);
  EXPECT_EQ(answer.records_size(), 1);
  EXPECT_FALSE(answer.more());
}

TEST_F(LogTest, ARestartKnowsWhatWas) {
  Deny(*Open(), 1, 1, "x");
  auto log = Open();
  Deny(*log, 1, 2, "y");
  const std::vector<v1::Record> records = All(*log);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].path(), "x");
  EXPECT_EQ(records[1].path(), "y");
}

TEST_F(LogTest, PathsAreHashedOrLeftOut) {
  config::v1::Audit config;
  config.set_paths(config::v1::Audit::HASHED);
  {
    auto log = Open(config);
    Deny(*log, 1, 1, "DCIM/secret.jpg");
    Deny(*log, 2, 1, "DCIM/secret.jpg");
    const std::vector<v1::Record> records = All(*log);
    ASSERT_EQ(records.size(), 2u);
    EXPECT_TRUE(records[0].path().starts_with("hmac-sha256:"));
    EXPECT_EQ(records[0].path(), records[1].path());
  }
  config.set_paths(config::v1::Audit::NONE);
  auto log = Open(config);
  Deny(*log, 1, 2, "DCIM/secret.jpg");
  EXPECT_EQ(All(*log).back().path(), "");
  for (const std::string& line : Lines()) {
    EXPECT_EQ(line.find("secret"), std::string::npos);
  }
}

TEST_F(LogTest, AFullDiskIsCountedAndOutlived) {
  auto log = Open();
  Deny(*log, 1, 1, "before");
  EXPECT_EQ(All(*log).size(), 1u);
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit old = {};
  getrlimit(RLIMIT_FSIZE, &old);
  const struct rlimit small = {1, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  Deny(*log, 1, 2, "meanwhile");
  const size_t meanwhile = All(*log).size();
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  // Who asks is told of it all the same.
  EXPECT_EQ(meanwhile, 2u);
  EXPECT_EQ(log->stats().unwritten, 1u);
  Deny(*log, 1, 3, "after");
  const std::vector<v1::Record> records = All(*log);
  ASSERT_EQ(records.size(), 4u);
  EXPECT_EQ(records[3].kind(), v1::Record::DROPPED);
  EXPECT_EQ(records[3].count(), 1u);
  EXPECT_EQ(Lines().size(), 3u);
}

TEST_F(LogTest, AHammerIsBoundedAndEveryEventCounted) {
  config::v1::Audit config;
  config.set_max_bytes(16384);
  config.set_max_files(4);
  auto log = Open(config, 100000);
  constexpr int kThreads = 4;
  constexpr uint32_t kEach = 50000;
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < kEach; ++i) {
        Deny(*log, t / 2, i % 200, "hammered");
        if (i % 5000 == 0) log->Flush(absl::InfiniteDuration());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  uint64_t counted = 0;
  control::v1::AuditRequest request;
  log->Flush(absl::InfiniteDuration());
  for (control::v1::AuditResponse answer;; request.set_cursor(answer.next())) {
    answer = log->Answer(request);
    for (const v1::Record& record : answer.records()) {
      if (record.kind() == v1::Record::DENY) counted += record.count();
    }
    if (!answer.more()) break;
    request.set_cursor(answer.next());
  }
  const Log::Stats stats = log->stats();
  EXPECT_EQ(counted + stats.limited + stats.full, uint64_t{kThreads} * kEach);
  uint64_t size = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(scratch_.Path("audit"))) {
    size += entry.file_size();
  }
  EXPECT_LE(size, 16384u);
}

TEST_F(LogTest, AConfigurationThatCannotBe) {
  config::v1::Audit config;
  config.set_max_bytes(4096);
  config.set_max_files(2);
  EXPECT_THAT(Complete(config), StatusIs(absl::StatusCode::kInvalidArgument));
  config.set_max_files(1001);
  EXPECT_THAT(Complete(config), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace fused::audit
