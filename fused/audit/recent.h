// The last records, in memory, for those who ask.
#ifndef FUSED_FUSED_AUDIT_RECENT_H_
#define FUSED_FUSED_AUDIT_RECENT_H_

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "proto/audit.pb.h"
#include "proto/control.pb.h"

namespace fused::audit {

// Thread-safe. Nobody who asks holds anything: one who comes too seldom has
// lost what went, and is told how many.
class Recent {
 public:
  explicit Recent(size_t most) : most_(most) {}

  void Add(v1::Record record);
  control::v1::AuditResponse Answer(
      const control::v1::AuditRequest& request) const;

 private:
  const size_t most_;
  mutable absl::Mutex mutex_;
  // What comes next has this number; the first is next_ - records_.size().
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;
  std::deque<v1::Record> records_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_RECENT_H_
