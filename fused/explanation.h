// An explanation as the control protocol says it.
#ifndef FUSED_FUSED_EXPLANATION_H_
#define FUSED_FUSED_EXPLANATION_H_

#include "policy/engine.h"
#include "policy/types.h"
#include "proto/control.pb.h"

namespace fused {

// `object` is what was explained, of `snapshot`.
control::v1::Explanation ExplanationProto(
    const policy::Explanation& explanation, const policy::Object& object,
    const policy::Snapshot& snapshot);

}  // namespace fused

#endif  // FUSED_FUSED_EXPLANATION_H_
