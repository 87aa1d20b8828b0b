// One lower tree and all the views of it.
#ifndef FUSED_FUSED_VOLUME_H_
#define FUSED_FUSED_VOLUME_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "fused/app_limits.h"
#include "fused/audit/log.h"
#include "fused/counters.h"
#include "fused/lower_node.h"
#include "fused/lower_watch.h"
#include "fused/media/index.h"
#include "fused/metrics/registry.h"
#include "fused/metrics/requests.h"
#include "fused/rules.h"
#include "fused/settings.h"
#include "fused/user_trees.h"
#include "fused/view.h"
#include "kernel/fd.h"
#include "kernel/invalidation.h"
#include "kernel/loop.h"
#include "kernel/session.h"
#include "policy/changes.h"
#include "proto/control.pb.h"

namespace fused {

// Thread-safe.
class Volume {
 public:
  // What volumes share; outlives them.
  struct Shared {
    const Rules* rules = nullptr;
    kernel::InvalidationWorker* invalidations = nullptr;
    kernel::Loop* loop = nullptr;
    size_t descriptor_budget = 8192;
    size_t warm_backing_ids = 1024;
    size_t max_backing_ids = 1 << 20;
    AppLimits* limits = nullptr;
    std::string views_dir;
    // Of media volumes.
    media::Index* index = nullptr;
    audit::Log* audit = nullptr;
    metrics::Registry* registry = nullptr;
    // Called when the shared view is gone without Unmount(): by umount(8), or
    // because its connection was aborted.
    std::function<void()> lost;
  };

  // Clones the lower tree. Mounts nothing yet. Errors are one line for the
  // operator.
  static absl::StatusOr<std::unique_ptr<Volume>> Create(
      const VolumeSettings& settings, const Shared& shared);
  Volume(const Volume&) = delete;
  Volume& operator=(const Volume&) = delete;
  ~Volume();

  const std::string& name() const { return settings_.config.name(); }
  const std::string& lower() const { return settings_.config.lower(); }
  const std::string& mountpoint() const {
    return settings_.config.mountpoint();
  }
  UserTrees& trees() { return *trees_; }
  bool posix() const { return settings_.posix(); }
  // What an operator should know.
  const std::vector<std::string>& warnings() const { return warnings_; }
  const metrics::Requests& requests() const { return requests_; }

  // Mounts the shared view; returns when it serves.
  absl::Status Mount();

  // The path of the app's view, which is mounted where it is not yet.
  absl::StatusOr<std::string> OpenAppView(const ViewIdentity& identity);
  // NOT_FOUND: there is none.
  absl::Status CloseAppView(std::string_view package, uint32_t user);

  // A new detached view of an app, for its mount namespace; it goes with the
  // last process in it.
  absl::StatusOr<kernel::Fd> DetachedView(const ViewIdentity& identity);

  // Makes the kernels look every name up again, in all views. Returns when they
  // have been told.
  void InvalidateAll();

  // A change of rules, step by step (see rules_change.h), for the views that it
  // concerns; for all where `changes` is null.
  // Makes the kernels look every name up again; to be called again when no
  // request is decided by the former rules any more.
  struct Told {
    uint64_t views = 0;
    uint64_t spared = 0;
    // To the worker: listings, and for a kernel without epochs each name.
    bool posted = false;
  };
  Told TellRules(const policy::Changes* changes);
  void CountTold(const Told& told);
  // As View's.
  bool PostListings(const policy::Changes* changes, uint64_t epoch);
  StaleCount AfterRules(const policy::Changes* changes, absl::Time deadline);
  std::vector<StaleFile> FindStale() const;

  // Unmounts what has a path. Open files of passthrough go on.
  void Unmount();
  // Takes back what waits for locks; when the loop has stopped.
  void CancelWaits();

  // Waits until what others changed below before the call has been posted.
  // False: `timeout` ran out.
  bool SyncLower(absl::Duration timeout);

  // Compares the media index with the lower tree.
  absl::StatusOr<control::v1::ScanResponse> Scan();
  // Deletes what has expired at `now`, in seconds since 1970.
  void Maintain(int64_t now, const std::atomic<bool>& stop,
                control::v1::MaintainResponse& response);

  void FillStatus(control::v1::VolumeStatus& status) const;
  void ListHandles(std::optional<uid_t> uid, bool stale_only,
                   control::v1::HandlesResponse& response) const;

 private:
  // A view with its connection. The session dies before the view, whoever lets
  // go last.
  struct Mounted {
    Mounted(const VolumeContext& context, ViewIdentity identity)
        : view(context, std::move(identity)) {}
    ~Mounted();
    View view;
    std::unique_ptr<kernel::Session> session;
    // Empty: detached.
    std::string path;
    // The superblock's, as stat(2) says.
    dev_t device = 0;
  };
  using MountedList = std::vector<std::shared_ptr<Mounted>>;

  Volume(const VolumeSettings& settings, const Shared& shared,
         std::unique_ptr<UserTrees> trees);

  void FindWarnings();
  void WatchLower();
  // A superblock that serves, on a detached mount.
  absl::StatusOr<kernel::Fd> Serve(const std::shared_ptr<Mounted>& mounted);
  absl::StatusOr<std::shared_ptr<Mounted>> NewMounted(ViewIdentity identity);
  absl::Status MountAppView(const ViewIdentity& identity,
                            const std::string& path);
  void Ended(const std::shared_ptr<Mounted>& mounted);
  // For the audit log: a view came, or went.
  void Tell(const ViewIdentity& identity, std::string_view what) const;
  void NoteFallback(std::string_view reason);
  MountedList views() const;
  static bool Concerns(const policy::Changes* changes, const View& view);
  std::string AppViewPath(std::string_view package, uint32_t user) const;

  const VolumeSettings settings_;
  const Shared shared_;
  const std::unique_ptr<UserTrees> trees_;
  std::vector<std::string> warnings_;
  std::atomic<uint64_t> views_told_{0};
  std::atomic<uint64_t> views_spared_{0};
  metrics::Requests requests_;
  // Of views that are gone.
  Counters departed_;
  uint64_t departed_unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t departed_expired_ ABSL_GUARDED_BY(mutex_) = 0;
  // Why passthrough is off for the volume as a whole; empty where it is on.
  std::string passthrough_reason_ ABSL_GUARDED_BY(mutex_);

  // Held while app views are mounted and unmounted, so that each has one.
  absl::Mutex mounting_;
  mutable absl::Mutex mutex_;
  MountedList views_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t, std::less<>> fallbacks_
      ABSL_GUARDED_BY(mutex_);
  // Null: for this reason. Set by Mount(); goes before what it tells.
  std::unique_ptr<LowerWatch> watch_;
  std::string watch_reason_;
};

}  // namespace fused

#endif  // FUSED_FUSED_VOLUME_H_
