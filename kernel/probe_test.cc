#include "kernel/probe.h"

#include <string>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused::kernel {
namespace {

using ::absl_testing::IsOk;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

TEST(ProbeTest, LooksAtTheRunningKernel) {
  if (!CanMount()) GTEST_SKIP() << "needs root and /dev/fuse";
  absl::StatusOr<Features> features = ProbeFeatures();
  ASSERT_THAT(features, IsOk());
  EXPECT_FALSE(features->release.empty());
  EXPECT_THAT(features->protocol, MatchesRegex("7\\.[0-9]+"));
  for (const char* name :
       {"passthrough", "over_io_uring", "posix_acl", "killpriv_v2", "inc_epoch",
        "expire", "resend", "direct_io_allow_mmap", "new_mount_api", "openat2",
        "file_handles", "request_timeout", "cap_sys_admin"}) {
    EXPECT_TRUE(features->has.contains(name)) << name;
  }
  EXPECT_EQ(features->has.size(), 13u);
  EXPECT_TRUE(features->has["new_mount_api"]);
  EXPECT_TRUE(features->has["openat2"]);
  // Protocol and notification must agree.
  const int minor = std::stoi(features->protocol.substr(2));
  EXPECT_EQ(features->has["inc_epoch"], minor >= 44);
  EXPECT_THAT(features->OneLine(), HasSubstr(features->release));
  RecordProperty("kernel", features->OneLine());
}

TEST(FeaturesTest, OneLine) {
  Features features;
  features.release = "6.18.44";
  features.protocol = "7.45";
  features.has = {{"expire", true}, {"openat2", true}, {"resend", false}};
  EXPECT_EQ(features.OneLine(),
            "kernel 6.18.44, FUSE 7.45: expire, openat2; not: resend");
}

}  // namespace
}  // namespace fused::kernel
