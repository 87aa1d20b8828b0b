// TIFF and what is laid out like it: Exif, DNG and other cameras' own formats,
// BigTIFF.
//
// The GPS directory is zeroed whole, entries and values: nothing of it is read
// then, and what points to it finds an empty directory. In other directories
// the values of GeoTIFF's tags and of known maker notes' places are. XMP, IPTC,
// image resources and JPEG pictures within are added to the walk.
#ifndef FUSED_POLICY_REDACTION_TIFF_H_
#define FUSED_POLICY_REDACTION_TIFF_H_

#include <cstdint>

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

enum class TiffRoot : uint8_t {
  kMain,
  // The first directory is a GPS directory, or a Nikon maker note.
  kGps,
  kNikon,
};

// Whether a TIFF header stands at `offset`.
bool IsTiff(const Bytes& bytes, uint64_t offset);

// False where it is not understood.
bool RedactTiff(const Bytes& bytes, TiffRoot root);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_TIFF_H_
