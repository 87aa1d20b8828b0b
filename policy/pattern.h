// A path class's pattern, parsed.
#ifndef FUSED_POLICY_PATTERN_H_
#define FUSED_POLICY_PATTERN_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fused::policy {

inline constexpr size_t kMaxComponents = 16;

struct PatternPart {
  enum class Kind : uint8_t {
    kLiteral,
    kOne,      // *
    kAny,      // **
    kPackage,  // {package}
  };

  Kind kind = Kind::kLiteral;
  std::string literal;  // folded
};

// No parts: the root. The error's message says what is wrong.
absl::StatusOr<std::vector<PatternPart>> ParsePattern(std::string_view text);

}  // namespace fused::policy

#endif  // FUSED_POLICY_PATTERN_H_
