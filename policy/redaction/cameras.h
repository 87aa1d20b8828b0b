// Small formats of single makers.
#ifndef FUSED_POLICY_REDACTION_CAMERAS_H_
#define FUSED_POLICY_REDACTION_CAMERAS_H_

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

// GoPro's key-length-values: what a GPS receiver gave. False where it is not
// understood, as for the others.
bool RedactGpmf(const Bytes& bytes);

// The records of a FLIR camera.
bool RedactFlir(const Bytes& bytes);

// Nikon's tags in films.
bool RedactNikonTags(const Bytes& bytes);

// Whether an Insta360 trailer ends `bytes`; its GPS records are zeroed.
bool RedactInsta360(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_CAMERAS_H_
