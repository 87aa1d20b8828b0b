// Tracks of timed metadata, and their samples.
#ifndef FUSED_POLICY_REDACTION_SAMPLES_H_
#define FUSED_POLICY_REDACTION_SAMPLES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "policy/redaction/boxes.h"
#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

struct Track {
  uint64_t id = 0;
  std::string handler;
  std::optional<Box> descriptions;  // stsd
  std::optional<Box> sizes;         // stsz or stz2
  std::optional<Box> chunks;        // stsc
  std::optional<Box> offsets;       // stco or co64
};

enum class TrackKind : uint8_t {
  kMedia,     // to be left alone
  kText,      // to be read
  kLocation,  // timed metadata that holds, or may hold, a location
};

// Told by its handler, and where that leaves it open by its samples' format.
TrackKind KindOf(const Bytes& file, const Track& track);

// Whether the text in it has a location, or may have.
bool TextHasLocation(const Bytes& file, const Track& track);

// False where they cannot be found.
bool ZeroSamples(const Bytes& file, const Track& track);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_SAMPLES_H_
