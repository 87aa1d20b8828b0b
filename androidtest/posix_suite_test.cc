// libfuse's own test of a passthrough file system, on a mount of ours.
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

struct Variant {
  const char* name;
  Device::Lower lower;
  uid_t uid;
  const char* flag;
};

void PrintTo(const Variant& variant, std::ostream* os) { *os << variant.name; }

class PosixSuiteTest : public testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
  }

  // Runs the suite on a directory. It can be told of the real one too, and then
  // makes files there behind the daemon's back, which may be seen late.
  static Completed RunSuite(const Device& device,
                            const std::string& directory) {
    const std::string suite = device.directory() + "/bin/test_syscalls";
    std::error_code error;
    std::filesystem::copy_file(
        DataFile("TEST_SYSCALLS"), suite,
        std::filesystem::copy_options::overwrite_existing, error);
    EXPECT_FALSE(error) << error.message();
    chmod(suite.c_str(), 0755);
    const std::string log = device.directory() + "/suite.log";
    const int fd =
        open(log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const uid_t uid = GetParam().uid;
    Completed completed;
    {
      Child child({suite, directory}, {.input = -1,
                                       .output = fd,
                                       .error = fd,
                                       .environment = {},
                                       .prepare = [uid] {
                                         return setgroups(0, nullptr) == 0 &&
                                                setresgid(uid, uid, uid) == 0 &&
                                                setresuid(uid, uid, uid) == 0;
                                       }});
      completed.exit = child.Wait(absl::Seconds(120)).value_or(-1);
    }
    close(fd);
    completed.output = ReadFile(log);
    return completed;
  }

  // How many cases say so of themselves.
  static int Passed(const Completed& completed) {
    int passed = 0;
    for (std::string_view line : absl::StrSplit(completed.output, '\n')) {
      passed += static_cast<int>(absl::EndsWith(line, "OK"));
    }
    return passed;
  }
};

// What the suite itself finds wrong with a file system of the kernel's would be
// no finding of ours.
TEST_P(PosixSuiteTest, AllCasesPass) {
  Device device({.lower = GetParam().lower,
                 .flags = {"--profile=posix", GetParam().flag}});
  const std::string native = device.LowerPath("native");
  const std::string lower = device.LowerPath("mounted");
  ASSERT_TRUE(MakeDirectories(native));
  ASSERT_TRUE(MakeDirectories(lower));
  const Completed natively = RunSuite(device, native);
  ASSERT_EQ(natively.exit, 0) << testing::PrintToString(natively);

  ASSERT_TRUE(device.Start());
  const Completed mounted = RunSuite(device, device.MountPath("mounted"));
  EXPECT_EQ(mounted.exit, 0) << testing::PrintToString(mounted);
  EXPECT_EQ(Passed(mounted), Passed(natively));
  EXPECT_GT(Passed(mounted), 50);
  EXPECT_TRUE(device.Stop());
}

INSTANTIATE_TEST_SUITE_P(
    , PosixSuiteTest,
    testing::Values(
        Variant{"RootOnTmpfs", Device::Lower::kTmpfs, 0, "--passthrough=auto"},
        Variant{"RootOnDisk", Device::Lower::kDisk, 0, "--passthrough=auto"},
        Variant{"UserOnDisk", Device::Lower::kDisk, 1000, "--passthrough=auto"},
        Variant{"RootServedByTheDaemon", Device::Lower::kDisk, 0,
                "--passthrough=off"},
        Variant{"UserServedByTheDaemon", Device::Lower::kDisk, 1000,
                "--passthrough=off"}),
    [](const testing::TestParamInfo<Variant>& info) {
      return info.param.name;
    });

}  // namespace
}  // namespace fused::androidtest
