// In the profile `posix` a mount is as good as the file system below: each
// scenario is played by the same people on both, and told alike.
#ifndef FUSED_ANDROIDTEST_POSIX_SCENE_H_
#define FUSED_ANDROIDTEST_POSIX_SCENE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {

inline constexpr uid_t kAlice = 1000;
inline constexpr uid_t kBob = 1001;
// Of which only Alice is a member.
inline constexpr gid_t kTeam = 2000;
inline constexpr gid_t kOthers = 3000;

// Who acts, and what was told of it.
class Scene {
 public:
  Scene(Device* device, const std::string& root)
      : root_(device->LaunchAt(root, 0, 0)),
        alice_(device->LaunchAt(root, kAlice, kAlice, {kTeam})),
        bob_(device->LaunchAt(root, kBob, kBob)) {}

  const App& root() const { return root_; }
  const App& alice() const { return alice_; }
  const App& bob() const { return bob_; }

  // A file of root's with exactly this mode.
  void File(const std::string& name, mode_t mode, gid_t group = 0) {
    Tell(root_.Create(name, "content"));
    Tell(root_.ChangeOwner(name, 0, group));
    Tell(root_.ChangeMode(name, mode));
  }

  void Tell(const Outcome& outcome) {
    story_.push_back(outcome.ok()
                         ? absl::StrCat(outcome.value, " ",
                                        absl::CHexEscape(outcome.data), " ",
                                        absl::StrJoin(outcome.names, ","))
                         : ErrorName(outcome.error));
  }
  void Tell(const androidtest::File& file) {
    story_.push_back(file.ok() ? "opened" : ErrorName(file.error()));
  }
  // What lstat(2) tells, but for times and numbers of inodes.
  void TellOf(const std::string& name) { TellAttributes(root_.LinkStat(name)); }
  void TellAttributes(const Outcome& outcome) {
    const v1::Attributes& a = outcome.attributes;
    story_.push_back(
        outcome.ok() ? absl::StrFormat(
                           "%o %d:%d links %d size %d device %x", a.mode(),
                           a.uid(), a.gid(), S_ISDIR(a.mode()) ? 0 : a.links(),
                           S_ISDIR(a.mode()) ? 0 : a.size(), a.device())
                     : ErrorName(outcome.error));
  }

  const std::vector<std::string>& story() const { return story_; }

 private:
  App root_;
  App alice_;
  App bob_;
  std::vector<std::string> story_;
};

class PosixTest : public testing::TestWithParam<Device::Lower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(MakeDirectories(device_.LowerPath("natively")));
    ASSERT_TRUE(MakeDirectories(device_.LowerPath("mounted")));
    ASSERT_TRUE(device_.Start());
  }

  void ExpectAsNatively(const std::function<void(Scene*)>& play) {
    Scene natively(&device_, device_.LowerPath("natively"));
    play(&natively);
    Scene mounted(&device_, device_.MountPath("mounted"));
    play(&mounted);
    // As texts, of which the difference is shown.
    EXPECT_EQ(absl::StrJoin(mounted.story(), "\n"),
              absl::StrJoin(natively.story(), "\n"));
  }

  Device device_{{.lower = GetParam(), .flags = {"--profile=posix"}}};
};

#define INSTANTIATE_ON_TMPFS_AND_DISK(Fixture)                              \
  INSTANTIATE_TEST_SUITE_P(                                                 \
      , Fixture,                                                            \
      testing::Values(::fused::androidtest::Device::Lower::kTmpfs,          \
                      ::fused::androidtest::Device::Lower::kDisk),          \
      [](const testing::TestParamInfo<::fused::androidtest::Device::Lower>& \
             info) {                                                        \
        return info.param == ::fused::androidtest::Device::Lower::kTmpfs    \
                   ? "OnTmpfs"                                              \
                   : "OnDisk";                                              \
      })

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_POSIX_SCENE_H_
