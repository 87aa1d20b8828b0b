// Directories that an app holds open: their names are not looked up again, so
// that all that the kernel has kept of them is kept with them.
#include <fcntl.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::UnorderedElementsAre;

// `veiled` does not exist.
std::string Policy(int version, const char* veiled) {
  return absl::StrCat("name: 'veil' version: ", version,
                      " path_classes { name: 'veiled' patterns: 'd/", veiled,
                      "/**' } rules { name: 'veil' path_classes: 'veiled' "
                      "operations: ANY effect { deny { error: ENOENT } } } "
                      "rules { name: 'rest' operations: ANY "
                      "effect { allow {} } }\n");
}

class HeldTest : public BothViewsTest {};

TEST_P(HeldTest, AListingFollowsTheRules) {
  Device device({.policy = Policy(1, "a"), .packages = StandardPackages()});
  for (const char* name : {"d/a", "d/b"}) {
    ASSERT_TRUE(WriteFile(device.LowerPath(name), "x"));
  }
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, view());
  const File held = app.Open("d", O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(held, Opens());
  // Again: from what is kept.
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(held.List(), Lists(UnorderedElementsAre("b")));
  }
  const std::string policy = device.Keep("policy", Policy(2, "b"));
  ASSERT_EQ(device.Ctl({"push", policy}).exit, 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(held.List(), Lists(UnorderedElementsAre("a")));
  }
}

INSTANTIATE_BOTH_VIEWS(HeldTest);

}  // namespace
}  // namespace fused::androidtest
