// What the audit log is configured with.
#ifndef FUSED_FUSED_AUDIT_CONFIG_H_
#define FUSED_FUSED_AUDIT_CONFIG_H_

#include "absl/status/statusor.h"
#include "proto/config.pb.h"

namespace fused::audit {

// `config` with what a 0 stands for. INVALID_ARGUMENT where it can't be, as
// "FIELD: REASON".
absl::StatusOr<config::v1::Audit> Complete(config::v1::Audit config);

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_CONFIG_H_
