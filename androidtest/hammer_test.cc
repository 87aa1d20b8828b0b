// An app that asks without end for what it is denied: it fills no disk, every
// request of it is counted, and another app is hardly slower than beside the
// same load of requests that are allowed.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/program.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/audit.pb.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

constexpr char kVictimFile[] = "Download/a.txt";
constexpr uint64_t kLogBytes = 64 << 10;

// PREFIX GO: two threads ask for names with the prefix, none of which they
// see, for as long as the file GO is there. Returns how often they asked. Each
// name is a new one: those that were denied before the kernel answers itself.
APP_PROGRAM(Hammer) {
  static std::atomic<int64_t> names{0};
  const std::string& prefix = arguments[0];
  const std::string& go = arguments[1];
  std::atomic<int64_t> asked{0};
  std::atomic<bool> seen{false};
  const auto work = [&] {
    int64_t mine = 0;
    while (mine % 64 != 0 || access(go.c_str(), F_OK) == 0) {
      struct stat stat;
      const std::string name = absl::StrCat(prefix, ++names);
      if (::stat(name.c_str(), &stat) == 0 || errno != ENOENT) seen = true;
      ++mine;
    }
    asked += mine;
  };
  std::thread other(work);
  work();
  other.join();
  return seen ? Wrong("a name that is not to be seen") : Done(asked);
}

// PATH COUNT: the median time of open, read and close, in nanoseconds.
APP_PROGRAM(TimeOpens) {
  const int count = std::stoi(arguments[1]);
  std::vector<int64_t> times;
  for (int i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const int fd = open(arguments[0].c_str(), O_RDONLY | O_CLOEXEC);
    char buffer[4096];
    if (fd < 0 || read(fd, buffer, sizeof(buffer)) <= 0 || close(fd) != 0) {
      return Failed("open, read, close");
    }
    times.push_back(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::nth_element(times.begin(), times.begin() + count / 2, times.end());
  return Done(times[static_cast<size_t>(count) / 2]);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class HammerTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    ASSERT_TRUE(WriteFile(device_.LowerPath(kVictimFile), "text"));
    ASSERT_TRUE(device_.Start());
  }

  // Has `hostile` ask for `prefix` while `victim` is timed.
  struct Round {
    int64_t median = 0;
    double rate = 0;  // of the hammer's requests, per second
    int64_t asked = 0;
  };
  Round Hammer(const App& hostile, const std::string& prefix, const App& victim,
               int opens) {
    const std::string go = device_.Keep("go", "");
    const int64_t before = device_.Count().Requests("LOOKUP");
    const auto start = std::chrono::steady_clock::now();
    hostile.Begin("Hammer", {hostile.At(prefix), go});
    EXPECT_TRUE(Eventually(
        [&] { return device_.Count().Requests("LOOKUP") > before + 100; }));
    const Outcome timed = victim.Run(
        "TimeOpens", {victim.At(kVictimFile), std::to_string(opens)});
    EXPECT_THAT(timed, Succeeds());
    unlink(go.c_str());
    const Outcome hammered = hostile.Finish();
    EXPECT_THAT(hammered, Succeeds());
    const std::chrono::duration<double> took =
        std::chrono::steady_clock::now() - start;
    return {timed.value, static_cast<double>(hammered.value) / took.count(),
            hammered.value};
  }

  std::vector<audit::v1::Record> Records(const Arguments& filters) const {
    Arguments arguments = {"--json", "audit"};
    arguments.insert(arguments.end(), filters.begin(), filters.end());
    std::vector<audit::v1::Record> records;
    const std::string lines = device_.Ctl(arguments).output;
    for (std::string_view line :
         absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(
                      std::string(line), &records.emplace_back())
                      .ok());
    }
    return records;
  }
  uint64_t LogSize() const {
    uint64_t size = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(device_.state() + "/audit")) {
      size += entry.file_size();
    }
    return size;
  }

  Device device_{{.packages = StandardPackages(),
                  .config = absl::StrCat("audit { max_bytes: ", kLogBytes,
                                         " max_files: 4 }")}};
};

TEST_F(HammerTest, IsCountedWholeAndBounded) {
  const App hostile = device_.Launch(kStranger, View::kApp);
  const App victim = device_.Launch(kManager, View::kApp);
  int64_t asked = 0;
  const int rounds = IsLong() ? 30 : 3;
  for (int i = 0; i < rounds; ++i) {
    asked += Hammer(hostile, "Android/data/x", victim, 500).asked;
    EXPECT_LE(LogSize(), kLogBytes);
  }
  uint64_t told = 0;
  for (const audit::v1::Record& record :
       Records({absl::StrCat("--package=", kStranger), "--kind=DENY"})) {
    told += record.count();
  }
  // One key: none of it is beyond what a uid may cause.
  EXPECT_EQ(told, static_cast<uint64_t>(asked));
  EXPECT_TRUE(Records({"--kind=DROPPED"}).empty());
}

// The acceptance has the factor at 1.3, of medians over interleaved rounds.
TEST_F(HammerTest, AnotherAppIsHardlySlower) {
  const App hostile = device_.Launch(kStranger, View::kApp);
  const App victim = device_.Launch(kManager, View::kApp);
  const int rounds = IsLong() ? 21 : 5;
  const int opens = IsLong() ? 5000 : 500;
  std::vector<double> denied;
  std::vector<double> allowed;
  std::vector<double> denied_rates;
  std::vector<double> allowed_rates;
  for (int i = 0; i < rounds; ++i) {
    const Round bad = Hammer(hostile, "Android/data/x", victim, opens);
    const Round good = Hammer(hostile, "Download/absent", victim, opens);
    denied.push_back(static_cast<double>(bad.median) / 1e3);
    allowed.push_back(static_cast<double>(good.median) / 1e3);
    denied_rates.push_back(bad.rate);
    allowed_rates.push_back(good.rate);
  }
  const double factor = Median(denied) / Median(allowed);
  std::cout << "open, read, close beside denied requests: " << Median(denied)
            << " us (" << Median(denied_rates)
            << " requests/s); beside allowed ones: " << Median(allowed)
            << " us (" << Median(allowed_rates) << " requests/s); factor "
            << factor << std::endl;
  // A figure of a quiet machine.
  if (IsLong()) {
    EXPECT_LE(factor, 1.3);
  }
}

}  // namespace
}  // namespace fused::androidtest
