#include "policy/redaction/items.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/redaction/tiff.h"

namespace fused::policy::redaction {
namespace {

constexpr size_t kMaxInfo = 1024;
constexpr size_t kMaxExtents = 1024;
// Items of metadata in one file.
constexpr size_t kMaxItems = 256;

enum class ItemKind : uint8_t {
  kExif,
  kXmp,
  kJpeg,
  kOther,   // to be searched
  kOpaque,  // metadata that cannot be read
};

using Items = absl::flat_hash_map<uint64_t, ItemKind>;

// Reads numbers of a box, one after another.
class Fields {
 public:
  Fields(const Bytes& bytes, uint64_t begin, uint64_t end)
      : bytes_(bytes), at_(begin), end_(end) {}

  uint64_t Number(size_t width) {
    if (width == 0) return 0;
    const std::optional<uint64_t> number =
        at_ + width <= end_ ? bytes_.Big(at_, width) : std::nullopt;
    if (!number) failed_ = true;
    at_ += width;
    return number.value_or(0);
  }

  // To the next NUL.
  std::string Text() {
    const std::string text = bytes_.Text(
        at_, at_ < end_ ? std::min<uint64_t>(end_ - at_, kMaxInfo) : 0);
    const std::string_view one =
        std::string_view(text).substr(0, text.find('\0'));
    at_ += one.size() + 1;
    return std::string(one);
  }

  uint64_t at() const { return at_; }
  bool failed() const { return failed_; }

 private:
  const Bytes& bytes_;
  uint64_t at_;
  const uint64_t end_;
  bool failed_ = false;
};

// What an item of a MIME type is.
ItemKind KindOf(const std::string& mime, const std::string& encoding) {
  const bool xmp = mime == "application/rdf+xml";
  if (xmp && !encoding.empty()) return ItemKind::kOpaque;
  return xmp ? ItemKind::kXmp : ItemKind::kOther;
}

// An `infe` box; false where it is not understood.
bool ReadInfo(const Bytes& file, const Box& box, Items& items) {
  Fields fields(file, box.payload, box.end);
  const uint64_t version = fields.Number(1);
  fields.Number(3);
  const uint64_t id = fields.Number(version >= 3 ? 4 : 2);
  const bool hidden = fields.Number(2) != 0;
  std::optional<ItemKind> kind;
  if (version < 2) {
    fields.Text();
    const std::string mime = fields.Text();
    kind = KindOf(mime, fields.Text());
  } else {
    const uint64_t type_at = fields.at();
    fields.Number(4);
    const std::string type = file.Text(type_at, 4);
    if (type == "Exif") {
      kind = ItemKind::kExif;
    } else if (type == "jpeg") {
      kind = ItemKind::kJpeg;
    } else if (type == "mime") {
      fields.Text();
      const std::string mime = fields.Text();
      kind = KindOf(mime, fields.Text());
    }
  }
  if (fields.failed()) return false;
  if (!kind) return true;
  if (hidden) kind = ItemKind::kOpaque;
  items[id] = *kind;
  return items.size() <= kMaxItems;
}

bool ReadInfos(const Bytes& file, const Box& infos, Items& items) {
  Fields fields(file, infos.payload, infos.end);
  const uint64_t version = fields.Number(1);
  fields.Number(3);
  fields.Number(version == 0 ? 2 : 4);
  // All that there are, whatever their number is said to be.
  for (uint64_t at = fields.at(); at < infos.end;) {
    const std::optional<Box> box = ReadBox(file, at, infos.end);
    if (!box || box->torn || !file.walk().Step()) return false;
    if (box->type == "infe" && !ReadInfo(file, *box, items)) return false;
    at = box->end;
  }
  return !fields.failed();
}

void RedactItem(const Bytes& item, ItemKind kind) {
  Walk& walk = item.walk();
  switch (kind) {
    case ItemKind::kExif: {
      // Behind the offset of the TIFF header, which counts from there.
      const uint64_t at = 4 + item.Big(0, 4).value_or(0);
      if (IsTiff(item.Sub(std::min(at, item.size()), item.size()), 0)) {
        walk.Add(Part::kTiff, item.Sub(at, item.size()));
      } else {
        item.ZeroAll();
      }
      break;
    }
    case ItemKind::kXmp:
      walk.Add(Part::kXmp, item);
      break;
    case ItemKind::kJpeg:
      walk.Add(Part::kJpegHead, item);
      break;
    case ItemKind::kOther:
      walk.Add(Part::kUnknown, item);
      break;
    case ItemKind::kOpaque:
      item.ZeroAll();
      break;
  }
}

// An `iloc` box.
class Places {
 public:
  Places(const Bytes& file, const Box& places, const std::optional<Box>& data)
      : file_(file),
        data_(data ? file.Sub(data->payload, data->end) : file.Sub(0, 0)),
        fields_(file, places.payload, places.end) {}

  // Redacts those in `items`.
  bool Run(const Items& items) {
    version_ = fields_.Number(1);
    fields_.Number(3);
    const uint64_t sizes = fields_.Number(2);
    offset_size_ = sizes >> 12;
    length_size_ = sizes >> 8 & 15;
    base_size_ = sizes >> 4 & 15;
    index_size_ = version_ == 0 ? 0 : sizes & 15;
    if (std::max({offset_size_, length_size_, base_size_, index_size_}) > 8) {
      return false;
    }
    for (uint64_t left = fields_.Number(version_ < 2 ? 2 : 4); left > 0;
         --left) {
      const uint64_t id = fields_.Number(version_ < 2 ? 2 : 4);
      const auto item = items.find(id);
      const bool wanted = item != items.end();
      if (!Place(wanted) || !file_.walk().Step()) return false;
      if (!wanted) continue;
      RedactItem(Bytes(file_.walk(), pieces_), item->second);
    }
    return true;
  }

 private:
  // One item's entry; its pieces go to pieces_ if `wanted`. False where it is
  // not understood.
  bool Place(bool wanted) {
    pieces_.clear();
    const uint64_t method = version_ == 0 ? 0 : fields_.Number(2) & 15;
    const bool elsewhere = fields_.Number(2) != 0;
    const uint64_t base = fields_.Number(base_size_);
    uint64_t left = fields_.Number(2);
    if (wanted && (method > 1 || left > kMaxExtents)) return false;
    for (; left > 0; --left) {
      fields_.Number(index_size_);
      const uint64_t offset = base + fields_.Number(offset_size_);
      const uint64_t length = fields_.Number(length_size_);
      if (fields_.failed() || !file_.walk().Step()) return false;
      if (!wanted || elsewhere) continue;
      const Bytes& from = method == 0 ? file_ : data_;
      const uint64_t begin = std::min(offset, from.size());
      const uint64_t most = from.size() - begin;
      const uint64_t taken = length == 0 ? most : std::min(length, most);
      for (const Range& range : from.Locate(begin, begin + taken)) {
        pieces_.push_back(range);
      }
    }
    return !fields_.failed();
  }

  const Bytes& file_;
  const Bytes data_;
  Fields fields_;
  uint64_t version_ = 0;
  uint64_t offset_size_ = 0;
  uint64_t length_size_ = 0;
  uint64_t base_size_ = 0;
  uint64_t index_size_ = 0;
  std::vector<Range> pieces_;
};

}  // namespace

bool RedactItems(const Bytes& file, const Box& infos, const Box& places,
                 const std::optional<Box>& data) {
  Items items;
  if (!ReadInfos(file, infos, items)) return false;
  return items.empty() || Places(file, places, data).Run(items);
}

}  // namespace fused::policy::redaction
