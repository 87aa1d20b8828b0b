// The flags of fusedctl.
#ifndef FUSED_FUSED_CTL_FLAGS_H_
#define FUSED_FUSED_CTL_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/declare.h"
#include "absl/time/time.h"

namespace fused::ctl {
using OptionalUid = std::optional<uint32_t>;
}  // namespace fused::ctl

ABSL_DECLARE_FLAG(std::string, control);
ABSL_DECLARE_FLAG(bool, json);
ABSL_DECLARE_FLAG(std::string, config);
ABSL_DECLARE_FLAG(absl::Duration, timeout);
ABSL_DECLARE_FLAG(bool, dry_run);
ABSL_DECLARE_FLAG(fused::ctl::OptionalUid, uid);
ABSL_DECLARE_FLAG(std::string, op);
ABSL_DECLARE_FLAG(std::string, policy);
ABSL_DECLARE_FLAG(std::string, apps);
ABSL_DECLARE_FLAG(std::string, old_apps);
ABSL_DECLARE_FLAG(std::string, new_apps);
ABSL_DECLARE_FLAG(bool, app_directory);
ABSL_DECLARE_FLAG(std::string, owner);
ABSL_DECLARE_FLAG(std::string, volume);
ABSL_DECLARE_FLAG(std::string, package);
ABSL_DECLARE_FLAG(uint32_t, user);
ABSL_DECLARE_FLAG(std::vector<std::string>, permission);
ABSL_DECLARE_FLAG(std::vector<std::string>, role);
ABSL_DECLARE_FLAG(int32_t, target_sdk);
ABSL_DECLARE_FLAG(std::string, path);
ABSL_DECLARE_FLAG(bool, write);
ABSL_DECLARE_FLAG(bool, close);
ABSL_DECLARE_FLAG(bool, stale);
ABSL_DECLARE_FLAG(bool, diff);
ABSL_DECLARE_FLAG(std::string, revoke);
ABSL_DECLARE_FLAG(bool, follow);
ABSL_DECLARE_FLAG(absl::Duration, interval);
ABSL_DECLARE_FLAG(bool, once);
ABSL_DECLARE_FLAG(uint32_t, count);
ABSL_DECLARE_FLAG(std::string, kind);
ABSL_DECLARE_FLAG(std::string, path_prefix);
ABSL_DECLARE_FLAG(std::string, since);

#endif  // FUSED_FUSED_CTL_FLAGS_H_
