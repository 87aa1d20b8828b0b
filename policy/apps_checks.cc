#include "policy/apps_checks.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "policy/apps.h"
#include "policy/names.h"

namespace fused::policy {
namespace {

constexpr uint32_t kShellId = 2000;

}  // namespace

std::string_view PackageFault(std::string_view package) {
  if (package.empty()) return "an app needs a package";
  if (package.size() > kMaxFolded) return "longer than 255 bytes";
  if (package == "." || package == ".." ||
      package.find('/') != std::string_view::npos ||
      package.find('\0') != std::string_view::npos || !IsUtf8(package)) {
    return "a package's name can be a directory's";
  }
  return {};
}

bool IsRelativePath(std::string_view path) {
  if (path.empty()) return false;
  for (const std::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

std::string OneDirectory(std::string_view package, std::string_view first) {
  return absl::StrCat("\"", package, "\" and \"", first,
                      "\" are one directory where case is folded");
}

std::string UidFault(uint32_t uid) {
  if (uid == 0 || uid == kShellId) {
    return absl::StrCat(uid, uid == 0 ? " is root's" : " is the shell's",
                        ", in no app's entry");
  }
  if (uid >= kUsersStride) {
    return absl::StrCat(uid, " is no app id: that is the caller's uid modulo ",
                        kUsersStride);
  }
  return "";
}

std::string RoleFault(int number) {
  const auto role = static_cast<v1::Role>(number);
  if (!v1::Role_IsValid(number) || role == v1::ROLE_UNSPECIFIED) {
    return absl::StrCat("unknown role ", number);
  }
  if (role == v1::ROOT || role == v1::SHELL) {
    return absl::StrCat(v1::Role_Name(role),
                        " is one absolute uid, in no app's entry");
  }
  return "";
}

}  // namespace fused::policy
