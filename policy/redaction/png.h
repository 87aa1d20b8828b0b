// PNG: Exif and text chunks.
//
// What is zeroed takes the chunk's checksum with it, which would give it away
// to who tries all that it may have been. It does not fit then: libpng and what
// is built on it leave such a chunk out with a warning and show the picture,
// as do exiftool and ImageMagick; some strict readers (Pillow, Go) do not open
// a picture with a wrong checksum anywhere.
//
// Compressed text cannot be changed in place: that of a key under which XMP,
// Exif, IPTC or a location is written is zeroed whole, and so is a profile
// written as hexadecimal digits.
#ifndef FUSED_POLICY_REDACTION_PNG_H_
#define FUSED_POLICY_REDACTION_PNG_H_

#include <string_view>

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

inline constexpr std::string_view kPngStart = "\x89PNG\r\n\x1a\n";

// False where it is not understood.
bool RedactPng(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_PNG_H_
