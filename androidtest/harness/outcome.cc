#include "androidtest/harness/outcome.h"

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace fused::androidtest {

std::string ErrorName(int error) {
  if (error == 0) return "no error";
  const char* name = strerrorname_np(error);
  return name == nullptr ? absl::StrCat("errno ", error) : name;
}

void PrintTo(const Outcome& outcome, std::ostream* os) {
  if (!outcome.ok()) {
    *os << "failed with " << ErrorName(outcome.error);
    if (!outcome.detail.empty()) *os << " (" << outcome.detail << ")";
    return;
  }
  *os << "returned " << outcome.value;
  if (!outcome.data.empty()) {
    constexpr size_t kShown = 200;
    *os << ", \"" << absl::CHexEscape(outcome.data.substr(0, kShown)) << "\"";
    if (outcome.data.size() > kShown) *os << "...";
  }
  for (const std::string& name : outcome.names) {
    *os << ", '" << absl::CHexEscape(name) << "'";
  }
}

}  // namespace fused::androidtest
