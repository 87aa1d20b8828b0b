#include "fused/shadow.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "fused/control/convert.h"

namespace fused {
namespace {

using policy::Decision;

// The most that a status lists.
constexpr size_t kMostListed = 100;

uint32_t Pack(const Decision& decision) {
  return static_cast<uint32_t>(decision.error) << 24 |
         static_cast<uint32_t>(decision.io) << 16 | decision.rule;
}

Decision Unpack(uint64_t packed) {
  return {static_cast<policy::Error>(packed >> 24 & 0xff),
          static_cast<policy::IoMode>(packed >> 16 & 0xff),
          static_cast<policy::RuleId>(packed & 0xffff)};
}

std::string TextOf(const Decision& decision) {
  return decision.allowed()
             ? absl::StrCat("ALLOW ", control::NameOf(decision.io))
             : absl::StrCat("DENY ", control::NameOf(decision.error));
}

}  // namespace

void ShadowCounts::Note(const Decision& live, const Decision& shadow) {
  if (live.error == shadow.error && (!live.allowed() || live.io == shadow.io)) {
    agreed_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  const uint64_t key = uint64_t{Pack(live)} << 32 | Pack(shadow);
  absl::MutexLock lock(&mutex_);
  const auto found = counts_.find(key);
  if (found != counts_.end()) {
    ++found->second;
  } else if (counts_.size() < kMostEntries) {
    counts_.emplace(key, 1);
  } else {
    uncounted_.fetch_add(1, std::memory_order_relaxed);
  }
}

ShadowCounts::Totals ShadowCounts::totals() const {
  Totals totals;
  totals.agreed = agreed_.load(std::memory_order_relaxed);
  totals.uncounted = uncounted_.load(std::memory_order_relaxed);
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [key, count] : counts_) {
      totals.differences.push_back({Unpack(key >> 32), Unpack(key), count});
    }
  }
  std::sort(totals.differences.begin(), totals.differences.end(),
            [](const Difference& a, const Difference& b) {
              if (a.count != b.count) return a.count > b.count;
              return std::pair(Pack(a.live), Pack(a.shadow)) <
                     std::pair(Pack(b.live), Pack(b.shadow));
            });
  return totals;
}

void FillShadow(const policy::CompiledPolicy& policy,
                const ShadowCounts* counts, control::v1::Status& status) {
  if (counts == nullptr) return;
  const ShadowCounts::Totals totals = counts->totals();
  control::v1::ShadowStatus& out = *status.mutable_shadow();
  out.set_agreed(totals.agreed);
  out.set_uncounted(totals.uncounted);
  for (const ShadowCounts::Difference& difference : totals.differences) {
    out.set_differed(out.differed() + difference.count);
    if (static_cast<size_t>(out.differences_size()) == kMostListed) continue;
    control::v1::ShadowDifference& line = *out.add_differences();
    line.set_live(TextOf(difference.live));
    line.set_live_rule(std::string(policy.RuleName(difference.live.rule)));
    line.set_shadow(TextOf(difference.shadow));
    const int rule = difference.shadow.rule;
    line.set_shadow_rule(
        rule < policy.source().shadow_rules_size()
            ? policy.source().shadow_rules(rule).name()
            : std::string(policy.RuleName(difference.shadow.rule)));
    line.set_count(difference.count);
  }
}

}  // namespace fused
