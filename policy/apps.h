// An app directory, as the engine asks it.
#ifndef FUSED_POLICY_APPS_H_
#define FUSED_POLICY_APPS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/string_table.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {

inline constexpr uint32_t kUsersStride = 100000;
inline constexpr size_t kMaxApps = 100000;
inline constexpr size_t kMaxGrants = 1 << 20;

// Immutable.
class Apps {
 public:
  // The packages that share an app id.
  struct Entry {
    uint32_t app_id = 0;
    uint64_t word = 0;
    uint32_t row = 0;
    std::string package;  // the first
  };

  // Nothing where it adds an error.
  static std::optional<Apps> Compile(const Parsed<v1::AppDirectory>& apps,
                                     const Vocabulary& vocabulary,
                                     Issues& issues);

  // No allocation.
  AppIndex EntryOfId(uint32_t app_id) const {
    return app_id < entry_of_id_.size() ? entry_of_id_[app_id] : kNoApp;
  }
  AppIndex EntryOfPackage(std::string_view package) const {
    return ToIndex(packages_.Find(package));
  }
  AppIndex EntryOfFolded(std::string_view package) const {
    return ToIndex(folded_packages_.Find(package));
  }

  size_t size() const { return entries_.size(); }
  const Entry& entry(AppIndex app) const {
    return entries_[static_cast<size_t>(app)];
  }
  std::vector<Entry>& mutable_entries() { return entries_; }

 private:
  friend class AppsBuilder;

  static AppIndex ToIndex(uint32_t found) {
    return found == StringTable::kNone ? kNoApp : static_cast<AppIndex>(found);
  }

  std::vector<Entry> entries_;
  std::vector<AppIndex> entry_of_id_;
  StringTable packages_;
  StringTable folded_packages_;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_APPS_H_
