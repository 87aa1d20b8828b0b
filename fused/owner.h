// Who made a file: recorded on the lower file itself.
#ifndef FUSED_FUSED_OWNER_H_
#define FUSED_FUSED_OWNER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fused {

// Ownership is bound to the pair: a package of that name with another app id
// inherits nothing.
struct Owner {
  std::string package;
  uint32_t app_id = 0;

  friend bool operator==(const Owner&, const Owner&) = default;
};

// The extended attribute that holds it. Never visible through a mount.
inline constexpr char kOwnerXattr[] = "trusted.fused.owner";
inline constexpr std::string_view kReservedXattrs = "trusted.fused.";

// "1:<app id>:<package>".
std::string EncodeOwner(const Owner& owner);

// Nothing for what EncodeOwner() did not make.
std::optional<Owner> DecodeOwner(std::string_view text);

// By the descriptor of a lower file, O_PATH or not. Nothing where there is no
// record, a broken one (fail closed: it belongs to nobody), or the lower file
// system has no such attributes.
std::optional<Owner> ReadOwner(int fd);
// The same, where it matters whether it could be read. EOPNOTSUPP: the lower
// file system has no such attributes.
absl::StatusOr<std::optional<Owner>> AskOwner(int fd);

// EOPNOTSUPP where the lower file system has no such attributes. `fd` is not
// O_PATH.
absl::Status WriteOwner(int fd, const Owner& owner);

}  // namespace fused

#endif  // FUSED_FUSED_OWNER_H_
