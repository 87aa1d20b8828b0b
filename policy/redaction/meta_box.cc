#include "policy/redaction/meta_box.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/redaction/endian.h"
#include "policy/redaction/items.h"
#include "policy/redaction/location_names.h"

namespace fused::policy::redaction {
namespace {

constexpr uint64_t kMaxSearched = 1 << 20;
constexpr size_t kMaxKey = 1024;
constexpr size_t kMaxLocationKeys = 1024;

// The numbers, from 1, of the keys (in a `keys` box) that name a location.
// Nothing where it is not understood.
std::optional<std::vector<uint64_t>> LocationKeys(const Bytes& file,
                                                  const Box& keys) {
  std::vector<uint64_t> found;
  const std::optional<uint64_t> count = file.Big(keys.payload + 4, 4);
  if (!count) return std::nullopt;
  uint64_t at = keys.payload + 8;
  for (uint64_t number = 1; number <= *count && at < keys.end; ++number) {
    const std::optional<uint64_t> size = file.Big(at, 4);
    if (!size || *size < 8 || *size > keys.end - at || *size > kMaxKey ||
        found.size() > kMaxLocationKeys || !file.walk().Step()) {
      return std::nullopt;
    }
    if (IsLocationName(file.Text(at + 8, *size - 8))) found.push_back(number);
    at += *size;
  }
  return found;
}

// A tag that has its name in it ("----"): whether that names a location.
bool IsFreeLocation(const Bytes& file, const Box& item) {
  bool found = false;
  ForEachBox(file, item.payload, item.end, [&](const Box& box) {
    if (box.type != "name" || box.end - box.payload < 4) return;
    found =
        found || IsLocationName(file.Text(
                     box.payload + 4,
                     std::min<uint64_t>(box.end - box.payload - 4, kMaxKey)));
  });
  return found;
}

void RedactList(const Bytes& file, const Box& list,
                const std::vector<uint64_t>& keys) {
  ForEachBox(file, list.payload, list.end, [&](const Box& item) {
    const uint64_t number = LoadBig(item.type.data(), 4);
    if (std::binary_search(keys.begin(), keys.end(), number) ||
        IsLocationBox(item.type) ||
        (item.type == "----" && IsFreeLocation(file, item))) {
      ZeroBox(file, item);
    } else if (item.end - item.payload <= kMaxSearched) {
      // Covers among them: pictures with metadata of their own.
      file.walk().Add(Part::kUnknown, file.Sub(item.payload, item.end));
    }
  });
}

struct Parts {
  std::optional<Box> keys;
  std::optional<Box> list;
  std::optional<Box> infos;
  std::optional<Box> places;
  std::optional<Box> data;
};

}  // namespace

void RedactMeta(const Bytes& file, const Box& meta) {
  // QuickTime's has no version before its first box.
  const bool bare = file.StartsWith(meta.payload + 4, "hdlr");
  Parts parts;
  ForEachBox(
      file, meta.payload + (bare ? 0 : 4), meta.end, [&](const Box& box) {
        if (box.type == "keys") {
          SetBox(file, parts.keys, box);
        } else if (box.type == "ilst") {
          SetBox(file, parts.list, box);
        } else if (box.type == "iinf") {
          SetBox(file, parts.infos, box);
        } else if (box.type == "iloc") {
          SetBox(file, parts.places, box);
        } else if (box.type == "idat") {
          SetBox(file, parts.data, box);
        } else if (IsLocationBox(box.type)) {
          ZeroBox(file, box);
        } else if (box.type == "xml " || box.type == "bxml" ||
                   box.type == "ID32" || box.type == "uuid") {
          file.walk().Add(Part::kUnknown, file.Sub(box.payload, box.end));
        }
      });
  if (parts.list) {
    std::optional<std::vector<uint64_t>> keys = std::vector<uint64_t>();
    if (parts.keys) keys = LocationKeys(file, *parts.keys);
    if (keys) {
      RedactList(file, *parts.list, *keys);
    } else {
      file.Zero(parts.list->payload, parts.list->end);
    }
  }
  if (parts.infos && parts.places &&
      !RedactItems(file, *parts.infos, *parts.places, parts.data)) {
    // Metadata that is somewhere in the file.
    file.walk().Refuse();
  }
}

}  // namespace fused::policy::redaction
