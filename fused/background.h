// A daemon that leaves whoever started it.
#ifndef FUSED_FUSED_BACKGROUND_H_
#define FUSED_FUSED_BACKGROUND_H_

#include <functional>

#include "kernel/fd.h"

namespace fused {

// Calls `serve` in a child that has a session of its own. Returns, in the
// caller, what `serve` gives to TellStarter(), or its exit code where it ends
// before; in the child what it returns.
int RunInBackground(const std::function<int(kernel::Fd starter)>& serve);

// Lets go of who started it, with `code`, and of its standard streams, so that
// nobody waits for their end: what is logged from now on goes to syslog(3).
// False: whoever it was is gone.
bool TellStarter(kernel::Fd starter, unsigned char code);

}  // namespace fused

#endif  // FUSED_FUSED_BACKGROUND_H_
