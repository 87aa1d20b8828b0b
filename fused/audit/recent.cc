#include "fused/audit/recent.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"

namespace fused::audit {
namespace {

constexpr uint32_t kMostAtOnce = 1000;

bool Matches(const v1::Record& record,
             const control::v1::AuditRequest& request) {
  if (request.has_uid() && record.uid() != request.uid()) return false;
  if (!request.package().empty() && record.package() != request.package()) {
    return false;
  }
  if (request.kind() != v1::Record::KIND_UNSPECIFIED &&
      record.kind() != request.kind()) {
    return false;
  }
  if (!absl::StartsWith(record.path(), request.path_prefix())) return false;
  if (!request.has_since()) return true;
  return std::tuple(record.time().seconds(), record.time().nanos()) >=
         std::tuple(request.since().seconds(), request.since().nanos());
}

}  // namespace

void Recent::Add(v1::Record record) {
  // The one that goes is let go of after the lock.
  v1::Record gone;
  absl::MutexLock lock(&mutex_);
  if (records_.size() >= most_) {
    gone = std::move(records_.front());
    records_.pop_front();
  }
  records_.push_back(std::move(record));
  ++next_;
}

control::v1::AuditResponse Recent::Answer(
    const control::v1::AuditRequest& request) const {
  const uint32_t limit = request.limit() == 0
                             ? kMostAtOnce
                             : std::min(request.limit(), kMostAtOnce);
  control::v1::AuditResponse response;
  absl::ReaderMutexLock lock(&mutex_);
  const uint64_t oldest = next_ - records_.size();
  uint64_t at = request.cursor();
  if (at == 0) {
    at = oldest;
  } else if (at < oldest) {
    response.set_lost(oldest - at);
    at = oldest;
  }
  // Of another run of the daemon.
  at = std::min(at, next_);
  for (; at < next_; ++at) {
    const v1::Record& record = records_[at - oldest];
    if (!Matches(record, request)) continue;
    if (static_cast<uint32_t>(response.records_size()) == limit) {
      response.set_more(true);
      break;
    }
    *response.add_records() = record;
  }
  response.set_next(at);
  return response;
}

}  // namespace fused::audit
