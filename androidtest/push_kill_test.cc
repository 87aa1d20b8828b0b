// What was acknowledged is in force, whole: the daemon is killed in the middle
// of pushes and deltas, again and again.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <thread>

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

using control::v1::Request;

// What one who pushes knows.
struct Known {
  uint64_t acked = 0;
  uint64_t tried = 0;
};

std::string PolicyOf(uint64_t version) {
  return absl::StrCat("name: \"p", version, "\"\nversion: ", version,
                      "\nrules { name: \"all\" operations: ANY "
                      "effect { allow {} } }\n");
}

// The one app of a directory of this version.
policy::v1::App AppOf(uint64_t version) {
  policy::v1::App app;
  app.set_package("com.example.app");
  app.set_uid(static_cast<uint32_t>(10000 + version % 50000));
  return app;
}

// False: not answered.
bool Ask(Control& control, const Request& request, Known& known) {
  const auto answer = control.Ask(request);
  if (!answer.has_value()) return false;
  EXPECT_TRUE(answer->push().accepted()) << answer->push().DebugString();
  EXPECT_EQ(answer->push().version(), known.tried);
  known.acked = known.tried;
  return true;
}

class PushKillTest : public DeviceTest {
 protected:
  void PushPolicies(Known& known, std::atomic<int>& done) {
    Control control(device_.control());
    Request request;
    request.mutable_push()->set_kind(control::v1::PushRequest::POLICY);
    do {
      ++done;
      request.mutable_push()->set_content(PolicyOf(++known.tried));
    } while (Ask(control, request, known));
  }

  // Now and then the whole, else what has changed of it.
  void PushApps(Known& known, std::atomic<int>& done) {
    Control control(device_.control());
    Request request;
    do {
      ++done;
      const policy::v1::App app = AppOf(++known.tried);
      if (known.tried % 8 == 0) {
        policy::v1::AppDirectory apps;
        apps.set_version(known.tried);
        *apps.add_apps() = app;
        request.mutable_push()->set_kind(control::v1::PushRequest::APPS);
        request.mutable_push()->set_content(apps.SerializeAsString());
      } else {
        request.mutable_apps_delta()->clear_changes();
        *request.mutable_apps_delta()->add_changes()->mutable_install() = app;
      }
    } while (Ask(control, request, known));
  }

  // What is in force is what was acknowledged or was about to be, and from
  // there it goes on.
  void Check() {
    const control::v1::Status status = device_.Status();
    EXPECT_EQ(status.warnings_size(), 0) << status.warnings(0);
    Settle(status.policy().version(), policies_);
    Settle(status.apps().version(), apps_);
    if (policies_.acked != 0) {
      EXPECT_EQ(status.policy().name(), absl::StrCat("p", policies_.acked));
    }
    if (apps_.acked == 0) return;
    EXPECT_EQ(status.apps().count(), 1u);
    Control control(device_.control());
    Request request;
    request.mutable_apps_delta()->set_dry_run(true);
    *request.mutable_apps_delta()->add_changes()->mutable_install() =
        AppOf(apps_.acked);
    const auto answer = control.Ask(request);
    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer->push().accepted());
    EXPECT_FALSE(answer->push().changed()) << "another directory is in force";
  }

  static void Settle(uint64_t in_force, Known& known) {
    EXPECT_TRUE(in_force == known.acked || in_force == known.tried)
        << in_force << " is in force, " << known.acked
        << " was acknowledged, and " << known.tried << " tried";
    known.acked = known.tried = in_force;
  }

  void LiveAndDie() {
    std::atomic<int> done{0};
    std::thread policies([&] { PushPolicies(policies_, done); });
    std::thread apps([&] { PushApps(apps_, done); });
    const int most = std::uniform_int_distribution<int>(2, 30)(random_);
    while (done < most) std::this_thread::yield();
    // At any moment of what is under way.
    const absl::Time moment =
        absl::Now() + absl::Microseconds(
                          std::uniform_int_distribution<int>(0, 3000)(random_));
    while (absl::Now() < moment) std::this_thread::yield();
    device_.Kill();
    policies.join();
    apps.join();
  }

  Device device_;
  std::mt19937 random_{12345};
  Known policies_;
  Known apps_;
};

TEST_F(PushKillTest, WhatWasAcknowledgedIsInForce) {
  const int kills = IsLong() ? 500 : 20;
  for (int i = 0; i < kills && !HasFailure(); ++i) {
    ASSERT_TRUE(device_.Start()) << i;
    Check();
    LiveAndDie();
  }
  ASSERT_TRUE(device_.Start());
  Check();
  EXPECT_GT(policies_.acked, static_cast<uint64_t>(kills));
  EXPECT_GT(apps_.acked, static_cast<uint64_t>(kills));
  GTEST_LOG_(INFO) << kills << " kills, policy version " << policies_.acked
                   << ", app directory version " << apps_.acked;
  // Back to what was before, which lasts too.
  EXPECT_EQ(device_.Ctl({"rollback"}).exit, 0);
  const uint64_t version = device_.Status().policy().version();
  EXPECT_LT(version, policies_.acked);
  device_.Kill();
  ASSERT_TRUE(device_.Start());
  EXPECT_EQ(device_.Status().policy().version(), version);
  EXPECT_TRUE(device_.Stop());
}

}  // namespace
}  // namespace fused::androidtest
