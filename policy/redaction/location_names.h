// Names under which a location is written.
#ifndef FUSED_POLICY_REDACTION_LOCATION_NAMES_H_
#define FUSED_POLICY_REDACTION_LOCATION_NAMES_H_

#include <string_view>

namespace fused::policy::redaction {

// Whether a property of this name, which may have a prefix ("exif:GPSLatitude",
// "com.apple.quicktime.location.ISO6709", "City"), says where something is: by
// coordinates, by the name of a place, or by what is measured along with them.
// Case does not count: writers differ.
bool IsLocationName(std::string_view name);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_LOCATION_NAMES_H_
