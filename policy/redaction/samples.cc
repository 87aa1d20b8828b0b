#include "policy/redaction/samples.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "policy/redaction/endian.h"
#include "policy/redaction/location_names.h"

namespace fused::policy::redaction {
namespace {

using namespace std::string_view_literals;  // NOLINT(google-*): for brevity

constexpr std::array kMediaHandlers = {
    "vide"sv, "soun"sv, "pict"sv, "auxv"sv, "hint"sv, "tmcd"sv, "clcp"sv,
    "alis"sv, "odsm"sv, "sdsm"sv, "m7sm"sv, "ocsm"sv, "ipsm"sv, "mjsm"sv,
    "musi"sv, "qd3d"sv, "MPEG"sv, "fdsm"sv, "volv"sv};
constexpr std::array kTextHandlers = {"text"sv, "sbtl"sv, "subt"sv, "subp"sv};
// Formats of samples in tracks of other handlers.
constexpr std::array kTextFormats = {"mett"sv, "metx"sv, "stpp"sv, "sttg"sv,
                                     "wvtt"sv, "stxt"sv, "sbtt"sv};
constexpr std::array kMediaFormats = {"tmcd"sv};

// All that a text track is read of, beyond which it is none.
constexpr uint64_t kMaxText = 1 << 20;
constexpr uint64_t kMaxTexts = 2048;
constexpr uint64_t kMaxSamples = 4 << 20;

template <size_t kSize>
bool Has(const std::array<std::string_view, kSize>& list,
         std::string_view one) {
  return std::find(list.begin(), list.end(), one) != list.end();
}

// Apple's timed metadata: its description lists the keys of what is in it.
bool HasLocationKey(const Bytes& file, const Box& entry) {
  bool listed = false;
  bool found = false;
  ForEachBox(file, entry.payload + 8, entry.end, [&](const Box& box) {
    if (box.type != "keys") return;
    listed = true;
    ForEachBox(file, box.payload, box.end, [&](const Box& key) {
      ForEachBox(file, key.payload, key.end, [&](const Box& part) {
        if (part.type != "keyd" || part.end - part.payload < 4) return;
        found = found ||
                IsLocationName(file.Text(
                    part.payload + 4,
                    std::min<uint64_t>(part.end - part.payload - 4, 1024)));
      });
    });
  });
  return found || !listed;
}

TrackKind FormatKind(const Bytes& file, const Box& entry) {
  if (entry.type == "mebx") {
    return HasLocationKey(file, entry) ? TrackKind::kLocation
                                       : TrackKind::kMedia;
  }
  if (Has(kMediaFormats, entry.type)) return TrackKind::kMedia;
  return Has(kTextFormats, entry.type) ? TrackKind::kText
                                       : TrackKind::kLocation;
}

// Reads the numbers of a table, apart from the walk's own window, since three
// tables are read side by side.
class Table {
 public:
  Table(const Bytes& file, uint64_t begin, uint64_t end)
      : file_(file), at_(begin), end_(std::min(end, file.size())) {}

  // Nothing at the end.
  std::optional<uint64_t> Next(size_t width) {
    if (buffer_.size() - used_ < width) {
      at_ += used_;
      used_ = 0;
      buffer_.clear();
      if (at_ < end_) {
        buffer_ = file_.Text(at_, std::min<uint64_t>(end_ - at_, kBuffer));
      }
      if (buffer_.size() < width) return std::nullopt;
    }
    const uint64_t number = LoadBig(&buffer_[used_], width);
    used_ += width;
    return number;
  }

 private:
  static constexpr uint64_t kBuffer = 4096;

  const Bytes& file_;
  uint64_t at_;  // of buffer_
  const uint64_t end_;
  std::string buffer_;
  size_t used_ = 0;
};

// The sizes of samples, from the first on.
class Sizes {
 public:
  Sizes(const Bytes& file, const Box& box)
      : table_(file, box.payload + 4, box.end) {
    const std::optional<uint64_t> size = table_.Next(4);
    const std::optional<uint64_t> count = table_.Next(4);
    if (!size || !count) {
      failed_ = true;
      return;
    }
    left_ = *count;
    if (box.type == "stz2") {
      bits_ = *size & 0xff;
      failed_ = bits_ != 4 && bits_ != 8 && bits_ != 16;
    } else {
      uniform_ = *size;
    }
  }

  uint64_t left() const { return left_; }
  bool failed() const { return failed_; }

  // Of the next `count` samples together.
  uint64_t Sum(uint64_t count) {
    count = std::min(count, left_);
    left_ -= count;
    if (uniform_ != 0) return uniform_ * count;
    uint64_t sum = 0;
    seen_ += count;
    if (seen_ > kMaxSamples) failed_ = true;
    for (; count > 0 && !failed_; --count) sum += One();
    return sum;
  }

 private:
  uint64_t One() {
    if (bits_ == 4 && half_) {
      half_ = false;
      return pair_ & 15;
    }
    const std::optional<uint64_t> next =
        table_.Next(bits_ == 4 ? 1 : bits_ / 8);
    if (!next) failed_ = true;
    if (bits_ != 4) return next.value_or(0);
    half_ = true;
    pair_ = next.value_or(0);
    return pair_ >> 4;
  }

  Table table_;
  uint64_t bits_ = 32;
  uint64_t uniform_ = 0;
  uint64_t left_ = 0;
  uint64_t seen_ = 0;
  uint64_t pair_ = 0;
  bool half_ = false;
  bool failed_ = false;
};

struct Chunk {
  Range range;
  uint64_t samples = 0;
};

// Calls `each` with the chunks until it says no more. False where the tables do
// not fit together.
bool ForEachChunk(const Bytes& file, const Track& track,
                  absl::FunctionRef<bool(const Chunk&)> each) {
  if (!track.sizes || !track.chunks || !track.offsets) return false;
  Sizes sizes(file, *track.sizes);
  Table runs(file, track.chunks->payload + 4, track.chunks->end);
  Table offsets(file, track.offsets->payload + 4, track.offsets->end);
  const size_t width = track.offsets->type == "co64" ? 8 : 4;
  uint64_t runs_left = runs.Next(4).value_or(0);
  const uint64_t chunks = offsets.Next(4).value_or(0);
  uint64_t samples = 0;  // in each chunk of this run
  uint64_t next_first = runs_left > 0 ? runs.Next(4).value_or(0) : 0;
  for (uint64_t chunk = 1; chunk <= chunks && sizes.left() > 0; ++chunk) {
    if (sizes.failed() || !file.walk().Step()) return false;
    while (runs_left > 0 && next_first <= chunk) {
      samples = runs.Next(4).value_or(0);
      runs.Next(4);
      --runs_left;
      next_first = runs_left > 0 ? runs.Next(4).value_or(0) : 0;
    }
    const std::optional<uint64_t> offset = offsets.Next(width);
    if (!offset || samples == 0) return false;
    const uint64_t in_it = std::min(samples, sizes.left());
    const uint64_t begin = std::min(*offset, file.size());
    const uint64_t length = std::min(sizes.Sum(samples), file.size() - begin);
    if (sizes.failed()) return false;
    if (!each({{begin, begin + length}, in_it})) return true;
  }
  return !sizes.failed() && sizes.left() == 0;
}

// Whether `text`, in lower case, has an angle after the word at `at`.
bool HasAngle(std::string_view text, size_t at) {
  const size_t value = text.find_first_not_of("itudeong \":=[(", at);
  return value != text.npos && value - at < 16 &&
         (absl::ascii_isdigit(text[value]) || text[value] == '-' ||
          text[value] == '+');
}

bool LooksLikeLocation(std::string_view text) {
  constexpr std::array kSigns = {"gps"sv,   "$gp"sv,    "$gn"sv,  "$gl"sv,
                                 "home("sv, "home ("sv, "pndm"sv, "iso6709"sv};
  const std::string lower = absl::AsciiStrToLower(text);
  const std::string_view view = lower;
  for (const std::string_view sign : kSigns) {
    if (absl::StrContains(view, sign)) return true;
  }
  for (const std::string_view word : {"lat"sv, "lon"sv}) {
    for (size_t at = view.find(word); at != view.npos;
         at = view.find(word, at + 1)) {
      if (HasAngle(view, at + word.size())) return true;
    }
  }
  return false;
}

// Whether the only sample is a text as the format has it, with its length.
bool IsText(std::string_view text) {
  if (text.empty() || text[0] != '\0') return true;
  return text.size() >= 2 && LoadBig(text.data(), 2) + 2 <= text.size() &&
         text.substr(0, 4) != "\0\0\0\x14"sv;
}

}  // namespace

TrackKind KindOf(const Bytes& file, const Track& track) {
  if (Has(kMediaHandlers, track.handler)) return TrackKind::kMedia;
  if (Has(kTextHandlers, track.handler)) return TrackKind::kText;
  if (!track.descriptions) return TrackKind::kLocation;
  TrackKind kind = TrackKind::kMedia;
  ForEachBox(file, track.descriptions->payload + 8, track.descriptions->end,
             [&](const Box& entry) {
               kind = std::max(kind, FormatKind(file, entry));
             });
  return kind;
}

bool TextHasLocation(const Bytes& file, const Track& track) {
  uint64_t bytes = 0;
  uint64_t texts = 0;
  bool found = false;
  const bool fine = ForEachChunk(file, track, [&](const Chunk& chunk) {
    bytes += chunk.range.end - chunk.range.begin;
    found = bytes > kMaxText || ++texts > kMaxTexts;
    if (!found) {
      const std::string text =
          file.Text(chunk.range.begin, chunk.range.end - chunk.range.begin);
      found = LooksLikeLocation(text) || (chunk.samples == 1 && !IsText(text));
    }
    return !found;
  });
  return found || !fine;
}

bool ZeroSamples(const Bytes& file, const Track& track) {
  // A movie in fragments has empty tables, or none.
  if (!track.sizes && !track.offsets) return true;
  return ForEachChunk(file, track, [&](const Chunk& chunk) {
    file.Zero(chunk.range.begin, chunk.range.end);
    return true;
  });
}

}  // namespace fused::policy::redaction
