// Numbers in files.
#ifndef FUSED_POLICY_REDACTION_ENDIAN_H_
#define FUSED_POLICY_REDACTION_ENDIAN_H_

#include <cstddef>
#include <cstdint>

namespace fused::policy::redaction {

inline uint64_t LoadBig(const char* bytes, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) {
    value = value << 8 | static_cast<uint8_t>(bytes[i]);
  }
  return value;
}

inline uint64_t LoadLittle(const char* bytes, size_t width) {
  uint64_t value = 0;
  for (size_t i = width; i > 0; --i) {
    value = value << 8 | static_cast<uint8_t>(bytes[i - 1]);
  }
  return value;
}

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_ENDIAN_H_
