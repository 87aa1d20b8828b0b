// IPTC-IIM data sets, and Photoshop's image resource blocks that carry them.
#ifndef FUSED_POLICY_REDACTION_IPTC_H_
#define FUSED_POLICY_REDACTION_IPTC_H_

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

// The values of content location, city, sub-location, province and country are
// zeroed. False where it is not understood.
bool RedactIptc(const Bytes& bytes);

// IPTC, XMP, Exif and previews in it are added; the digest of IPTC goes with
// what is zeroed there. False where it is not understood.
bool RedactPhotoshop(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_IPTC_H_
