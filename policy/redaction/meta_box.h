// The `meta` box: items (the metadata of HEIF and AVIF pictures) and lists of
// tags (QuickTime's, by number or by key).
#ifndef FUSED_POLICY_REDACTION_META_BOX_H_
#define FUSED_POLICY_REDACTION_META_BOX_H_

#include "policy/redaction/boxes.h"
#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

// Offsets of items count from the start of `file`.
void RedactMeta(const Bytes& file, const Box& meta);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_META_BOX_H_
