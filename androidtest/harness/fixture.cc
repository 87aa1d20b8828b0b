#include "androidtest/harness/fixture.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/files.h"

namespace fused::androidtest {

bool IsLong() {
  const char* value = getenv("FUSED_LONG");
  return value != nullptr && std::string_view(value) == "1";
}

void DeviceTest::SetUp() {
  if (const std::string why = WhyNoDevice(); !why.empty()) GTEST_SKIP() << why;
}

void BothViewsTest::SetUp() {
  if (const std::string why = WhyNoDevice(); !why.empty()) GTEST_SKIP() << why;
}

std::string ViewName(const testing::TestParamInfo<View>& info) {
  return Name(info.param);
}

std::vector<Package> StandardPackages() {
  return {
      {.name = kCamera, .uid = 10061},
      {.name = kCameraEditor, .uid = 10061},
      {.name = kGallery,
       .uid = 10062,
       .permissions = {"READ_MEDIA_IMAGES", "READ_MEDIA_VIDEO",
                       "ACCESS_MEDIA_LOCATION"}},
      {.name = kMusic, .uid = 10063, .permissions = {"READ_MEDIA_AUDIO"}},
      {.name = kStranger, .uid = 10064},
      {.name = kManager, .uid = 10065, .roles = {"MANAGER"}},
      {.name = kSystemGallery, .uid = 10066, .roles = {"SYSTEM_GALLERY"}},
      {.name = kInstaller, .uid = 10067, .roles = {"INSTALLER"}},
      {.name = kOldReader,
       .uid = 10068,
       .permissions = {"READ_EXTERNAL_STORAGE", "WRITE_EXTERNAL_STORAGE",
                       "ACCESS_MEDIA_LOCATION"},
       .target_sdk = 29},
      {.name = kServed, .uid = 10069, .permissions = {"DAEMON_IO"}},
  };
}

void PlantDirectories(const Device& device) {
  for (const char* name :
       {"Alarms", "Audiobooks", "DCIM", "Documents", "Download", "Movies",
        "Music", "Notifications", "Pictures", "Podcasts", "Recordings",
        "Ringtones", "Android/data", "Android/media", "Android/obb"}) {
    EXPECT_TRUE(MakeDirectories(device.LowerPath(name)));
  }
  for (const Package& package : StandardPackages()) {
    EXPECT_TRUE(MakeDirectories(device.LowerPath(
        absl::StrCat("Android/data/", package.name, "/files"))));
  }
}

}  // namespace fused::androidtest
