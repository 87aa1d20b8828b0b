#include "fused/ctl/enter.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fused/ctl/mount_table.h"
#include "kernel/mount.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

using kernel::ErrnoStatus;

// Taking one mount away may bring another to light; more rounds than this are
// somebody else's doing.
constexpr int kMaxRounds = 10'000;

// A directory of a file system, wherever it is mounted.
struct Secret {
  std::string device;
  std::string directory;
};

// A path without links; empty where it leads nowhere.
std::string Resolve(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return "";
  std::string result = resolved;
  free(resolved);  // NOLINT(cppcoreguidelines-no-malloc): realpath's
  return result;
}

absl::Status Cover(const std::string& path) {
  if (mount("none", path.c_str(), "tmpfs",
            MS_RDONLY | MS_NODEV | MS_NOEXEC | MS_NOSUID,
            "mode=0555,nr_inodes=1,size=4k") != 0) {
    return ErrnoStatus(errno, absl::StrCat("cannot hide ", path));
  }
  return absl::OkStatus();
}

// What stands at `path` now, as its file system has it.
absl::StatusOr<Secret> SecretAt(const std::string& path,
                                const std::vector<MountEntry>& table) {
  auto id = MountIdOf(path);
  if (!id.ok()) return id.status();
  for (const MountEntry& mount : table) {
    if (mount.id != *id || !IsWithin(path, mount.path)) continue;
    const std::string_view rest = RestOf(path, mount.path);
    return Secret{mount.device, mount.root == "/" && !rest.empty()
                                    ? std::string(rest)
                                    : absl::StrCat(mount.root, rest)};
  }
  return ErrnoStatus(ENOENT, absl::StrCat("no mount at ", path));
}

// What is mounted below a directory that is hidden goes: its place in the mount
// table would tell of it.
absl::Status DetachBelow(const std::string& directory) {
  auto table = ReadMountTable();
  if (!table.ok()) return table.status();
  // The later ones may stand on the earlier ones.
  for (auto mount = table->rbegin(); mount != table->rend(); ++mount) {
    if (mount->path == directory || !IsWithin(mount->path, directory)) continue;
    if (umount2(mount->path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) {
      return ErrnoStatus(errno, absl::StrCat("cannot unmount ", mount->path));
    }
  }
  return absl::OkStatus();
}

// Whether the path, if it is to be seen, is in this very mount.
bool Shows(const std::string& path, const MountEntry& mount) {
  auto id = MountIdOf(path);
  return id.ok() && *id == mount.id;
}

// Takes one visible mount of `secret` away. False: there is none.
absl::StatusOr<bool> TakeOne(const Secret& secret,
                             const std::vector<MountEntry>& table) {
  for (const MountEntry& mount : table) {
    if (mount.device != secret.device) continue;
    if (IsWithin(mount.root, secret.directory) && mount.path != "/") {
      // Nothing of it may be seen.
      if (!Shows(mount.path, mount)) continue;
      if (umount2(mount.path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
        return true;
      }
      if (auto status = Cover(mount.path); !status.ok()) return status;
      return true;
    }
    if (!IsWithin(secret.directory, mount.root)) continue;
    const std::string_view rest = RestOf(secret.directory, mount.root);
    const std::string path = mount.path == "/" && !rest.empty()
                                 ? std::string(rest)
                                 : absl::StrCat(mount.path, rest);
    if (path == "/") return ErrnoStatus(EBUSY, "the root is to be hidden");
    if (!Shows(path, mount)) continue;
    if (auto status = Cover(path); !status.ok()) return status;
    return true;
  }
  return false;
}

absl::Status TakeAll(const std::vector<Secret>& secrets) {
  for (int round = 0; round < kMaxRounds; ++round) {
    bool taken = false;
    for (const Secret& secret : secrets) {
      // Read anew: each step changes it.
      auto table = ReadMountTable();
      if (!table.ok()) return table.status();
      auto one = TakeOne(secret, *table);
      if (!one.ok()) return one.status();
      taken |= *one;
    }
    if (!taken) return absl::OkStatus();
  }
  return ErrnoStatus(ELOOP, "mounts keep coming up");
}

// The shared view: what is mounted topmost at `path`, if anything is.
void AddMountAt(const std::string& path, const std::vector<MountEntry>& table,
                std::vector<Secret>& secrets) {
  for (const MountEntry& mount : table) {
    if (mount.path == path && path != "/" && Shows(path, mount)) {
      secrets.push_back({mount.device, mount.root});
    }
  }
}

absl::Status Place(const kernel::Fd& view, const std::string& mountpoint) {
  if (auto status = kernel::AttachMount(view, mountpoint); !status.ok()) {
    return status;
  }
  struct statx ours = {};
  auto there = MountIdOf(mountpoint);
  if (!there.ok()) return there.status();
  if (statx(view.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &ours) != 0 ||
      ours.stx_mnt_id != *there) {
    return ErrnoStatus(ESTALE, absl::StrCat(mountpoint, " is not the view"));
  }
  return absl::OkStatus();
}

// Where to go, when the namespace is made. `secret` says whether the old
// working directory is a mount point's or a hidden one.
absl::Status Return(const std::string& old, bool secret,
                    const std::string& mountpoint) {
  if (secret && chdir(mountpoint.c_str()) == 0) return absl::OkStatus();
  if (!secret && !old.empty() && chdir(old.c_str()) == 0) {
    return absl::OkStatus();
  }
  return chdir("/") == 0 ? absl::OkStatus() : ErrnoStatus(errno, "/");
}

}  // namespace

absl::Status EnterNamespace(const control::v1::RunResponse& response,
                            std::vector<kernel::Fd> views) {
  if (static_cast<size_t>(response.mounts_size()) != views.size() ||
      views.empty()) {
    return ErrnoStatus(EPROTO, "the daemon sent no view for a mount point");
  }
  std::string old(PATH_MAX, '\0');
  // "(unreachable)" where it is in no mount of the namespace.
  if (getcwd(old.data(), old.size()) == nullptr) old[0] = '\0';
  old.resize(old.find('\0'));
  if (old.substr(0, 1) != "/") old.clear();
  if (unshare(CLONE_NEWNS) != 0) return ErrnoStatus(errno, "unshare");
  // What is mounted outside from now on must not come in, nor the reverse.
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, "mount namespace");
  }
  if (chdir("/") != 0) return ErrnoStatus(errno, "/");

  auto table = ReadMountTable();
  if (!table.ok()) return table.status();
  std::vector<Secret> secrets;
  std::vector<std::string> mountpoints;
  bool in_secret = false;
  for (const auto& mount : response.mounts()) {
    mountpoints.push_back(Resolve(mount.mountpoint()));
    if (mountpoints.back().empty()) mountpoints.back() = mount.mountpoint();
    AddMountAt(mountpoints.back(), *table, secrets);
    in_secret |= IsWithin(old, mountpoints.back());
  }
  for (const std::string& directory : response.hide()) {
    const std::string path = Resolve(directory);
    if (path.empty()) continue;
    for (const std::string& mountpoint : mountpoints) {
      if (IsWithin(mountpoint, path)) {
        return ErrnoStatus(EBUSY, absl::StrCat(mountpoint, " lies in ", path,
                                               ", which is to be hidden"));
      }
    }
    in_secret |= IsWithin(old, path);
    if (auto status = DetachBelow(path); !status.ok()) return status;
    auto secret = SecretAt(path, *table);
    if (!secret.ok()) return secret.status();
    secrets.push_back(*std::move(secret));
  }
  if (auto status = TakeAll(secrets); !status.ok()) return status;
  for (size_t i = 0; i < views.size(); ++i) {
    if (auto status = Place(views[i], mountpoints[i]); !status.ok()) {
      return status;
    }
  }
  return Return(old, in_secret, mountpoints[0]);
}

absl::Status BecomeApp(uint32_t uid) {
  if (uid == 0) return ErrnoStatus(EPERM, "an app that is root");
  if (close_range(3, UINT_MAX, 0) != 0) {
    return ErrnoStatus(errno, "close_range");
  }
  // The bounding set ends where the kernel knows no more capabilities.
  for (uint64_t cap = 0; cap < 64; ++cap) {
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
      if (errno == EINVAL && cap > 0) break;
      return ErrnoStatus(errno, "capability bounding set");
    }
  }
  constexpr uint64_t kSecure =
      SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
      SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
  if (prctl(PR_SET_SECUREBITS, kSecure, 0, 0, 0) != 0) {
    return ErrnoStatus(errno, "securebits");
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return ErrnoStatus(errno, "ambient capabilities");
  }
  if (setgroups(0, nullptr) != 0) return ErrnoStatus(errno, "setgroups");
  if (setresgid(uid, uid, uid) != 0) return ErrnoStatus(errno, "setresgid");
  if (setresuid(uid, uid, uid) != 0) return ErrnoStatus(errno, "setresuid");
  // Leaving uid 0 has cleared the others; this clears the inheritable ones.
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capset, &header, none) != 0) {
    return ErrnoStatus(errno, "capset");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return ErrnoStatus(errno, "no_new_privs");
  }
  return absl::OkStatus();
}

int Execute(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command) {
    argv.push_back(const_cast<char*>(word.c_str()));
  }
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  return errno == ENOENT ? 127 : 126;
}

}  // namespace fused::ctl
