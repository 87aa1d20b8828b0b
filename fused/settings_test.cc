#include "fused/settings.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/reflection.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fused/arguments.h"
#include "fused/flags.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<Settings> Parse(std::vector<std::string> argv) {
  absl::FlagSaver saver;
  std::vector<char*> pointers;
  pointers.reserve(argv.size());
  for (std::string& arg : argv) pointers.push_back(arg.data());
  Invocation invocation =
      ParseCommandLine(static_cast<int>(pointers.size()), pointers.data());
  if (invocation.settings.has_value()) return *std::move(invocation.settings);
  EXPECT_FALSE(invocation.issues.empty());
  return absl::InvalidArgumentError(OneLine(invocation.issues.front()));
}

std::string ErrorOf(const std::vector<std::string>& argv) {
  auto settings = Parse(argv);
  if (settings.ok()) return "";
  std::string text(settings.status().message());
  EXPECT_EQ(std::string::npos, text.find('\n')) << text;
  return text;
}

std::string WriteConfig(const std::string& text) {
  std::string path = testing::TempDir() + "/config_" + std::to_string(getpid());
  std::ofstream(path) << text;
  return path;
}

TEST(SettingsTest, Defaults) {
  auto settings = Parse({"fused", "/lower", "/mnt"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  ASSERT_EQ(1u, settings->volumes.size());
  const VolumeSettings& volume = settings->volumes[0];
  EXPECT_EQ("external_primary", volume.config.name());
  EXPECT_EQ("/lower", volume.config.lower());
  EXPECT_EQ("/mnt", volume.config.mountpoint());
  EXPECT_EQ(config::v1::MEDIA, volume.config.profile());
  EXPECT_EQ(config::v1::AUTO, volume.config.passthrough());
  EXPECT_EQ(1u, volume.config.max_stack_depth());
  EXPECT_EQ("/lower", volume.mount.source);
  EXPECT_TRUE(volume.mount.nosuid && volume.mount.nodev &&
              volume.mount.noexec && volume.mount.noatime);
  EXPECT_EQ("", settings->policy);
  EXPECT_EQ("/var/lib/fused", settings->state_dir);
  EXPECT_EQ("/run/fused/control.sock", settings->control);
  EXPECT_EQ("/run/fused/views", settings->views_dir);
  EXPECT_EQ(config::v1::TRANSPORT_AUTO, settings->transport);
  EXPECT_EQ(settings->threads,
            std::clamp(std::thread::hardware_concurrency() / 2, 1u, 256u));
  EXPECT_EQ(16384u, settings->warm_backing_ids);
  EXPECT_EQ(1u << 20, settings->max_backing_ids);
  EXPECT_FALSE(settings->daemonize);
}

TEST(SettingsTest, FlagsMayStandAnywhere) {
  auto settings = Parse({"fused", "/lower", "--volume=card", "-o",
                         "ro,exec,x-y=z,fsname=a\\,b", "/mnt", "--profile",
                         "media", "--passthrough=off", "--admin_uids=1000,7",
                         "--threads=5", "--daemonize"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  const VolumeSettings& volume = settings->volumes[0];
  EXPECT_EQ("card", volume.config.name());
  EXPECT_EQ(config::v1::OFF, volume.config.passthrough());
  EXPECT_TRUE(volume.mount.read_only);
  EXPECT_FALSE(volume.mount.noexec);
  EXPECT_TRUE(volume.mount.nosuid);
  EXPECT_EQ("a,b", volume.mount.source);
  EXPECT_THAT(settings->admin_uids, ElementsAre(1000, 7));
  EXPECT_EQ(5, settings->threads);
  EXPECT_TRUE(settings->daemonize);
}

TEST(SettingsTest, PathsBecomeAbsolute) {
  auto settings = Parse({"fused", "--policy=p", "lower/{user}", "mnt"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  std::string here(4096, '\0');
  ASSERT_NE(nullptr, getcwd(here.data(), here.size()));
  here.resize(here.find('\0'));
  EXPECT_EQ(here + "/lower/{user}", settings->volumes[0].config.lower());
  EXPECT_EQ(here + "/mnt", settings->volumes[0].config.mountpoint());
  EXPECT_EQ(here + "/p", settings->policy);
}

TEST(SettingsTest, UsersTrees) {
  EXPECT_TRUE(Parse({"fused", "/lower/{user}/media", "/mnt"}).ok());
  EXPECT_FALSE(Parse({"fused", "/lower", "/mnt/{user}"}).ok());
  EXPECT_FALSE(
      Parse({"fused", "--profile=posix", "/lower/{user}", "/mnt"}).ok());
}

TEST(SettingsTest, OneUserAlone) {
  const auto single = [](const std::vector<std::string>& argv) {
    auto settings = Parse(argv);
    EXPECT_TRUE(settings.ok()) << settings.status();
    return settings.ok() && settings->volumes[0].config.single_user();
  };
  EXPECT_FALSE(single({"fused", "/lower", "/mnt"}));
  EXPECT_TRUE(single({"fused", "--single_user=true", "/lower", "/mnt"}));
  EXPECT_TRUE(single({"fused", "-o", "single_user=true", "/lower", "/mnt"}));
  const std::string config = WriteConfig(
      "volumes {\n  lower: '/lower/{user}'\n  mountpoint: '/mnt'\n"
      "  single_user: true\n}\n");
  EXPECT_THAT(ErrorOf({"fused", "--config=" + config}),
              HasSubstr(config + ":4:3: volumes[0].single_user: {user}"));
  EXPECT_THAT(ErrorOf({"fused", "--single_user=true", "/l/{user}", "/mnt"}),
              HasSubstr("--single_user: {user}"));
  EXPECT_FALSE(single({"fused", "--config=" + config, "--single_user=false"}));
  EXPECT_THAT(ErrorOf({"fused", "--single_user=yes", "/lower", "/mnt"}),
              HasSubstr("must be one of true, false"));
}

TEST(SettingsTest, PosixHasNoneOfTheMediaOptions) {
  auto settings = Parse({"fused", "--profile=posix", "/lower", "/mnt"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  const MountOptions& mount = settings->volumes[0].mount;
  EXPECT_FALSE(mount.nosuid || mount.nodev || mount.noexec || mount.noatime);
  settings = Parse(
      {"fused", "--profile=posix", "-onosuid", "-o", "dev", "/lower", "/mnt"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->volumes[0].mount.nosuid);
  EXPECT_FALSE(settings->volumes[0].mount.nodev);
}

TEST(SettingsTest, AsMountHelper) {
  auto settings =
      Parse({"/sbin/mount.fuse.fused", "/lower", "/mnt", "-sv", "-n", "-o",
             "rw,nofail,_netdev,volume=card,noexec", "-t", "fuse.fused"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_TRUE(settings->daemonize);
  EXPECT_EQ("card", settings->volumes[0].config.name());
  EXPECT_THAT(ErrorOf({"mount.fused", "/lower", "/mnt", "-N", "1"}),
              HasSubstr("namespace"));
  // Only mount(8) says -v.
  EXPECT_THAT(ErrorOf({"fused", "/lower", "/mnt", "-v=x"}), HasSubstr("-v"));
}

TEST(SettingsTest, AFlagIsAboveItsOption) {
  auto settings = Parse({"fused", "-o", "volume=option,control=/option",
                         "--volume=flag", "/lower", "/mnt"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ("flag", settings->volumes[0].config.name());
  EXPECT_EQ("/option", settings->control);
}

TEST(SettingsTest, UsageErrorsAreOneLine) {
  EXPECT_THAT(ErrorOf({"fused"}), HasSubstr("LOWER"));
  EXPECT_THAT(ErrorOf({"fused", "/a"}), HasSubstr("1 arguments"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "/c"}), HasSubstr("3 arguments"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--nonsense=1"}),
              HasSubstr("--nonsense=1"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--threads=many"}),
              HasSubstr("--threads"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--threads=1000"}),
              HasSubstr("at most 256"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--policy"}),
              HasSubstr("needs a value"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "-o"}), HasSubstr("needs a value"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "-o", "ro,wrong"}),
              HasSubstr("-o wrong: unknown mount option"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "-o", "ro=1"}),
              HasSubstr("unknown mount option"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "-o", "suid"}),
              HasSubstr("media profile"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "-o", "allow_root"}),
              HasSubstr("not supported"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "-o", "fsname"}),
              HasSubstr("needs a value"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--profile=android"}),
              HasSubstr("media, posix"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--passthrough=on"}),
              HasSubstr("auto, off"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--max_stack_depth=3"}),
              HasSubstr("1 or 2"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--max_stack_depth=0"}),
              HasSubstr("1 or 2"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--volume=a/b"}),
              HasSubstr("no name"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--admin_uids=root"}),
              HasSubstr("--admin_uids"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--config=/does/not/exist"}),
              HasSubstr("cannot be read"));
}

TEST(SettingsTest, Transports) {
  for (const auto& [word, transport] :
       {std::pair{"auto", config::v1::TRANSPORT_AUTO},
        std::pair{"dev", config::v1::DEV},
        std::pair{"uring", config::v1::URING}}) {
    const std::string flag = std::string("--transport=") + word;
    const auto settings = Parse({"fused", flag, "/a", "/b"});
    ASSERT_TRUE(settings.ok());
    EXPECT_EQ(settings->transport, transport);
    EXPECT_EQ(settings->uring_views, 4u);
    EXPECT_FALSE(settings->mounts_end_with_daemon);
  }
  EXPECT_THAT(ErrorOf({"fused", "--transport=pigeon", "/a", "/b"}),
              HasSubstr("--transport"));
}

TEST(SettingsTest, AConfigWithSeveralVolumes) {
  const std::string path = WriteConfig(R"(
    volumes { name: "one" lower: "/a" mountpoint: "/m1"
              profile: POSIX mount_options: "ro,noexec" max_stack_depth: 2 }
    volumes { name: "two" lower: "/b" mountpoint: "/m2" passthrough: OFF }
    control: "/c" state_dir: "/s" admin_uids: 5 threads: 3
  )");
  auto settings = Parse({"fused", "--config=" + path, "--state_dir=/flag"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  ASSERT_EQ(2u, settings->volumes.size());
  EXPECT_TRUE(settings->volumes[0].posix());
  EXPECT_TRUE(settings->volumes[0].mount.read_only);
  EXPECT_TRUE(settings->volumes[0].mount.noexec);
  EXPECT_EQ(2u, settings->volumes[0].config.max_stack_depth());
  EXPECT_EQ(config::v1::OFF, settings->volumes[1].config.passthrough());
  EXPECT_EQ("/c", settings->control);
  EXPECT_EQ("/flag", settings->state_dir);
  EXPECT_THAT(settings->admin_uids, ElementsAre(5));
  EXPECT_EQ(3, settings->threads);

  EXPECT_THAT(ErrorOf({"fused", "--config=" + path, "/a", "/b"}),
              HasSubstr("several"));
  EXPECT_THAT(ErrorOf({"fused", "--config=" + path, "--volume=x"}),
              HasSubstr("several"));
  // A flag is above every volume's own.
  settings = Parse({"fused", "--config=" + path, "--passthrough=off"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(config::v1::OFF, settings->volumes[0].config.passthrough());
}

TEST(SettingsTest, AReloadReadsTheFileAnew) {
  const std::string path = WriteConfig("apps: \"/first\"");
  auto settings =
      Parse({"fused", "--config=" + path, "--policy=/flag", "/lower", "/mnt"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  WriteConfig("policy: \"/named\" apps: \"second\" state_dir: \"/other\"");
  // Relative is to where the daemon was started, wherever it is now.
  const std::filesystem::path started = std::filesystem::current_path();
  std::filesystem::current_path("/");
  policy::Issues issues;
  auto files = FindRulesFiles(*settings, issues);
  std::filesystem::current_path(started);
  ASSERT_TRUE(files.has_value());
  EXPECT_EQ("/flag", files->policy);
  EXPECT_EQ(started / "second", files->apps);
  EXPECT_TRUE(issues.empty());
  WriteConfig("apps: 7");
  EXPECT_FALSE(FindRulesFiles(*settings, issues).has_value());
  ASSERT_EQ(1u, issues.size());
  EXPECT_EQ(path, issues[0].file);
  // Without a file the flags stay.
  settings = Parse({"fused", "--policy=/flag", "/lower", "/mnt"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  files = FindRulesFiles(*settings, issues);
  ASSERT_TRUE(files.has_value());
  EXPECT_EQ("/flag", files->policy);
  EXPECT_EQ("", files->apps);
}

TEST(SettingsTest, BackingIds) {
  const std::string path =
      WriteConfig("warm_backing_ids: 7 max_backing_ids: 9\n");
  auto settings = Parse({"fused", "--config=" + path, "/a", "/b"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(7u, settings->warm_backing_ids);
  EXPECT_EQ(9u, settings->max_backing_ids);
  settings = Parse({"fused", "--config=" + path, "--warm_backing_ids=0",
                    "--max_backing_ids=3", "/a", "/b"});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(16384u, settings->warm_backing_ids);
  EXPECT_EQ(3u, settings->max_backing_ids);
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--max_backing_ids=4294967296"}),
              HasSubstr("--max_backing_ids"));
  EXPECT_THAT(ErrorOf({"fused", "/a", "/b", "--warm_backing_ids=-1"}),
              HasSubstr("--warm_backing_ids"));
}

TEST(SettingsTest, AWrongConfigSaysWhere) {
  std::string path = WriteConfig("volumes {\n  nam: \"one\"\n}\n");
  EXPECT_THAT(ErrorOf({"fused", "--config=" + path}), HasSubstr(path + ":2:"));
  path = WriteConfig(R"(volumes { name: "a" lower: "/a" mountpoint: "/m" }
                        volumes { name: "a" lower: "/b" mountpoint: "/n" })");
  EXPECT_THAT(ErrorOf({"fused", "--config=" + path}), HasSubstr("two volumes"));
  path = WriteConfig(R"(volumes { name: "a" lower: "/a" mountpoint: "/m" }
                        volumes { name: "b" lower: "/b" mountpoint: "/m" })");
  EXPECT_THAT(ErrorOf({"fused", "--config=" + path}), HasSubstr("mount point"));
  path = WriteConfig(R"(volumes { name: "a" lower: "/a" })");
  EXPECT_THAT(ErrorOf({"fused", "--config=" + path}),
              HasSubstr("MOUNTPOINT is missing"));
  path = WriteConfig("");
  EXPECT_TRUE(Parse({"fused", "--config=" + path, "/a", "/b"}).ok());
}

TEST(SettingsTest, AllThatIsWrongIsTold) {
  const std::string path = WriteConfig(R"(threads: 1000
volumes { name: "a/b" lower: "/a"
  mount_options: "wrong"
}
volumes { name: "b" lower: "/b" mountpoint: "/m" max_stack_depth: 7 }
)");
  absl::FlagSaver saver;
  std::string config = "--config=" + path;
  std::string flag = "--profile=none";
  char name[] = "fused";
  char* argv[] = {name, config.data(), flag.data()};
  const Invocation invocation = ParseCommandLine(3, argv);
  EXPECT_FALSE(invocation.settings.has_value());
  std::vector<std::string> lines;
  for (const policy::Issue& issue : invocation.issues) {
    lines.push_back(issue.ToString());
  }
  const std::string none =
      "command line:0:0: --profile: \"none\": must be one of media, posix";
  EXPECT_THAT(
      lines,
      ElementsAre(path + ":1:1: threads: at most 256", none,
                  path + ":2:11: volumes[0].name: \"a/b\" is no name for a "
                         "volume",
                  path + ":2:1: volumes[0].mountpoint: MOUNTPOINT is missing",
                  path + ":3:3: volumes[0].mount_options[0]: -o wrong: unknown "
                         "mount option",
                  none,
                  path + ":5:50: volumes[1].max_stack_depth: must be 1 or 2"));
}

TEST(ArgumentsTest, TheRestIsNotLookedAt) {
  absl::FlagSaver saver;
  auto arguments =
      ParseArguments({"run", "--volume", "x", "--", "ls", "--all", "--", "-o"});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_THAT(arguments->positional, ElementsAre("run"));
  EXPECT_TRUE(arguments->has_rest);
  EXPECT_THAT(arguments->rest, ElementsAre("ls", "--all", "--", "-o"));
}

TEST(ArgumentsTest, SwitchesAndHelp) {
  absl::FlagSaver saver;
  auto arguments = ParseArguments({"--nodaemonize", "--check", "-", "--help"});
  ASSERT_TRUE(arguments.ok()) << arguments.status();
  EXPECT_THAT(arguments->positional, ElementsAre("-"));
  EXPECT_TRUE(arguments->help);
  EXPECT_FALSE(ParseArguments({"--novolume"}).ok());
  EXPECT_FALSE(ParseArguments({"--check=perhaps"}).ok());
  EXPECT_THAT(DescribeFlags("fused/flags.cc"), HasSubstr("--views_dir"));
}

}  // namespace
}  // namespace fused
