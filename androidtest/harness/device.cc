#include "androidtest/harness/device.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/transport.h"
#include "google/protobuf/util/json_util.h"

namespace fused::androidtest {
namespace {

constexpr uid_t kUidsPerUser = 100'000;

std::string MakeTestDirectory() {
  std::string path = "/tmp/fused-androidtest.XXXXXX";
  if (mkdtemp(path.data()) == nullptr) return "/nonexistent";
  chmod(path.c_str(), 0755);
  // Bound to itself and shared: what a namespace of an app's own mounts below
  // it must not come back.
  BindMount(path, path);
  mount(nullptr, path.c_str(), nullptr, MS_SHARED, nullptr);
  return path;
}

// The environment may ask for another file system below than the test's own:
// for one that this machine lacks, in a virtual machine.
Device::Options Elsewhere(Device::Options options) {
  const char* place = getenv("FUSED_TEST_LOWER_ON");
  if (place == nullptr || !options.lower_path.empty() ||
      options.lower != Device::Lower::kTmpfs) {
    return options;
  }
  options.lower_path = absl::StrCat(place, "/lower.XXXXXX");
  EXPECT_NE(mkdtemp(options.lower_path.data()), nullptr);
  return options;
}

bool BecomeUser(uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
  return setgroups(groups.size(), groups.data()) == 0 &&
         setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0;
}

}  // namespace

std::string WhyNoDevice() {
  if (geteuid() != 0) return "needs root";
  if (access("/dev/fuse", R_OK | W_OK) != 0) return "needs /dev/fuse";
  if (OverUring() && !UringParameterIsSet()) {
    return "needs FUSE over io_uring: the fuse module's parameter enable_uring "
           "cannot be set here";
  }
  return "";
}

std::string DataFile(const char* variable) {
  const char* path = getenv(variable);
  if (path == nullptr) return absl::StrCat("/nonexistent/", variable);
  const char* directory = getenv("TEST_SRCDIR");
  const char* workspace = getenv("TEST_WORKSPACE");
  if (directory == nullptr || workspace == nullptr) {
    return std::filesystem::absolute(path);
  }
  return std::filesystem::path(
             absl::StrCat(directory, "/", workspace, "/", path))
      .lexically_normal();
}

std::string FusedPath() { return DataFile("FUSED"); }
std::string FusedctlPath() { return DataFile("FUSEDCTL"); }

std::string Name(View view) {
  return view == View::kApp ? "AppView" : "SharedView";
}

Device::Device(Options options)
    : options_(Elsewhere(std::move(options))),
      directory_(MakeTestDirectory()),
      lower_(options_.lower_path.empty() ? directory_ + "/lower"
                                         : options_.lower_path),
      mount_(directory_ + "/storage") {
  // The test skips.
  if (!WhyNoDevice().empty()) return;
  EXPECT_TRUE(MakeDirectories(mount_));
  EXPECT_TRUE(MakeDirectories(directory_ + "/bin", 0755));
  std::error_code error;
  EXPECT_TRUE(std::filesystem::copy_file("/proc/self/exe", AgentPath(), error))
      << error.message();
  chmod(AgentPath().c_str(), 0755);
  if (!options_.policy.empty()) Keep("policy.textproto", options_.policy);
  if (!options_.second_volume.empty()) {
    EXPECT_TRUE(MakeDirectories(SecondLower()));
    EXPECT_TRUE(MakeDirectories(SecondMount()));
    options_.config =
        absl::StrCat("volumes { name: 'external_primary' lower: '", lower_,
                     "' mountpoint: '", mount_, "' }\nvolumes { name: '",
                     options_.second_volume, "' lower: '", SecondLower(),
                     "' mountpoint: '", SecondMount(), "' }\n");
  }
  if (!options_.config.empty()) Keep("config.textproto", options_.config);
  if (!options_.packages.empty()) {
    Keep("apps.textproto", AppsText(options_.packages));
  }
  if (!options_.lower_path.empty()) return;
  EXPECT_TRUE(MakeDirectories(lower_));
  switch (options_.lower) {
    case Lower::kTmpfs:
      EXPECT_TRUE(MountTmpfs(lower_));
      break;
    case Lower::kOverlay: {
      const std::string scratch = directory_ + "/scratch";
      EXPECT_TRUE(MakeDirectories(scratch));
      EXPECT_TRUE(MountTmpfs(scratch));
      EXPECT_TRUE(MountOverlay(scratch, lower_));
      break;
    }
    case Lower::kDisk:
      break;
  }
  // Open to all: what is hidden is hidden by the daemon.
  chmod(lower_.c_str(), 0777);
}

Device::~Device() {
  if (daemon_.started()) Kill();
  if (testing::Test::HasFailure()) {
    GTEST_LOG_(INFO) << "the daemon printed:\n" << Log();
  }
  UnmountBelow(directory_);
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Arguments Device::CommandLine() const {
  Arguments command = {FusedPath(), absl::StrCat("--control=", control()),
                       absl::StrCat("--state_dir=", state()),
                       absl::StrCat("--views_dir=", views())};
  if (!options_.policy.empty()) {
    command.push_back(
        absl::StrCat("--policy=", directory_, "/policy.textproto"));
  }
  if (!options_.packages.empty()) {
    command.push_back(absl::StrCat("--apps=", directory_, "/apps.textproto"));
  }
  if (!options_.config.empty()) {
    command.push_back(
        absl::StrCat("--config=", directory_, "/config.textproto"));
  }
  if (OverUring()) command.push_back("--transport=uring");
  command.insert(command.end(), options_.flags.begin(), options_.flags.end());
  // All of several volumes are in the file.
  if (!options_.second_volume.empty()) return command;
  command.push_back(lower_);
  command.push_back(mount_);
  return command;
}

testing::AssertionResult Device::CheckTransport() {
  if (!OverUring()) return testing::AssertionSuccess();
  const Completed status = Ctl({"--json", "status"});
  if (absl::StrContains(status.output, R"("transport": "uring")")) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure() << "not over io_uring: " << status.output;
}

testing::AssertionResult Device::Start() {
  const std::string log = directory_ + "/log";
  const int fd =
      open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  daemon_ = Child(CommandLine(), {.input = -1,
                                  .output = fd,
                                  .error = fd,
                                  .environment = {},
                                  .prepare = nullptr});
  close(fd);
  for (int i = 0; i < 20; ++i) {
    if (Ctl({"wait", "--timeout=1s"}).exit == 0) return CheckTransport();
    const std::optional<int> status = daemon_.Wait(absl::ZeroDuration());
    if (status.has_value()) {
      return testing::AssertionFailure()
             << "the daemon ended with " << *status << ": " << Log();
    }
  }
  return testing::AssertionFailure() << "the daemon does not serve: " << Log();
}

testing::AssertionResult Device::Stop() {
  daemon_.Signal(SIGTERM);
  const std::optional<int> status = daemon_.Wait(absl::Seconds(20));
  if (!status.has_value()) {
    return testing::AssertionFailure() << "still runs after SIGTERM:\n"
                                       << Log();
  }
  if (*status != 0) {
    return testing::AssertionFailure() << "exit " << *status << ":\n" << Log();
  }
  for (const MountLine& mount : MountsBelow(directory_)) {
    if (absl::StartsWith(mount.type, "fuse")) {
      return testing::AssertionFailure() << "left mounted: " << mount.path;
    }
  }
  return testing::AssertionSuccess();
}

void Device::Kill() {
  daemon_.Signal(SIGKILL);
  daemon_.Wait(absl::Seconds(20));
}

std::string Device::LowerPath(std::string_view path) const {
  return absl::StrCat(lower_, "/", path);
}

std::string Device::MountPath(std::string_view path) const {
  return absl::StrCat(mount_, "/", path);
}

std::string Device::Log() const { return ReadFile(directory_ + "/log"); }

std::string Device::Keep(std::string_view name, std::string_view text) const {
  std::string path = absl::StrCat(directory_, "/", name);
  EXPECT_TRUE(WriteFile(path, text, 0644));
  return path;
}

Completed Device::Ctl(const Arguments& arguments) const {
  Arguments command = {FusedctlPath(), absl::StrCat("--control=", control())};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunCommand(command);
}

control::v1::Status Device::Status() const {
  control::v1::Status status;
  const Completed done = Ctl({"--json", "status"});
  EXPECT_EQ(done.exit, 0) << testing::PrintToString(done);
  EXPECT_TRUE(
      google::protobuf::util::JsonStringToMessage(done.output, &status).ok())
      << done.output;
  return status;
}

testing::AssertionResult Device::Sync() const {
  const Completed done = Ctl({"sync"});
  if (done.exit == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << testing::PrintToString(done);
}

App Device::LaunchAgent(const Arguments& command, const Child::Options& options,
                        std::string name, std::string root) {
  int sockets[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  Child::Options with_socket = options;
  with_socket.input = sockets[1];
  Child child(command, with_socket);
  close(sockets[1]);
  auto agent =
      std::make_shared<Agent>(std::move(child), sockets[0], std::move(name));
  const Outcome hello = agent->Finish();
  EXPECT_TRUE(hello.ok()) << "an agent did not start: "
                          << absl::StrJoin(command, " ");
  return {std::move(agent), std::move(root)};
}

App Device::Launch(std::string_view package, View view, uid_t user) {
  const std::string name = absl::StrCat(package, " in its ", Name(view));
  if (view == View::kApp) {
    const Arguments command = {FusedctlPath(),
                               absl::StrCat("--control=", control()),
                               "run",
                               absl::StrCat("--package=", package),
                               absl::StrCat("--user=", user),
                               "--",
                               AgentPath(),
                               "agent"};
    return LaunchAgent(command, {}, name, mount_);
  }
  uid_t uid = 0;
  for (const Package& p : options_.packages) {
    if (p.name == package) uid = user * kUidsPerUser + p.uid;
  }
  EXPECT_NE(uid, 0U) << "not installed: " << package;
  Child::Options options;
  options.prepare = [uid] { return BecomeUser(uid, uid, {}); };
  return LaunchAgent({AgentPath(), "agent"}, options, name, mount_);
}

App Device::LaunchUid(uid_t uid) {
  Child::Options options;
  options.prepare = [uid] { return BecomeUser(uid, uid, {}); };
  return LaunchAgent({AgentPath(), "agent"}, options, absl::StrCat("uid ", uid),
                     mount_);
}

App Device::LaunchAt(std::string_view root, uid_t uid, gid_t gid,
                     const std::vector<gid_t>& groups) {
  Child::Options options;
  options.prepare = [&] { return BecomeUser(uid, gid, groups); };
  return LaunchAgent({AgentPath(), "agent"}, options,
                     absl::StrCat("uid ", uid, " at ", root),
                     std::string(root));
}

}  // namespace fused::androidtest
