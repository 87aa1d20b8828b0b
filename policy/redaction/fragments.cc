#include "policy/redaction/fragments.h"

#include <algorithm>
#include <optional>

#include "policy/redaction/boxes.h"

namespace fused::policy::redaction {
namespace {

// What a fragment says of itself (`tfhd`) and of a run of samples (`trun`).
enum FragmentFlag : uint64_t {
  kBaseOffset = 0x1,
  kDescription = 0x2,
  kDuration = 0x8,
  kSize = 0x10,
};
enum RunFlag : uint64_t {
  kDataOffset = 0x1,
  kFirstFlags = 0x4,
  kDurations = 0x100,
  kSizes = 0x200,
  kFlags = 0x400,
  kTimes = 0x800,
};

class Fragments {
 public:
  Fragments(const Bytes& file, absl::Span<const FragmentedTrack> tracks)
      : file_(file), tracks_(tracks) {}

  bool Run() {
    for (uint64_t at = 0; at < file_.size();) {
      const std::optional<Box> box = ReadBox(file_, at, file_.size());
      if (!box) break;
      if (!file_.walk().Step()) return false;
      if (box->type == "moof") Fragment(*box);
      at = box->end;
    }
    return found_all_;
  }

 private:
  uint64_t Number(uint64_t at, size_t width) {
    const std::optional<uint64_t> number = file_.Big(at, width);
    if (!number) found_all_ = false;
    return number.value_or(0);
  }

  void Fragment(const Box& moof) {
    bool first = true;
    ForEachBox(file_, moof.payload, moof.end, [&](const Box& box) {
      if (box.type != "traf") return;
      OfTrack(moof, box, first);
      first = false;
    });
  }

  void OfTrack(const Box& moof, const Box& traf, bool first) {
    const FragmentedTrack* track = nullptr;
    uint64_t size = 0;
    // Where the offsets of runs count from, and where the last run ended.
    uint64_t base = moof.begin;
    std::optional<uint64_t> next;
    ForEachBox(file_, traf.payload, traf.end, [&](const Box& box) {
      if (box.type == "tfhd") {
        const uint64_t flags = Number(box.payload, 4) & 0xffffff;
        track = Find(Number(box.payload + 4, 4));
        if (track == nullptr) return;
        uint64_t at = box.payload + 8;
        if ((flags & kBaseOffset) != 0) base = Number(at, 8);
        // Without either it counts from the end of another track's samples.
        constexpr uint64_t kFromMoof = 0x20000;
        if ((flags & (kBaseOffset | kFromMoof)) == 0 && !first) {
          found_all_ = false;
        }
        at += ((flags & kBaseOffset) != 0 ? 8 : 0) +
              ((flags & kDescription) != 0 ? 4 : 0) +
              ((flags & kDuration) != 0 ? 4 : 0);
        size = (flags & kSize) != 0 ? Number(at, 4) : track->size;
      } else if (box.type == "trun" && track != nullptr) {
        next = Samples(box, base, next, size);
      }
    });
  }

  const FragmentedTrack* Find(uint64_t id) const {
    const auto found =
        std::find_if(tracks_.begin(), tracks_.end(),
                     [id](const FragmentedTrack& one) { return one.id == id; });
    return found == tracks_.end() ? nullptr : &*found;
  }

  // Zeroes one run's; gives where it ends.
  uint64_t Samples(const Box& run, uint64_t base, std::optional<uint64_t> next,
                   uint64_t size) {
    const uint64_t flags = Number(run.payload, 4) & 0xffffff;
    const uint64_t count = Number(run.payload + 4, 4);
    uint64_t at = run.payload + 8;
    uint64_t begin = next.value_or(base);
    if ((flags & kDataOffset) != 0) {
      begin = base + static_cast<uint64_t>(static_cast<int64_t>(
                         static_cast<int32_t>(Number(at, 4))));
      at += 4;
    } else if (!next) {
      found_all_ = false;
    }
    at += (flags & kFirstFlags) != 0 ? 4 : 0;
    uint64_t total = size * count;
    if ((flags & kSizes) != 0) {
      const uint64_t before = (flags & kDurations) != 0 ? 4 : 0;
      const uint64_t width = before + 4 + ((flags & kFlags) != 0 ? 4 : 0) +
                             ((flags & kTimes) != 0 ? 4 : 0);
      total = 0;
      for (uint64_t i = 0; i < count && found_all_; ++i, at += width) {
        if (!file_.walk().Step()) return begin;
        total += Number(at + before, 4);
      }
    } else if (size == 0) {
      found_all_ = false;
    }
    file_.Zero(begin, begin + total);
    return begin + total;
  }

  const Bytes& file_;
  const absl::Span<const FragmentedTrack> tracks_;
  bool found_all_ = true;
};

}  // namespace

bool ZeroFragments(const Bytes& file,
                   absl::Span<const FragmentedTrack> tracks) {
  return Fragments(file, tracks).Run();
}

}  // namespace fused::policy::redaction
