// What the index knows of a lower file.
#ifndef FUSED_FUSED_MEDIA_RECORD_H_
#define FUSED_FUSED_MEDIA_RECORD_H_

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "fused/owner.h"

namespace fused::media {

// A lower tree of a volume: each user's own.
struct TreeName {
  std::string volume;
  uint32_t user = 0;

  friend auto operator<=>(const TreeName&, const TreeName&) = default;
};

// Of a pending or trashed file.
enum class Waiting : uint8_t { kNo = 0, kPending = 1, kTrashed = 2 };

// Whether a file carries a location.
enum class Location : uint8_t { kUnknown = 0, kNone = 1, kHas = 2 };

// What a file's name says of it.
struct Described {
  std::string media_type;  // empty: none
  Waiting waiting = Waiting::kNo;
  bool hidden = false;
  // Seconds since 1970; where it waits.
  int64_t expires = 0;
};

// Trivially copyable; the pointers are an Interner's, which outlives it.
struct Record {
  const Owner* owner = nullptr;             // null: nobody
  const std::string* media_type = nullptr;  // null: none
  int64_t expires = 0;
  // The state of the file that `location` is of: nanoseconds, bytes.
  int64_t ctime = 0;
  int64_t size = 0;
  // The scan that it was last seen by; not kept on disk.
  uint32_t mark = 0;
  Waiting waiting = Waiting::kNo;
  bool hidden = false;
  Location location = Location::kUnknown;

  // Nothing that is worth a row.
  bool empty() const {
    return owner == nullptr && location == Location::kUnknown;
  }
  // In what is kept on disk.
  bool Same(const Record& other) const {
    return owner == other.owner && media_type == other.media_type &&
           expires == other.expires && ctime == other.ctime &&
           size == other.size && waiting == other.waiting &&
           hidden == other.hidden && location == other.location;
  }
};

inline int64_t ChangeTime(const struct stat& stat) {
  return stat.st_ctim.tv_sec * 1'000'000'000 + stat.st_ctim.tv_nsec;
}

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_RECORD_H_
