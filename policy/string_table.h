// An immutable map from strings to numbers, for lookups on the hot path.
#ifndef FUSED_POLICY_STRING_TABLE_H_
#define FUSED_POLICY_STRING_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fused::policy {

// Open addressing over one array of characters: a lookup is a hash and, as a
// rule, one comparison. What is in it comes from policies and app directories,
// never from a file's name, so nobody can make it slow.
class StringTable {
 public:
  static constexpr uint32_t kNone = 0xffffffff;

  StringTable() = default;
  // Of keys that are there twice the first counts.
  explicit StringTable(
      const std::vector<std::pair<std::string, uint32_t>>& entries);

  // kNone where there is none. No allocation.
  uint32_t Find(std::string_view key) const;

 private:
  struct Slot {
    uint32_t hash = 0;
    uint32_t offset = 0;
    uint32_t size = 0;
    uint32_t value = kNone;  // of an empty slot
  };

  static uint32_t Hash(std::string_view key);

  std::vector<Slot> slots_;
  std::string characters_;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_STRING_TABLE_H_
