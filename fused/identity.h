// Acting on the lower tree in a caller's name, in the posix profile.
#ifndef FUSED_FUSED_IDENTITY_H_
#define FUSED_FUSED_IDENTITY_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "kernel/types.h"

namespace fused {

// While it lives, what this thread makes belongs to the caller (fsuid, fsgid)
// and the caller's umask applies, or the parent's default ACL: so the lower
// file system gives new files their owner, group and mode itself, in one step.
// The capabilities stay, for the kernel has checked the caller's permissions
// above (default_permissions) and stripped the set-group-id bit where the
// caller is not in the group.
//
// The thread must have a file system context of its own (Loop's own_umask) and
// be privileged. Source: credentials(7), setfsuid(2), capabilities(7).
class CallerIdentity {
 public:
  explicit CallerIdentity(const kernel::Caller& caller);
  CallerIdentity(const CallerIdentity&) = delete;
  CallerIdentity& operator=(const CallerIdentity&) = delete;
  ~CallerIdentity();

 private:
  const uid_t uid_;
  const gid_t gid_;
  const mode_t umask_;
};

// Clears what a write by an unprivileged process clears: the set-user-id bit,
// and the set-group-id bit of a file that its group may execute, or whose group
// the caller is not in. `fd` may be O_PATH; other than regular files are left
// alone. Source: setattr_should_drop_suidgid() of Linux' fs/attr.c.
absl::Status ClearSetId(const kernel::Caller& caller, int fd);

}  // namespace fused

#endif  // FUSED_FUSED_IDENTITY_H_
