// What an app directory may say, in whole or in part.
#ifndef FUSED_POLICY_APPS_CHECKS_H_
#define FUSED_POLICY_APPS_CHECKS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "google/protobuf/message_lite.h"
#include "proto/policy.pb.h"

namespace fused::policy {

// What is wrong with a package's name, an app id, a role; empty where nothing
// is.
std::string_view PackageFault(std::string_view package);
std::string UidFault(uint32_t uid);
std::string RoleFault(int role);
// Of two packages whose names differ in case alone.
std::string OneDirectory(std::string_view package, std::string_view first);

// What an app or a grant is of a directory, as bytes; not less.
inline size_t BytesOf(const google::protobuf::MessageLite& part) {
  constexpr size_t kHead = 6;
  return part.ByteSizeLong() + kHead;
}

bool IsRelativePath(std::string_view path);

// Calls `fail` with the field and what is wrong with it.
template <typename Fail>
void CheckGrant(const v1::Grant& grant, const Fail& fail) {
  if (grant.package().empty()) fail(".package", "a grant names a package");
  if (!IsRelativePath(grant.path())) {
    fail(".path",
         "a path is relative to the user's volume root, without empty "
         "components, `.` and `..`");
  }
  if (!v1::Grant::Access_IsValid(grant.access()) ||
      grant.access() == v1::Grant::ACCESS_UNSPECIFIED) {
    fail(".access", absl::StrCat("unknown access ", grant.access()));
  }
}

}  // namespace fused::policy

#endif  // FUSED_POLICY_APPS_CHECKS_H_
