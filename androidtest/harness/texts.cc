#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"

namespace fused::androidtest {

std::string AppsText(const std::vector<Package>& packages, uint64_t version) {
  std::string text = absl::StrCat("version: ", version, "\n");
  for (const Package& package : packages) {
    absl::StrAppend(&text, "apps {\n  package: \"", package.name,
                    "\"\n  uid: ", package.uid, "\n");
    for (const std::string& permission : package.permissions) {
      absl::StrAppend(&text, "  permissions: \"", permission, "\"\n");
    }
    for (const std::string& role : package.roles) {
      absl::StrAppend(&text, "  roles: ", role, "\n");
    }
    absl::StrAppend(&text, "  target_sdk: ", package.target_sdk, "\n}\n");
  }
  return text;
}

std::string AllowAllPolicy(uint64_t version) {
  return absl::StrCat("name: \"allow_all\"\nversion: ", version, R"(
rules {
  name: "by_daemon"
  operations: ANY
  when { permission: "DAEMON_IO" }
  effect { allow { io: DAEMON } }
}
rules {
  name: "all"
  operations: ANY
  effect { allow { io: PASSTHROUGH } }
}
)");
}

}  // namespace fused::androidtest
