// The boxes of ISO-BMFF and QuickTime.
#ifndef FUSED_POLICY_REDACTION_BOXES_H_
#define FUSED_POLICY_REDACTION_BOXES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "policy/redaction/walk.h"

namespace fused::policy::redaction {

struct Box {
  std::string type;
  uint64_t begin = 0;    // of its size
  uint64_t payload = 0;  // behind its head
  uint64_t end = 0;
  // It says that it is longer than what is around it.
  bool torn = false;
};

// The box at `at`, in what ends at `limit`. Nothing where there is none.
std::optional<Box> ReadBox(const Bytes& bytes, uint64_t at, uint64_t limit);

// Whether a box of this type holds a location and nothing else.
bool IsLocationBox(const std::string& type);

// Zeroes its payload, and its type, so that it is a box that nobody knows.
void ZeroBox(const Bytes& bytes, const Box& box);

// Whether [begin, end) is what may stand behind the last box of a list: fewer
// bytes than a box has, or zeros.
bool IsPadding(const Bytes& bytes, uint64_t begin, uint64_t end);

// Calls `each` for the boxes in [begin, end), and zeroes what is no box.
template <typename Each>
void ForEachBox(const Bytes& bytes, uint64_t begin, uint64_t end, Each each) {
  while (begin < end) {
    const std::optional<Box> box = ReadBox(bytes, begin, end);
    if (!box || !bytes.walk().Step()) {
      if (!IsPadding(bytes, begin, end)) bytes.Zero(begin, end);
      return;
    }
    each(*box);
    begin = box->end;
  }
}

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_BOXES_H_
