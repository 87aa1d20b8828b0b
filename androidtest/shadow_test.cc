// Shadow rules: what they would have decided is counted, and nothing else.
#include <cerrno>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;

std::string Policy(int version, std::string_view shadow) {
  return absl::StrCat("name: 'p' version: ", version, R"(
path_classes { name: "box" patterns: "Box/*" }
path_classes { name: "attic" patterns: "Attic/*" }
rules { name: "hidden" path_classes: "attic" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "all" operations: ANY effect { allow {} } }
)",
                      shadow);
}

constexpr char kShadow[] = R"(
shadow_rules { name: "no_reading" path_classes: "box" operations: READ
               effect { deny {} } }
shadow_rules { name: "would_all" operations: ANY effect { allow {} } }
)";

// How often one live rule was contradicted by one shadow rule.
uint64_t CountOf(const control::v1::Status& status, std::string_view live_rule,
                 std::string_view shadow_rule) {
  uint64_t count = 0;
  for (const control::v1::ShadowDifference& line :
       status.shadow().differences()) {
    if (line.live_rule() == live_rule && line.shadow_rule() == shadow_rule) {
      count += line.count();
    }
  }
  return count;
}

class ShadowTest : public BothViewsTest {};

TEST_P(ShadowTest, CountsAndDecidesNothing) {
  Device device({.policy = Policy(1, kShadow), .packages = StandardPackages()});
  ASSERT_TRUE(MakeDirectories(device.LowerPath("Box")));
  ASSERT_TRUE(MakeDirectories(device.LowerPath("Attic")));
  ASSERT_TRUE(WriteFile(device.LowerPath("Box/f"), "content"));
  ASSERT_TRUE(WriteFile(device.LowerPath("Attic/f"), "content"));
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, view());
  EXPECT_THAT(app.Read("Box/f"), Reads("content"));
  EXPECT_THAT(app.Read("Box/f"), Reads("content"));
  EXPECT_THAT(app.Stat("Attic/f"), FailsWith(ENOENT));
  control::v1::Status status = device.Status();
  ASSERT_TRUE(status.has_shadow());
  EXPECT_EQ(CountOf(status, "all", "no_reading"), 2u);
  EXPECT_EQ(CountOf(status, "hidden", "would_all"), 1u);
  EXPECT_EQ(status.shadow().differed(), 3u);
  EXPECT_GT(status.shadow().agreed(), 0u);
  EXPECT_THAT(device.Ctl({"status"}).output, HasSubstr("(no_reading)"));

  // They count on while the policy stays, and anew with another.
  ASSERT_EQ(
      device.Ctl({"apps", device.Keep("apps", AppsText(StandardPackages(), 2))})
          .exit,
      0);
  EXPECT_EQ(device.Status().shadow().differed(), 3u);
  ASSERT_EQ(device.Ctl({"push", device.Keep("p", Policy(2, kShadow))}).exit, 0);
  EXPECT_EQ(device.Status().shadow().differed(), 0u);
  ASSERT_EQ(device.Ctl({"push", device.Keep("p", Policy(3, ""))}).exit, 0);
  EXPECT_FALSE(device.Status().has_shadow());
}

INSTANTIATE_BOTH_VIEWS(ShadowTest);

}  // namespace
}  // namespace fused::androidtest
