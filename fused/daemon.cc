#include "fused/daemon.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "fused/directories.h"
#include "fused/explain.h"
#include "fused/media_requests.h"
#include "fused/profile.h"
#include "kernel/mount.h"
#include "kernel/ring.h"
#include "kernel/status.h"

namespace fused {
namespace {

constexpr uint32_t kUserRange = 100000;

bool Fail(StartError& error, int exit_code, const absl::Status& status) {
  error = {exit_code, kernel::Describe(status)};
  return false;
}

// A place that is another's, or none, will not do the next time either; a disk
// that is full or fails may.
int ExitOfPlace(const absl::Status& status) {
  switch (kernel::ErrnoOf(status)) {
    case ENOSPC:
    case EDQUOT:
    case EROFS:
    case EIO:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
      return kExitInternal;
    default:
      return kExitUsage;
  }
}

// As many descriptors as the system lets us have; returns how many.
size_t RaiseDescriptorLimit() {
  struct rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

kernel::Loop::Options LoopOptions(const Settings& settings, int processors) {
  const config::v1::Limits& limits = settings.limits;
  kernel::Loop::Options options;
  options.threads = settings.threads;
  options.max_threads = static_cast<int>(limits.max_threads());
  options.max_seats =
      options.seats_per_slow_queue * processors + options.max_threads;
  options.threads_per_uid = static_cast<int>(limits.threads_per_uid());
  options.max_parked = static_cast<int>(limits.queued_requests());
  options.deadline = absl::Seconds(limits.deadline_seconds());
  options.abort_after = absl::Seconds(limits.abort_seconds());
  return options;
}

// Path views that a daemon which was killed has left.
void RemoveStaleViews(const std::string& views_dir) {
  absl::StatusOr<std::vector<kernel::MountInfo>> mounts = kernel::ListMounts();
  if (!mounts.ok()) return;
  for (const kernel::MountInfo& mount : *mounts) {
    std::string_view subtype = mount.type;
    if (!absl::StartsWith(mount.path, views_dir + "/") ||
        !absl::ConsumePrefix(&subtype, "fuse.")) {
      continue;
    }
    // One that is alive is another daemon's.
    kernel::RemoveStaleMounts(mount.path, subtype).IgnoreError();
  }
}

}  // namespace

std::unique_ptr<Daemon> Daemon::Start(const Settings& settings,
                                      StartError& error) {
  auto daemon = std::unique_ptr<Daemon>(new Daemon(settings));
  if (!daemon->Prepare(error) || !daemon->Listen(error) ||
      !daemon->MountVolumes(error) || !daemon->TakeDropIns(error)) {
    daemon->Stop();
    return nullptr;
  }
  daemon->state_now_ = State::kServing;
  daemon->StartObserving();
  daemon->maintenance_ = std::make_unique<Timer>(
      absl::Seconds(settings.maintain_seconds),
      [daemon = daemon.get()] { daemon->Maintain({}).status().IgnoreError(); });
  daemon->memory_pressure_ = MemoryPressure::Watch([daemon = daemon.get()] {
    for (const std::unique_ptr<Volume>& volume : daemon->volumes_) {
      volume->TrimBackingIds();
    }
  });
  return daemon;
}

bool Daemon::Prepare(StartError& error) {
  if (geteuid() != 0) {
    error = {kExitUsage, "fused must be started by root"};
    return false;
  }
  // What the daemon makes has exactly the mode that it asks for.
  umask(0);
  absl::StatusOr<std::unique_ptr<StateDir>> state =
      StateDir::Open(settings_.state_dir);
  if (!state.ok()) {
    return Fail(error, ExitOfPlace(state.status()), state.status());
  }
  state_ = *std::move(state);
  if (!OpenAudit(error)) return false;
  absl::StatusOr<std::unique_ptr<PolicyManager>> policies =
      PolicyManager::Create({settings_.policy, settings_.apps}, state_.get());
  if (!policies.ok()) {
    const absl::Status& status = policies.status();
    audit_->Say(audit::NewRecord(
        audit::v1::Record::PUSH,
        absl::StrCat("the start is refused: ", kernel::Describe(status))));
    return Fail(error,
                absl::IsFailedPrecondition(status) ? kExitPolicyRefused
                : absl::IsInvalidArgument(status)  ? kExitUsage
                                                   : kExitInternal,
                status);
  }
  policies_ = *std::move(policies);

  absl::StatusOr<kernel::Features> features = kernel::ProbeFeatures();
  if (!features.ok()) return Fail(error, kExitMountFailed, features.status());
  features_ = *std::move(features);
  const absl::StatusOr<int> processors = kernel::ProcessorsPossible();
  if (!processors.ok()) return Fail(error, kExitInternal, processors.status());
  const absl::StatusOr<int> uring =
      ViewsOverUring(settings_, features_, *processors);
  if (!uring.ok()) return Fail(error, kExitUsage, uring.status());
  uring_ = std::make_unique<UringPlaces>(*uring);

  invalidations_ = std::make_unique<kernel::InvalidationWorker>(
      kernel::InvalidationWorker::Options{});
  rules_change_ =
      std::make_unique<RulesChange>(&volumes_, invalidations_.get());
  // Lower files belong to media_rw, whoever makes them.
  const bool media =
      std::any_of(settings_.volumes.begin(), settings_.volumes.end(),
                  [](const VolumeSettings& volume) { return !volume.posix(); });
  if (media && setegid(kMediaGid) != 0) {
    return Fail(error, kExitInternal, kernel::ErrnoStatus(errno, "setegid"));
  }
  absl::StatusOr<std::unique_ptr<kernel::Loop>> loop =
      kernel::Loop::Start(LoopOptions(settings_, *processors));
  if (!loop.ok()) return Fail(error, kExitInternal, loop.status());
  loop_ = *std::move(loop);
  return true;
}

void Daemon::StartIndex() {
  index_ = media::Index::OnDisk(
      absl::StrCat(state_->path(), "/", kMediaFile),
      {.changed = [this](const media::Writer::Stats& index) {
        TellMediaIndex(index);
      }});
  // Loaded when files were known already: kernels look them up again.
  index_->Start([this] {
    absl::MutexLock lock(&late_mutex_);
    if (state_now_.load() != State::kServing) return;
    for (const std::unique_ptr<Volume>& volume : volumes_) {
      volume->InvalidateAll();
    }
  });
}

bool Daemon::Listen(StartError& error) {
  absl::StatusOr<std::unique_ptr<control::Server>> server =
      control::Server::Start(
          {.socket = settings_.control, .admin_uids = settings_.admin_uids},
          this);
  if (!server.ok()) return Fail(error, kExitUsage, server.status());
  server_ = *std::move(server);
  return true;
}

bool Daemon::MountVolumes(StartError& error) {
  const std::string& views_dir = settings_.views_dir;
  absl::Status made = MakeDirectories(views_dir, 0711);
  if (made.ok() && chmod(views_dir.c_str(), 0711) != 0) {
    made = kernel::ErrnoStatus(errno, views_dir);
  }
  if (!made.ok()) return Fail(error, kExitUsage, made);
  RemoveStaleViews(settings_.views_dir);
  StartIndex();
  Volume::Shared shared;
  shared.index = index_.get();
  shared.audit = audit_.get();
  shared.registry = &registry_;
  shared.rules = &policies_->rules();
  shared.invalidations = invalidations_.get();
  shared.loop = loop_.get();
  const size_t limit = RaiseDescriptorLimit();
  shared.descriptor_budget = settings_.descriptor_budget != 0
                                 ? settings_.descriptor_budget
                                 : limit / 2;
  shared.warm_backing_ids = settings_.warm_backing_ids;
  shared.max_backing_ids = settings_.max_backing_ids;
  limits_ = std::make_unique<AppLimits>(
      AppLimits::Most{settings_.limits.handles_per_app(),
                      settings_.limits.backing_ids_per_app()});
  shared.limits = limits_.get();
  shared.uring = uring_.get();
  shared.views_dir = settings_.views_dir;
  lost_.Reset(eventfd(0, EFD_CLOEXEC));
  if (!lost_.valid()) {
    return Fail(error, kExitInternal, kernel::ErrnoStatus(errno, "eventfd"));
  }
  shared.lost = [this] {
    if (++volumes_lost_ == settings_.volumes.size()) {
      eventfd_write(lost_.get(), 1);
    }
  };
  for (const VolumeSettings& volume_settings : settings_.volumes) {
    absl::StatusOr<std::unique_ptr<Volume>> volume =
        Volume::Create(volume_settings, shared);
    if (!volume.ok()) {
      const bool usage = absl::IsInvalidArgument(volume.status()) ||
                         absl::IsUnimplemented(volume.status());
      return Fail(error, usage ? kExitUsage : kExitMountFailed,
                  volume.status());
    }
    volumes_.push_back(*std::move(volume));
    const absl::Status status = volumes_.back()->Mount();
    if (!status.ok()) return Fail(error, kExitMountFailed, status);
  }
  LOG(INFO) << features_.OneLine();
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    for (const std::string& warning : volume->warnings()) {
      LOG(WARNING) << volume->name() << ": " << warning;
    }
  }
  if (absl::Status status = BindGrants(); !status.ok()) {
    return Fail(error, kExitInternal, status);
  }
  policies_->SetEnforcer(
      [this](const auto& before, const auto& after, const Retired& former) {
        control::v1::PushResponse response;
        rules_change_->EndFormer(before, after, former, response);
        return response;
      });
  return true;
}

absl::Status Daemon::BindGrants() {
  grants_ = std::make_unique<GrantBook>(
      state_.get(), [this](std::string_view name, uint32_t user) -> LowerTree* {
        for (const std::unique_ptr<Volume>& volume : volumes_) {
          if (volume->name() != name || volume->posix()) continue;
          LowerTree* const tree = volume->trees().Of(user);
          return tree != nullptr && tree->user() == user ? tree : nullptr;
        }
        return nullptr;
      });
  grants_->Load();
  return policies_->SetBinder([this](const policy::Snapshot& snapshot,
                                     const policy::Snapshot& in_force,
                                     policy::Issues& warnings) {
    return grants_->Bind(snapshot, in_force, warnings);
  });
}

Daemon::~Daemon() { Stop(); }

void Daemon::Stop() {
  {
    absl::MutexLock lock(&late_mutex_);
    state_now_ = State::kStopping;
  }
  stopping_ = true;
  maintenance_ = nullptr;
  drop_in_ = nullptr;
  textfile_ = nullptr;
  memory_pressure_ = nullptr;
  // Nobody asks any more; then nothing is posted any more; then nobody comes.
  if (server_ != nullptr) server_->Stop();
  if (policies_ != nullptr) {
    policies_->OnChange(nullptr);
    policies_->SetEnforcer(nullptr);
    rules_change_ = nullptr;
    // Grants hold lower nodes, which the volumes' trees outlive.
    policies_->SetBinder(nullptr).IgnoreError();
    grants_ = nullptr;
  }
  for (const std::unique_ptr<Volume>& volume : volumes_) volume->Unmount();
  // While requests are answered: an invalidation may wait for one.
  if (invalidations_ != nullptr) invalidations_->Stop();
  if (loop_ != nullptr) loop_->Stop();
  // Of all volumes before the first view lets go of what it holds: a lock is
  // not granted by the daemon's end.
  for (const std::unique_ptr<Volume>& volume : volumes_) volume->CancelWaits();
  server_ = nullptr;
  loop_ = nullptr;
  volumes_.clear();
  index_ = nullptr;
  invalidations_ = nullptr;
  if (audit_ != nullptr) {
    audit_->Say(
        audit::NewRecord(audit::v1::Record::STATE, "the daemon has stopped"));
    audit_ = nullptr;
  }
}

control::v1::HistoryResponse Daemon::History(
    const control::v1::HistoryRequest& request) {
  return policies_->ListHistory(request);
}

absl::StatusOr<Volume*> Daemon::FindVolume(const std::string& name) const {
  if (state_now_.load() != State::kServing) {
    return kernel::ErrnoStatus(EAGAIN, "the daemon does not serve yet");
  }
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    if (name.empty() || volume->name() == name) return volume.get();
  }
  return kernel::ErrnoStatus(ENOENT, absl::StrCat("volume ", name));
}

absl::StatusOr<ViewIdentity> Daemon::IdentityOf(const std::string& package,
                                                uint32_t user) const {
  const std::optional<uint32_t> app_id =
      policies_->rules().snapshot()->AppIdOf(package);
  if (!app_id.has_value()) {
    return kernel::ErrnoStatus(
        ENOENT, absl::StrCat(package, " is in no entry of the app directory"));
  }
  // It becomes the name of a directory.
  if (package.empty() || package[0] == '.' ||
      package.find('/') != std::string::npos) {
    return kernel::ErrnoStatus(EINVAL, absl::StrCat("package ", package));
  }
  constexpr uint32_t kMostUsers = UINT32_MAX / kUserRange;
  if (user >= kMostUsers) {
    return kernel::ErrnoStatus(EINVAL, absl::StrCat("user ", user));
  }
  return ViewIdentity{package, user, user * kUserRange + *app_id};
}

absl::StatusOr<control::v1::Explanation> Daemon::Explain(
    const control::v1::ExplainRequest& request) {
  absl::StatusOr<Volume*> volume = FindVolume(request.volume());
  if (!volume.ok()) return volume.status();
  LowerTree* const tree = (*volume)->trees().Of(request.uid() / kUserRange);
  if (tree == nullptr) {
    return kernel::ErrnoStatus(
        ENOENT, absl::StrCat("volume ", (*volume)->name(), " of user ",
                             request.uid() / kUserRange));
  }
  return ExplainRequest(request, policies_->rules().in_force(), *tree);
}

absl::StatusOr<control::v1::ViewResponse> Daemon::View(
    const control::v1::ViewRequest& request) {
  absl::StatusOr<Volume*> volume = FindVolume(request.volume());
  if (!volume.ok()) return volume.status();
  control::v1::ViewResponse response;
  if (request.close()) {
    const absl::Status status =
        (*volume)->CloseAppView(request.package(), request.user());
    if (!status.ok()) return status;
    return response;
  }
  absl::StatusOr<ViewIdentity> identity =
      IdentityOf(request.package(), request.user());
  if (!identity.ok()) return identity.status();
  absl::StatusOr<std::string> path = (*volume)->OpenAppView(*identity);
  if (!path.ok()) return path.status();
  response.set_path(*path);
  return response;
}

absl::StatusOr<control::Backend::RunReply> Daemon::Run(
    const control::v1::RunRequest& request) {
  absl::StatusOr<Volume*> first = FindVolume("");
  if (!first.ok()) return first.status();
  absl::StatusOr<ViewIdentity> identity =
      IdentityOf(request.package(), request.user());
  if (!identity.ok()) return identity.status();
  RunReply reply;
  reply.message.set_uid(identity->uid);
  reply.message.add_hide(settings_.views_dir);
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    absl::StatusOr<kernel::Fd> mount = volume->DetachedView(*identity);
    if (!mount.ok()) return mount.status();
    control::v1::RunResponse::Mount& out = *reply.message.add_mounts();
    out.set_volume(volume->name());
    out.set_mountpoint(volume->mountpoint());
    reply.message.add_hide(DirectoryOfTrees(volume->lower()));
    reply.mounts.push_back(*std::move(mount));
  }
  return reply;
}

absl::Status Daemon::Sync(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    if (!volume->SyncLower(deadline - absl::Now())) {
      return absl::DeadlineExceededError("changes below are still read");
    }
  }
  if (invalidations_->Sync(deadline - absl::Now())) return absl::OkStatus();
  return absl::DeadlineExceededError("invalidations are still queued");
}

control::v1::HandlesResponse Daemon::Handles(
    const control::v1::HandlesRequest& request) {
  control::v1::HandlesResponse response;
  if (state_now_.load() != State::kServing) return response;
  std::optional<uid_t> uid;
  if (request.has_uid()) uid = request.uid();
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    volume->ListHandles(uid, request.stale(), response);
  }
  return response;
}

absl::StatusOr<control::v1::ScanResponse> Daemon::Scan(
    const control::v1::ScanRequest& request) {
  absl::StatusOr<Volume*> volume = FindVolume(request.volume());
  if (!volume.ok()) return volume.status();
  return (*volume)->Scan();
}

absl::StatusOr<control::v1::MaintainResponse> Daemon::Maintain(
    const control::v1::MaintainRequest& request) {
  absl::StatusOr<Volume*> one = FindVolume(request.volume());
  if (!one.ok()) return one.status();
  control::v1::MaintainResponse response;
  for (const std::unique_ptr<Volume>& volume : volumes_) {
    if (!request.volume().empty() && volume.get() != *one) continue;
    volume->Maintain(absl::ToUnixSeconds(absl::Now()), stopping_, response);
  }
  if (response.deleted() + response.postponed() + response.failed() != 0) {
    LOG(INFO) << "expired files: " << response.deleted() << " deleted, "
              << response.postponed() << " postponed, " << response.failed()
              << " failed";
  }
  return response;
}

absl::StatusOr<control::v1::FileResponse> Daemon::File(
    const control::v1::FileRequest& request) {
  absl::StatusOr<Volume*> volume = FindVolume(request.volume());
  if (!volume.ok()) return volume.status();
  LowerTree* const tree = (*volume)->trees().Of(request.user());
  if (tree == nullptr || tree->user() != request.user()) {
    return kernel::ErrnoStatus(ENOENT, absl::StrCat("user ", request.user()));
  }
  return DescribeFile(*tree, request.path());
}

}  // namespace fused
