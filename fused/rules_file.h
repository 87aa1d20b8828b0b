// A policy or an app directory as a file that somebody named.
#ifndef FUSED_FUSED_RULES_FILE_H_
#define FUSED_FUSED_RULES_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace fused {

// What is in it, and no more than one byte beyond what a parser takes: it
// refuses that. INVALID_ARGUMENT with the path and why where it can't be read
// to its end, or is no regular file.
absl::StatusOr<std::string> ReadRulesFile(const std::string& path);

}  // namespace fused

#endif  // FUSED_FUSED_RULES_FILE_H_
