// The daemon's flags.
#ifndef FUSED_FUSED_FLAGS_H_
#define FUSED_FUSED_FLAGS_H_

#include <optional>

#include "fused/settings.h"
#include "policy/issue.h"

namespace fused {

struct Invocation {
  // Nothing where something is wrong.
  std::optional<Settings> settings;
  // What is wrong.
  policy::Issues issues;
  // Validate everything, mount nothing.
  bool check = false;
  // Called by mount(8), as mount.fuse.fused; with -f, to do nothing.
  bool mount_helper = false;
  bool fake = false;
};

// The whole command line as settings. Prints the usage, or the version, and
// exits with 0 where --help or --version is asked for. Not thread-safe: sets
// the process's flags.
Invocation ParseCommandLine(int argc, char** argv);

}  // namespace fused

#endif  // FUSED_FUSED_FLAGS_H_
