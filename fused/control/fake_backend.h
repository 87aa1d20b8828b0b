// A backend for tests of the control server and of fusedctl.
#ifndef FUSED_FUSED_CONTROL_FAKE_BACKEND_H_
#define FUSED_FUSED_CONTROL_FAKE_BACKEND_H_

#include <functional>
#include <string_view>

#include "fused/control/backend.h"

namespace fused::control {

// Answers what the test's functions say; each has an answer of its own until
// it is set. Set them before the server starts.
class FakeBackend : public Backend {
 public:
  std::function<v1::Status()> on_status = [] {
    v1::Status status;
    status.set_state("SERVING");
    status.add_volumes()->set_name("external_primary");
    return status;
  };
  std::function<v1::PushResponse(const v1::PushRequest&)> on_push =
      [](const v1::PushRequest& request) {
        v1::PushResponse response;
        response.set_accepted(true);
        response.set_version(request.content().size());
        response.set_changed(!request.dry_run());
        return response;
      };
  std::function<v1::PushResponse(const v1::RollbackRequest&)> on_rollback =
      [](const v1::RollbackRequest& request) {
        v1::PushResponse response;
        response.set_accepted(true);
        response.set_version(request.version());
        return response;
      };
  std::function<v1::ReloadResponse(const v1::ReloadRequest&)> on_reload =
      [](const v1::ReloadRequest&) {
        v1::ReloadResponse response;
        response.set_accepted(true);
        return response;
      };
  std::function<v1::PushResponse(const v1::AppsDeltaRequest&)> on_apps_delta =
      [](const v1::AppsDeltaRequest& request) {
        v1::PushResponse response;
        response.set_accepted(true);
        response.set_version(request.base_version() + 1);
        return response;
      };
  std::function<v1::HistoryResponse(const v1::HistoryRequest&)> on_history =
      [](const v1::HistoryRequest&) { return v1::HistoryResponse(); };
  std::function<absl::StatusOr<v1::Explanation>(const v1::ExplainRequest&)>
      on_explain = [](const v1::ExplainRequest& request) {
        v1::Explanation explanation;
        explanation.set_verdict(request.uid() == 0 ? "ALLOW" : "DENY");
        return explanation;
      };
  std::function<absl::StatusOr<v1::ViewResponse>(const v1::ViewRequest&)>
      on_view = [](const v1::ViewRequest& request) {
        v1::ViewResponse response;
        response.set_path("/views/" + request.package());
        return response;
      };
  std::function<absl::StatusOr<RunReply>(const v1::RunRequest&)> on_run =
      [](const v1::RunRequest&) -> absl::StatusOr<RunReply> {
    return absl::NotFoundError("no such package");
  };
  std::function<absl::Status(absl::Duration)> on_sync = [](absl::Duration) {
    return absl::OkStatus();
  };
  std::function<v1::HandlesResponse(const v1::HandlesRequest&)> on_handles =
      [](const v1::HandlesRequest&) { return v1::HandlesResponse(); };
  std::function<absl::StatusOr<v1::ScanResponse>(const v1::ScanRequest&)>
      on_scan = [](const v1::ScanRequest&) {
        v1::ScanResponse response;
        response.set_scan(1);
        return response;
      };
  std::function<absl::StatusOr<v1::MaintainResponse>(
      const v1::MaintainRequest&)>
      on_maintain =
          [](const v1::MaintainRequest&) { return v1::MaintainResponse(); };
  std::function<absl::StatusOr<v1::FileResponse>(const v1::FileRequest&)>
      on_file = [](const v1::FileRequest&) { return v1::FileResponse(); };

  std::function<v1::AuditResponse(const v1::AuditRequest&)> on_audit =
      [](const v1::AuditRequest&) { return v1::AuditResponse(); };
  std::function<v1::MetricsResponse(const v1::MetricsRequest&)> on_metrics =
      [](const v1::MetricsRequest&) { return v1::MetricsResponse(); };
  std::function<v1::TopResponse()> on_top = [] { return v1::TopResponse(); };
  std::function<void(uid_t, std::string_view, int)> on_refused =
      [](uid_t, std::string_view, int) {};

  v1::Status GetStatus() override { return on_status(); }
  v1::PushResponse Push(const v1::PushRequest& request) override {
    return on_push(request);
  }
  v1::PushResponse Rollback(const v1::RollbackRequest& request) override {
    return on_rollback(request);
  }
  v1::ReloadResponse Reload(const v1::ReloadRequest& request) override {
    return on_reload(request);
  }
  v1::PushResponse ChangeApps(const v1::AppsDeltaRequest& request) override {
    return on_apps_delta(request);
  }
  v1::HistoryResponse History(const v1::HistoryRequest& request) override {
    return on_history(request);
  }
  absl::StatusOr<v1::Explanation> Explain(
      const v1::ExplainRequest& request) override {
    return on_explain(request);
  }
  absl::StatusOr<v1::ViewResponse> View(
      const v1::ViewRequest& request) override {
    return on_view(request);
  }
  absl::StatusOr<RunReply> Run(const v1::RunRequest& request) override {
    return on_run(request);
  }
  absl::Status Sync(absl::Duration timeout) override {
    return on_sync(timeout);
  }
  v1::HandlesResponse Handles(const v1::HandlesRequest& request) override {
    return on_handles(request);
  }
  absl::StatusOr<v1::ScanResponse> Scan(
      const v1::ScanRequest& request) override {
    return on_scan(request);
  }
  absl::StatusOr<v1::MaintainResponse> Maintain(
      const v1::MaintainRequest& request) override {
    return on_maintain(request);
  }
  absl::StatusOr<v1::FileResponse> File(
      const v1::FileRequest& request) override {
    return on_file(request);
  }
  v1::AuditResponse Audit(const v1::AuditRequest& request) override {
    return on_audit(request);
  }
  v1::MetricsResponse Metrics(const v1::MetricsRequest& request) override {
    return on_metrics(request);
  }
  v1::TopResponse Top() override { return on_top(); }
  void Refused(uid_t uid, std::string_view request, int error) override {
    on_refused(uid, request, error);
  }
};

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_FAKE_BACKEND_H_
