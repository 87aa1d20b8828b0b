// Shell completion, of the commands themselves.
#ifndef FUSED_FUSED_CTL_COMPLETION_H_
#define FUSED_FUSED_CTL_COMPLETION_H_

#include <string>
#include <string_view>
#include <vector>

#include "fused/ctl/command.h"

namespace fused::ctl {

// The script for "bash" or "zsh"; empty for any other shell.
std::string Completion(std::string_view shell,
                       const std::vector<Command>& commands);

}  // namespace fused::ctl

#endif  // FUSED_FUSED_CTL_COMPLETION_H_
