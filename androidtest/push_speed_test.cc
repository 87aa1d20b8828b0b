// What a push costs, with 10,000 apps in the directory and a thousand opens a
// second going on.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "androidtest/harness/control.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

using control::v1::PushRequest;
using control::v1::Request;

constexpr int kApps = 10000;

// As a device with very many apps has them: a few sets of permissions.
policy::v1::AppDirectory Directory(uint64_t version) {
  static const char* const kPermissions[] = {
      "READ_MEDIA_IMAGES", "READ_MEDIA_VIDEO", "READ_MEDIA_AUDIO",
      "ACCESS_MEDIA_LOCATION", "READ_EXTERNAL_STORAGE"};
  policy::v1::AppDirectory apps;
  apps.set_version(version);
  for (int i = 0; i < kApps; ++i) {
    policy::v1::App& app = *apps.add_apps();
    app.set_package(absl::StrCat("com.example.vendor", i % 97, ".app", i));
    app.set_uid(static_cast<uint32_t>(10000 + i));
    app.set_target_sdk(28 + i % 8);
    for (int bit = 0; bit < 5; ++bit) {
      if (((i * 7 + static_cast<int>(version)) >> bit & 1) != 0) {
        app.add_permissions(kPermissions[bit]);
      }
    }
  }
  return apps;
}

std::string TextOf(const policy::v1::AppDirectory& apps) {
  std::string text = absl::StrCat("version: ", apps.version(), "\n");
  for (const policy::v1::App& app : apps.apps()) {
    absl::StrAppend(&text, "apps { package: \"", app.package(),
                    "\" uid: ", app.uid(), " target_sdk: ", app.target_sdk());
    for (const std::string& permission : app.permissions()) {
      absl::StrAppend(&text, " permissions: \"", permission, "\"");
    }
    absl::StrAppend(&text, " }\n");
  }
  return text;
}

// Opens and closes files at a rate, until it goes.
class Load {
 public:
  explicit Load(std::string path)
      : thread_([this, path = std::move(path)] {
          absl::Time next = absl::Now();
          while (!stopping_) {
            const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
            if (fd < 0) ++failed_;
            if (fd >= 0) close(fd);
            ++opens_;
            next += absl::Milliseconds(1);
            absl::SleepFor(next - absl::Now());
          }
        }) {}
  ~Load() {
    stopping_ = true;
    thread_.join();
    EXPECT_EQ(failed_, 0);
  }
  int opens() const { return opens_; }

 private:
  std::atomic<bool> stopping_{false};
  std::atomic<int> opens_{0};
  std::atomic<int> failed_{0};
  std::thread thread_;
};

class PushSpeedTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    std::ofstream(device_.LowerPath("DCIM/a.jpg")) << "content";
    ASSERT_TRUE(device_.Start());
  }

  // How long each of `requests` took, from the first byte to the ACK.
  std::vector<absl::Duration> Times(const std::vector<Request>& requests) {
    Control control(device_.control());
    const Load load(device_.MountPath("DCIM/a.jpg"));
    const absl::Time begin = absl::Now();
    std::vector<absl::Duration> times;
    for (const Request& request : requests) {
      const absl::Time start = absl::Now();
      const auto answer = control.Ask(request);
      times.push_back(absl::Now() - start);
      EXPECT_TRUE(answer.has_value() && answer->push().changed());
    }
    rate_ = load.opens() / absl::ToDoubleSeconds(absl::Now() - begin);
    std::sort(times.begin(), times.end());
    return times;
  }

  void Report(const char* what, const std::vector<absl::Duration>& times) {
    GTEST_LOG_(INFO) << what << ": median "
                     << absl::FormatDuration(times[times.size() / 2])
                     << ", 95 % within "
                     << absl::FormatDuration(times[times.size() * 95 / 100])
                     << ", worst " << absl::FormatDuration(times.back())
                     << ", with " << rate_ << " opens a second";
  }

  Device device_{{.lower = Device::Lower::kDisk}};
  double rate_ = 0;
};

TEST_F(PushSpeedTest, TenThousandApps) {
  uint64_t version = 0;
  for (const bool text : {false, true}) {
    std::vector<Request> pushes;
    for (int i = 0; i < (IsLong() ? 30 : 5); ++i) {
      const policy::v1::AppDirectory apps = Directory(++version);
      PushRequest& push = *pushes.emplace_back().mutable_push();
      push.set_kind(PushRequest::APPS);
      push.set_content(text ? TextOf(apps) : apps.SerializeAsString());
    }
    const std::vector<absl::Duration> times = Times(pushes);
    Report(text ? "full push, text" : "full push, binary", times);
    // A figure of a quiet machine, as the one below.
    if (IsLong()) EXPECT_LE(times[times.size() / 2], absl::Milliseconds(100));
  }
  std::vector<Request> grants;
  for (int i = 0; i < (IsLong() ? 3000 : 300); ++i) {
    policy::v1::AppChange& change =
        *grants.emplace_back().mutable_apps_delta()->add_changes();
    auto& permission =
        i % 2 == 0 ? *change.mutable_grant() : *change.mutable_revoke();
    permission.set_package(
        absl::StrCat("com.example.vendor", i / 2 % 97, ".app", i / 2));
    permission.set_permission("MANAGE_NOTHING");
  }
  const std::vector<absl::Duration> times = Times(grants);
  Report("one app's grant", times);
  if (IsLong()) EXPECT_LE(times[times.size() / 2], absl::Milliseconds(2));
  EXPECT_TRUE(device_.Stop());
}

}  // namespace
}  // namespace fused::androidtest
