#include "policy/redaction/testing.h"

#include <algorithm>
#include <cstring>

#include "absl/log/check.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "policy/redaction/redaction.h"
#include "policy/redaction/zero_ranges.h"

namespace fused::policy::redaction {

Source::Source(std::string content)
    : size_(content.size()), pieces_({{0, std::move(content)}}) {}

Source::Source(uint64_t size, std::map<uint64_t, std::string> pieces)
    : size_(size), pieces_(std::move(pieces)) {}

absl::StatusOr<size_t> Source::Read(uint64_t offset, absl::Span<char> out) {
  ++reads_;
  if (fail_at_ > 0 && reads_ >= fail_at_) return failure_;
  const size_t length =
      offset < size_ ? std::min<uint64_t>(out.size(), size_ - offset) : 0;
  bytes_ += length;
  std::memset(out.data(), 0, length);
  for (const auto& [at, piece] : pieces_) {
    const uint64_t begin = std::max(at, offset);
    const uint64_t end = std::min(at + piece.size(), offset + length);
    if (begin < end) {
      std::memcpy(out.data() + (begin - offset), piece.data() + (begin - at),
                  end - begin);
    }
  }
  return length;
}

void Source::FailAt(int nth, absl::Status status) {
  fail_at_ = nth;
  failure_ = std::move(status);
}

std::string Redacted(const std::string& content) {
  Source source(content);
  const absl::StatusOr<Finding> finding = FindLocation(source);
  CHECK_OK(finding);
  switch (finding->kind) {
    case Finding::Kind::kNone:
      return "NONE";
    case Finding::Kind::kRefused:
      return "REFUSED";
    case Finding::Kind::kRanges:
      break;
  }
  std::string view = content;
  ZeroRanges(finding->ranges, 0, absl::MakeSpan(view));
  return view;
}

bool Holds(std::string_view content, std::string_view text) {
  return absl::StrContains(content, text);
}

std::string Big(uint64_t number, size_t width) {
  std::string bytes;
  for (size_t i = width; i > 0; --i) {
    bytes.push_back(static_cast<char>(number >> (8 * (i - 1))));
  }
  return bytes;
}

std::string Little(uint64_t number, size_t width) {
  std::string bytes = Big(number, width);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

TiffEntry TextEntry(uint16_t tag, std::string_view text) {
  return {tag, kAscii, static_cast<uint32_t>(text.size()), std::string(text)};
}

std::string Directory(const std::vector<TiffEntry>& entries, uint32_t offset,
                      bool big, uint32_t next) {
  const auto number = [big](uint64_t value, size_t width) {
    return big ? Big(value, width) : Little(value, width);
  };
  std::string head = number(entries.size(), 2);
  std::string values;
  const size_t behind = offset + 2 + entries.size() * 12 + 4;
  for (const TiffEntry& entry : entries) {
    absl::StrAppend(&head, number(entry.tag, 2), number(entry.type, 2),
                    number(entry.count, 4));
    if (entry.value.size() <= 4) {
      absl::StrAppend(&head, entry.value,
                      std::string(4 - entry.value.size(), '\0'));
    } else {
      absl::StrAppend(&head, number(behind + values.size(), 4));
      absl::StrAppend(&values, entry.value);
    }
  }
  return absl::StrCat(head, number(next, 4), values);
}

std::string Exif(bool big) {
  const auto number = [big](uint64_t value, size_t width) {
    return big ? Big(value, width) : Little(value, width);
  };
  // The main directory has two entries and one value.
  const uint32_t gps = 8 + 2 + 2 * 12 + 4 + kPublic.size();
  return absl::StrCat(
      big ? "MM" : "II", number(42, 2), number(8, 4),
      Directory(
          {TextEntry(0x010f, kPublic), {0x8825, kLong, 1, number(gps, 4)}}, 8,
          big),
      Directory({{1, kAscii, 2, std::string("N\0", 2)},
                 {27, kUndefined, static_cast<uint32_t>(kSecret.size()),
                  std::string(kSecret)}},
                gps, big));
}

std::string Xmp() {
  return absl::StrCat(
      "<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>"
      "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='rdf'>"
      "<rdf:Description rdf:about='' xmlns:exif='exif' xmlns:dc='dc'>"
      "<exif:GPSLatitude>",
      kSecret, "</exif:GPSLatitude><dc:title>", kPublic,
      "</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"
      "<?xpacket end='w'?>");
}

std::string Iptc() {
  const auto set = [](uint8_t number, std::string_view value) {
    return absl::StrCat("\x1c\x02", Big(number, 1), Big(value.size(), 2),
                        value);
  };
  return absl::StrCat(set(90, kSecret), set(105, kPublic));
}

std::string Box(std::string_view type, std::string_view payload) {
  return absl::StrCat(Big(8 + payload.size(), 4), type, payload);
}

std::string FullBox(std::string_view type, std::string_view payload,
                    uint32_t version_and_flags) {
  return Box(type, absl::StrCat(Big(version_and_flags, 4), payload));
}

}  // namespace fused::policy::redaction
