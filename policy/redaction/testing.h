// Hand-built files for tests.
#ifndef FUSED_POLICY_REDACTION_TESTING_H_
#define FUSED_POLICY_REDACTION_TESTING_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "policy/redaction/types.h"

namespace fused::policy::redaction {

// What tests write where a location goes, and where something else does. As
// long as each other, and even.
inline constexpr std::string_view kSecret = "SECRETPLACES";
inline constexpr std::string_view kPublic = "PUBLICTHINGS";

// A file that is zeros but for some pieces.
class Source : public ByteSource {
 public:
  explicit Source(std::string content);
  Source(uint64_t size, std::map<uint64_t, std::string> pieces);

  absl::StatusOr<size_t> Read(uint64_t offset, absl::Span<char> out) override;
  uint64_t size() const override { return size_; }

  // From the `nth` read on, each fails.
  void FailAt(int nth, absl::Status status);
  int reads() const { return reads_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const uint64_t size_;
  const std::map<uint64_t, std::string> pieces_;
  int reads_ = 0;
  uint64_t bytes_ = 0;
  int fail_at_ = 0;
  absl::Status failure_;
};

// `content` as a redacted view shows it; "NONE" or "REFUSED" where the finding
// is that.
std::string Redacted(const std::string& content);

// Whether `content` holds `text`.
bool Holds(std::string_view content, std::string_view text);

std::string Big(uint64_t number, size_t width);
std::string Little(uint64_t number, size_t width);

struct TiffEntry {
  uint16_t tag;
  uint16_t type;
  uint32_t count;
  std::string value;  // in the file's byte order
};
// Type numbers.
inline constexpr uint16_t kByte = 1;
inline constexpr uint16_t kAscii = 2;
inline constexpr uint16_t kLong = 4;
inline constexpr uint16_t kUndefined = 7;

// A text that does not fit into the entry.
TiffEntry TextEntry(uint16_t tag, std::string_view text);

// One directory that stands at `offset`, with its values behind it.
std::string Directory(const std::vector<TiffEntry>& entries, uint32_t offset,
                      bool big = false, uint32_t next = 0);

// TIFF with the secret in its GPS directory, the other in the main one.
std::string Exif(bool big = false);

// XMP with the secret in a GPS property, the other in a title.
std::string Xmp();

// IPTC with the secret for a city, the other for a headline.
std::string Iptc();

std::string Box(std::string_view type, std::string_view payload);
std::string FullBox(std::string_view type, std::string_view payload,
                    uint32_t version_and_flags = 0);

}  // namespace fused::policy::redaction

#endif  // FUSED_POLICY_REDACTION_TESTING_H_
