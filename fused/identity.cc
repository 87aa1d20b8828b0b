#include "fused/identity.h"

#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/log/check.h"

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

}  // namespace

CallerIdentity::CallerIdentity(const kernel::Caller& caller)
    : gid_(static_cast<gid_t>(setfsgid(caller.gid))),
      umask_(umask(caller.umask & 0777)) {
  uid_ = static_cast<uid_t>(setfsuid(caller.uid));
  if (caller.uid != uid_) RaiseCapabilities();
}

CallerIdentity::~CallerIdentity() {
  setfsuid(uid_);
  setfsgid(gid_);
  umask(umask_);
}

}  // namespace fused
