// Runs fusedctl against a server with a fake backend: what it prints, and its
// exit codes.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fused/control/fake_backend.h"
#include "fused/control/server.h"
#include "fused/ctl/fusedctl_fixture.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST_F(FusedctlTest, WithoutADaemon) {
  for (const char* command : {"status", "sync", "handles"}) {
    const Result result = Run({command});
    EXPECT_EQ(3, result.code) << command;
    EXPECT_THAT(result.err, HasSubstr("no daemon"));
  }
  const Result waited = Run({"wait", "--timeout=50ms"});
  EXPECT_EQ(3, waited.code);
  EXPECT_THAT(waited.err, HasSubstr("not serving after 50ms"));
  EXPECT_EQ(125, Run({"run", "--package=a.b", "--", "true"}).code);
}

TEST_F(FusedctlTest, UsageErrors) {
  EXPECT_EQ(2, Run({}).code);
  EXPECT_THAT(Run({}).err, HasSubstr("usage: fusedctl"));
  EXPECT_THAT(Run({"frobnicate"}).err, HasSubstr("unknown command"));
  EXPECT_EQ(2, Run({"frobnicate"}).code);
  EXPECT_EQ(2, Run({"status", "extra"}).code);
  EXPECT_THAT(Run({"status", "--uid=7"}).err, HasSubstr("takes no --uid"));
  EXPECT_EQ(2, Run({"status", "--uid=7"}).code);
  EXPECT_EQ(2, Run({"status", "--nonsense"}).code);
  EXPECT_EQ(2, Run({"push"}).code);
  EXPECT_EQ(2, Run({"push", directory_ + "/absent"}).code);
  EXPECT_EQ(2, Run({"view"}).code);
  EXPECT_EQ(2, Run({"explain", "DCIM", "--op=READ"}).code);
  EXPECT_EQ(2, Run({"explain", "DCIM", "--uid=1", "--op=ANY"}).code);
  EXPECT_EQ(2, Run({"explain", "a/../b", "--uid=1", "--op=READ"}).code);
  EXPECT_EQ(2, Run({"wait", "--timeout=soon"}).code);
  EXPECT_EQ(125, Run({"run", "--package=a.b"}).code);
  EXPECT_EQ(0, Run({"--help"}).code);
}

TEST_F(FusedctlTest, WaitReturnsWhenItServes) {
  std::atomic<int> asked = 0;
  backend_.on_status = [&] {
    control::v1::Status status;
    status.set_state(++asked < 3 ? "STARTING" : "SERVING");
    return status;
  };
  Start();
  EXPECT_EQ(0, Run({"wait", "--timeout=60s"}).code);
  EXPECT_EQ(3, asked);
}

TEST_F(FusedctlTest, StatusInBothForms) {
  backend_.on_status = [] {
    control::v1::Status status;
    status.set_state("SERVING");
    status.mutable_policy()->set_version(12);
    control::v1::VolumeStatus& volume = *status.add_volumes();
    volume.set_name("external_primary");
    volume.set_passthrough_reason("over\x1blay");
    (*volume.mutable_requests())["LOOKUP"] = 5;
    volume.mutable_opens()->set_passthrough(3);
    control::v1::ViewStatus& view = *volume.add_views();
    view.set_package("a.b");
    return status;
  };
  Start();
  const Result json = Run({"status", "--json"});
  EXPECT_EQ(0, json.code);
  control::v1::Status parsed;
  EXPECT_TRUE(
      google::protobuf::util::JsonStringToMessage(json.out, &parsed).ok());
  EXPECT_EQ(12u, parsed.policy().version());
  // 64-bit numbers are strings, zero fields are there, names are the proto's.
  EXPECT_THAT(json.out, HasSubstr("\"version\": \"12\""));
  EXPECT_THAT(json.out, HasSubstr("\"backing_ids\": \"0\""));
  EXPECT_THAT(json.out, HasSubstr("\"passthrough\": false"));
  EXPECT_THAT(json.out, HasSubstr("\"passthrough_reason\""));
  const Result text = Run({"status"});
  EXPECT_EQ(0, text.code);
  EXPECT_THAT(text.out, StartsWith("SERVING"));
  EXPECT_THAT(text.out, HasSubstr("no: over\\x1blay"));
  EXPECT_THAT(text.out, HasSubstr("LOOKUP 5"));
  EXPECT_THAT(text.out, HasSubstr("passthrough 3, redacted 0"));
  EXPECT_THAT(text.out, HasSubstr("0/a.b"));
}

TEST_F(FusedctlTest, ExplainAsksTheDaemon) {
  backend_.on_explain = [](const control::v1::ExplainRequest& request)
      -> absl::StatusOr<control::v1::Explanation> {
    if (request.volume() == "none") return absl::NotFoundError("no volume");
    EXPECT_EQ(policy::v1::WRITE, request.operation());
    EXPECT_EQ("DCIM/a b", request.path());
    control::v1::Explanation explanation;
    explanation.set_verdict(request.uid() == 0 ? "ALLOW" : "DENY");
    explanation.set_error(request.uid() == 0 ? "" : "EACCES");
    explanation.set_rule("some-rule");
    return explanation;
  };
  Start();
  Result result = Run({"explain", "--uid=0", "--op=write", "DCIM/a b"});
  EXPECT_EQ(0, result.code);
  EXPECT_THAT(result.out, StartsWith("ALLOW"));
  result = Run({"explain", "--uid", "7", "--op", "WRITE", "DCIM/a b"});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.out, StartsWith("DENY EACCES"));
  EXPECT_THAT(result.out, HasSubstr("some-rule"));
  result = Run({"explain", "--uid=7", "--op=WRITE", "x", "--volume=none"});
  EXPECT_EQ(1, result.code);
  EXPECT_EQ("fusedctl: no volume\n", result.err);
}

TEST_F(FusedctlTest, DiffTellsWhatChanges) {
  constexpr char kOld[] =
      "name: 'p' version: 1\n"
      "path_classes { name: 'photos' patterns: 'DCIM/**' }\n"
      "rules { name: 'see' operations: LOOKUP effect { allow {} } }\n";
  const std::string before = Write("old", kOld);
  const std::string after = Write(
      "new", absl::StrCat(kOld,
                          "rules { name: 'r' path_classes: 'photos' operations:"
                          " READ when { permission: 'P' } effect { allow {} } "
                          "}\n"));
  Result result = Run({"diff", before, before});
  EXPECT_EQ(0, result.code) << result.err;
  EXPECT_EQ("", result.out);
  result = Run({"diff", before, after});
  EXPECT_EQ(1, result.code) << result.err;
  EXPECT_EQ(
      "READ in photos: DENY EACCES -> ALLOW PASSTHROUGH\n"
      "    who   permission:P\n"
      "    as    dcim\n",
      result.out);
  result = Run({"diff", "--json", after, before});
  EXPECT_EQ(1, result.code);
  control::v1::DiffResult parsed;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(result.out, &parsed).ok());
  ASSERT_EQ(1, parsed.changes_size());
  EXPECT_EQ("DENY EACCES", parsed.changes(0).after());
  EXPECT_TRUE(parsed.complete());

  const std::string none = Write("none", "version: 1");
  const std::string apps = Write(
      "apps", "apps { package: 'a.b' uid: 10001 permissions: 'P' } version: 2");
  EXPECT_EQ(0, Run({"diff", after, after, "--apps=" + apps}).code);
  result =
      Run({"diff", after, after, "--old_apps=" + none, "--new_apps=" + apps});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.out, HasSubstr("a.b"));
}

TEST_F(FusedctlTest, DiffOfWhatIsNoPolicyIsAUsageError) {
  const std::string good = Write("good", "name: 'p'");
  const std::string bad = Write("bad", "name: 'p'\nrules { name: 'x' }");
  EXPECT_EQ(2, Run({"diff", good}).code);
  EXPECT_EQ(2, Run({"diff", good, directory_ + "/absent"}).code);
  EXPECT_EQ(2, Run({"diff", good, good, "--apps=x", "--old_apps=y"}).code);
  const Result result = Run({"diff", good, bad});
  EXPECT_EQ(2, result.code);
  EXPECT_THAT(result.err, HasSubstr("bad:2:"));
}

TEST_F(FusedctlTest, ExplainWithoutADaemon) {
  const std::string policy = Write("policy", R"(
    name: "small" version: 1
    media_types { name: "IMAGE" extensions: "jpg" }
    path_classes { name: "pictures" patterns: "DCIM/**" }
    rules { name: "seen" operations: [LOOKUP, LIST]
            effect { allow { io: PASSTHROUGH } } }
    rules { name: "own" path_classes: "pictures" operations: ANY
            when { relation: OWNS_FILE }
            effect { allow { io: PASSTHROUGH } } }
    rules { name: "none" operations: ANY effect { deny { error: EPERM } } }
  )");
  const std::string apps = Write("apps", R"(
    version: 1
    apps { package: "a.b" uid: 10061 target_sdk: 34 }
  )");
  const std::vector<std::string> common = {
      "explain",     "--json",    "--policy=" + policy, "--apps=" + apps,
      "--uid=10061", "--op=READ", "DCIM/x.jpg"};
  Result result = Run(common);
  EXPECT_EQ(1, result.code) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"rule\": \"none\""));
  EXPECT_THAT(result.out, HasSubstr("\"error\": \"EPERM\""));
  EXPECT_THAT(result.out, HasSubstr("\"path_class\": \"pictures\""));
  auto owned = common;
  owned.push_back("--owner=a.b");
  result = Run(owned);
  EXPECT_EQ(0, result.code) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"io\": \"PASSTHROUGH\""));
  owned.back() = "--owner=nobody";
  EXPECT_EQ(2, Run(owned).code);
  result = Run({"explain", "--uid=1", "--op=READ", "x",
                "--policy=" + Write("broken", "rules {\n nam: 1 }")});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.err, HasSubstr("/broken:2:"));
  EXPECT_EQ(2,
            Run({"explain", "--uid=1", "--op=READ", "x", "--policy=/no"}).code);
}

TEST_F(FusedctlTest, LintSaysWhere) {
  const std::string broken = Write("broken", "name: \"x\"\nrules { nam: 1 }\n");
  const Result result = Run({"lint", broken});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.err, StartsWith(broken + ":2:"));
  EXPECT_EQ(2, Run({"lint", directory_ + "/absent"}).code);
  const std::string head =
      "# proto-file: proto/policy.proto\n"
      "# proto-message: fused.policy.v1.AppDirectory\n";
  const std::string app = "apps { package: \"a.b\" uid: 10061 }\n";
  EXPECT_EQ(0, Run({"lint", Write("apps", head + app)}).code);
  // Without the head it is what it can be read as.
  EXPECT_EQ(0, Run({"lint", Write("apps", app)}).code);
  const Result twice = Run({"lint", Write("twice", head + app + app)});
  EXPECT_EQ(1, twice.code);
  EXPECT_THAT(twice.err, HasSubstr("/twice:4:"));
}

TEST_F(FusedctlTest, ViewHandlesSync) {
  backend_.on_handles = [](const control::v1::HandlesRequest& request) {
    control::v1::HandlesResponse response;
    control::v1::Handle& handle = *response.add_handles();
    handle.set_fh(17);
    handle.set_uid(request.has_uid() ? request.uid() : 1);
    handle.set_path("DCIM/new\nline");
    return response;
  };
  backend_.on_sync = [](absl::Duration) {
    return kernel::ErrnoStatus(EIO, "queue");
  };
  Start();
  Result result = Run({"view", "--package=a.b", "--user=10"});
  EXPECT_EQ(0, result.code);
  EXPECT_EQ("/views/a.b\n", result.out);
  EXPECT_EQ("", Run({"view", "--package=a.b", "--close"}).out);
  result = Run({"handles", "--uid=10061"});
  EXPECT_EQ(0, result.code);
  EXPECT_THAT(result.out, HasSubstr("10061"));
  EXPECT_THAT(result.out, HasSubstr("DCIM/new\\nline"));
  result = Run({"sync"});
  EXPECT_EQ(1, result.code);
  EXPECT_THAT(result.err, HasSubstr("queue"));
}

TEST_F(FusedctlTest, RunEntersTheView) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_EQ(0, chmod(directory_.c_str(), 0755));
  const std::string mountpoint = directory_ + "/mnt";
  const std::string lower = directory_ + "/lower";
  ASSERT_EQ(0, mkdir(mountpoint.c_str(), 0755));
  ASSERT_EQ(0, mkdir(lower.c_str(), 0777));
  Write("lower/secret", "");
  // Called by the server's threads, which outlive the test's body.
  backend_.on_run = [mountpoint, lower](const control::v1::RunRequest& request)
      -> absl::StatusOr<control::Backend::RunReply> {
    if (request.package() != "a.b") return absl::NotFoundError("no such app");
    kernel::Fd context(fsopen("tmpfs", FSOPEN_CLOEXEC));
    fsconfig(context.get(), FSCONFIG_SET_STRING, "mode", "0777", 0);
    fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0);
    control::Backend::RunReply reply;
    reply.mounts.emplace_back(fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
    reply.message.set_uid(request.user() * 100000 + 10061);
    reply.message.add_mounts()->set_mountpoint(mountpoint);
    reply.message.add_hide(lower);
    return reply;
  };
  Start();
  auto shell = [&](const std::string& script) {
    return Run(
        {"run", "--package=a.b", "--user=10", "--", "/bin/sh", "-c", script});
  };
  const Result result = shell(absl::StrCat("id -u; test -e ", lower,
                                           "/secret && echo seen; touch ",
                                           mountpoint, "/made && exit 42"));
  EXPECT_EQ(42, result.code) << result.err;
  EXPECT_EQ("1010061\n", result.out);
  EXPECT_NE(0, access((mountpoint + "/made").c_str(), F_OK));
  EXPECT_EQ(1015, shell("kill -TERM $$").code);
  EXPECT_EQ(127, Run({"run", "--package=a.b", "--", "/no/such"}).code);
  EXPECT_EQ(126, Run({"run", "--package=a.b", "--", "/etc/passwd"}).code);
  const Result refused = Run({"run", "--package=x", "--", "true"});
  EXPECT_EQ(125, refused.code);
  EXPECT_THAT(refused.err, HasSubstr("no such app"));
}

}  // namespace
}  // namespace fused::ctl
