#include "policy/issue.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace fused::policy {

std::string Issue::ToString() const {
  return absl::StrCat(file, ":", line, ":", column, ": ", field,
                      field.empty() ? "" : ": ", warning ? "warning: " : "",
                      reason);
}

bool HasErrors(const Issues& issues) {
  return std::any_of(issues.begin(), issues.end(),
                     [](const Issue& issue) { return !issue.warning; });
}

}  // namespace fused::policy
