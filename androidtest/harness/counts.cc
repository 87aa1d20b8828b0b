#include <ostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"

namespace fused::androidtest {
namespace {

int64_t MovedBytes(pid_t pid) {
  int64_t sum = 0;
  const std::string text = ReadFile(absl::StrCat("/proc/", pid, "/io"));
  for (std::string_view line : absl::StrSplit(text, '\n')) {
    int64_t bytes = 0;
    if ((absl::ConsumePrefix(&line, "rchar: ") ||
         absl::ConsumePrefix(&line, "wchar: ")) &&
        absl::SimpleAtoi(line, &bytes)) {
      sum += bytes;
    }
  }
  return sum;
}

}  // namespace

int64_t Counts::Requests(std::string_view opcode) const {
  const auto it = requests.find(std::string(opcode));
  return it == requests.end() ? 0 : it->second;
}

int64_t Counts::AllRequests() const {
  int64_t sum = 0;
  for (const auto& [opcode, count] : requests) sum += count;
  return sum;
}

Counts operator-(const Counts& later, const Counts& earlier) {
  Counts difference = later;
  for (const auto& [opcode, count] : earlier.requests) {
    difference.requests[opcode] -= count;
  }
  difference.passthrough -= earlier.passthrough;
  difference.redacted -= earlier.redacted;
  difference.daemon -= earlier.daemon;
  difference.denied -= earlier.denied;
  difference.moved -= earlier.moved;
  return difference;
}

void PrintTo(const Counts& counts, std::ostream* os) {
  *os << "opens: " << counts.passthrough << " passthrough, " << counts.redacted
      << " redacted, " << counts.daemon << " daemon, " << counts.denied
      << " denied; " << counts.moved << " bytes moved; requests:";
  for (const auto& [opcode, count] : counts.requests) {
    if (count != 0) *os << " " << opcode << " " << count;
  }
}

Counts Device::Count() const {
  Counts counts;
  const control::v1::Status status = Status();
  if (status.volumes().empty()) return counts;
  const control::v1::VolumeStatus& volume = status.volumes(0);
  for (const auto& [opcode, count] : volume.requests()) {
    counts.requests[opcode] = static_cast<int64_t>(count);
  }
  counts.passthrough = static_cast<int64_t>(volume.opens().passthrough());
  counts.redacted = static_cast<int64_t>(volume.opens().redacted());
  counts.daemon = static_cast<int64_t>(volume.opens().daemon());
  counts.denied = static_cast<int64_t>(volume.opens().denied());
  counts.moved = MovedBytes(daemon_.pid());
  return counts;
}

}  // namespace fused::androidtest
