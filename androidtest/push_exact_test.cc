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

namespace fused::androidtest {
namespace {

using testing::IsEmpty;

// Odd versions close the box, even ones open it.
bool IsOpen(uint64_t version) { return version % 2 == 0; }

std::string Policy(uint64_t version) {
  return absl::StrCat("name: 'box' version: ", version, R"(
path_classes { name: "box" patterns: "Box/*" }
rules { name: "box" path_classes: "box" operations: ANY )",
                      IsOpen(version) ? "effect { allow {} } }"
                                      : "effect { deny { error: ENOENT } } }",
                      "\nrules { name: 'rest' operations: ANY "
                      "effect { allow {} } }\n");
}

control::v1::Request PushOf(uint64_t version) {
  control::v1::Request request;
  control::v1::PushRequest& push = *request.mutable_push();
  push.set_kind(control::v1::PushRequest::POLICY);
  push.set_content(Policy(version));
  push.set_file_name("policy");
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

class PushExactTest : public DeviceTest {};

TEST_F(PushExactTest, NothingIsDecidedByOldRulesAfterTheAck) {
  const uint64_t pushes = IsLong() ? 100'000 : 600;
  Device device({.policy = Policy(2), .packages = StandardPackages()});
  ASSERT_TRUE(MakeDirectories(device.LowerPath("Box")));
  ASSERT_TRUE(WriteFile(device.LowerPath("Box/f"), "content"));
  ASSERT_TRUE(device.Start());
  Clock clock = {.sent = 2, .acknowledged = 2};
  std::vector<std::unique_ptr<Checker>> checkers;
  int number = 0;
  for (const View view : {View::kApp, View::kShared}) {
    for (const char* package : {kCamera, kStranger}) {
      checkers.push_back(std::make_unique<Checker>(device.Launch(package, view),
                                                   number++, clock));
    }
  }
  const App probe = device.Launch(kMusic, View::kApp);
  const App shared_probe = device.Launch(kMusic, View::kShared);
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (const auto& checker : checkers) {
    threads.emplace_back([&] { checker->Run(stop); });
  }
  Control control(device.control());
  int draining = 0;
  std::string failure;
  for (uint64_t version = 3; version < 3 + pushes; ++version) {
    clock.sent = version;
    const control::v1::Response response =
        control.Ask(PushOf(version)).value_or(control::v1::Response());
    clock.acknowledged = version;
    if (!response.push().accepted()) {
      failure = response.ShortDebugString();
      break;
    }
    draining += !response.push().draining().empty();
    // Names that have been in the kernel's caches since the last push.
    for (const App* app : {&probe, &shared_probe}) {
      const int error = app->Stat("Box/f").error;
      if (error != (IsOpen(version) ? 0 : ENOENT)) {
        failure = absl::StrCat(app->name(), " after version ", version, ": ",
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

}  // namespace
}  // namespace fused::androidtest
