// What device tests derive from.
#ifndef FUSED_ANDROIDTEST_HARNESS_FIXTURE_H_
#define FUSED_ANDROIDTEST_HARNESS_FIXTURE_H_

#include <string>
#include <string_view>
#include <vector>

#include "androidtest/harness/device.h"
#include "gtest/gtest.h"

namespace fused::androidtest {

// Whether the sizes and times of the acceptance are asked for, rather than
// those of an ordinary run: FUSED_LONG=1 in the environment.
bool IsLong();

// A fixture which skips where there is no root or no /dev/fuse.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override;
};

// The same for cases that run in both kinds of view.
class BothViewsTest : public testing::TestWithParam<View> {
 protected:
  void SetUp() override;
  View view() const { return GetParam(); }
};

std::string ViewName(const testing::TestParamInfo<View>& info);

#define INSTANTIATE_BOTH_VIEWS(Fixture)                     \
  INSTANTIATE_TEST_SUITE_P(                                 \
      , Fixture,                                            \
      testing::Values(::fused::androidtest::View::kApp,     \
                      ::fused::androidtest::View::kShared), \
      ::fused::androidtest::ViewName)

// The apps that most tests speak of.
inline constexpr char kCamera[] = "com.example.camera";
inline constexpr char kGallery[] = "com.example.gallery";
inline constexpr char kMusic[] = "com.example.music";
inline constexpr char kStranger[] = "com.example.stranger";
inline constexpr char kManager[] = "com.example.files";
inline constexpr char kSystemGallery[] = "com.example.photos";
inline constexpr char kInstaller[] = "com.example.store";
inline constexpr char kOldReader[] = "com.example.old";
// Shares the camera's uid.
inline constexpr char kCameraEditor[] = "com.example.camera.editor";
// Of AllowAllPolicy(): served by the daemon.
inline constexpr char kServed[] = "com.example.served";

std::vector<Package> StandardPackages();

// The directories of a device's storage, in the lower tree: the collections,
// `Android` with its children, and each standard package's private directory.
void PlantDirectories(const Device& device);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_FIXTURE_H_
