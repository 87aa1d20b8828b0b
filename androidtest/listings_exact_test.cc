// Many processes and threads list one directory while rules are pushed: no
// listing that begins after an ACK names what the rules before it showed.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iostream>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "androidtest/harness/control.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

using testing::IsEmpty;

constexpr int kFiles = 8;
constexpr int kThreads = 2;

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

// What the listers are told, in a file that all have mapped.
struct Clock {
  // The last version that was sent, and the last that was acknowledged.
  std::atomic<uint64_t> sent;
  std::atomic<uint64_t> acknowledged;
  std::atomic<bool> stop;
};

Clock* MapClock(const std::string& path, int protection) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  void* const at = mmap(nullptr, sizeof(Clock), protection, MAP_SHARED, fd, 0);
  close(fd);
  return at == MAP_FAILED ? nullptr : static_cast<Clock*>(at);
}

// What one thread has seen.
struct Seen {
  uint64_t exact = 0;
  std::string wrong;
};

// The names but the dots; -1: it can't be opened.
int CountNames(const std::string& path) {
  DIR* const directory = opendir(path.c_str());
  if (directory == nullptr) return -1;
  int names = 0;
  while (const dirent* entry = readdir(directory)) {
    names += entry->d_name[0] != '.';
  }
  closedir(directory);
  return names;
}

void ListUntilStopped(const std::string& path, const Clock& clock, Seen& seen) {
  while (!clock.stop.load()) {
    const uint64_t begun = clock.acknowledged.load();
    const int names = CountNames(path);
    // One that a push came across may name anything.
    if (clock.sent.load() != begun) continue;
    ++seen.exact;
    const int wanted = IsOpen(begun) ? kFiles : 0;
    if (names == wanted || !seen.wrong.empty()) continue;
    seen.wrong = absl::StrCat(names, " names and not ", wanted,
                              " under version ", begun);
  }
}

// CLOCK DIRECTORY
APP_PROGRAM(ListAgainAndAgain) {
  const Clock* const clock = MapClock(arguments[0], PROT_READ);
  if (clock == nullptr) return Failed("mmap");
  std::vector<Seen> seen(kThreads);
  std::vector<std::thread> threads;
  for (Seen& one : seen) {
    threads.emplace_back([&] { ListUntilStopped(arguments[1], *clock, one); });
  }
  for (std::thread& thread : threads) thread.join();
  int64_t exact = 0;
  for (const Seen& one : seen) {
    if (!one.wrong.empty()) return Wrong(one.wrong);
    exact += static_cast<int64_t>(one.exact);
  }
  return Done(exact);
}

class ListingsExactTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    for (int i = 0; i < kFiles; ++i) {
      ASSERT_TRUE(
          WriteFile(device_.LowerPath(absl::StrCat("Box/f", i)), "content"));
    }
    ASSERT_TRUE(device_.Start());
    const std::string path =
        device_.Keep("clock", std::string(sizeof(Clock), '\0'));
    ASSERT_EQ(chmod(path.c_str(), 0666), 0);
    clock_ = MapClock(path, PROT_READ | PROT_WRITE);
    ASSERT_NE(clock_, nullptr);
    new (clock_) Clock{.sent = 2, .acknowledged = 2, .stop = false};
    for (const View view : {View::kApp, View::kShared}) {
      for (const char* package : {kCamera, kStranger}) {
        listers_.push_back(device_.Launch(package, view));
      }
    }
    for (const App& app : listers_) {
      app.Begin("ListAgainAndAgain", {path, app.At("Box")});
    }
  }

  // Pushes until `end`; what was pushed, and what went wrong.
  uint64_t PushUntil(absl::Time end, std::string& failure) {
    Control control(device_.control());
    uint64_t version = 3;
    for (; absl::Now() < end && failure.empty(); ++version) {
      control::v1::Request request;
      control::v1::PushRequest& push = *request.mutable_push();
      push.set_kind(control::v1::PushRequest::POLICY);
      push.set_content(Policy(version));
      push.set_file_name("policy");
      clock_->sent = version;
      const control::v1::Response response =
          control.Ask(request).value_or(control::v1::Response());
      if (!response.push().accepted() || !response.push().draining().empty()) {
        failure = response.ShortDebugString();
      }
      clock_->acknowledged = version;
      // Some come while the kernel has kept no listing yet, some when it has:
      // the next waits for so many answers to something else.
      control::v1::Request other;
      other.mutable_status();
      for (uint64_t i = 0; i < version % 8 && failure.empty(); ++i) {
        if (!control.Ask(other).has_value()) failure = "no status";
      }
      if (std::any_of(listers_.begin(), listers_.end(),
                      [](const App& app) { return app.Answered(); })) {
        break;
      }
    }
    clock_->stop = true;
    return version - 3;
  }

  Device device_{{.policy = Policy(2), .packages = StandardPackages()}};
  Clock* clock_ = nullptr;
  std::vector<App> listers_;
};

TEST_F(ListingsExactTest, NoneNamesWhatTheRulesBeforeItShowed) {
  std::string failure;
  const uint64_t pushes =
      PushUntil(absl::Now() + absl::Seconds(IsLong() ? 600 : 10), failure);
  EXPECT_THAT(failure, IsEmpty());
  int64_t exact = 0;
  for (const App& app : listers_) {
    const Outcome listed = app.Finish();
    EXPECT_THAT(listed, Succeeds()) << app.name();
    exact += listed.value;
  }
  std::cout << pushes << " pushes, " << exact << " listings between them\n";
}

}  // namespace
}  // namespace fused::androidtest
