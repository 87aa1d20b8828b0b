// Digests of paths that only who holds the installation's key can make.
#ifndef FUSED_FUSED_AUDIT_PATH_KEY_H_
#define FUSED_FUSED_AUDIT_PATH_KEY_H_

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace fused::audit {

// Immutable.
class PathKey {
 public:
  // Reads the key, 32 bytes, or makes it (0600) where there is none.
  // DATA_LOSS: the file is no key.
  static absl::StatusOr<PathKey> LoadOrMake(const std::string& file);

  // "hmac-sha256:" and 32 hexadecimal digits, half of the digest. Without the
  // key no path can be tried.
  std::string Hide(std::string_view path) const;

 private:
  explicit PathKey(std::string key) : key_(std::move(key)) {}
  std::string key_;
};

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_PATH_KEY_H_
