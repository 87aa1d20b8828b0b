// A device under test: a lower tree, a daemon that serves it, and the apps that
// act on it. A test sees of the daemon what an operator and an app see: its
// mounts, and what fusedctl says.
#ifndef FUSED_ANDROIDTEST_HARNESS_DEVICE_H_
#define FUSED_ANDROIDTEST_HARNESS_DEVICE_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "androidtest/harness/app.h"
#include "androidtest/harness/process.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {

// Empty where devices can be had here; else why not.
std::string WhyNoDevice();

// The two ways to a volume.
enum class View {
  kApp,     // the app's own, by `fusedctl run`
  kShared,  // the one mount that serves every uid
};
std::string Name(View view);

struct Package {
  std::string name;
  uid_t uid = 0;
  std::vector<std::string> permissions;
  std::vector<std::string> roles;
  int target_sdk = 34;
};

// The AppDirectory of these packages, as text.
std::string AppsText(const std::vector<Package>& packages,
                     uint64_t version = 1);

// A policy that allows everything; those who hold the permission DAEMON_IO are
// served by the daemon.
std::string AllowAllPolicy(uint64_t version = 1);

// What a daemon has counted, of its first volume.
struct Counts {
  std::map<std::string, int64_t> requests;
  int64_t passthrough = 0;
  int64_t redacted = 0;
  int64_t daemon = 0;
  int64_t denied = 0;
  // Bytes that the daemon's own system calls moved, from /proc/PID/io.
  int64_t moved = 0;

  int64_t Requests(std::string_view opcode) const;
  int64_t AllRequests() const;
};
Counts operator-(const Counts& later, const Counts& earlier);
void PrintTo(const Counts& counts, std::ostream* os);

class Device {
 public:
  enum class Lower { kTmpfs, kDisk, kOverlay };

  struct Options {
    Lower lower = Lower::kTmpfs;
    // Texts. Empty: no flag is given.
    std::string policy;
    std::vector<Package> packages;
    std::string config;
    // Beside those that place the daemon's files.
    Arguments flags;
    // Lower tree instead of one of the test's own.
    std::string lower_path;
    // A further volume of this name, with its lower tree at SecondLower() and
    // mounted at SecondMount(). Not with `config`.
    std::string second_volume;
  };

  // Makes the directories; plant files in lower() before Start().
  explicit Device(Options options);
  Device() : Device(Options()) {}
  // Leaves nothing behind, whatever happened.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // Until it serves.
  testing::AssertionResult Start();
  // SIGTERM; succeeds if the daemon exits 0 and leaves nothing mounted.
  testing::AssertionResult Stop();
  // SIGKILL.
  void Kill();

  // A directory of the test's own, with everything in it. Below it: files for
  // everybody, which are in no volume.
  const std::string& directory() const { return directory_; }
  const std::string& lower() const { return lower_; }
  const std::string& mount() const { return mount_; }
  std::string views() const { return directory_ + "/views"; }
  std::string control() const { return directory_ + "/control.sock"; }
  std::string state() const { return directory_ + "/state"; }
  std::string LowerPath(std::string_view path) const;
  std::string MountPath(std::string_view path) const;
  std::string SecondLower() const { return directory_ + "/second_lower"; }
  std::string SecondMount() const { return directory_ + "/second_storage"; }
  // What the daemon has printed.
  std::string Log() const;
  pid_t pid() const { return daemon_.pid(); }
  Child& daemon() { return daemon_; }
  // The command line that Start() uses.
  Arguments CommandLine() const;

  Completed Ctl(const Arguments& arguments) const;
  // The status that `fusedctl status --json` prints; a failed assertion and an
  // empty one if it cannot be had.
  control::v1::Status Status() const;
  Counts Count() const;
  // Until what was posted to kernels' caches is done.
  testing::AssertionResult Sync() const;
  // Writes a text to a file of this name outside the volume; returns its path.
  std::string Keep(std::string_view name, std::string_view text) const;

  // As the app of a package in a view.
  App Launch(std::string_view package, View view, uid_t user = 0);
  // As any absolute uid in the shared view.
  App LaunchUid(uid_t uid);
  // As any identity, with paths below `root`, with no daemon between.
  App LaunchAt(std::string_view root, uid_t uid, gid_t gid,
               const std::vector<gid_t>& groups = {});

 private:
  testing::AssertionResult CheckTransport();
  App LaunchAgent(const Arguments& command, const Child::Options& options,
                  std::string name, std::string root);
  std::string AgentPath() const { return directory_ + "/bin/agent"; }

  Options options_;
  std::string directory_;
  std::string lower_;
  std::string mount_;
  Child daemon_;
};

// The path of a file that the test has as data.
std::string DataFile(const char* variable);
std::string FusedPath();
std::string FusedctlPath();

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_DEVICE_H_
