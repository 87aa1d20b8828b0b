// Apps act without a pause while rules are pushed: what begins after an ACK is
// decided by the new rules, and what ended before the push by the old.
#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/control.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"
#include "proto/policy.pb.h"

namespace fused::androidtest {
namespace {

using testing::IsEmpty;

// Odd versions close the box, even ones open it.
bool IsOpen(uint64_t version) { return version % 2 == 0; }

std::string PolicyOf(std::string_view patterns, uint64_t version) {
  return absl::StrCat("name: 'box' version: ", version,
                      "\npath_classes { name: 'box' ", patterns, R"( }
rules { name: "box" path_classes: "box" operations: ANY )",
                      IsOpen(version) ? "effect { allow {} } }"
                                      : "effect { deny { error: ENOENT } } }",
                      "\nrules { name: 'rest' operations: ANY "
                      "effect { allow {} } }\n");
}

std::string Policy(uint64_t version) {
  return PolicyOf("patterns: 'Box/*'", version);
}

// With the box itself, which stands in the root.
std::string RootPolicy(uint64_t version) {
  return PolicyOf("patterns: 'Box/**'", version);
}

control::v1::Request PushOfText(std::string text) {
  control::v1::Request request;
  control::v1::PushRequest& push = *request.mutable_push();
  push.set_kind(control::v1::PushRequest::POLICY);
  push.set_content(std::move(text));
  push.set_file_name("policy");
  return request;
}

control::v1::Request PushOf(uint64_t version) {
  return PushOfText(Policy(version));
}

control::v1::Request RootPushOf(uint64_t version) {
  return PushOfText(RootPolicy(version));
}

// The box is of whom has the permission.
std::string PermissionPolicy() {
  return R"(name: 'box' version: 1
path_classes { name: "box" patterns: "Box/*" }
rules { name: "box" path_classes: "box" operations: ANY
        when { permission: "OPENS_THE_BOX" } effect { allow {} } }
rules { name: "closed" path_classes: "box" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "rest" operations: ANY effect { allow {} } }
)";
}

// Two packages of one uid: what one is given both have.
constexpr char kFirst[] = "com.example.first";
constexpr char kSecond[] = "com.example.second";

control::v1::Request DeltaOf(uint64_t version) {
  control::v1::Request request;
  policy::v1::AppChange& change = *request.mutable_apps_delta()->add_changes();
  policy::v1::AppChange::Permission& permission =
      IsOpen(version) ? *change.mutable_grant() : *change.mutable_revoke();
  permission.set_package(kFirst);
  permission.set_permission("OPENS_THE_BOX");
  return request;
}

// What a checker knows of the pushes.
struct Clock {
  // The last version that was sent, and the last that was acknowledged.
  std::atomic<uint64_t> sent;
  std::atomic<uint64_t> acknowledged;
  // Operations that lay between two pushes, of all apps.
  std::atomic<uint64_t> exact = 0;
};

// What an app does, again and again, with answers that tell the rules.
class Checker {
 public:
  Checker(App app, int number, Clock& clock)
      : app_(std::move(app)), number_(number), clock_(clock) {}

  void Run(const std::atomic<bool>& stop) {
    while (!stop.load()) {
      Check("stat", [&] { return app_.Stat("Box/f").error; });
      Check("open", [&] { return app_.Open("Box/f", O_RDONLY).error(); });
      Check("create", [&] {
        return app_.Open(absl::StrCat("Box/new", number_), O_RDWR | O_CREAT)
            .error();
      });
      Check("list", [&] {
        const Outcome listed = app_.List("Box");
        return std::find(listed.names.begin(), listed.names.end(), "f") ==
                       listed.names.end()
                   ? ENOENT
                   : 0;
      });
    }
  }

  uint64_t exact() const { return exact_; }
  uint64_t crossed() const { return crossed_; }
  const std::vector<std::string>& wrong() const { return wrong_; }

 private:
  template <typename Function>
  void Check(std::string_view what, Function function) {
    const uint64_t begun = clock_.acknowledged.load();
    const int error = function();
    const uint64_t ended = clock_.sent.load();
    if (begun != ended) {
      ++crossed_;
      return;
    }
    ++exact_;
    ++clock_.exact;
    if (error == (IsOpen(begun) ? 0 : ENOENT)) return;
    wrong_.push_back(absl::StrCat(app_.name(), ": ", what, " under version ",
                                  begun, ": ", ErrorName(error)));
  }

  const App app_;
  const int number_;
  Clock& clock_;
  uint64_t exact_ = 0;
  uint64_t crossed_ = 0;
  std::vector<std::string> wrong_;
};

class PushExactTest : public DeviceTest {
 protected:
  using RequestOf = control::v1::Request (*)(uint64_t version);

  // Pushes from `first` on, while `actors` act and `probes` look.
  void Interleave(Device& device, uint64_t first, uint64_t pushes,
                  const std::vector<const char*>& actors,
                  const std::vector<const char*>& probes, RequestOf request_of);
};

void PushExactTest::Interleave(Device& device, uint64_t first, uint64_t pushes,
                               const std::vector<const char*>& actors,
                               const std::vector<const char*>& probes,
                               RequestOf request_of) {
  Clock clock = {.sent = first - 1, .acknowledged = first - 1};
  std::vector<std::unique_ptr<Checker>> checkers;
  std::vector<App> lookers;
  int number = 0;
  for (const View view : {View::kApp, View::kShared}) {
    for (const char* package : actors) {
      checkers.push_back(std::make_unique<Checker>(device.Launch(package, view),
                                                   number++, clock));
    }
    for (const char* package : probes) {
      lookers.push_back(device.Launch(package, view));
    }
  }
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (const auto& checker : checkers) {
    threads.emplace_back([&] { checker->Run(stop); });
  }
  Control control(device.control());
  int draining = 0;
  std::string failure;
  for (uint64_t version = first; version < first + pushes; ++version) {
    clock.sent = version;
    const control::v1::Response response =
        control.Ask(request_of(version)).value_or(control::v1::Response());
    clock.acknowledged = version;
    if (!response.push().accepted() || response.push().version() != version) {
      failure = response.ShortDebugString();
      break;
    }
    draining += !response.push().draining().empty();
    // Names that have been in the kernel's caches since the last push.
    for (const App& app : lookers) {
      const int error = app.Stat("Box/f").error;
      if (error != (IsOpen(version) ? 0 : ENOENT)) {
        failure = absl::StrCat(app.name(), " after version ", version, ": ",
                               ErrorName(error));
      }
    }
    if (!failure.empty()) break;
    // Some pushes come one after another, some when the apps have acted.
    const uint64_t wanted = clock.exact + (version % 4 == 0 ? 0 : 12);
    while (clock.exact < wanted) std::this_thread::yield();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(failure, IsEmpty());
  EXPECT_EQ(draining, 0);
  uint64_t exact = 0;
  uint64_t crossed = 0;
  for (const auto& checker : checkers) {
    EXPECT_THAT(checker->wrong(), IsEmpty());
    EXPECT_GT(checker->exact(), 0u);
    exact += checker->exact();
    crossed += checker->crossed();
  }
  std::cout << pushes << " pushes, " << exact << " operations between them, "
            << crossed << " across them\n";
}

TEST_F(PushExactTest, NothingIsDecidedByOldRulesAfterTheAck) {
  Device device({.policy = Policy(2), .packages = StandardPackages()});
  ASSERT_TRUE(MakeDirectories(device.LowerPath("Box")));
  ASSERT_TRUE(WriteFile(device.LowerPath("Box/f"), "content"));
  ASSERT_TRUE(device.Start());
  Interleave(device, 3, IsLong() ? 100'000 : 600, {kCamera, kStranger},
             {kMusic}, PushOf);
}

// In the root of a mount that is one user's alone names are kept, too.
TEST_F(PushExactTest, NorOfNamesInTheRoot) {
  Device device({.policy = RootPolicy(2),
                 .packages = StandardPackages(),
                 .flags = {"--single_user=true"}});
  ASSERT_TRUE(MakeDirectories(device.LowerPath("Box")));
  ASSERT_TRUE(WriteFile(device.LowerPath("Box/f"), "content"));
  ASSERT_TRUE(device.Start());
  Interleave(device, 3, IsLong() ? 30'000 : 300, {kCamera, kStranger}, {kMusic},
             RootPushOf);
}

TEST_F(PushExactTest, NorByAPermissionThatCameOrWent) {
  Device device({.policy = PermissionPolicy(),
                 .packages = {{.name = kFirst, .uid = 10001},
                              {.name = kSecond, .uid = 10001},
                              {.name = kCamera, .uid = 10002}}});
  ASSERT_TRUE(MakeDirectories(device.LowerPath("Box")));
  ASSERT_TRUE(WriteFile(device.LowerPath("Box/f"), "content"));
  ASSERT_TRUE(device.Start());
  const uint64_t version = device.Status().apps().version();
  ASSERT_FALSE(IsOpen(version));
  const App other = device.Launch(kCamera, View::kApp);
  EXPECT_THAT(other.Stat("Box/f"), FailsWith(ENOENT));
  Interleave(device, version + 1, IsLong() ? 100'000 : 600, {kFirst, kSecond},
             {kFirst, kSecond}, DeltaOf);
  EXPECT_THAT(other.Stat("Box/f"), FailsWith(ENOENT));
}

}  // namespace
}  // namespace fused::androidtest
