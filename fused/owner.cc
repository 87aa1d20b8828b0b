#include "fused/owner.h"

#include <sys/xattr.h>

#include <cerrno>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused {

std::string EncodeOwner(const Owner& owner) {
  return absl::StrCat("1:", owner.app_id, ":", owner.package);
}

std::optional<Owner> DecodeOwner(std::string_view text) {
  const std::pair<std::string_view, std::string_view> version =
      absl::StrSplit(text, absl::MaxSplits(':', 1));
  if (version.first != "1") return std::nullopt;
  const std::pair<std::string_view, std::string_view> fields =
      absl::StrSplit(version.second, absl::MaxSplits(':', 1));
  Owner owner;
  if (!absl::SimpleAtoi(fields.first, &owner.app_id)) return std::nullopt;
  if (fields.second.empty()) return std::nullopt;
  owner.package = std::string(fields.second);
  return owner;
}

std::optional<Owner> ReadOwner(int fd) {
  return AskOwner(fd).value_or(std::nullopt);
}

absl::StatusOr<std::optional<Owner>> AskOwner(int fd) {
  // The longest package name that Android takes is 255 bytes.
  char value[512];
  const kernel::ProcPath path(fd);
  const ssize_t size = getxattr(path.text, kOwnerXattr, value, sizeof(value));
  // One that is too long is a broken one.
  if (size < 0 && errno != ENODATA && errno != ERANGE) {
    return kernel::ErrnoStatus(errno);
  }
  if (size < 0) return std::nullopt;
  return DecodeOwner(std::string_view(value, static_cast<size_t>(size)));
}

absl::Status WriteOwner(int fd, const Owner& owner) {
  const std::string value = EncodeOwner(owner);
  if (fsetxattr(fd, kOwnerXattr, value.data(), value.size(), 0) != 0) {
    return kernel::ErrnoStatus(errno);
  }
  return absl::OkStatus();
}

}  // namespace fused
