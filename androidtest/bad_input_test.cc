// What is wrong is refused, with its place and its reason, and changes nothing.
#include <fcntl.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/process.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

// A text with one fault, and what is said of it after the file's name.
struct Fault {
  const char* name;
  const char* text;
  // "LINE:COLUMN:"
  const char* place;
  const char* field;
};

void PrintTo(const Fault& fault, std::ostream* os) { *os << fault.name; }

constexpr Fault kPolicyFaults[] = {
    {"Syntax", "name: \"p\"\nversion: 5\nrules {{\n", "3:8:", ""},
    {"UnknownField", "name: \"p\"\nversion: 5\ncolour: 3\n", "3:", "colour"},
    {"UnknownOperation",
     "version: 5\nrules {\n  name: \"r\"\n  operations: FLY\n"
     "  effect { allow {} }\n}\n",
     "4:15:", "operations"},
    {"UndefinedClass",
     "version: 5\nrules {\n  name: \"r\"\n  path_classes: \"nowhere\"\n"
     "  operations: READ\n  effect { allow {} }\n}\n",
     "4:", "rules[0].path_classes"},
    {"UndefinedMediaType",
     "version: 5\nrules {\n  name: \"r\"\n  operations: READ\n"
     "  when { media_type: \"SCENT\" }\n  effect { allow {} }\n}\n",
     "5:", "rules[0].when.media_type"},
    {"NoEffect", "version: 5\nrules {\n  name: \"r\"\n  operations: READ\n}\n",
     "2:", "rules[0]"},
    {"NoOperation",
     "version: 5\nrules {\n  name: \"r\"\n  effect { allow {} }\n}\n",
     "2:", "rules[0]"},
    {"TwoOfAName",
     "version: 5\n"
     "rules {\n  name: \"r\"\n  operations: READ\n  effect { allow {} }\n}\n"
     "rules {\n  name: \"r\"\n  operations: LIST\n  effect { allow {} }\n}\n",
     "8:", "rules[1].name"},
};

constexpr Fault kAppsFaults[] = {
    {"Syntax", "version: 5\napps [\n", "3:1:", ""},
    {"UnknownField", "version: 5\napps {\n  package: \"a.b\"\n  size: 3\n}\n",
     "4:", "size"},
    {"UnknownRole",
     "version: 5\napps {\n  package: \"a.b\"\n  uid: 10001\n  roles: KING\n}\n",
     "5:10:", "roles"},
    {"ReservedUid", "version: 5\napps {\n  package: \"a.b\"\n  uid: 2000\n}\n",
     "4:", "apps[0].uid"},
    {"TwoOfAName",
     "version: 5\napps {\n  package: \"a.b\"\n  uid: 10001\n}\n"
     "apps {\n  package: \"a.b\"\n  uid: 10002\n}\n",
     "7:", "apps[1].package"},
};

class BadInputTest : public DeviceTest {
 protected:
  // One line of the text tells file, place and field.
  static void ExpectTold(const std::string& error, const std::string& file,
                         const Fault& fault) {
    EXPECT_THAT(
        Lines(error),
        Contains(testing::AllOf(HasSubstr(absl::StrCat(file, ":", fault.place)),
                                HasSubstr(fault.field))));
  }

  static Completed StartWith(const Device& device, const Arguments& flags) {
    Arguments command = {FusedPath(), "--control=" + device.control(),
                         "--state_dir=" + device.state(),
                         "--views_dir=" + device.views()};
    command.insert(command.end(), flags.begin(), flags.end());
    return RunCommand(command, absl::Seconds(20));
  }

  static void ExpectNotMounted(const Device& device) {
    EXPECT_THAT(MountsBelow(device.mount()), IsEmpty());
  }
};

class BadPolicyTest : public BadInputTest,
                      public testing::WithParamInterface<Fault> {};

TEST_P(BadPolicyTest, IsRefusedAtStart) {
  Device device;
  const std::string file = device.Keep("bad.textproto", GetParam().text);
  const Completed done =
      StartWith(device, {"--policy=" + file, device.lower(), device.mount()});
  EXPECT_EQ(done.exit, 3) << testing::PrintToString(done);
  ExpectTold(done.error, file, GetParam());
  ExpectNotMounted(device);
}

TEST_P(BadPolicyTest, IsRefusedByARunningDaemonAndByLint) {
  Device device({.policy = AllowAllPolicy(), .packages = StandardPackages()});
  ASSERT_TRUE(device.Start());
  const App app = device.Launch(kCamera, View::kShared);
  ASSERT_THAT(app.Create("a", "content"), Succeeds());
  const control::v1::Status before = device.Status();
  const std::string file = device.Keep("bad.textproto", GetParam().text);
  for (const Arguments& command :
       {Arguments{"push", file}, Arguments{"push", file, "--dry_run"},
        Arguments{"lint", file}}) {
    const Completed done = device.Ctl(command);
    EXPECT_EQ(done.exit, 1) << command[0] << testing::PrintToString(done);
    ExpectTold(done.error, file, GetParam());
  }
  const control::v1::Status after = device.Status();
  EXPECT_EQ(after.policy().DebugString(), before.policy().DebugString());
  EXPECT_EQ(after.epoch(), before.epoch());
  EXPECT_THAT(app.Read("a"), Reads("content"));
  EXPECT_TRUE(device.Stop());
}

std::string FaultName(const testing::TestParamInfo<Fault>& info) {
  return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(, BadPolicyTest, testing::ValuesIn(kPolicyFaults),
                         FaultName);

class BadAppsTest : public BadInputTest,
                    public testing::WithParamInterface<Fault> {};

TEST_P(BadAppsTest, AreRefusedAtStart) {
  Device device;
  const std::string file = device.Keep("bad.textproto", GetParam().text);
  const Completed done =
      StartWith(device, {"--apps=" + file, device.lower(), device.mount()});
  EXPECT_EQ(done.exit, 3) << testing::PrintToString(done);
  ExpectTold(done.error, file, GetParam());
  ExpectNotMounted(device);
}

TEST_P(BadAppsTest, AreRefusedByARunningDaemon) {
  Device device({.packages = StandardPackages()});
  ASSERT_TRUE(device.Start());
  const control::v1::Status before = device.Status();
  const std::string file = device.Keep("bad.textproto", GetParam().text);
  const Completed done = device.Ctl({"apps", file});
  EXPECT_EQ(done.exit, 1) << testing::PrintToString(done);
  ExpectTold(done.error, file, GetParam());
  EXPECT_EQ(device.Status().apps().DebugString(), before.apps().DebugString());
  EXPECT_EQ(device.Status().epoch(), before.epoch());
  EXPECT_TRUE(device.Stop());
}

INSTANTIATE_TEST_SUITE_P(, BadAppsTest, testing::ValuesIn(kAppsFaults),
                         FaultName);

TEST_F(BadInputTest, WrongUsageIsExit2WithOneLine) {
  Device device;
  const std::string& lower = device.lower();
  const std::string& mount = device.mount();
  const std::vector<Arguments> wrong = {
      {lower},
      {lower, mount, "/more"},
      {"--passthrough=perhaps", lower, mount},
      {"--profile=dos", lower, mount},
      {"--transport=pigeon", lower, mount},
      {"--policy=/nonexistent.textproto", lower, mount},
      {"--apps=/nonexistent.textproto", lower, mount},
      {"--config=/nonexistent.textproto", lower, mount},
      {"-o", "nonsense", lower, mount},
  };
  for (const Arguments& arguments : wrong) {
    const Completed done = StartWith(device, arguments);
    EXPECT_EQ(done.exit, 2) << arguments[0] << testing::PrintToString(done);
    EXPECT_EQ(Lines(done.error).size(), 1U) << arguments[0] << "\n"
                                            << done.error;
    ExpectNotMounted(device);
  }
  const Completed unknown =
      StartWith(device, {"--no_such_flag=3", lower, mount});
  EXPECT_EQ(unknown.exit, 2) << testing::PrintToString(unknown);
  EXPECT_THAT(unknown.error, HasSubstr("no_such_flag"));
  ExpectNotMounted(device);
}

// A denied lookup is answered ENOENT, whatever a rule says: what says otherwise
// misleads.
TEST_F(BadInputTest, LintRefusesALookupThatTells) {
  Device device;
  const std::string file =
      device.Keep("telling.textproto",
                  "version: 5\nrules {\n  name: \"r\"\n  operations: LOOKUP\n"
                  "  effect { deny { error: EACCES } }\n}\n");
  const Completed done = device.Ctl({"lint", file});
  EXPECT_EQ(done.exit, 1) << testing::PrintToString(done);
  EXPECT_THAT(Lines(done.error), Contains(testing::StartsWith(file + ":5:")));
}

TEST_F(BadInputTest, AWrongConfigTellsItsPlace) {
  Device device;
  const std::string file =
      device.Keep("config.textproto", "threads: 2\ncolour: 3\n");
  const Completed done =
      StartWith(device, {"--config=" + file, device.lower(), device.mount()});
  EXPECT_EQ(done.exit, 2) << testing::PrintToString(done);
  EXPECT_THAT(done.error, HasSubstr(file + ":2:"));
}

TEST_F(BadInputTest, UnknownMountOptionsOfOthersAreIgnored) {
  Device device({.policy = AllowAllPolicy(),
                 .flags = {"-o", "allow_other,x-systemd.automount,rw"}});
  ASSERT_TRUE(device.Start());
  EXPECT_THAT(device.LaunchUid(0).List(""), Succeeds());
  EXPECT_TRUE(device.Stop());
}

TEST_F(BadInputTest, FusedctlRefusesWrongUsage) {
  Device device({.policy = AllowAllPolicy()});
  ASSERT_TRUE(device.Start());
  for (const Arguments& arguments :
       {Arguments{}, Arguments{"fly"}, Arguments{"push"},
        Arguments{"status", "more"}, Arguments{"explain", "a"},
        Arguments{"explain", "--uid=0", "--op=FLY", "a"},
        Arguments{"push", "/nonexistent"}, Arguments{"run", "--", "/bin/true"},
        Arguments{"--no_such_flag", "status"}}) {
    const Completed done = device.Ctl(arguments);
    EXPECT_EQ(done.exit,
              arguments.size() > 1 && arguments[0] == "run" ? 125 : 2)
        << (arguments.empty() ? "nothing" : arguments[0])
        << testing::PrintToString(done);
    EXPECT_THAT(done.error, Not(IsEmpty()));
  }
  EXPECT_TRUE(device.Stop());
}

class PushTest : public DeviceTest {};

TEST_F(PushTest, VersionsGrow) {
  Device device({.policy = AllowAllPolicy(5), .packages = StandardPackages()});
  ASSERT_TRUE(device.Start());
  const auto push = [&](const std::string& text, bool dry_run = false) {
    const std::string file = device.Keep("pushed.textproto", text);
    return device
        .Ctl(dry_run ? Arguments{"push", file, "--dry_run"}
                     : Arguments{"push", file})
        .exit;
  };
  const auto version = [&] { return device.Status().policy().version(); };
  EXPECT_EQ(version(), 5U);
  const uint64_t epoch = device.Status().epoch();
  // The same again is fine, and no work.
  EXPECT_EQ(push(AllowAllPolicy(5)), 0);
  EXPECT_EQ(device.Status().epoch(), epoch);
  // Older, or the same version with other content.
  EXPECT_EQ(push(AllowAllPolicy(4)), 1);
  EXPECT_EQ(push("name: \"other\" version: 5\n"), 1);
  EXPECT_EQ(version(), 5U);
  EXPECT_EQ(push(AllowAllPolicy(6), /*dry_run=*/true), 0);
  EXPECT_EQ(version(), 5U);
  EXPECT_EQ(push(AllowAllPolicy(6)), 0);
  EXPECT_EQ(version(), 6U);
  EXPECT_NE(device.Status().epoch(), epoch);
  EXPECT_TRUE(device.Stop());
}

// A push is in force when it is acknowledged, in every view, also for what the
// kernels have been told before.
TEST_F(PushTest, APushIsInForceAtOnce) {
  Device device({.policy = AllowAllPolicy(1), .packages = StandardPackages()});
  ASSERT_TRUE(device.Start());
  const App own = device.Launch(kCamera, View::kApp);
  const App shared = device.Launch(kGallery, View::kShared);
  ASSERT_THAT(own.Create("a", "content"), Succeeds());
  ASSERT_TRUE(device.Sync());
  EXPECT_THAT(shared.Read("a"), Reads("content"));
  const std::string closed =
      device.Keep("closed.textproto",
                  "name: \"closed\" version: 2\n"
                  "rules { name: \"see\" operations: [LOOKUP, LIST]"
                  " effect { allow {} } }\n"
                  "rules { name: \"no\" operations: ANY"
                  " effect { deny {} } }\n");
  ASSERT_EQ(device.Ctl({"push", closed}).exit, 0);
  ASSERT_TRUE(device.Sync());
  for (const App& app : {own, shared}) {
    EXPECT_THAT(app.Stat("a"), HasSize(7)) << app.name();
    EXPECT_THAT(app.Read("a"), FailsWith(EACCES)) << app.name();
    EXPECT_THAT(app.Create("b"), FailsWith(EACCES)) << app.name();
    EXPECT_THAT(app.Unlink("a"), FailsWith(EACCES)) << app.name();
  }
  const std::string hidden = device.Keep(
      "hidden.textproto",
      "name: \"hidden\" version: 3\n"
      "path_classes { name: \"root\" patterns: \"/\" }\n"
      "rules { name: \"root\" path_classes: \"root\" operations: [LOOKUP, LIST]"
      " effect { allow {} } }\n"
      "rules { name: \"no\" operations: ANY"
      " effect { deny { error: ENOENT } } }\n");
  ASSERT_EQ(device.Ctl({"push", hidden}).exit, 0);
  ASSERT_TRUE(device.Sync());
  for (const App& app : {own, shared}) {
    EXPECT_THAT(app, SeesNothingAt("a"));
    EXPECT_THAT(app.List(""), Lists(IsEmpty())) << app.name();
  }
  ASSERT_EQ(
      device.Ctl({"push", device.Keep("open.textproto", AllowAllPolicy(4))})
          .exit,
      0);
  ASSERT_TRUE(device.Sync());
  for (const App& app : {own, shared}) {
    EXPECT_THAT(app.Read("a"), Reads("content")) << app.name();
  }
  EXPECT_TRUE(device.Stop());
}

TEST_F(PushTest, AnAppsPermissionsAreInForceAtOnce) {
  Device device({.packages = StandardPackages()});
  PlantDirectories(device);
  ASSERT_TRUE(WriteFile(device.LowerPath("DCIM/photo.jpg"), "photo"));
  ASSERT_TRUE(device.Start());
  std::vector<App> strangers = {device.Launch(kStranger, View::kApp),
                                device.Launch(kStranger, View::kShared)};
  for (const App& stranger : strangers) {
    EXPECT_THAT(stranger.Read("DCIM/photo.jpg"), FailsWith(EACCES));
  }
  std::vector<Package> packages = StandardPackages();
  for (Package& package : packages) {
    if (package.name == kStranger) {
      package.permissions = {"READ_MEDIA_IMAGES", "ACCESS_MEDIA_LOCATION"};
    }
  }
  const std::string file = device.Keep("more.textproto", AppsText(packages, 2));
  ASSERT_EQ(device.Ctl({"apps", file}).exit, 0);
  EXPECT_EQ(device.Status().apps().version(), 2U);
  EXPECT_EQ(device.Status().apps().count(), packages.size());
  for (const App& stranger : strangers) {
    EXPECT_THAT(stranger.Read("DCIM/photo.jpg"), Reads("photo"))
        << stranger.name();
  }
  EXPECT_TRUE(device.Stop());
}

TEST_F(PushTest, ExplainTellsTheRule) {
  Device device({.policy = AllowAllPolicy(), .packages = StandardPackages()});
  ASSERT_TRUE(device.Start());
  const Completed fast =
      device.Ctl({"--json", "explain", "--uid=10061", "--op=READ", "a"});
  EXPECT_EQ(fast.exit, 0) << testing::PrintToString(fast);
  EXPECT_THAT(
      fast.output,
      testing::AllOf(HasSubstr("\"ALLOW\""), HasSubstr("\"PASSTHROUGH\""),
                     HasSubstr("\"all\""), HasSubstr("\"other\"")));
  const Completed served =
      device.Ctl({"--json", "explain", "--uid=10069", "--op=READ", "a"});
  EXPECT_THAT(served.output, testing::AllOf(HasSubstr("\"DAEMON\""),
                                            HasSubstr("\"by_daemon\"")));
  // One that nobody has listed.
  const Completed unlisted =
      device.Ctl({"--json", "explain", "--uid=19999", "--op=READ", "a"});
  EXPECT_EQ(unlisted.exit, 1) << testing::PrintToString(unlisted);
  EXPECT_THAT(unlisted.output, HasSubstr("\"EACCES\""));
  EXPECT_TRUE(device.Stop());
}

}  // namespace
}  // namespace fused::androidtest
