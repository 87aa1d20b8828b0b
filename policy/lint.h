// Finds what is probably not meant in a policy that compiles.
#ifndef FUSED_POLICY_LINT_H_
#define FUSED_POLICY_LINT_H_

#include "policy/issue.h"
#include "policy/parse.h"
#include "proto/policy.pb.h"

namespace fused::policy {

// Appends findings to `issues`, errors and warnings: a rule that an earlier one
// makes unreachable, a class that nothing can match (all its patterns are taken
// by earlier classes), undefined names, an error other than ENOENT on LOOKUP, a
// rule that takes passthrough from a whole class, sizes that are not bounded, a
// media type without use, a permission or role asked for that no rule uses.
// Includes what Compile() would refuse.
void Lint(const Parsed<v1::Policy>& policy, Issues& issues);

}  // namespace fused::policy

#endif  // FUSED_POLICY_LINT_H_
