// The daemon: volumes, rules, and who may change them.
#ifndef FUSED_FUSED_DAEMON_H_
#define FUSED_FUSED_DAEMON_H_

#include <atomic>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "fused/app_limits.h"
#include "fused/audit/log.h"
#include "fused/control/backend.h"
#include "fused/control/server.h"
#include "fused/drop_in.h"
#include "fused/grant_book.h"
#include "fused/media/index.h"
#include "fused/metrics/exposition.h"
#include "fused/metrics/registry.h"
#include "fused/metrics/render.h"
#include "fused/policy_manager.h"
#include "fused/rules_change.h"
#include "fused/settings.h"
#include "fused/state_dir.h"
#include "fused/timer.h"
#include "fused/volume.h"
#include "kernel/fd.h"
#include "kernel/invalidation.h"
#include "kernel/loop.h"
#include "kernel/probe.h"

namespace fused {

// Exit codes of the contract.
inline constexpr int kExitUsage = 2;
inline constexpr int kExitPolicyRefused = 3;
inline constexpr int kExitMountFailed = 4;
inline constexpr int kExitInternal = 70;

struct StartError {
  int exit_code = kExitInternal;
  std::string message;
};

class Daemon : public control::Backend {
 public:
  // Locks the state directory, loads the rules, mounts every volume and
  // listens. Null and `error` where it can't; nothing is left mounted then.
  static std::unique_ptr<Daemon> Start(const Settings& settings,
                                       StartError& error);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  // Stops.
  ~Daemon() override;

  // Unmounts all and ends every thread. Idempotent.
  void Stop();

  // Readable when the last shared view has been unmounted by somebody else.
  const kernel::Fd& lost() const { return lost_; }
  // Whether it was not unmounted but aborted; takes such mounts away.
  bool RemoveAborted();

  // As the request, by root. One line that says what came of it; false:
  // something was refused.
  bool Reload(std::string& line);

  // control::Backend.
  control::v1::Status GetStatus() override;
  control::v1::PushResponse Push(
      const control::v1::PushRequest& request) override;
  control::v1::PushResponse Rollback(
      const control::v1::RollbackRequest& request) override;
  control::v1::ReloadResponse Reload(
      const control::v1::ReloadRequest& request) override;
  control::v1::PushResponse ChangeApps(
      const control::v1::AppsDeltaRequest& request) override;
  control::v1::HistoryResponse History(
      const control::v1::HistoryRequest& request) override;
  absl::StatusOr<control::v1::Explanation> Explain(
      const control::v1::ExplainRequest& request) override;
  absl::StatusOr<control::v1::ViewResponse> View(
      const control::v1::ViewRequest& request) override;
  absl::StatusOr<RunReply> Run(const control::v1::RunRequest& request) override;
  absl::Status Sync(absl::Duration timeout) override;
  control::v1::HandlesResponse Handles(
      const control::v1::HandlesRequest& request) override;
  absl::StatusOr<control::v1::ScanResponse> Scan(
      const control::v1::ScanRequest& request) override;
  absl::StatusOr<control::v1::MaintainResponse> Maintain(
      const control::v1::MaintainRequest& request) override;
  absl::StatusOr<control::v1::FileResponse> File(
      const control::v1::FileRequest& request) override;
  control::v1::AuditResponse Audit(
      const control::v1::AuditRequest& request) override;
  control::v1::MetricsResponse Metrics(
      const control::v1::MetricsRequest& request) override;
  control::v1::TopResponse Top() override;
  void Refused(uid_t uid, std::string_view request, int error) override;

 private:
  explicit Daemon(const Settings& settings) : settings_(settings) {}

  bool Prepare(StartError& error);
  bool OpenAudit(StartError& error);
  void TellMediaIndex(const media::Writer::Stats& index);
  void StartObserving();
  void TellStart();
  void TellNotTaken(control::v1::PushRequest::Kind kind, uid_t uid,
                    const std::string& why);
  void WriteTextfile();
  std::string RenderMetrics(metrics::Exposition::Format format);
  control::v1::PushResponse PushFrom(const control::v1::PushRequest& request,
                                     state::v1::Origin::Kind origin);
  control::v1::PushResponse ReloadFile(const std::string& path,
                                       control::v1::PushRequest::Kind kind,
                                       uid_t uid);
  // Says what earlier pushes have left, too.
  void AddDraining(control::v1::PushResponse& response) const;
  void TellPush(bool apps, std::string_view what, uid_t uid,
                const control::v1::PushResponse& response);
  static std::string PackageOf(const policy::Snapshot& snapshot, uid_t uid);
  void StartIndex();
  bool MountVolumes(StartError& error);
  absl::Status BindGrants();
  void FillWorkers(control::v1::Workers& workers) const;
  bool Listen(StartError& error);
  bool TakeDropIns(StartError& error);
  absl::StatusOr<Volume*> FindVolume(const std::string& name) const;
  absl::StatusOr<ViewIdentity> IdentityOf(const std::string& package,
                                          uint32_t user) const;

  const Settings settings_;
  std::atomic<size_t> volumes_lost_{0};
  kernel::Fd lost_;
  std::unique_ptr<StateDir> state_;
  std::unique_ptr<audit::Log> audit_;
  metrics::Registry registry_;
  std::atomic<uint64_t> control_refused_{0};
  absl::Mutex counts_mutex_;
  metrics::PushCounts policy_pushes_ ABSL_GUARDED_BY(counts_mutex_);
  metrics::PushCounts apps_pushes_ ABSL_GUARDED_BY(counts_mutex_);
  std::unique_ptr<PolicyManager> policies_;
  std::unique_ptr<GrantBook> grants_;
  kernel::Features features_;
  std::unique_ptr<kernel::InvalidationWorker> invalidations_;
  std::unique_ptr<AppLimits> limits_;
  std::unique_ptr<media::Index> index_;
  std::vector<std::unique_ptr<Volume>> volumes_;
  std::unique_ptr<RulesChange> rules_change_;
  std::unique_ptr<kernel::Loop> loop_;
  std::unique_ptr<control::Server> server_;
  enum class State { kStarting, kServing, kStopping };
  std::atomic<State> state_now_{State::kStarting};
  std::atomic<bool> stopping_{false};
  // Held while the index's thread uses the volumes.
  absl::Mutex late_mutex_;
  std::unique_ptr<Timer> maintenance_;
  std::unique_ptr<DropIn> drop_in_;
  std::unique_ptr<Timer> textfile_;
};

}  // namespace fused

#endif  // FUSED_FUSED_DAEMON_H_
