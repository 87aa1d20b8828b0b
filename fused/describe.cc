#include "fused/describe.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "policy/names.h"
#include "policy/types.h"

namespace fused {
namespace {

// Of ".pending-" and ".trashed-".
constexpr size_t kPrefix = 9;

}  // namespace

media::Described DescribeName(const policy::v1::Policy& policy,
                              std::string_view name) {
  media::Described said;
  const uint32_t facts = policy::NameFacts(name);
  if ((facts & policy::kFactPending) != 0) {
    said.waiting = media::Waiting::kPending;
  } else if ((facts & policy::kFactTrashed) != 0) {
    said.waiting = media::Waiting::kTrashed;
  }
  said.hidden = (facts & policy::kFactHidden) != 0;
  said.expires = ExpiryOf(name).value_or(0);
  const std::string extension = policy::Fold(policy::Extension(name));
  if (extension.empty()) return said;
  for (const policy::v1::MediaType& type : policy.media_types()) {
    for (const std::string& one : type.extensions()) {
      if (policy::Fold(one) != extension) continue;
      said.media_type = type.name();
      return said;
    }
  }
  return said;
}

std::optional<int64_t> ExpiryOf(std::string_view name) {
  constexpr uint32_t kWaiting = policy::kFactPending | policy::kFactTrashed;
  if ((policy::NameFacts(name) & kWaiting) == 0) return std::nullopt;
  // Spelled in a way that only a case-folding tree takes for the prefix: left
  // alone.
  if (name.size() <= kPrefix || name[kPrefix - 1] != '-') return std::nullopt;
  const std::string_view rest = name.substr(kPrefix);
  int64_t expires = 0;
  if (!absl::SimpleAtoi(rest.substr(0, rest.find('-')), &expires)) {
    return std::nullopt;
  }
  return expires;
}

std::string WithExpiry(std::string_view name, int64_t expires) {
  const size_t dash = name.find('-', kPrefix);
  return absl::StrCat(name.substr(0, kPrefix), expires, name.substr(dash));
}

}  // namespace fused
