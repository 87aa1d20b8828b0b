// The policy room's values as control messages, and back.
#ifndef FUSED_FUSED_CONTROL_CONVERT_H_
#define FUSED_FUSED_CONTROL_CONVERT_H_

#include <optional>
#include <string_view>

#include "policy/diff.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/types.h"
#include "proto/control.pb.h"
#include "proto/policy.pb.h"

namespace fused::control {

// The engine's operation; nothing for ANY and OPERATION_UNSPECIFIED.
std::optional<policy::Operation> OperationOf(policy::v1::Operation operation);

// "ENOENT"; empty for kNone.
std::string_view NameOf(policy::Error error);
// "PASSTHROUGH".
std::string_view NameOf(policy::IoMode io);

v1::Issue ToMessage(const policy::Issue& issue);
policy::Issue FromMessage(const v1::Issue& issue);
void AddIssues(const policy::Issues& issues, v1::PushResponse& response);

// `object` is what was explained, by `snapshot`.
v1::Explanation ToMessage(const policy::Snapshot& snapshot,
                          const policy::Object& object,
                          const policy::Explanation& explanation);

v1::DecisionChange ToMessage(const policy::Difference& difference);
v1::DiffResult ToMessage(const policy::DiffResult& result);

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_CONVERT_H_
