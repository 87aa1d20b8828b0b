#include "policy/redaction/zero_ranges.h"

#include <algorithm>
#include <cstring>

namespace fused::policy::redaction {

void ZeroRanges(absl::Span<const Range> ranges, uint64_t offset,
                absl::Span<char> buffer) {
  if (buffer.empty()) return;
  const uint64_t end = offset + buffer.size();
  auto range = std::upper_bound(
      ranges.begin(), ranges.end(), offset,
      [](uint64_t at, const Range& one) { return at < one.end; });
  for (; range != ranges.end() && range->begin < end; ++range) {
    const uint64_t from = std::max(range->begin, offset);
    std::memset(buffer.data() + (from - offset), 0,
                std::min(range->end, end) - from);
  }
}

void Normalize(std::vector<Range>& ranges, uint64_t size) {
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  size_t kept = 0;
  for (Range range : ranges) {
    range.end = std::min(range.end, size);
    if (range.begin >= range.end) continue;
    if (kept > 0 && range.begin <= ranges[kept - 1].end) {
      ranges[kept - 1].end = std::max(ranges[kept - 1].end, range.end);
    } else {
      ranges[kept++] = range;
    }
  }
  ranges.resize(kept);
}

}  // namespace fused::policy::redaction
