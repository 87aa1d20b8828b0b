// What an operator's tools see of the daemon at work.
#include <fcntl.h>

#include <map>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;

// Samples, as "NAME{LABELS}".
std::map<std::string, double> Samples(const std::string& text) {
  std::map<std::string, double> samples;
  for (std::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const size_t space = line.rfind(' ');
    double value = 0;
    if (line.starts_with("#")) continue;
    EXPECT_TRUE(absl::SimpleAtod(line.substr(space + 1), &value)) << line;
    samples[std::string(line.substr(0, space))] = value;
  }
  return samples;
}

class MetricsTest : public DeviceTest {
 protected:
  void Start(Arguments flags = {}) {
    device_ = std::make_unique<Device>(Device::Options{
        .packages = StandardPackages(), .flags = std::move(flags)});
    PlantDirectories(*device_);
    ASSERT_TRUE(WriteFile(device_->LowerPath("Download/a.txt"), "text"));
    ASSERT_TRUE(device_->Start());
  }
  std::map<std::string, double> Metrics() const {
    const Completed asked = device_->Ctl({"metrics"});
    EXPECT_EQ(asked.exit, 0) << asked.error;
    EXPECT_TRUE(asked.output.ends_with("# EOF\n"));
    return Samples(asked.output);
  }

  std::unique_ptr<Device> device_;
};

TEST_F(MetricsTest, TellWhatAppsDid) {
  Start();
  const App manager = device_->Launch(kManager, View::kApp);
  const App stranger = device_->Launch(kStranger, View::kShared);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(manager.Read("Download/a.txt"), Reads("text"));
    EXPECT_THAT(stranger.Read("Download/a.txt"), FailsWith(EACCES));
  }
  const Completed pushed = device_->Ctl(
      {"apps", device_->Keep("apps", AppsText(StandardPackages(), 9))});
  EXPECT_EQ(pushed.exit, 0) << pushed.error;
  EXPECT_EQ(device_->Ctl({"push", device_->Keep("bad", "x")}).exit, 1);

  std::map<std::string, double> now = Metrics();
  const std::string volume = "volume=\"external_primary\"";
  EXPECT_EQ(now[absl::StrCat("fused_requests_total{", volume,
                             ",opcode=\"OPEN\",result=\"OK\"}")],
            3);
  EXPECT_EQ(now[absl::StrCat("fused_requests_total{", volume,
                             ",opcode=\"OPEN\",result=\"EACCES\"}")],
            3);
  EXPECT_EQ(now[absl::StrCat("fused_request_duration_seconds_count{", volume,
                             ",opcode=\"OPEN\"}")],
            6);
  EXPECT_EQ(now["fused_app_decisions_total{uid=\"10064\",package=\"" +
                std::string(kStranger) + "\",verdict=\"DENY\",io=\"\"}"],
            3);
  EXPECT_EQ(
      now["fused_app_decisions_total{uid=\"10065\",package=\"" +
          std::string(kManager) + "\",verdict=\"ALLOW\",io=\"PASSTHROUGH\"}"],
      3);
  EXPECT_EQ(now["fused_pushes_total{kind=\"apps\",result=\"accepted\"}"], 1);
  EXPECT_EQ(now["fused_pushes_total{kind=\"policy\",result=\"refused\"}"], 1);
  EXPECT_EQ(now["fused_apps_version"], 9);
  EXPECT_EQ(now["fused_serving"], 1);
}

TEST_F(MetricsTest, AreWrittenToAFile) {
  const std::string file =
      absl::StrCat("/tmp/fused-metrics-", getpid(), ".prom");
  Start({"--metrics_textfile=" + file});
  const std::string text = ReadFile(file);
  unlink(file.c_str());
  EXPECT_THAT(text, HasSubstr("# TYPE fused_opens_total counter\n"));
  EXPECT_EQ(Samples(text)["fused_serving"], 1);
}

TEST_F(MetricsTest, TopTellsWhoIsBusy) {
  Start();
  const App manager = device_->Launch(kManager, View::kApp);
  // It goes on until top has seen it.
  int code = -1;
  control::v1::TopResponse seen;
  EXPECT_TRUE(Eventually([&] {
    Child top({FusedctlPath(), "--control=" + device_->control(), "--json",
               "top", "--once", "--interval=300ms"},
              {.output = open(device_->Keep("top", "").c_str(),
                              O_WRONLY | O_CLOEXEC)});
    std::optional<int> ended;
    while (!(ended = top.Wait(absl::ZeroDuration())).has_value()) {
      if (!manager.Read("Download/a.txt").ok()) return false;
    }
    code = *ended;
    seen.Clear();
    return google::protobuf::util::JsonStringToMessage(
               ReadFile(device_->directory() + "/top"), &seen)
               .ok() &&
           seen.apps_size() > 0;
  }));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(seen.apps(0).package(), kManager);
  EXPECT_GT(seen.apps(0).opens().passthrough(), 0u);
  EXPECT_GE(seen.at_nanoseconds(), 300000000u);
  const Completed text = device_->Ctl({"top", "--count=2", "--interval=10ms"});
  EXPECT_EQ(text.exit, 0) << text.error;
  EXPECT_THAT(text.output, HasSubstr("APP  OPERATION  OPS/S"));
  EXPECT_THAT(text.output, testing::Not(HasSubstr("\x1b")));
  EXPECT_EQ(device_->Ctl({"top", "--interval=0"}).exit, 2);
}

}  // namespace
}  // namespace fused::androidtest
