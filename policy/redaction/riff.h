// RIFF: WebP pictures and AVI films.
#ifndef FUSED_POLICY_REDACTION_RIFF_H_
#define FUSED_POLICY_REDACTION_RIFF_H_

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

bool IsRiff(const Bytes& bytes);

// EXIF and XMP chunks; in AVI also what cameras add to its lists, which is
// searched. False where it is not understood.
bool RedactRiff(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_RIFF_H_
