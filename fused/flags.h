// The daemon's flags.
#ifndef FUSED_FUSED_FLAGS_H_
#define FUSED_FUSED_FLAGS_H_

#include "absl/status/statusor.h"
#include "fused/settings.h"

namespace fused {

// The whole command line as settings. Prints the usage and exits with 0 where
// --help is asked for. Errors are MakeSettings()'s. Not thread-safe: sets the
// process's flags.
absl::StatusOr<Settings> ParseCommandLine(int argc, char** argv);

}  // namespace fused

#endif  // FUSED_FUSED_FLAGS_H_
