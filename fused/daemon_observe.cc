// What the daemon tells of itself: the audit log, metrics.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "fused/audit/event.h"
#include "fused/daemon.h"
#include "fused/metrics/exposition.h"
#include "fused/metrics/render.h"
#include "fused/shown_text.h"
#include "fused/version.h"
#include "kernel/fd.h"
#include "kernel/packet.h"
#include "kernel/status.h"

namespace fused {
namespace {

bool Fail(StartError& error, int exit_code, const absl::Status& status) {
  error = {exit_code, kernel::Describe(status)};
  return false;
}

// `what` was asked for, by that uid.
audit::v1::Record RecordOf(std::string_view what, uid_t uid,
                           const control::v1::PushResponse& response) {
  std::string text =
      absl::StrCat(what, response.accepted() ? " accepted" : " refused",
                   ", version ", response.version(), " in force");
  if (!response.sha256().empty()) {
    absl::StrAppend(&text, ", sha256 ", response.sha256());
  }
  if (response.accepted() && !response.changed()) {
    absl::StrAppend(&text, ", unchanged");
  }
  if (response.killed() != 0) {
    absl::StrAppend(&text, ", ", response.killed(), " processes killed");
  }
  if (!response.accepted() && response.issues_size() > 0) {
    const control::v1::Issue& first = response.issues(0);
    absl::StrAppend(&text, "; ", response.issues_size(),
                    " issues: ", ShownText(first.file()), ":", first.line(),
                    ": ", ShownText(first.field()), ": ",
                    ShownText(first.reason()));
  }
  audit::v1::Record record =
      audit::NewRecord(audit::v1::Record::PUSH, std::move(text));
  record.set_uid(uid);
  record.set_epoch(response.epoch());
  return record;
}

// At once: whoever reads the file has the old text or the new.
absl::Status Replace(const std::string& file, std::string_view text) {
  const std::string fresh = file + ".new";
  // In the exporter's directory others may have put something there.
  unlink(fresh.c_str());
  const kernel::Fd fd(
      open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd.valid()) return kernel::ErrnoStatus(errno, fresh);
  while (!text.empty()) {
    const ssize_t put = write(fd.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return kernel::ErrnoStatus(errno, fresh);
    text.remove_prefix(static_cast<size_t>(put));
  }
  if (rename(fresh.c_str(), file.c_str()) != 0) {
    return kernel::ErrnoStatus(errno, file);
  }
  return absl::OkStatus();
}

}  // namespace

bool Daemon::OpenAudit(StartError& error) {
  absl::StatusOr<std::unique_ptr<audit::Log>> log =
      audit::Log::Open({.state_dir = state_->path(),
                        .config = settings_.audit,
                        .journal = audit::LogsToJournal()});
  if (!log.ok()) return Fail(error, kExitUsage, log.status());
  audit_ = *std::move(log);
  return true;
}

void Daemon::TellMediaIndex(const media::Writer::Stats& index) {
  std::string text =
      index.degraded
          ? absl::StrCat("the media index is DEGRADED: ", index.reason)
          : "the media index is READY";
  if (!index.set_aside.empty()) {
    absl::StrAppend(&text, ", its database was set aside as ", index.set_aside);
  }
  audit_->Say(audit::NewRecord(audit::v1::Record::STATE, std::move(text)));
}

// Files that the start was told of are put in force as by a push.
void Daemon::TellStart() {
  const control::v1::Status status = GetStatus();
  control::v1::PushResponse response;
  response.set_accepted(true);
  response.set_changed(true);
  response.set_epoch(status.epoch());
  if (policies_->started().policy) {
    response.set_version(status.policy().version());
    response.set_sha256(status.policy().sha256());
    audit_->Say(RecordOf("POLICY of START", 0, response));
  }
  if (policies_->started().apps) {
    response.set_version(status.apps().version());
    response.clear_sha256();
    audit_->Say(RecordOf("APPS of START", 0, response));
  }
}

void Daemon::TellNotTaken(control::v1::PushRequest::Kind kind, uid_t uid,
                          const std::string& why) {
  const bool apps = kind == control::v1::PushRequest::APPS;
  const control::v1::Status status = GetStatus();
  control::v1::PushResponse response;
  response.set_version(apps ? status.apps().version()
                            : status.policy().version());
  response.add_issues()->set_reason(why);
  TellPush(apps, "drop-in", uid, response);
}

void Daemon::StartObserving() {
  audit_->Say(audit::NewRecord(audit::v1::Record::STATE, "the daemon serves"));
  TellStart();
  if (settings_.metrics_textfile.empty()) return;
  WriteTextfile();
  textfile_ = std::make_unique<Timer>(absl::Seconds(settings_.metrics_seconds),
                                      [this] { WriteTextfile(); });
}

void Daemon::WriteTextfile() {
  const absl::Status status =
      Replace(settings_.metrics_textfile,
              RenderMetrics(metrics::Exposition::Format::kPrometheus));
  if (!status.ok()) {
    LOG_EVERY_N_SEC(ERROR, 3600) << "metrics: " << kernel::Describe(status);
  }
}

void Daemon::TellPush(bool apps, std::string_view what, uid_t uid,
                      const control::v1::PushResponse& response) {
  audit_->Say(RecordOf(what, uid, response));
  absl::MutexLock lock(&counts_mutex_);
  metrics::PushCounts& counts = apps ? apps_pushes_ : policy_pushes_;
  ++(!response.accepted() ? counts.refused
     : response.changed() ? counts.accepted
                          : counts.unchanged);
}

void Daemon::AddDraining(control::v1::PushResponse& response) const {
  if (!response.accepted()) return;
  response.set_draining(rules_change_->draining());
}

control::v1::PushResponse Daemon::Push(
    const control::v1::PushRequest& request) {
  return PushFrom(request, state::v1::Origin::PUSH);
}

control::v1::PushResponse Daemon::PushFrom(
    const control::v1::PushRequest& request, state::v1::Origin::Kind origin) {
  control::v1::PushResponse response = policies_->Push(request, origin);
  AddDraining(response);
  // Also where nothing has changed: somebody may hold what an earlier push
  // forbade.
  if (request.revoke() != control::v1::PushRequest::REVOKE_UNSPECIFIED &&
      response.accepted() && !request.dry_run() &&
      state_now_.load() == State::kServing) {
    RevokeStale(volumes_, request.revoke() == control::v1::PushRequest::SIGNAL,
                response);
  }
  if (!request.dry_run()) {
    TellPush(request.kind() == control::v1::PushRequest::APPS,
             absl::StrCat(control::v1::PushRequest::Kind_Name(request.kind()),
                          origin == state::v1::Origin::PUSH
                              ? ""
                              : " of " + state::v1::Origin::Kind_Name(origin)),
             request.peer_uid(), response);
  }
  return response;
}

bool Daemon::TakeDropIns(StartError& error) {
  if (settings_.drop_in_dir.empty()) return true;
  absl::StatusOr<std::unique_ptr<DropIn>> drop_in = DropIn::Start(
      {settings_.drop_in_dir, settings_.admin_uids,
       [this](control::v1::PushRequest::Kind kind, uid_t owner,
              const std::string& why) { TellNotTaken(kind, owner, why); }},
      [this](const control::v1::PushRequest& request) {
        control::v1::PushResponse response =
            policies_->Push(request, state::v1::Origin::DROP_IN);
        AddDraining(response);
        TellPush(request.kind() == control::v1::PushRequest::APPS, "drop-in",
                 request.peer_uid(), response);
        return response;
      });
  if (!drop_in.ok()) return Fail(error, kExitUsage, drop_in.status());
  drop_in_ = *std::move(drop_in);
  return true;
}

control::v1::PushResponse Daemon::Rollback(
    const control::v1::RollbackRequest& request) {
  control::v1::PushResponse response = policies_->Rollback(request);
  AddDraining(response);
  TellPush(request.apps(), request.apps() ? "rollback of apps" : "rollback",
           request.peer_uid(), response);
  return response;
}

control::v1::PushResponse Daemon::ChangeApps(
    const control::v1::AppsDeltaRequest& request) {
  control::v1::PushResponse response = policies_->ChangeApps(request);
  AddDraining(response);
  if (!request.dry_run()) {
    TellPush(true, "change of apps", request.peer_uid(), response);
  }
  return response;
}

void Daemon::FillWorkers(control::v1::Workers& workers) const {
  const kernel::Loop::Stats stats = loop_->stats();
  workers.set_threads(static_cast<uint32_t>(stats.threads));
  workers.set_stuck(static_cast<uint32_t>(stats.stuck));
  workers.set_queued(static_cast<uint32_t>(stats.parked));
  workers.set_expired(stats.expired);
  workers.set_refused(stats.refused);
  workers.set_aborted(stats.aborted);
  workers.set_uring_views(static_cast<uint32_t>(stats.rings));
  workers.set_uring_threads(static_cast<uint32_t>(stats.seats));
  workers.set_uring_bytes(stats.ring_bytes);
  workers.set_handles_refused(limits_->handles_refused());
  workers.set_backing_ids_refused(limits_->backing_ids_refused());
}

control::v1::Status Daemon::GetStatus() {
  control::v1::Status status;
  const State state = state_now_.load();
  status.set_state(state == State::kServing    ? "SERVING"
                   : state == State::kStarting ? "STARTING"
                                               : "STOPPING");
  status.set_pid(static_cast<uint32_t>(getpid()));
  status.set_version(kVersion);
  policies_->FillStatus(status);
  if (state == State::kServing) {
    for (const std::unique_ptr<Volume>& volume : volumes_) {
      volume->FillStatus(*status.add_volumes());
    }
  }
  if (state == State::kServing) FillWorkers(*status.mutable_workers());
  control::v1::KernelStatus& kernel = *status.mutable_kernel();
  kernel.set_release(features_.release);
  kernel.set_protocol(features_.protocol);
  for (const auto& [name, has] : features_.has) {
    (*kernel.mutable_features())[name] = has;
  }
  return status;
}

control::v1::AuditResponse Daemon::Audit(
    const control::v1::AuditRequest& request) {
  // What has happened is told; a disk that is stuck keeps nobody for long.
  audit_->Flush(absl::Seconds(1));
  return audit_->Answer(request);
}

void Daemon::Refused(uid_t uid, std::string_view request, int error) {
  control_refused_.fetch_add(1, std::memory_order_relaxed);
  audit_->Note({.kind = audit::v1::Record::CONTROL,
                .uid = uid,
                .operation = static_cast<uint32_t>(absl::HashOf(request)),
                .error = error},
               [&](audit::Event& event) { event.operation = request; });
}

std::string Daemon::PackageOf(const policy::Snapshot& snapshot, uid_t uid) {
  return std::string(snapshot.PackageOf(snapshot.SubjectOf(uid).app));
}

std::string Daemon::RenderMetrics(metrics::Exposition::Format format) {
  metrics::Inputs in;
  in.status = GetStatus();
  if (state_now_.load() == State::kServing) {
    for (const std::unique_ptr<Volume>& volume : volumes_) {
      in.requests.push_back({volume->name(), volume->requests().Read()});
    }
  }
  in.registry = &registry_;
  in.audit = audit_->stats();
  in.loop = loop_->stats();
  in.control_refused = control_refused_.load();
  {
    absl::MutexLock lock(&counts_mutex_);
    in.policy_pushes = policy_pushes_;
    in.apps_pushes = apps_pushes_;
  }
  in.package_of = [snapshot = policies_->rules().snapshot()](uid_t uid) {
    return PackageOf(*snapshot, uid);
  };
  return metrics::Render(in, format);
}

control::v1::MetricsResponse Daemon::Metrics(
    const control::v1::MetricsRequest& request) {
  control::v1::MetricsResponse response;
  response.set_text(RenderMetrics(
      request.prometheus() ? metrics::Exposition::Format::kPrometheus
                           : metrics::Exposition::Format::kOpenMetrics));
  return response;
}

control::v1::TopResponse Daemon::Top() {
  const std::shared_ptr<const policy::Snapshot> snapshot =
      policies_->rules().snapshot();
  control::v1::TopResponse response;
  response.set_at_nanoseconds(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(
          std::chrono::steady_clock::now().time_since_epoch())
          .count()));
  for (const metrics::Registry::Apps::Entry& app : registry_.apps().All()) {
    control::v1::TopResponse::App out;
    for (uint32_t opcode = 0; opcode < kernel::kOpcodes; ++opcode) {
      const auto& operation = app.value->operations[opcode];
      const uint64_t count = operation.count;
      if (count == 0) continue;
      control::v1::TopResponse::Operation& one = *out.add_operations();
      one.set_name(std::string(kernel::OpcodeName(opcode)));
      one.set_count(count);
      one.set_nanoseconds(operation.nanoseconds);
    }
    if (out.operations_size() == 0) continue;
    const auto verdict = [&app](metrics::Verdict which) -> uint64_t {
      return app.value->verdicts[static_cast<size_t>(which)];
    };
    out.mutable_opens()->set_passthrough(
        verdict(metrics::Verdict::kPassthrough));
    out.mutable_opens()->set_redacted(verdict(metrics::Verdict::kRedacted));
    out.mutable_opens()->set_daemon(verdict(metrics::Verdict::kDaemon));
    out.mutable_opens()->set_denied(verdict(metrics::Verdict::kDenied));
    out.set_others(app.key == 0);
    if (app.key != 0) {
      out.set_uid(metrics::Registry::UidOf(app));
      out.set_package(PackageOf(*snapshot, out.uid()));
    }
    *response.add_apps() = std::move(out);
  }
  return response;
}

}  // namespace fused
