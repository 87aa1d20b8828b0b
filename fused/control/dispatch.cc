#include "fused/control/dispatch.h"

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "fused/control/frame.h"
#include "fused/shown_text.h"
#include "kernel/status.h"

namespace fused::control {
namespace {

constexpr absl::Duration kSyncTimeout = absl::Seconds(25);
// How soon a sync sees that the server stops.
constexpr absl::Duration kSyncSlice = absl::Milliseconds(500);

v1::Response FailureOf(const absl::Status& status) {
  return ErrorResponse(kernel::ErrnoOf(status), kernel::Describe(status));
}

std::string_view NameOf(v1::Request::KindCase kind) {
  const auto* const field = v1::Request::descriptor()->FindFieldByNumber(kind);
  return field == nullptr ? "" : std::string_view(field->name());
}

absl::Status Sync(Backend& backend, const std::atomic<bool>& stopping) {
  absl::Status status;
  for (absl::Duration left = kSyncTimeout; left > absl::ZeroDuration();
       left -= kSyncSlice) {
    status = backend.Sync(kSyncSlice);
    if (!absl::IsDeadlineExceeded(status) || stopping) break;
  }
  return status;
}

// A push that is in force is answered so, whatever there is to be said of it.
void MakeShort(v1::PushResponse& push) {
  push.set_more_holders(push.more_holders() +
                        static_cast<uint64_t>(push.holders_size()));
  push.clear_holders();
  if (push.has_diff()) {
    push.mutable_diff()->clear_changes();
    push.mutable_diff()->set_complete(false);
  }
  constexpr int kMostIssues = 1000;
  if (push.issues_size() > kMostIssues) {
    push.mutable_issues()->DeleteSubrange(kMostIssues,
                                          push.issues_size() - kMostIssues);
  }
}

}  // namespace

std::string FrameOf(v1::Response response) {
  auto frame = EncodeFrame(response);
  if (!frame.ok() && response.has_push()) {
    MakeShort(*response.mutable_push());
    frame = EncodeFrame(response);
  }
  if (!frame.ok()) {
    frame = EncodeFrame(ErrorResponse(
        EMSGSIZE,
        absl::StrCat("the answer is too long: ", frame.status().message())));
  }
  return *std::move(frame);
}

v1::Response ErrorResponse(int error, std::string_view text) {
  v1::Response response;
  response.set_error_number(error);
  response.set_error(std::string(text));
  return response;
}

void SetPeer(uid_t uid, v1::Request& request) {
  if (request.has_push()) {
    request.mutable_push()->set_peer_uid(uid);
    // It is kept, many times.
    request.mutable_push()->set_file_name(
        ShownText(request.push().file_name()));
  }
  if (request.has_rollback()) request.mutable_rollback()->set_peer_uid(uid);
  if (request.has_reload()) request.mutable_reload()->set_peer_uid(uid);
  if (request.has_apps_delta()) request.mutable_apps_delta()->set_peer_uid(uid);
}

// What there is, which apps have a view and what they do is nobody's business.
void HideFromOthers(v1::Status& status) {
  v1::Status shown;
  shown.set_state(status.state());
  shown.set_version(status.version());
  status = std::move(shown);
}

Answer Dispatch(Backend& backend, const v1::Request& request, Asker asker,
                const std::atomic<bool>& stopping) {
  Answer answer;
  v1::Response& message = answer.message;
  const auto kind = request.kind_case();
  if (!asker.admin && kind != v1::Request::kStatus &&
      kind != v1::Request::KIND_NOT_SET) {
    backend.Refused(asker.uid, NameOf(kind), EACCES);
    message = ErrorResponse(
        EACCES, "only root and the configured admin uids may do this");
    return answer;
  }
  switch (kind) {
    case v1::Request::kStatus:
      *message.mutable_status() = backend.GetStatus();
      if (!asker.admin) HideFromOthers(*message.mutable_status());
      break;
    case v1::Request::kPush:
      *message.mutable_push() = backend.Push(request.push());
      break;
    case v1::Request::kRollback:
      *message.mutable_push() = backend.Rollback(request.rollback());
      break;
    case v1::Request::kAppsDelta:
      *message.mutable_push() = backend.ChangeApps(request.apps_delta());
      break;
    case v1::Request::kReload:
      *message.mutable_reload() = backend.Reload(request.reload());
      break;
    case v1::Request::kHistory:
      *message.mutable_history() = backend.History(request.history());
      break;
    case v1::Request::kExplain:
      if (auto result = backend.Explain(request.explain()); result.ok()) {
        *message.mutable_explain() = *std::move(result);
      } else {
        message = FailureOf(result.status());
      }
      break;
    case v1::Request::kView:
      if (auto result = backend.View(request.view()); result.ok()) {
        *message.mutable_view() = *std::move(result);
      } else {
        message = FailureOf(result.status());
      }
      break;
    case v1::Request::kRun:
      if (auto result = backend.Run(request.run()); result.ok()) {
        *message.mutable_run() = std::move(result->message);
        answer.fds = std::move(result->mounts);
      } else {
        message = FailureOf(result.status());
      }
      break;
    case v1::Request::kSync:
      if (auto status = Sync(backend, stopping); status.ok()) {
        message.mutable_sync();
      } else {
        message = FailureOf(status);
      }
      break;
    case v1::Request::kHandles:
      *message.mutable_handles() = backend.Handles(request.handles());
      break;
    case v1::Request::kScan:
      if (auto result = backend.Scan(request.scan()); result.ok()) {
        *message.mutable_scan() = *std::move(result);
      } else {
        message = FailureOf(result.status());
      }
      break;
    case v1::Request::kMaintain:
      if (auto result = backend.Maintain(request.maintain()); result.ok()) {
        *message.mutable_maintain() = *std::move(result);
      } else {
        message = FailureOf(result.status());
      }
      break;
    case v1::Request::kFile:
      if (auto result = backend.File(request.file()); result.ok()) {
        *message.mutable_file() = *std::move(result);
      } else {
        message = FailureOf(result.status());
      }
      break;
    case v1::Request::kAudit:
      *message.mutable_audit() = backend.Audit(request.audit());
      break;
    case v1::Request::kMetrics:
      *message.mutable_metrics() = backend.Metrics(request.metrics());
      break;
    case v1::Request::kTop:
      *message.mutable_top() = backend.Top();
      break;
    case v1::Request::KIND_NOT_SET:
      backend.Refused(asker.uid, "", EOPNOTSUPP);
      message = ErrorResponse(EOPNOTSUPP, "a request that is not known here");
      break;
  }
  return answer;
}

}  // namespace fused::control
