// Matroska and WebM films: tags whose name names a location, and attachments,
// which are searched. Their tracks are left alone, subtitles among them.
#ifndef FUSED_POLICY_REDACTION_MATROSKA_H_
#define FUSED_POLICY_REDACTION_MATROSKA_H_

#include <string_view>

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

inline constexpr std::string_view kMatroskaStart = "\x1a\x45\xdf\xa3";

// False where it is not understood.
bool RedactMatroska(const Bytes& bytes);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_MATROSKA_H_
