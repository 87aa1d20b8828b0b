// What fusedctl does to policies and app directories: what it sends, what it
// prints, and its exit codes.
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "fused/ctl/fusedctl_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST_F(FusedctlTest, PushIsAcknowledgedOrRefused) {
  backend_.on_push = [](const control::v1::PushRequest& request) {
    control::v1::PushResponse response;
    response.set_accepted(request.content() == "good");
    response.set_version(request.kind());
    response.set_changed(!request.dry_run());
    if (response.accepted()) return response;
    for (int i = 1; i < 3; ++i) {
      control::v1::Issue& issue = *response.add_issues();
      issue.set_file(request.file_name());
      issue.set_line(i);
      issue.set_column(7);
      issue.set_field("rules[3].name");
      issue.set_reason("is wrong");
    }
    return response;
  };
  Start();
  const std::string good = Write("good", "good");
  const std::string bad = Write("bad", "bad");
  Result result = Run({"push", good});
  EXPECT_EQ(0, result.code);
  EXPECT_THAT(result.out, StartsWith("ACK version 1"));
  result = Run({"apps", "--dry_run", good});
  EXPECT_EQ(0, result.code);
  EXPECT_THAT(result.out, StartsWith("ACK version 2"));
  EXPECT_THAT(result.out, HasSubstr("dry run"));
  result = Run({"push", bad});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.out, StartsWith("NACK"));
  EXPECT_EQ(absl::StrCat(bad, ":1:7: rules[3].name: is wrong\n", bad,
                         ":2:7: rules[3].name: is wrong\n"),
            result.err);
  result = Run({"push", bad, "--json"});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.out, HasSubstr("\"accepted\": false"));
}

TEST_F(FusedctlTest, HistoryAndRollback) {
  backend_.on_history = [](const control::v1::HistoryRequest& request) {
    control::v1::HistoryResponse response;
    response.set_highest_version(9);
    control::v1::HistoryEntry& entry = *response.add_entries();
    entry.set_version(request.apps() ? 5 : 9);
    entry.set_sha256("0123456789abcdef0123");
    entry.mutable_time()->set_seconds(1700000000);
    entry.set_origin("ROLLBACK");
    entry.set_uid(1234);
    entry.set_in_force(true);
    return response;
  };
  std::atomic<uint32_t> peer{77};
  backend_.on_rollback = [&peer](const control::v1::RollbackRequest& request) {
    peer = request.peer_uid();
    control::v1::PushResponse response;
    response.set_accepted(!request.apps());
    response.set_changed(true);
    response.set_version(request.has_version() ? request.version() : 8);
    if (request.apps()) response.add_issues()->set_reason("not there");
    return response;
  };
  Start();
  Result result = Run({"history"});
  EXPECT_EQ(0, result.code);
  EXPECT_THAT(result.out, HasSubstr("*  9 "));
  EXPECT_THAT(result.out, HasSubstr("0123456789abcdef  ROLLBACK  1234"));
  result = Run({"history", "--app_directory", "--json"});
  EXPECT_THAT(result.out, HasSubstr("\"version\": \"5\""));
  EXPECT_THAT(result.out, HasSubstr("\"time\": \"2023-11-14T22:13:20Z\""));
  result = Run({"rollback"});
  EXPECT_EQ(0, result.code);
  EXPECT_THAT(result.out, StartsWith("ACK version 8"));
  // The server says who it is.
  EXPECT_EQ(peer, getuid());
  EXPECT_THAT(Run({"rollback", "3"}).out, StartsWith("ACK version 3"));
  result = Run({"rollback", "--app_directory"});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.out, StartsWith("NACK"));
  EXPECT_THAT(result.err, HasSubstr("not there"));
  EXPECT_EQ(2, Run({"rollback", "three"}).code);
  EXPECT_EQ(2, Run({"rollback", "3", "4"}).code);
}

TEST_F(FusedctlTest, ReloadSaysWhatBecameOfEachFile) {
  std::atomic<uint32_t> peer{77};
  std::atomic<int> asked{0};
  backend_.on_reload = [&](const control::v1::ReloadRequest& request) {
    peer = request.peer_uid();
    control::v1::ReloadResponse response;
    response.set_accepted(asked == 0);
    if (asked < 2) {
      control::v1::ReloadResponse::File& file = *response.add_files();
      file.set_what("apps");
      file.mutable_push()->set_version(7);
      file.mutable_push()->set_accepted(asked == 0);
      file.mutable_push()->set_changed(true);
      if (asked != 0) {
        file.mutable_push()->add_issues()->set_reason("not newer");
      }
    } else {
      response.add_issues()->set_reason("no field nonsense");
    }
    ++asked;
    return response;
  };
  Start();
  Result result = Run({"reload"});
  EXPECT_EQ(0, result.code) << result.err;
  EXPECT_EQ("apps: ACK version 7\n", result.out);
  // The server says who it is.
  EXPECT_EQ(peer, getuid());
  result = Run({"reload"});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.out, StartsWith("apps: NACK version 7"));
  EXPECT_THAT(result.err, HasSubstr("not newer"));
  result = Run({"reload", "--json"});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.out, HasSubstr("\"accepted\": false"));
  EXPECT_THAT(result.err, HasSubstr("nonsense"));
}

TEST_F(FusedctlTest, ReloadFindsTheSocketOfAConfiguration) {
  Start();
  const std::string by_default = "--control=/run/fused/control.sock";
  const std::string config =
      Write("config", absl::StrCat("control: \"", options_.socket, "\""));
  Result result = Run({by_default, "reload", "--config=" + config});
  EXPECT_EQ(0, result.code) << result.err;
  EXPECT_EQ("no files are configured\n", result.out);
  // What is given stands.
  EXPECT_EQ(3, Run({"--control=" + directory_ + "/none", "reload",
                    "--config=" + config})
                   .code);
  EXPECT_EQ(2, Run({by_default, "reload", "--config=/none"}).code);
  EXPECT_EQ(2, Run({by_default, "reload",
                    "--config=" + Write("wrong", "nonsense: 1")})
                   .code);
}

TEST_F(FusedctlTest, AppSendsADelta) {
  // Written by the server's thread before it answers.
  absl::Mutex mutex;
  control::v1::AppsDeltaRequest last;
  const auto asked = [&] {
    absl::MutexLock lock(&mutex);
    return last;
  };
  backend_.on_apps_delta = [&](const control::v1::AppsDeltaRequest& delta) {
    absl::MutexLock lock(&mutex);
    last = delta;
    control::v1::PushResponse response;
    response.set_accepted(true);
    response.set_changed(true);
    response.set_version(8);
    return response;
  };
  Start();
  Result result =
      Run({"app", "install", "--package=a.b", "--uid=10001", "--permission=X,Y",
           "--role=MANAGER,MTP", "--target_sdk=34"});
  EXPECT_EQ(0, result.code) << result.err;
  EXPECT_EQ("ACK version 8\n", result.out);
  ASSERT_EQ(1, asked().changes_size());
  EXPECT_EQ(10001u, asked().changes(0).install().uid());
  EXPECT_EQ(2, asked().changes(0).install().permissions_size());
  EXPECT_EQ(policy::v1::MTP, asked().changes(0).install().roles(1));
  EXPECT_EQ(34, asked().changes(0).install().target_sdk());
  EXPECT_EQ(0, Run({"app", "uninstall", "--package=a.b", "--dry_run"}).code);
  EXPECT_EQ("a.b", asked().changes(0).uninstall());
  EXPECT_TRUE(asked().dry_run());
  EXPECT_EQ(0, Run({"app", "grant", "--package=a.b", "--permission=X",
                    "--path=DCIM/x.jpg", "--write", "--user=3"})
                   .code);
  ASSERT_EQ(2, asked().changes_size());
  EXPECT_EQ("X", asked().changes(0).grant().permission());
  EXPECT_EQ("DCIM/x.jpg", asked().changes(1).grant_file().path());
  EXPECT_EQ(3u, asked().changes(1).grant_file().user());
  EXPECT_EQ(policy::v1::Grant::GRANT_WRITE,
            asked().changes(1).grant_file().access());
  EXPECT_EQ(0, Run({"app", "revoke", "--package=a.b", "--permission=X"}).code);
  EXPECT_EQ("X", asked().changes(0).revoke().permission());
  for (const std::vector<std::string>& wrong :
       std::vector<std::vector<std::string>>{
           {"app"},
           {"app", "install"},
           {"app", "install", "--package=a.b"},
           {"app", "install", "--package=a.b", "--uid=7", "--role=KING"},
           {"app", "grant", "--package=a.b"},
           {"app", "remove", "--package=a.b"}}) {
    EXPECT_EQ(2, Run(wrong).code);
  }
}

}  // namespace
}  // namespace fused::ctl
