// Files that are put into the drop-in directory are the rules, and the history
// says so.
#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class DropInTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    ASSERT_NE(mkdtemp(directory_), nullptr);
    Device::Options options;
    options.flags = {absl::StrCat("--drop_in_dir=", directory_)};
    device_ = std::make_unique<Device>(options);
    PlantDirectories(*device_);
    std::ofstream(device_->LowerPath("DCIM/a.jpg")) << "content";
  }
  void TearDown() override {
    device_ = nullptr;
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  // As config management does.
  void Drop(const std::string& name, const std::string& text) const {
    const std::string path = absl::StrCat(directory_, "/", name);
    std::ofstream(path + ".tmp") << text;
    ASSERT_EQ(chmod((path + ".tmp").c_str(), 0644), 0);
    ASSERT_EQ(std::rename((path + ".tmp").c_str(), path.c_str()), 0);
  }
  // The result that says `wanted`; it is there when it is whole.
  std::string Result(const std::string& stem, const std::string& wanted) const {
    std::string text;
    EXPECT_TRUE(Eventually([&] {
      // A question takes its time.
      if (device_->Ctl({"status"}).exit != 0) return false;
      std::ifstream in(absl::StrCat(directory_, "/", stem, ".result"));
      text.assign(std::istreambuf_iterator<char>(in), {});
      return absl::StrContains(text, wanted);
    })) << text;
    return text;
  }

  static uid_t UidOf(std::string_view package) {
    for (const Package& one : StandardPackages()) {
      if (one.name == package) return one.uid;
    }
    ADD_FAILURE() << package;
    return 0;
  }

  char directory_[32] = "/tmp/fused_drop_in_XXXXXX";
  std::unique_ptr<Device> device_;
};

TEST_F(DropInTest, WhatIsDroppedIsInForce) {
  // There at start: in force when it serves.
  Drop("apps.textproto", AppsText(StandardPackages(), 3));
  ASSERT_TRUE(device_->Start());
  EXPECT_EQ(device_->Status().apps().version(), 3u);
  const App app = device_->LaunchUid(UidOf(kStranger));
  EXPECT_THAT(app.Read("DCIM/a.jpg"), FailsWith(EACCES));
  Drop("policy.textproto", AllowAllPolicy(7));
  EXPECT_THAT(Result("policy", "version 7"), StartsWith("ACK"));
  EXPECT_THAT(app.Read("DCIM/a.jpg"), Reads("content"));
  Drop("policy.textproto", "name: \"x\"\nversion: 8\nrules {");
  EXPECT_THAT(Result("policy", "NACK"), HasSubstr("policy.textproto:3:"));
  EXPECT_EQ(device_->Status().policy().version(), 7u);
  EXPECT_THAT(device_->Ctl({"history"}).output, HasSubstr("DROP_IN"));

  // What is rolled back is not put in force again by its file.
  EXPECT_EQ(device_->Ctl({"rollback"}).exit, 0);
  EXPECT_THAT(app.Read("DCIM/a.jpg"), FailsWith(EACCES));
  Drop("policy.textproto", AllowAllPolicy(7));
  EXPECT_THAT(Result("policy", "NACK version 0"), HasSubstr("the highest"));
  EXPECT_TRUE(device_->Stop());
}

TEST_F(DropInTest, ADirectoryThatOthersMayWriteIsNoStart) {
  ASSERT_EQ(chmod(directory_, 0777), 0);
  EXPECT_FALSE(device_->Start());
  EXPECT_THAT(device_->Log(), HasSubstr("may write this directory"));
}

}  // namespace
}  // namespace fused::androidtest
