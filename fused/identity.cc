#include "fused/identity.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused {
namespace {

struct Capabilities {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
};

// Leaving fsuid 0 drops the file system capabilities from the effective set;
// this raises what is permitted again.
void RaiseCapabilities() {
  Capabilities capabilities;
  CHECK_EQ(syscall(SYS_capget, &capabilities.header, capabilities.data), 0);
  for (__user_cap_data_struct& word : capabilities.data) {
    word.effective = word.permitted;
  }
  CHECK_EQ(syscall(SYS_capset, &capabilities.header, capabilities.data), 0);
}

// What the calling thread is when it acts for nobody. Asked for once, and with
// it that its capabilities stay whatever its fsuid is: to raise them again
// takes two system calls each time.
struct Own {
  uid_t uid = 0;
  gid_t gid = 0;
  bool keeps_capabilities = false;
};

const Own& OwnOfThread() {
  thread_local const Own own = [] {
    const int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    return Own{
        // No such id can be set: nothing changes, and what is is returned.
        .uid = static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1))),
        .gid = static_cast<gid_t>(setfsgid(static_cast<gid_t>(-1))),
        .keeps_capabilities = bits >= 0 && prctl(PR_SET_SECUREBITS,
                                                 static_cast<uint64_t>(bits) |
                                                     SECBIT_NO_SETUID_FIXUP,
                                                 0, 0, 0) == 0};
  }();
  return own;
}

// Whether the caller is in the group. The supplementary groups are the ones
// of the pid, which is not to be trusted: a wrong answer keeps or clears a bit
// of a file that the caller may write, no more; what can't be read is a no.
bool InGroup(const kernel::Caller& caller, gid_t group) {
  if (caller.gid == group) return true;
  std::ifstream status(absl::StrCat("/proc/", caller.pid, "/status"));
  std::string line;
  while (std::getline(status, line)) {
    std::string_view groups = line;
    if (!absl::ConsumePrefix(&groups, "Groups:")) continue;
    for (const std::string_view text :
         absl::StrSplit(groups, absl::ByAnyChar(" \t"), absl::SkipEmpty())) {
      uint32_t number = 0;
      if (absl::SimpleAtoi(text, &number) && number == group) return true;
    }
    return false;
  }
  return false;
}

}  // namespace

absl::Status ClearSetId(const kernel::Caller& caller, int fd) {
  absl::StatusOr<struct stat> stat = kernel::Stat(fd);
  if (!stat.ok()) return stat.status();
  if (!S_ISREG(stat->st_mode)) return absl::OkStatus();
  mode_t clear = stat->st_mode & S_ISUID;
  if ((stat->st_mode & S_ISGID) != 0 &&
      ((stat->st_mode & S_IXGRP) != 0 ||
       // A chown by root comes here too, and leaves that one standing.
       (caller.uid != 0 && !InGroup(caller, stat->st_gid)))) {
    clear |= S_ISGID;
  }
  if (clear == 0) return absl::OkStatus();
  return kernel::ChangeMode(fd, stat->st_mode & 07777 & ~clear);
}

CallerIdentity::CallerIdentity(const kernel::Caller& caller)
    : uid_(caller.uid), gid_(caller.gid), umask_(umask(caller.umask & 0777)) {
  const Own& own = OwnOfThread();
  if (gid_ != own.gid) setfsgid(gid_);
  if (uid_ == own.uid) return;
  setfsuid(uid_);
  if (!own.keeps_capabilities) RaiseCapabilities();
}

CallerIdentity::~CallerIdentity() {
  const Own& own = OwnOfThread();
  if (uid_ != own.uid) setfsuid(own.uid);
  if (gid_ != own.gid) setfsgid(own.gid);
  umask(umask_);
}

}  // namespace fused
