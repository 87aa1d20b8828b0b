// What the parts of redaction say to one another and to their caller.
#ifndef FUSED_POLICY_REDACTION_TYPES_H_
#define FUSED_POLICY_REDACTION_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace fused::policy::redaction {

// The bytes of one file.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  // Fills `out` with what stands at `offset`; gives fewer bytes only at the
  // file's end.
  virtual absl::StatusOr<size_t> Read(uint64_t offset,
                                      absl::Span<char> out) = 0;
  virtual uint64_t size() const = 0;
};

// Bytes [begin, end) of a file.
struct Range {
  uint64_t begin = 0;
  uint64_t end = 0;

  friend bool operator==(const Range& a, const Range& b) {
    return a.begin == b.begin && a.end == b.end;
  }
};

// What one file may cost. Time follows from the counts: there is no clock.
struct Limits {
  // Content of no known container, and what stands behind a known one, is
  // searched up to here; more is refused.
  uint64_t searched_bytes = 16 << 20;
  // All bytes read. Large, since in a JPEG file there is no way to what stands
  // behind the picture but through it; no other container comes near.
  uint64_t read_bytes = 64 << 20;
  // Calls of ByteSource::Read.
  uint32_t reads = 16384;
  // Boxes, chunks, segments, directory entries and samples.
  uint32_t steps = 1 << 16;
  // Ranges held: 16 bytes each.
  uint32_t ranges = 24576;
  // Pieces of metadata found inside others.
  uint32_t jobs = 1024;
};

struct Finding {
  enum class Kind : uint8_t {
    // There is no location in it.
    kNone,
    // `ranges` hold one.
    kRanges,
    // There is no telling: nobody reads it who may not see the location.
    kRefused,
  };

  Kind kind = Kind::kNone;
  // Sorted, disjoint, not touching, none empty, none beyond the size.
  std::vector<Range> ranges;
};

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_TYPES_H_
