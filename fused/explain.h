// Why a request would be allowed or denied, for an operator.
#ifndef FUSED_FUSED_EXPLAIN_H_
#define FUSED_FUSED_EXPLAIN_H_

#include "absl/status/statusor.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/rules.h"
#include "proto/control.pb.h"

namespace fused {

// Walks the path in the lower tree for the facts; what is not there is judged
// by its name (a trailing slash: a directory). INVALID_ARGUMENT: no path or
// operation. Thread-safe.
absl::StatusOr<control::v1::Explanation> ExplainRequest(
    const control::v1::ExplainRequest& request, const InForce& rules,
    LowerTree& tree);

}  // namespace fused

#endif  // FUSED_FUSED_EXPLAIN_H_
