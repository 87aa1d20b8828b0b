// One walk over one file: reading within the limits, the ranges found, and the
// pieces of metadata still to be looked at.
//
// A parser sees a piece of metadata as Bytes; what it finds inside that is of
// another kind it adds as a job, so that parsers do not know one another and
// nothing nests. A parser that does not understand its piece says so, and the
// piece is zeroed whole. An error of the source and a limit reached are kept
// here; from then on every read fails, parsers find their way out, and what
// they conclude does not matter.
#ifndef FUSED_POLICY_REDACTION_WALK_H_
#define FUSED_POLICY_REDACTION_WALK_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "policy/redaction/types.h"

namespace fused::policy::redaction {

class Walk;

// A stretch of bytes that a reader sees as one, though in the file it may lie
// in pieces. Offsets are its own, from 0.
class Bytes {
 public:
  Bytes(Walk& walk, uint64_t begin, uint64_t end);
  // `pieces` in their order, none empty.
  Bytes(Walk& walk, const std::vector<Range>& pieces);

  Walk& walk() const { return *walk_; }
  uint64_t size() const { return size_; }
  // In how many pieces it lies.
  size_t pieces() const { return pieces_.size(); }

  // All of `out`, or false.
  bool Read(uint64_t offset, absl::Span<char> out) const;
  std::optional<uint64_t> Big(uint64_t offset, size_t width) const;
  std::optional<uint64_t> Little(uint64_t offset, size_t width) const;
  // At most `size` bytes, fewer at the end.
  std::string Text(uint64_t offset, size_t size) const;
  bool StartsWith(uint64_t offset, std::string_view text) const;
  // Some of what stands at `offset`, at least one byte: good until the next
  // read. Empty at the end.
  std::string_view Peek(uint64_t offset) const;

  void Zero(uint64_t begin, uint64_t end) const;
  void ZeroAll() const { Zero(0, size_); }
  // [begin, end) of it, as far as it has them.
  Bytes Sub(uint64_t begin, uint64_t end) const;
  // Where these lie in the file.
  std::vector<Range> Locate(uint64_t begin, uint64_t end) const;

 private:
  struct Piece {
    uint64_t at = 0;  // offset here of its first byte
    Range range;
  };

  // The piece with `offset`, which is less than size().
  const Piece& Find(uint64_t offset) const;

  Walk* walk_;
  uint64_t size_ = 0;
  std::vector<Piece> pieces_;
};

// What a piece of metadata is.
enum class Part : uint8_t {
  kTiff,       // TIFF or Exif, from its header
  kTiffGps,    // its first directory holds the location
  kTiffNikon,  // a maker note that is laid out so
  kXmp,
  kIptc,         // IPTC-IIM data sets
  kPhotoshop,    // image resource blocks
  kJpegHead,     // a picture within other content, which has its end
  kGpmf,         // GoPro's key-length-values
  kFlir,         // a thermal camera's records
  kNikonTags,    // of its films
  kMovieInside,  // perhaps a movie: a signature was seen in other content
  kTail,         // what follows the end of a container: anything
  kUnknown,      // to be searched
};

struct Job {
  Part part;
  Bytes bytes;
};

class Walk {
 public:
  Walk(ByteSource& source, const Limits& limits);
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  uint64_t size() const { return size_; }
  const Limits& limits() const { return limits_; }

  // Some bytes of the file from `offset`, at least one; good until the next
  // call. Empty at the end, and where reading has failed.
  std::string_view Peek(uint64_t offset);
  // All of `out`, or false; not through the window that Peek uses, which stays.
  bool Read(uint64_t offset, absl::Span<char> out);

  // Counts one more thing looked at; false where it was one too many.
  bool Step();
  // Counts bytes that are searched.
  bool Searching(uint64_t bytes);
  // There is no telling what this file holds.
  void Refuse() { refused_ = true; }

  void Zero(uint64_t begin, uint64_t end);
  // Zeroes `also` at the end if any byte of `ranges` is: a checksum of what
  // was zeroed would give it away to who tries all it may have been.
  void ZeroAlso(const std::vector<Range>& ranges, Range also);

  void Add(Part part, Bytes bytes);
  std::optional<Job> Next();

  bool stopped() const { return refused_ || !status_.ok(); }
  const absl::Status& status() const { return status_; }
  // To be called once, when all is done.
  Finding Finish();

 private:
  // ByteSource::Read within the limits; 0 where nothing was read.
  size_t Fill(uint64_t offset, absl::Span<char> out);

  ByteSource& source_;
  const Limits limits_;
  const uint64_t size_;
  absl::Status status_;
  bool refused_ = false;
  uint64_t read_bytes_ = 0;
  uint64_t searched_bytes_ = 0;
  uint32_t reads_ = 0;
  uint32_t steps_ = 0;
  uint32_t jobs_ = 0;
  size_t pieces_ = 0;  // of the jobs in todo_
  std::vector<Job> todo_;
  std::vector<Range> ranges_;
  std::vector<std::pair<Range, Range>> also_;
  // What Peek has read.
  std::string window_;
  uint64_t window_begin_ = 0;
};

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_WALK_H_
