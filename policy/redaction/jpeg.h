// JPEG: Exif, XMP with its extension, Photoshop's resources, GoPro's
// key-length-values; any other application segment is searched. What follows
// the picture (further pictures, movies) is added to the walk.
#ifndef FUSED_POLICY_REDACTION_JPEG_H_
#define FUSED_POLICY_REDACTION_JPEG_H_

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

inline constexpr char kJpegStart[] = "\xff\xd8\xff";

// From the start of the picture; with `head_only` not beyond where its own
// data starts. False where it is not understood.
bool RedactJpeg(const Bytes& bytes, bool head_only);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_JPEG_H_
