#include "fused/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/flags/reflection.h"
#include "absl/strings/str_cat.h"
#include "fused/flags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"
#include "policy/issue.h"

namespace fused {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class CheckTest : public testing::Test {
 protected:
  CheckTest() {
    for (const char* name : {"lower", "mount", "lower2", "mount2", "state"}) {
      chmod(scratch_.MakeDirectory(name).c_str(), 0700);
    }
  }

  std::string Path(std::string_view name) const { return scratch_.Path(name); }

  // The lines that --check prints, and the exit code.
  std::vector<std::string> Check(const std::vector<std::string>& flags) {
    absl::FlagSaver saver;
    std::vector<std::string> argv = {"fused", "--check"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    std::vector<char*> pointers;
    pointers.reserve(argv.size());
    for (std::string& arg : argv) pointers.push_back(arg.data());
    Invocation invocation =
        ParseCommandLine(static_cast<int>(pointers.size()), pointers.data());
    EXPECT_TRUE(invocation.check);
    code_ = 2;
    policy::Issues issues = invocation.issues;
    if (invocation.settings.has_value()) {
      code_ = CheckSettings(*invocation.settings, issues);
    }
    std::vector<std::string> lines;
    for (const policy::Issue& issue : issues) {
      lines.push_back(issue.ToString());
    }
    return lines;
  }

  // With a file that has the lines of the daemon's own places in front.
  std::vector<std::string> CheckConfig(std::string_view text,
                                       std::vector<std::string> flags = {}) {
    const std::string config = scratch_.MakeFile(
        absl::StrCat("config", ++configs_),
        absl::StrCat("state_dir: \"", Path("state"), "\" control: \"",
                     Path("run/socket"), "\" views_dir: \"", Path("run/views"),
                     "\"\n", text));
    flags.insert(flags.begin(), "--config=" + config);
    return Check(flags);
  }

  std::string Volume(std::string_view name, std::string_view lower,
                     std::string_view mountpoint) const {
    return absl::StrCat("volumes {\n  name: \"", name, "\"\n  lower: \"",
                        Path(lower), "\"\n  mountpoint: \"", Path(mountpoint),
                        "\"\n}\n");
  }

  kernel::ScratchDirectory scratch_;
  int configs_ = 0;
  int code_ = -1;
};

TEST_F(CheckTest, WhatIsRightSaysNothing) {
  EXPECT_THAT(CheckConfig(Volume("a", "lower", "mount") +
                          Volume("b", "lower2", "mount2")),
              IsEmpty());
  EXPECT_EQ(code_, 0);
}

TEST_F(CheckTest, EachThingThatIsMissing) {
  scratch_.MakeFile("file", "");
  scratch_.MakeFile("file2", "");
  EXPECT_THAT(
      CheckConfig(Volume("a", "none", "file2") + Volume("b", "file", "mount2")),
      ElementsAre(AllOf(HasSubstr(":4:3: volumes[0].lower: "),
                        HasSubstr("No such file")),
                  AllOf(HasSubstr(":5:3: volumes[0].mountpoint: "),
                        HasSubstr("Not a directory")),
                  AllOf(HasSubstr(":9:3: volumes[1].lower: "),
                        HasSubstr("Not a directory"))));
  EXPECT_EQ(code_, 2);
}

TEST_F(CheckTest, OneVolumeInsideAnother) {
  chmod(scratch_.MakeDirectory("lower/in").c_str(), 0700);
  scratch_.MakeDirectory("mount/in");
  EXPECT_THAT(CheckConfig(Volume("a", "lower", "mount") +
                          Volume("b", "lower/in", "mount/in")),
              ElementsAre(HasSubstr(":9:3: volumes[1].lower: "),
                          HasSubstr(":10:3: volumes[1].mountpoint: ")));
  EXPECT_EQ(code_, 2);
  EXPECT_THAT(CheckConfig(Volume("a", "lower2", "mount2") +
                          Volume("b", "lower", "lower2")),
              ElementsAre(HasSubstr("is also the lower tree of a, ")));
  EXPECT_EQ(code_, 2);
  // By another name.
  ASSERT_EQ(symlink(Path("lower").c_str(), Path("link").c_str()), 0);
  EXPECT_THAT(CheckConfig(Volume("a", "lower", "mount") +
                          Volume("b", "link/in", "mount2")),
              ElementsAre(HasSubstr("lies inside the lower tree of a, ")));
}

TEST_F(CheckTest, TheDaemonsOwnPlacesAreNobodysFiles) {
  EXPECT_THAT(Check({"--state_dir=" + Path("lower/state"),
                     "--control=" + Path("lower/socket"),
                     "--views_dir=" + Path("mount/views"),
                     "--metrics_textfile=" + Path("lower/a.prom"),
                     "--apps=" + scratch_.MakeFile("lower/apps", "version: 1"),
                     Path("lower"), Path("mount")}),
              ElementsAre(HasSubstr("command line:0:0: --state_dir: "),
                          HasSubstr("command line:0:0: --views_dir: "),
                          HasSubstr("command line:0:0: --control: "),
                          HasSubstr("command line:0:0: --metrics_textfile: "),
                          HasSubstr("command line:0:0: --apps: ")));
  EXPECT_THAT(CheckConfig(Volume("a", "lower", "mount") +
                          absl::StrCat("metrics_textfile: \"",
                                       Path("none/a.prom"), "\"\n")),
              ElementsAre(HasSubstr(":7:1: metrics_textfile: ")));
  chmod(scratch_.MakeDirectory("open").c_str(), 0777);
  EXPECT_THAT(CheckConfig(Volume("a", "lower", "mount"),
                          {"--drop_in_dir=" + Path("open")}),
              ElementsAre(AllOf(HasSubstr("--drop_in_dir"),
                                HasSubstr("others than root"))));
  EXPECT_THAT(
      CheckConfig(Volume("a", "lower", "mount") + "audit { burst: 2000 }\n"),
      ElementsAre(HasSubstr(":7:1: audit: burst")));
  EXPECT_EQ(code_, 2);
  scratch_.MakeFile("file", "");
  EXPECT_THAT(
      CheckConfig(
          Volume("a", "lower", "mount"),
          {"--control=" + Path("file"), "--state_dir=" + Path("file/state")}),
      ElementsAre(AllOf(HasSubstr("--state_dir"), HasSubstr("Not a directory")),
                  AllOf(HasSubstr("--control"), HasSubstr("is no socket"))));
}

TEST_F(CheckTest, WhatOthersMaySeeIsAWarning) {
  ASSERT_EQ(chmod(Path("lower").c_str(), 0755), 0);
  ASSERT_EQ(chmod(Path("state").c_str(), 0755), 0);
  EXPECT_THAT(CheckConfig(Volume("a", "lower", "mount")),
              ElementsAre(HasSubstr("volumes[0].lower: warning: others"),
                          HasSubstr("state_dir: warning: others")));
  EXPECT_EQ(code_, 0);
}

TEST_F(CheckTest, AFlagIsAboveTheFileAndTakesTheBlame) {
  const std::string volume = Volume("a", "none", "mount");
  EXPECT_THAT(CheckConfig(volume), SizeIs(1));
  EXPECT_THAT(CheckConfig(volume, {Path("lower"), Path("mount")}), IsEmpty());
  EXPECT_THAT(
      CheckConfig(Volume("a", "lower", "mount"), {Path("none"), Path("mount")}),
      ElementsAre(HasSubstr("command line:0:0: LOWER: ")));
}

TEST_F(CheckTest, PolicyAndApps) {
  const std::string volume = Volume("a", "lower", "mount");
  const std::string refused = scratch_.MakeFile(
      "refused", "name: \"x\"\nversion: 1\nrules { path_classes: \"none\" }\n");
  const std::string warned = scratch_.MakeFile("warned", R"(
name: "x" version: 1
path_classes { name: "papers" patterns: "Papers/**" }
path_classes { name: "never" patterns: "Papers/a" }
rules { name: "all" operations: ANY effect { allow {} } }
)");
  const std::string apps =
      scratch_.MakeFile("apps", "version: 1\napps { uid: x }\n");
  EXPECT_THAT(CheckConfig(volume, {"--policy=" + refused}),
              Contains(HasSubstr(refused + ":3:")));
  EXPECT_EQ(code_, 3);
  EXPECT_THAT(
      CheckConfig(volume, {"--policy=" + warned}),
      AllOf(Contains(HasSubstr(warned + ":4:")), Each(HasSubstr("warning: "))));
  EXPECT_EQ(code_, 0);
  EXPECT_THAT(CheckConfig(volume, {"--apps=" + apps}),
              Contains(HasSubstr(apps + ":2:")));
  EXPECT_EQ(code_, 3);
  // What is wrong with the settings comes first.
  EXPECT_THAT(
      CheckConfig(Volume("a", "none", "mount"), {"--policy=" + refused}),
      AllOf(Contains(HasSubstr("volumes[0].lower")),
            Contains(HasSubstr(refused + ":3:"))));
  EXPECT_EQ(code_, 2);
  EXPECT_THAT(
      CheckConfig(volume + absl::StrCat("policy: \"", Path("none"), "\"\n")),
      ElementsAre(HasSubstr(":7:1: policy: ")));
  EXPECT_EQ(code_, 2);
}

}  // namespace
}  // namespace fused
