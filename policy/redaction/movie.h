// ISO-BMFF: MP4 and QuickTime movies, HEIF and AVIF pictures, and what is
// built of the same boxes (CR3, JPEG 2000, JPEG XL).
#ifndef FUSED_POLICY_REDACTION_MOVIE_H_
#define FUSED_POLICY_REDACTION_MOVIE_H_

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

// Whether a box that a file may begin with stands at its start.
bool IsMovie(const Bytes& bytes);

// False where it is not understood.
bool RedactMovie(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_MOVIE_H_
