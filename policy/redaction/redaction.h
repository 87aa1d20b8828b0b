// Where in a file its location is written.
//
// Bytes in, ranges out: what a container is its content tells, not its name.
// Zeroed are
//   - Exif's GPS directory, wherever there is Exif: in JPEG, TIFF, DNG and what
//     is laid out like them, PNG, WebP, HEIF, AVIF, JPEG XL, CR3; positions of
//     GeoTIFF; names of places in Panasonic's, Nikon's and Samsung's notes;
//   - in XMP the properties whose names have GPS, latitude, longitude, altitude
//     or location in them, and IPTC's city, state, country and so on, with all
//     that is within them (LocationShown, LocationCreated);
//   - in IPTC-IIM content location, city, sub-location, province and country;
//   - in films `loci`, `©xyz`, `gps `, `gps0` and their like, tags whose key
//     names a location (in Matroska too), tracks of timed metadata that is not
//     known to be something else, and of text that looks like a position;
//     GoPro's, FLIR's, Insta360's, Garmin's, Nikon's and Pentax's own records
//     of a position;
//   - in other content, and behind the end of a container, what has the
//     signature of any of these.
// Not found is what only rendering or decoding shows (a street sign, a
// position within compressed pixels or sound), nor what lies among a film's
// samples (mdat) without any table that says so.
//
// A container's part that is not understood is zeroed whole; what cannot be
// walked at all, or not within the limits, is refused. Readers take zeros in
// XMP as they take any character that XML does not have: those that look for
// tags do not mind, a strict parser does without the packet. (png.h says how it
// is with checksums there.)
//
// Pure: no files, no clock, no threads. About 1 MiB of memory at most.
#ifndef FUSED_POLICY_REDACTION_REDACTION_H_
#define FUSED_POLICY_REDACTION_REDACTION_H_

#include "absl/status/statusor.h"
#include "policy/redaction/types.h"

namespace fused::policy::redaction {

// The source's error where it has one.
absl::StatusOr<Finding> FindLocation(ByteSource& source,
                                     const Limits& limits = Limits());

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_REDACTION_H_
