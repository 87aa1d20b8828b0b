#include "policy/redaction/movie.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "policy/redaction/boxes.h"
#include "policy/redaction/fragments.h"
#include "policy/redaction/meta_box.h"
#include "policy/redaction/samples.h"
#include "policy/redaction/tiff.h"

namespace fused::policy::redaction {
namespace {

using namespace std::string_view_literals;  // NOLINT(google-*): NULs in them

constexpr std::array kFirst = {"ftyp"sv, "styp"sv, "moov"sv, "mdat"sv,
                               "free"sv, "skip"sv, "wide"sv, "pnot"sv,
                               "uuid"sv, "meta"sv, "moof"sv, "sidx"sv,
                               "udta"sv, "jP  "sv, "JXL "sv};
constexpr std::array kContainers = {"moov"sv, "mdia"sv, "minf"sv, "stbl"sv,
                                    "mvex"sv, "udta"sv, "NCDT"sv, "CNTH"sv};
// Samples, tables and numbers: nothing to be searched.
constexpr std::array kPlain = {
    "ftyp"sv, "styp"sv, "mdat"sv, "wide"sv, "moof"sv, "mfra"sv, "sidx"sv,
    "ssix"sv, "mvhd"sv, "mdhd"sv, "vmhd"sv, "smhd"sv, "hmhd"sv, "nmhd"sv,
    "gmhd"sv, "dinf"sv, "edts"sv, "tref"sv, "stts"sv, "ctts"sv, "cslg"sv,
    "stss"sv, "stps"sv, "sdtp"sv, "sbgp"sv, "sgpd"sv, "stsh"sv, "subs"sv,
    "saiz"sv, "saio"sv, "iods"sv, "mehd"sv, "leva"sv, "clip"sv, "matt"sv,
    "load"sv, "tapt"sv, "jxlc"sv, "jxlp"sv, "jp2c"sv, "jp2h"sv, "pdin"sv};
// What is searched of a box that nobody knows; pixels are longer.
constexpr uint64_t kMaxSearched = 1 << 20;
// Boxes that cameras put what they like into.
constexpr uint64_t kMaxFree = 4 << 20;
constexpr int kMaxDepth = 12;
constexpr size_t kMaxTracks = 1024;
// Where a Pentax camera's block has them.
constexpr uint64_t kPentaxGps = 199;
constexpr uint64_t kPentaxGpsEnd = 400;

constexpr std::string_view kXmpId =
    "\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac"sv;
constexpr std::string_view kCanonId =
    "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48"sv;
constexpr std::string_view kGarminId =
    "\x9b\x63\x0f\x8d\x63\x74\x40\xec\x82\x04\xbc\x5f\xf5\x09\x17\x28"sv;
constexpr std::string_view kExifId = "JpgTiffExif->JP2"sv;
constexpr std::string_view kGeoTiffId =
    "\xb1\x4b\xf8\xbd\x08\x3d\x4b\x43\xa5\xae\x8c\xd7\xd5\xa6\xce\x03"sv;
constexpr uint64_t kId = 16;

template <size_t kSize>
bool Has(const std::array<std::string_view, kSize>& list,
         std::string_view one) {
  return std::find(list.begin(), list.end(), one) != list.end();
}

class Movie {
 public:
  explicit Movie(const Bytes& file) : file_(file) {}

  bool Run() {
    if (!IsMovie(file_)) return false;
    uint64_t at = 0;
    while (at < file_.size()) {
      const std::optional<Box> box = ReadBox(file_, at, file_.size());
      if (!file_.walk().Step()) return false;
      if (!box || !IsTop(*box)) {
        if (!IsPadding(file_, at, file_.size())) {
          Add(Part::kTail, at, file_.size());
        }
        break;
      }
      Top(*box);
      at = box->end;
    }
    for (FragmentedTrack& track : fragmented_) {
      for (const FragmentedTrack& one : defaults_) {
        if (one.id == track.id) track.size = one.size;
      }
    }
    // Only where there are tracks to be zeroed in them.
    if (!fragmented_.empty() && !ZeroFragments(file_, fragmented_)) {
      file_.walk().Refuse();
    }
    return true;
  }

 private:
  void Add(Part part, uint64_t begin, uint64_t end) {
    file_.walk().Add(part, file_.Sub(begin, end));
  }

  // A recording that was cut off has a torn box; other content behind the
  // last one looks like one, but for its type.
  static bool IsTop(const Box& box) {
    if (box.torn) return Has(kFirst, box.type);
    return std::all_of(box.type.begin(), box.type.end(), [](char c) {
      return absl::ascii_isprint(c) || c == '\xa9';
    });
  }

  void Top(const Box& box) {
    if (box.type == "mpvd") {
      // A movie within a picture.
      Add(Part::kMovieInside, box.payload, box.end);
    } else if (box.type == "Exif") {
      JxlExif(box);
    } else if (box.type == "brob") {
      // Compressed, behind the type that it would have.
      const std::string type = file_.Text(box.payload, 4);
      if (type == "Exif" || type == "xml ") {
        file_.Zero(box.payload + 4, box.end);
      }
    } else if (box.type == "free" || box.type == "skip") {
      if (box.end - box.payload <= kMaxFree) {
        Add(Part::kUnknown, box.payload, box.end);
      }
    } else {
      Inner(box, "", 0, nullptr);
    }
  }

  void JxlExif(const Box& box) {
    const uint64_t at = box.payload + 4 + file_.Big(box.payload, 4).value_or(0);
    const Bytes tiff = file_.Sub(std::min(at, box.end), box.end);
    if (IsTiff(tiff, 0)) {
      file_.walk().Add(Part::kTiff, tiff);
    } else {
      file_.Zero(box.payload, box.end);
    }
  }

  void Children(const Box& box, int depth, Track* track) {
    if (depth >= kMaxDepth) {
      file_.Zero(box.payload, box.end);
      return;
    }
    ForEachBox(file_, box.payload, box.end, [&](const Box& child) {
      Inner(child, box.type, depth + 1, track);
    });
  }

  void Inner(const Box& box, std::string_view parent, int depth, Track* track) {
    const std::string& type = box.type;
    if (IsLocationBox(type)) {
      if (type == "gps ") Blocks(box);
      ZeroBox(file_, box);
    } else if (type == "trak") {
      Track inner;
      Children(box, depth, &inner);
      Finish(inner);
    } else if (Has(kContainers, type)) {
      Children(box, depth, track);
    } else if (type == "meta") {
      RedactMeta(file_, box);
    } else if (type == "uuid") {
      Identified(box, depth);
    } else if (type == "cmov") {
      // A whole movie's head, compressed.
      file_.walk().Refuse();
    } else if (type == "XMP_") {
      Add(Part::kXmp, box.payload, box.end);
    } else if (type == "GPMF") {
      Add(Part::kGpmf, box.payload, box.end);
    } else if (type == "TAGS" && file_.StartsWith(box.payload, "PENTAX")) {
      file_.Zero(box.payload + kPentaxGps,
                 std::min(box.payload + kPentaxGpsEnd, box.end));
    } else if (type == "NCTG") {
      Add(Part::kNikonTags, box.payload, box.end);
    } else if (type == "trex") {
      Keep(defaults_, {file_.Big(box.payload + 4, 4).value_or(0),
                       file_.Big(box.payload + 16, 4).value_or(0)});
    } else if (track == nullptr || !OfTrack(box, parent, *track)) {
      Other(box);
    }
  }

  // Whether it was a box that a track needs.
  bool OfTrack(const Box& box, std::string_view parent, Track& track) {
    const std::string& type = box.type;
    if (type == "hdlr") {
      if (parent == "mdia") track.handler = file_.Text(box.payload + 8, 4);
    } else if (type == "tkhd") {
      const bool large = file_.Big(box.payload, 1).value_or(0) == 1;
      track.id = file_.Big(box.payload + (large ? 20 : 12), 4).value_or(0);
    } else if (type == "stsd") {
      SetBox(file_, track.descriptions, box);
    } else if (type == "stsz" || type == "stz2") {
      SetBox(file_, track.sizes, box);
    } else if (type == "stsc") {
      SetBox(file_, track.chunks, box);
    } else if (type == "stco" || type == "co64") {
      SetBox(file_, track.offsets, box);
    } else {
      return false;
    }
    return true;
  }

  void Keep(std::vector<FragmentedTrack>& tracks, FragmentedTrack track) {
    if (tracks.size() < kMaxTracks) {
      tracks.push_back(track);
    } else {
      file_.walk().Refuse();
    }
  }

  void Finish(const Track& track) {
    TrackKind kind = KindOf(file_, track);
    if (kind == TrackKind::kText) {
      kind = TextHasLocation(file_, track) ? TrackKind::kLocation
                                           : TrackKind::kMedia;
    }
    if (kind == TrackKind::kMedia) return;
    if (!ZeroSamples(file_, track)) file_.walk().Refuse();
    Keep(fragmented_, {track.id, 0});
  }

  void Other(const Box& box) {
    if (Has(kPlain, box.type) || box.end - box.payload > kMaxSearched) return;
    Add(Part::kUnknown, box.payload, box.end);
  }

  void Identified(const Box& box, int depth) {
    const std::string id = file_.Text(box.payload, kId);
    const uint64_t begin = box.payload + kId;
    if (id == kXmpId) {
      Add(Part::kXmp, begin, box.end);
    } else if (id == kExifId || id == kGeoTiffId) {
      Add(Part::kTiff, begin, box.end);
    } else if (id == kGarminId) {
      file_.Zero(begin, box.end);
    } else if (id == kCanonId && depth < kMaxDepth) {
      ForEachBox(file_, begin, box.end, [&](const Box& child) {
        if (child.type == "CMT4") {
          Add(Part::kTiffGps, child.payload, child.end);
        } else if (child.type.starts_with("CMT")) {
          Add(Part::kTiff, child.payload, child.end);
        }
      });
    } else {
      Other(box);
    }
  }

  // A list of blocks that lie among the samples: their offsets and sizes.
  void Blocks(const Box& box) {
    uint64_t left = file_.Big(box.payload + 4, 4).value_or(0);
    for (uint64_t at = box.payload + 8; left > 0 && at + 8 <= box.end;
         at += 8, --left) {
      const uint64_t begin = file_.Big(at, 4).value_or(0);
      const uint64_t size = file_.Big(at + 4, 4).value_or(0);
      if (!file_.walk().Step()) return;
      // Nothing else is a block: the box has other uses.
      if (file_.StartsWith(begin + 4, "freeGPS ")) {
        file_.Zero(begin, begin + size);
      }
    }
  }

  const Bytes& file_;
  std::vector<FragmentedTrack> fragmented_;
  std::vector<FragmentedTrack> defaults_;
};

}  // namespace

bool IsMovie(const Bytes& bytes) {
  const std::optional<Box> box = ReadBox(bytes, 0, bytes.size());
  return box && Has(kFirst, box->type);
}

bool RedactMovie(const Bytes& bytes) { return Movie(bytes).Run(); }

}  // namespace fused::policy::redaction
