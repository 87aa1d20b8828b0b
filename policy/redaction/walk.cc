#include "policy/redaction/walk.h"

#include <algorithm>
#include <cstring>

#include "policy/redaction/endian.h"
#include "policy/redaction/zero_ranges.h"

namespace fused::policy::redaction {
namespace {

// A jump costs little, a run goes fast.
constexpr size_t kJump = 4096;
constexpr size_t kRun = 128 << 10;

// Of one stretch of bytes, and of all that wait.
constexpr size_t kMaxPieces = 1024;
constexpr size_t kMaxHeldPieces = 4096;
constexpr size_t kMaxAlso = 4096;

// More ranges than this get the room for all that there may be at once:
// doubling would hold half as much again.
constexpr size_t kManyRanges = 4096;

}  // namespace

Bytes::Bytes(Walk& walk, uint64_t begin, uint64_t end) : walk_(&walk) {
  end = std::min(end, walk.size());
  if (begin >= end) return;
  size_ = end - begin;
  pieces_.push_back({.at = 0, .range = {begin, end}});
}

Bytes::Bytes(Walk& walk, const std::vector<Range>& pieces) : walk_(&walk) {
  pieces_.reserve(pieces.size());
  for (const Range& piece : pieces) {
    const uint64_t end = std::min(piece.end, walk.size());
    if (piece.begin >= end) continue;
    if (!pieces_.empty() && pieces_.back().range.end == piece.begin) {
      pieces_.back().range.end = end;
    } else {
      pieces_.push_back({.at = size_, .range = {piece.begin, end}});
    }
    size_ += end - piece.begin;
  }
  if (pieces_.size() > kMaxPieces) walk.Refuse();
}

const Bytes::Piece& Bytes::Find(uint64_t offset) const {
  return *(std::upper_bound(
               pieces_.begin(), pieces_.end(), offset,
               [](uint64_t at, const Piece& piece) { return at < piece.at; }) -
           1);
}

std::string_view Bytes::Peek(uint64_t offset) const {
  if (offset >= size_) return {};
  const Piece& piece = Find(offset);
  const uint64_t at = piece.range.begin + (offset - piece.at);
  return walk_->Peek(at).substr(0, piece.range.end - at);
}

bool Bytes::Read(uint64_t offset, absl::Span<char> out) const {
  if (offset > size_ || out.size() > size_ - offset) return false;
  while (!out.empty()) {
    const std::string_view some = Peek(offset).substr(0, out.size());
    if (some.empty()) return false;
    std::memcpy(out.data(), some.data(), some.size());
    out.remove_prefix(some.size());
    offset += some.size();
  }
  return true;
}

std::optional<uint64_t> Bytes::Big(uint64_t offset, size_t width) const {
  char number[8];
  if (!Read(offset, absl::MakeSpan(number, width))) return std::nullopt;
  return LoadBig(number, width);
}

std::optional<uint64_t> Bytes::Little(uint64_t offset, size_t width) const {
  char number[8];
  if (!Read(offset, absl::MakeSpan(number, width))) return std::nullopt;
  return LoadLittle(number, width);
}

std::string Bytes::Text(uint64_t offset, size_t size) const {
  if (offset >= size_) return {};
  std::string text(std::min<uint64_t>(size, size_ - offset), '\0');
  if (!Read(offset, absl::MakeSpan(text))) text.clear();
  return text;
}

bool Bytes::StartsWith(uint64_t offset, std::string_view text) const {
  return Text(offset, text.size()) == text;
}

std::vector<Range> Bytes::Locate(uint64_t begin, uint64_t end) const {
  end = std::min(end, size_);
  std::vector<Range> found;
  while (begin < end) {
    const Piece& piece = Find(begin);
    const uint64_t at = piece.range.begin + (begin - piece.at);
    const uint64_t length = std::min(piece.range.end - at, end - begin);
    found.push_back({at, at + length});
    begin += length;
  }
  return found;
}

void Bytes::Zero(uint64_t begin, uint64_t end) const {
  for (const Range& range : Locate(begin, end)) {
    walk_->Zero(range.begin, range.end);
  }
}

Bytes Bytes::Sub(uint64_t begin, uint64_t end) const {
  return Bytes(*walk_, Locate(begin, end));
}

Walk::Walk(ByteSource& source, const Limits& limits)
    : source_(source), limits_(limits), size_(source.size()) {}

size_t Walk::Fill(uint64_t offset, absl::Span<char> out) {
  if (stopped() || offset >= size_) return 0;
  out = out.subspan(0, std::min<uint64_t>(out.size(), size_ - offset));
  if (++reads_ > limits_.reads ||
      (read_bytes_ += out.size()) > limits_.read_bytes) {
    Refuse();
    return 0;
  }
  const absl::StatusOr<size_t> got = source_.Read(offset, out);
  if (!got.ok()) {
    status_ = got.status();
    return 0;
  }
  // Shorter than it was: the caller opened it while it was cut. What is not
  // there tells nothing.
  return std::min(*got, out.size());
}

std::string_view Walk::Peek(uint64_t offset) {
  if (offset < window_begin_ || offset - window_begin_ >= window_.size()) {
    const bool run = !window_.empty() && offset >= window_begin_ &&
                     offset - window_begin_ <= window_.size() + kJump;
    window_.resize(std::min<uint64_t>(run ? kRun : kJump,
                                      offset < size_ ? size_ - offset : 0));
    window_.resize(Fill(offset, absl::MakeSpan(window_)));
    window_begin_ = offset;
  }
  if (stopped()) return {};
  return std::string_view(window_).substr(offset - window_begin_);
}

bool Walk::Read(uint64_t offset, absl::Span<char> out) {
  while (!out.empty()) {
    const size_t got = Fill(offset, out);
    if (got == 0) return false;
    out.remove_prefix(got);
    offset += got;
  }
  return true;
}

bool Walk::Step() {
  if (++steps_ > limits_.steps) Refuse();
  return !stopped();
}

bool Walk::Searching(uint64_t bytes) {
  searched_bytes_ += std::min(bytes, limits_.searched_bytes + 1);
  if (searched_bytes_ > limits_.searched_bytes) Refuse();
  return !stopped();
}

void Walk::Zero(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  // Samples and entries come one behind the other.
  if (!ranges_.empty() && ranges_.back().end == begin) {
    ranges_.back().end = end;
    return;
  }
  if (ranges_.size() >= limits_.ranges) {
    Normalize(ranges_, size_);
    // Half, so that this is not done again for every range.
    if (ranges_.size() > limits_.ranges / 2) Refuse();
  }
  if (stopped()) return;
  if (ranges_.size() == kManyRanges) ranges_.reserve(limits_.ranges);
  ranges_.push_back({begin, end});
}

void Walk::ZeroAlso(const std::vector<Range>& ranges, Range also) {
  if (also_.size() + ranges.size() > kMaxAlso) {
    Refuse();
    return;
  }
  for (const Range& range : ranges) also_.emplace_back(range, also);
}

void Walk::Add(Part part, Bytes bytes) {
  if (bytes.size() == 0) return;
  pieces_ += bytes.pieces();
  if (++jobs_ > limits_.jobs || pieces_ > kMaxHeldPieces) Refuse();
  if (!stopped()) todo_.push_back({part, std::move(bytes)});
}

std::optional<Job> Walk::Next() {
  if (stopped() || todo_.empty()) return std::nullopt;
  Job job = std::move(todo_.back());
  todo_.pop_back();
  pieces_ -= job.bytes.pieces();
  return job;
}

Finding Walk::Finish() {
  Finding finding;
  if (stopped()) {
    finding.kind = Finding::Kind::kRefused;
    return finding;
  }
  window_ = std::string();
  Normalize(ranges_, size_);
  std::vector<Range> more;
  for (const auto& [trigger, also] : also_) {
    const auto next = std::upper_bound(
        ranges_.begin(), ranges_.end(), trigger.begin,
        [](uint64_t at, const Range& range) { return at < range.end; });
    if (next != ranges_.end() && next->begin < trigger.end) {
      more.push_back(also);
    }
  }
  also_ = {};
  ranges_.reserve(ranges_.size() + more.size());
  ranges_.insert(ranges_.end(), more.begin(), more.end());
  Normalize(ranges_, size_);
  finding.ranges = std::move(ranges_);
  if (!finding.ranges.empty()) finding.kind = Finding::Kind::kRanges;
  return finding;
}

}  // namespace fused::policy::redaction
