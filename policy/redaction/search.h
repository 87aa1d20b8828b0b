// Content of no known container.
#ifndef FUSED_POLICY_REDACTION_SEARCH_H_
#define FUSED_POLICY_REDACTION_SEARCH_H_

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

// Finds metadata by its signatures: Exif with and without its header, XMP,
// IPTC's image resources, location boxes and blocks, movies. What of it is not
// understood is zeroed.
void RedactUnknown(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_SEARCH_H_
