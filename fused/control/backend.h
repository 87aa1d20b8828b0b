// What the control server asks of the daemon.
#ifndef FUSED_FUSED_CONTROL_BACKEND_H_
#define FUSED_FUSED_CONTROL_BACKEND_H_

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernel/fd.h"
#include "proto/control.pb.h"

namespace fused::control {

// Methods are called on the control server's threads, never on one that serves
// files; thread-safe. Errors carry an errno (kernel/status.h) and a text for
// the operator. The server has checked that the peer may ask.
class Backend {
 public:
  struct RunReply {
    v1::RunResponse message;
    // Detached mounts, in the order of message.mounts.
    std::vector<kernel::Fd> mounts;
  };

  virtual ~Backend() = default;

  virtual v1::Status GetStatus() = 0;
  // A refused push is a response with accepted false and issues, not an error.
  virtual v1::PushResponse Push(const v1::PushRequest& request) = 0;
  virtual v1::PushResponse Rollback(const v1::RollbackRequest& request) = 0;
  virtual v1::ReloadResponse Reload(const v1::ReloadRequest& request) = 0;
  virtual v1::PushResponse ChangeApps(const v1::AppsDeltaRequest& request) = 0;
  virtual v1::HistoryResponse History(const v1::HistoryRequest& request) = 0;
  virtual absl::StatusOr<v1::Explanation> Explain(
      const v1::ExplainRequest& request) = 0;
  virtual absl::StatusOr<v1::ViewResponse> View(
      const v1::ViewRequest& request) = 0;
  virtual absl::StatusOr<RunReply> Run(const v1::RunRequest& request) = 0;
  // DEADLINE_EXCEEDED where invalidations are still queued after `timeout`.
  virtual absl::Status Sync(absl::Duration timeout) = 0;
  virtual v1::HandlesResponse Handles(const v1::HandlesRequest& request) = 0;
  // Returns when it has been asked for.
  virtual absl::StatusOr<v1::ScanResponse> Scan(
      const v1::ScanRequest& request) = 0;
  // Returns when it is done.
  virtual absl::StatusOr<v1::MaintainResponse> Maintain(
      const v1::MaintainRequest& request) = 0;
  virtual absl::StatusOr<v1::FileResponse> File(
      const v1::FileRequest& request) = 0;
  // Does not wait for records to come.
  virtual v1::AuditResponse Audit(const v1::AuditRequest& request) = 0;
  virtual v1::MetricsResponse Metrics(const v1::MetricsRequest& request) = 0;
  virtual v1::TopResponse Top() = 0;

  // The server has refused a request of this uid, with the errno; `request` is
  // the name of its kind, or empty where it has none. Also on the server's own
  // thread: does not wait.
  virtual void Refused(uid_t uid, std::string_view request, int error) = 0;
};

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_BACKEND_H_
