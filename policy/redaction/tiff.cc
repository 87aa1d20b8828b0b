#include "policy/redaction/tiff.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/redaction/endian.h"

namespace fused::policy::redaction {
namespace {

constexpr size_t kMaxDirectories = 512;
// More sub-directories than that in one tag: not a picture.
constexpr uint64_t kMaxPointers = 256;

enum Tag : uint64_t {
  kRawJpeg = 0x002e,  // Panasonic's
  kStripOffsets = 0x0111,
  kStripLengths = 0x0117,
  kTileOffsets = 0x0144,
  kSubDirectories = 0x014a,
  kGlobalParameters = 0x0190,
  kJpegOffset = 0x0201,
  kJpegLength = 0x0202,
  kXmpPacket = 0x02bc,
  kModelTiePoint = 0x8482,
  kModelTransform = 0x85d8,
  kIptcSets = 0x83bb,
  kPhotoshop = 0x8649,
  kExifDirectory = 0x8769,
  kGeoKeys = 0x87af,
  kGeoDoubles = 0x87b0,
  kGeoText = 0x87b1,
  kGpsDirectory = 0x8825,
  kMakerNote = 0x927c,
  kInteroperability = 0xa005,
};

enum class Kind : uint8_t {
  kMain,  // one of a chain of pictures
  kSub,   // a directory within, no chain
  kGps,
  kPanasonic,
  kNikon,
  kSamsung,
};

// Where maker notes have names of places.
constexpr std::array<uint64_t, 6> kPanasonicPlaces = {0x67, 0x69, 0x6b,
                                                      0x6d, 0x6f, 0x80};
constexpr std::array<uint64_t, 1> kNikonPlaces = {0x39};
constexpr std::array<uint64_t, 2> kSamsungPlaces = {0x30, 0x31};

bool IsPlace(Kind kind, uint64_t tag) {
  const auto has = [tag](const auto& list) {
    return std::find(list.begin(), list.end(), tag) != list.end();
  };
  switch (kind) {
    case Kind::kPanasonic:
      return has(kPanasonicPlaces);
    case Kind::kNikon:
      return has(kNikonPlaces);
    case Kind::kSamsung:
      return has(kSamsungPlaces);
    default:
      return false;
  }
}

bool IsMaker(Kind kind) {
  return kind == Kind::kPanasonic || kind == Kind::kNikon ||
         kind == Kind::kSamsung;
}

// Bytes of one value; 0 for a type that there is not.
uint64_t TypeWidth(uint64_t type) {
  switch (type) {
    case 1:
    case 2:
    case 6:
    case 7:
    case 129:
      return 1;
    case 3:
    case 8:
      return 2;
    case 4:
    case 9:
    case 11:
    case 13:
      return 4;
    case 5:
    case 10:
    case 12:
    case 16:
    case 17:
    case 18:
      return 8;
    default:
      return 0;
  }
}

struct Header {
  bool big_endian = false;
  bool big_tiff = false;
  uint64_t first = 0;
};

std::optional<Header> ReadHeader(const Bytes& bytes, uint64_t offset) {
  const std::string text = bytes.Text(offset, 16);
  if (text.size() < 8) return std::nullopt;
  Header header;
  if (text[0] == 'M' && text[1] == 'M') {
    header.big_endian = true;
  } else if (text[0] != 'I' || text[1] != 'I') {
    return std::nullopt;
  }
  const auto load = [&](size_t at, size_t width) {
    return header.big_endian ? LoadBig(&text[at], width)
                             : LoadLittle(&text[at], width);
  };
  switch (load(2, 2)) {
    case 43:
      if (text.size() < 16 || load(4, 2) != 8) return std::nullopt;
      header.big_tiff = true;
      header.first = load(8, 8);
      return header;
    case 42:
    case 0x55:    // Panasonic's own
    case 0x4f52:  // Olympus's, in two versions
    case 0x5352:
      header.first = load(4, 4);
      return header;
    default:
      return std::nullopt;
  }
}

struct Entry {
  uint64_t tag = 0;
  uint64_t type = 0;
  uint64_t count = 0;
  // Where its values are, as far as there are bytes.
  uint64_t begin = 0;
  uint64_t end = 0;
};

class Directories {
 public:
  Directories(const Bytes& bytes, const Header& header)
      : bytes_(bytes), header_(header) {}

  bool Run(Kind root) {
    Push(header_.first, root);
    if (todo_.empty()) return false;
    bool first = true;
    while (!todo_.empty()) {
      const Pending next = todo_.back();
      todo_.pop_back();
      const bool fine = Directory(next);
      // Pointers that lead nowhere are common, and whoever follows them
      // finds nothing.
      if (!fine && (first || next.kind == Kind::kGps)) return false;
      first = false;
    }
    return understood_;
  }

 private:
  struct Pending {
    uint64_t offset;
    Kind kind;
  };

  std::optional<uint64_t> Number(uint64_t offset, size_t width) const {
    return header_.big_endian ? bytes_.Big(offset, width)
                              : bytes_.Little(offset, width);
  }

  void Push(uint64_t offset, Kind kind) {
    if (offset == 0 || offset >= bytes_.size()) return;
    const auto same = [&](const Pending& one) {
      return one.offset == offset && one.kind == kind;
    };
    if (std::any_of(seen_.begin(), seen_.end(), same)) return;
    if (seen_.size() >= kMaxDirectories) {
      bytes_.walk().Refuse();
      return;
    }
    seen_.push_back({offset, kind});
    todo_.push_back({offset, kind});
  }

  // False where there is none.
  bool Directory(const Pending& directory) {
    const size_t counted = header_.big_tiff ? 8 : 2;
    const size_t width = header_.big_tiff ? 20 : 12;
    const size_t pointer = header_.big_tiff ? 8 : 4;
    std::optional<uint64_t> count = Number(directory.offset, counted);
    if (!count) return false;
    const uint64_t base = directory.offset + counted;
    const uint64_t fit = (bytes_.size() - base) / width;
    const bool whole = *count <= fit;
    count = std::min(*count, fit);
    jpeg_ = {};
    strip_ = {};
    for (uint64_t i = 0; i < *count; ++i) {
      if (!bytes_.walk().Step()) return false;
      const std::optional<Entry> entry = Read(base + i * width, directory.kind);
      if (entry) Handle(*entry, directory.kind);
    }
    const uint64_t end = base + *count * width;
    if (directory.kind == Kind::kGps) {
      bytes_.Zero(directory.offset, whole ? end + pointer : bytes_.size());
      return whole;
    }
    AddPicture(jpeg_);
    AddPicture(strip_);
    if (directory.kind == Kind::kMain && whole) {
      Push(Number(end, pointer).value_or(0), Kind::kMain);
    }
    return *count > 0 || whole;
  }

  std::optional<Entry> Read(uint64_t at, Kind kind) {
    const size_t number = header_.big_tiff ? 8 : 4;
    const std::optional<uint64_t> tag = Number(at, 2);
    const std::optional<uint64_t> type = Number(at + 2, 2);
    const std::optional<uint64_t> count = Number(at + 4, number);
    if (!tag || !type || !count) return std::nullopt;
    Entry entry{.tag = *tag, .type = *type, .count = *count};
    const uint64_t width = TypeWidth(entry.type);
    if (width == 0) {
      // How long its values are there is no telling.
      if (kind == Kind::kGps && (entry.type != 0 || entry.count != 0)) {
        understood_ = false;
      }
      return std::nullopt;
    }
    entry.count = std::min(entry.count, bytes_.size());
    const uint64_t length = entry.count * width;
    entry.begin = at + 4 + number;
    if (length > number) {
      const std::optional<uint64_t> offset = Number(entry.begin, number);
      if (!offset) return std::nullopt;
      entry.begin = std::min(*offset, bytes_.size());
    }
    entry.end = entry.begin + std::min(length, bytes_.size() - entry.begin);
    return entry;
  }

  // The value of the `index`th number, 0 where there is none.
  uint64_t Value(const Entry& entry, uint64_t index = 0) const {
    const uint64_t width = TypeWidth(entry.type);
    if ((index + 1) * width > entry.end - entry.begin) return 0;
    return Number(entry.begin + index * width, width).value_or(0);
  }

  void Handle(const Entry& entry, Kind kind) {
    if (kind == Kind::kGps) {
      bytes_.Zero(entry.begin, entry.end);
      return;
    }
    if (IsMaker(kind)) {
      if (IsPlace(kind, entry.tag) && entry.begin >= note_begin_) {
        bytes_.Zero(entry.begin, entry.end);
      }
      return;
    }
    switch (entry.tag) {
      case kExifDirectory:
      case kInteroperability:
      case kGlobalParameters:
      case kSubDirectories:
      case kGpsDirectory:
        Follow(entry);
        break;
      case kMakerNote:
        MakerNote(entry);
        break;
      case kModelTiePoint:
      case kModelTransform:
      case kGeoKeys:
      case kGeoDoubles:
      case kGeoText:
        bytes_.Zero(entry.begin, entry.end);
        break;
      default:
        Inside(entry);
        break;
    }
  }

  void Follow(const Entry& entry) {
    const Kind kind = entry.tag == kGpsDirectory     ? Kind::kGps
                      : entry.tag == kSubDirectories ? Kind::kMain
                                                     : Kind::kSub;
    const uint64_t count =
        entry.tag == kSubDirectories ? std::min(entry.count, kMaxPointers) : 1;
    if (TypeWidth(entry.type) < 2) {
      // A pointer of no such type: readers differ.
      if (kind == Kind::kGps) understood_ = false;
      return;
    }
    for (uint64_t i = 0; i < count; ++i) Push(Value(entry, i), kind);
  }

  // What is of another kind.
  void Inside(const Entry& entry) {
    const Bytes content = bytes_.Sub(entry.begin, entry.end);
    switch (entry.tag) {
      case kXmpPacket:
        bytes_.walk().Add(Part::kXmp, content);
        break;
      case kIptcSets:
        bytes_.walk().Add(Part::kIptc, content);
        break;
      case kPhotoshop:
        bytes_.walk().Add(Part::kPhotoshop, content);
        break;
      case kRawJpeg:
        AddPicture({entry.begin, entry.end});
        break;
      case kJpegOffset:
        jpeg_.begin = Value(entry);
        break;
      case kJpegLength:
        jpeg_.end = Value(entry);
        break;
      case kStripOffsets:
      case kTileOffsets:
        if (entry.count == 1) strip_.begin = Value(entry);
        break;
      case kStripLengths:
        if (entry.count == 1) strip_.end = Value(entry);
        break;
      default:
        break;
    }
  }

  struct Picture {
    uint64_t begin = 0;
    uint64_t end = 0;  // the length, until it is all known
  };

  void AddPicture(Picture picture) {
    if (picture.begin == 0 || picture.begin >= bytes_.size() ||
        !bytes_.StartsWith(picture.begin, "\xff\xd8\xff")) {
      return;
    }
    // The length may be wrong; a picture has its own end.
    bytes_.walk().Add(Part::kJpegHead,
                      bytes_.Sub(picture.begin, bytes_.size()));
  }

  void MakerNote(const Entry& entry) {
    const std::string start = bytes_.Text(entry.begin, 18);
    const std::string_view text = start;
    if (text.starts_with(std::string_view("Panasonic\0\0\0", 12))) {
      Push(entry.begin + 12, Kind::kPanasonic);
    } else if (text.starts_with(std::string_view("LEICA\0\0\0", 8))) {
      Push(entry.begin + 8, Kind::kPanasonic);
    } else if (text.starts_with(std::string_view("Nikon\0\x02", 7))) {
      bytes_.walk().Add(Part::kTiffNikon,
                        bytes_.Sub(entry.begin + 10, entry.end));
    } else if (text.size() > 12 && text[1] == 0 && IsSamsung(text)) {
      Samsung(entry);
    }
  }

  // A note that is a directory from its start, with the first tag of Samsung's.
  bool IsSamsung(std::string_view text) const {
    const auto load = [&](size_t at, size_t width) {
      return header_.big_endian ? LoadBig(&text[at], width)
                                : LoadLittle(&text[at], width);
    };
    return load(0, 2) < 256 && load(2, 2) == 1 && load(4, 2) == 7 &&
           load(6, 4) == 4;
  }

  // Some models' offsets count from the note, others' from the header.
  void Samsung(const Entry& entry) {
    note_begin_ = entry.begin;
    Push(entry.begin, Kind::kSamsung);
    const Bytes note = bytes_.Sub(entry.begin, entry.end);
    Header header = header_;
    header.big_tiff = false;
    header.first = 0;
    Directories inside(note, header);
    inside.Directory({0, Kind::kSamsung});
  }

  const Bytes& bytes_;
  const Header header_;
  bool understood_ = true;
  std::vector<Pending> todo_;
  std::vector<Pending> seen_;
  // Of the directory being read.
  Picture jpeg_;
  Picture strip_;
  // Nothing before it is a maker note's.
  uint64_t note_begin_ = 0;
};

}  // namespace

bool IsTiff(const Bytes& bytes, uint64_t offset) {
  return ReadHeader(bytes, offset).has_value();
}

bool RedactTiff(const Bytes& bytes, TiffRoot root) {
  const std::optional<Header> header = ReadHeader(bytes, 0);
  if (!header) return false;
  switch (root) {
    case TiffRoot::kMain:
      return Directories(bytes, *header).Run(Kind::kMain);
    case TiffRoot::kGps:
      return Directories(bytes, *header).Run(Kind::kGps);
    case TiffRoot::kNikon:
      // What is broken in a maker note has no reader.
      Directories(bytes, *header).Run(Kind::kNikon);
      return true;
  }
  return false;
}

}  // namespace fused::policy::redaction
