#include "policy/string_table.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fused::policy {

StringTable::StringTable(
    const std::vector<std::pair<std::string, uint32_t>>& entries) {
  if (entries.empty()) return;
  size_t capacity = 8;
  // At most half full, so that a miss ends soon.
  while (capacity < entries.size() * 2) capacity *= 2;
  slots_.resize(capacity);
  for (const auto& [key, value] : entries) {
    if (Find(key) != kNone) continue;
    const uint32_t hash = Hash(key);
    size_t at = hash & (capacity - 1);
    while (slots_[at].value != kNone) at = (at + 1) & (capacity - 1);
    slots_[at] = {hash, static_cast<uint32_t>(characters_.size()),
                  static_cast<uint32_t>(key.size()), value};
    characters_ += key;
  }
}

uint32_t StringTable::Find(std::string_view key) const {
  if (slots_.empty()) return kNone;
  const uint32_t hash = Hash(key);
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at].value != kNone;
       at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.hash == hash && slot.size == key.size() &&
        std::memcmp(characters_.data() + slot.offset, key.data(), key.size()) ==
            0) {
      return slot.value;
    }
  }
  return kNone;
}

// Multiply and fold, eight bytes at a time; the last eight overlap those
// before.
uint32_t StringTable::Hash(std::string_view key) {
  constexpr uint64_t kMultiplier = 0x9fb21c651e98df25;
  constexpr size_t kWord = sizeof(uint64_t);
  uint64_t hash = key.size() * kMultiplier;
  const auto mix = [&hash](uint64_t chunk) {
    hash = (hash ^ chunk) * kMultiplier;
    hash ^= hash >> 29;
  };
  const auto load = [&key](size_t at) {
    uint64_t chunk;
    std::memcpy(&chunk, key.data() + at, kWord);
    return chunk;
  };
  if (key.size() < kWord) {
    uint64_t chunk = 0;
    for (const char c : key) chunk = chunk << 8 | static_cast<unsigned char>(c);
    mix(chunk);
  } else {
    for (size_t i = 0; i + kWord < key.size(); i += kWord) mix(load(i));
    mix(load(key.size() - kWord));
  }
  return static_cast<uint32_t>(hash ^ (hash >> 32));
}

}  // namespace fused::policy
