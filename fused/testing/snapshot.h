// Rules for tests, from text.
#ifndef FUSED_FUSED_TESTING_SNAPSHOT_H_
#define FUSED_FUSED_TESTING_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <string_view>

#include "policy/engine.h"

namespace fused {

// Dies, with the issues, where the text is wrong.
std::shared_ptr<const policy::Snapshot> MakeSnapshot(std::string_view policy,
                                                     std::string_view apps = "",
                                                     uint64_t epoch = 1);

// The built-in policy, with these apps.
std::shared_ptr<const policy::Snapshot> BuiltInSnapshot(
    std::string_view apps = "", uint64_t epoch = 1);

}  // namespace fused

#endif  // FUSED_FUSED_TESTING_SNAPSHOT_H_
