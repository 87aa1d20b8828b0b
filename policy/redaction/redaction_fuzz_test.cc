// Files as a caller may write them. A container's target has a corpus of it,
// and starts each input as that container does.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "policy/redaction/redaction.h"
#include "policy/redaction/types.h"

namespace fused::policy::redaction {
namespace {

using namespace std::string_view_literals;  // NOLINT(google-*): NULs in them

// What files begin with. Each target has one of them, by FUZZ_START.
[[maybe_unused]] constexpr auto kAvi = "RIFF\xff\xff\0\0AVI "sv;
[[maybe_unused]] constexpr auto kBigTiff = "II\x2b\0\x08\0\0\0"sv;
[[maybe_unused]] constexpr auto kHeif = "\0\0\0\x10\146typheic"sv;
[[maybe_unused]] constexpr auto kJpeg = "\xff\xd8\xff"sv;
[[maybe_unused]] constexpr auto kMatroska = "\x1a\x45\xdf\xa3"sv;
[[maybe_unused]] constexpr auto kMovie = "\0\0\0\x10\146typqt  "sv;
[[maybe_unused]] constexpr auto kPng = "\x89PNG\r\n\x1a\n"sv;
[[maybe_unused]] constexpr auto kTiff = "II*\0"sv;
[[maybe_unused]] constexpr auto kTiffBigEndian = "MM\0*"sv;
[[maybe_unused]] constexpr auto kUnknown = ""sv;
[[maybe_unused]] constexpr auto kWebp = "RIFF\xff\xff\0\0WEBP"sv;

class Input : public ByteSource {
 public:
  explicit Input(std::string_view content) : content_(content) {}

  absl::StatusOr<size_t> Read(uint64_t offset, absl::Span<char> out) override {
    CHECK_LT(offset, content_.size());
    bytes_ += out.size();
    ++reads_;
    const std::string_view some = content_.substr(offset, out.size());
    std::memcpy(out.data(), some.data(), some.size());
    return some.size();
  }
  uint64_t size() const override { return content_.size(); }

  uint64_t bytes() const { return bytes_; }
  uint32_t reads() const { return reads_; }

 private:
  const std::string_view content_;
  uint64_t bytes_ = 0;
  uint32_t reads_ = 0;
};

void Check(std::string_view content) {
  Limits limits;
  // So that a limit is within reach of a small input.
  limits.steps = 4096;
  limits.reads = 1024;
  limits.ranges = 64;
  Input input(content);
  const absl::StatusOr<Finding> finding = FindLocation(input, limits);
  CHECK_OK(finding);
  CHECK_LE(input.reads(), limits.reads);
  CHECK_LE(input.bytes(), limits.read_bytes);
  CHECK((finding->kind == Finding::Kind::kRanges) != finding->ranges.empty());
  uint64_t last = 0;
  bool first = true;
  for (const Range& range : finding->ranges) {
    CHECK(first || range.begin > last);
    CHECK_LT(range.begin, range.end);
    CHECK_LE(range.end, content.size());
    last = range.end;
    first = false;
  }
  // The same again, since nothing else goes in.
  Input again(content);
  CHECK(FindLocation(again, limits)->ranges == finding->ranges);
}

std::string Started(std::string_view content) {
  std::string started(content);
  const size_t fixed = std::min(content.size(), FUZZ_START.size());
  started.replace(0, fixed, FUZZ_START.substr(0, fixed));
  return started;
}

}  // namespace
}  // namespace fused::policy::redaction

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fused::policy;  // NOLINT(google-build-using-namespace)
  redaction::Check(redaction::Started(
      std::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
