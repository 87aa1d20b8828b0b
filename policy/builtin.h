// policy/scoped_storage.textproto, as it is.
#ifndef FUSED_POLICY_BUILTIN_H_
#define FUSED_POLICY_BUILTIN_H_

#include <string_view>

namespace fused::policy {

extern const std::string_view kScopedStorage;

}  // namespace fused::policy

#endif  // FUSED_POLICY_BUILTIN_H_
