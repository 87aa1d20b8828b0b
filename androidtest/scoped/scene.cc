#include "androidtest/scoped/scene.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/matchers.h"

namespace fused::androidtest {
namespace {

std::string Below(std::string_view directory, std::string_view package,
                  std::string_view name) {
  return absl::StrCat(directory, "/", package, name.empty() ? "" : "/", name);
}

}  // namespace

std::vector<Package> AllPackages() {
  std::vector<Package> packages = StandardPackages();
  const std::vector<Package> more = {
      {.name = kBlind, .uid = 10101, .permissions = {"READ_MEDIA_IMAGES"}},
      {.name = kCinema,
       .uid = 10102,
       .permissions = {"READ_MEDIA_VIDEO", "ACCESS_MEDIA_LOCATION"}},
      {.name = kMtp, .uid = 10103, .roles = {"MTP"}},
      {.name = kDownloads, .uid = 10104, .roles = {"DOWNLOADS"}},
      {.name = kLastReader,
       .uid = 10105,
       .permissions = {"READ_EXTERNAL_STORAGE", "ACCESS_MEDIA_LOCATION"},
       .target_sdk = 32},
      {.name = kLateReader,
       .uid = 10106,
       .permissions = {"READ_EXTERNAL_STORAGE", "ACCESS_MEDIA_LOCATION"},
       .target_sdk = 33},
      {.name = kLateWriter,
       .uid = 10107,
       .permissions = {"READ_EXTERNAL_STORAGE", "WRITE_EXTERNAL_STORAGE",
                       "ACCESS_MEDIA_LOCATION"},
       .target_sdk = 30},
  };
  packages.insert(packages.end(), more.begin(), more.end());
  return packages;
}

std::vector<Package> With(std::vector<Package> packages,
                          const Package& changed) {
  packages = Without(std::move(packages), changed.name);
  packages.push_back(changed);
  return packages;
}

std::vector<Package> Without(std::vector<Package> packages,
                             std::string_view name) {
  packages.erase(
      std::remove_if(packages.begin(), packages.end(),
                     [&](const Package& p) { return p.name == name; }),
      packages.end());
  return packages;
}

std::string DataOf(std::string_view package, std::string_view name) {
  return Below("Android/data", package, name);
}

std::string ObbOf(std::string_view package, std::string_view name) {
  return Below("Android/obb", package, name);
}

std::string MediaOf(std::string_view package, std::string_view name) {
  return Below("Android/media", package, name);
}

struct ScopedTest::State {
  Device device{{.packages = AllPackages()}};
  std::map<std::pair<View, std::string>, App> apps;
  uint64_t apps_version = 1;
};

ScopedTest::State* ScopedTest::state_ = nullptr;

void ScopedTest::SetUpTestSuite() {
  if (!WhyNoDevice().empty()) return;
  state_ = new State;
  PlantDirectories(state_->device);
  EXPECT_TRUE(state_->device.Start());
}

void ScopedTest::TearDownTestSuite() {
  if (state_ == nullptr) return;
  if (testing::UnitTest::GetInstance()->current_test_suite()->Failed()) {
    GTEST_LOG_(INFO) << "the daemon printed:\n" << state_->device.Log();
  }
  // Whose processes hold the views.
  state_->apps.clear();
  EXPECT_TRUE(state_->device.Stop());
  delete std::exchange(state_, nullptr);
}

void ScopedTest::SetUp() {
  BothViewsTest::SetUp();
  if (IsSkipped()) return;
  ASSERT_NE(state_, nullptr);
}

Device& ScopedTest::device() { return state_->device; }

const App& ScopedTest::In(View view, std::string_view package) {
  const std::pair<View, std::string> key(view, package);
  auto found = state_->apps.find(key);
  if (found == state_->apps.end()) {
    found =
        state_->apps.emplace(key, state_->device.Launch(package, view)).first;
  }
  return found->second;
}

std::string ScopedTest::Own() {
  const testing::TestInfo* info =
      testing::UnitTest::GetInstance()->current_test_info();
  return absl::StrReplaceAll(info->name(), {{"/", "-"}});
}

std::string ScopedTest::Place(std::string_view directory) {
  std::string path = absl::StrCat(directory, "/", Own());
  PlantDirectory(path);
  return path;
}

void ScopedTest::Plant(std::string_view path, std::string_view content) {
  ASSERT_TRUE(WriteFile(state_->device.LowerPath(path), content)) << path;
}

void ScopedTest::PlantDirectory(std::string_view path) {
  ASSERT_TRUE(MakeDirectories(state_->device.LowerPath(path))) << path;
}

void ScopedTest::Given(std::string_view owner, std::string_view path,
                       std::string_view content) {
  ASSERT_THAT(As(owner).Create(path, content), Succeeds()) << path;
  ASSERT_TRUE(device().Sync());
}

void ScopedTest::GivenDirectory(std::string_view owner, std::string_view path) {
  ASSERT_THAT(As(owner).MakeDirectory(path), Succeeds()) << path;
  ASSERT_TRUE(device().Sync());
}

void ScopedTest::Push(const std::vector<Package>& packages) {
  const std::string file = state_->device.Keep(
      "pushed.textproto", AppsText(packages, ++state_->apps_version));
  const Completed done = state_->device.Ctl({"apps", file});
  ASSERT_EQ(done.exit, 0) << testing::PrintToString(done);
}

}  // namespace fused::androidtest
