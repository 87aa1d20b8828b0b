#include "fused/volume.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "fused/describe.h"
#include "kernel/mount.h"
#include "kernel/status.h"

namespace fused {
namespace {

// INIT is queued when a superblock is made, and answered by an idle loop.
constexpr absl::Duration kInitTimeout = absl::Seconds(20);

absl::Status MakeDirectory(const std::string& path, mode_t mode, uid_t owner) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return kernel::ErrnoStatus(errno, path);
  }
  // By descriptor: what is there must be a directory and no link.
  const kernel::Fd fd(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return kernel::ErrnoStatus(errno, path);
  if (fchmod(fd.get(), mode) != 0 || fchown(fd.get(), owner, owner) != 0) {
    return kernel::ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace

Volume::Mounted::~Mounted() {
  view.Close();
  session = nullptr;
}

absl::StatusOr<std::unique_ptr<Volume>> Volume::Create(
    const VolumeSettings& settings, const Shared& shared) {
  const std::string& lower = settings.config.lower();
  absl::Status status = kernel::RemoveStaleMounts(settings.config.mountpoint(),
                                                  settings.mount.subtype);
  if (!status.ok()) {
    return absl::Status(status.code(), kernel::Describe(status));
  }
  status = kernel::CheckNoRecursion(DirectoryOfTrees(lower),
                                    settings.config.mountpoint());
  if (!status.ok()) return absl::InvalidArgumentError(kernel::Describe(status));
  LowerTree::Options options;
  options.descriptor_budget = shared.descriptor_budget;
  if (!settings.posix()) {
    options.index = shared.index;
    options.volume = settings.config.name();
    options.describe = [rules = shared.rules](std::string_view name) {
      return DescribeName(rules->snapshot()->policy().source(), name);
    };
  }
  absl::StatusOr<std::unique_ptr<UserTrees>> trees =
      UserTrees::Create(lower, options);
  if (!trees.ok()) return trees.status();
  auto volume =
      std::unique_ptr<Volume>(new Volume(settings, shared, *std::move(trees)));
  volume->FindWarnings();
  return volume;
}

Volume::Volume(const VolumeSettings& settings, const Shared& shared,
               std::unique_ptr<UserTrees> trees)
    : settings_(settings), shared_(shared), trees_(std::move(trees)) {}

Volume::~Volume() = default;

void Volume::FindWarnings() {
  if (!trees_->main().has_handles()) {
    warnings_.push_back(
        "the lower file system has no file handles: every known file keeps a "
        "descriptor open");
  }
  if (settings_.posix()) return;
  if (!trees_->main().has_xattrs()) {
    warnings_.push_back(
        "the lower file system has no trusted extended attributes: who made a "
        "file is told by the database in the state directory alone");
  }
  absl::StatusOr<struct stat> stat = trees_->main().root()->Stat();
  if (stat.ok() && (stat->st_mode & S_IXOTH) != 0) {
    warnings_.push_back(
        absl::StrCat("others may search ", lower(),
                     ": they can go round the mount (chmod 0700 closes it)"));
  }
}

absl::StatusOr<std::shared_ptr<Volume::Mounted>> Volume::NewMounted(
    ViewIdentity identity) {
  VolumeContext context;
  context.tree = trees_->Of(identity.user);
  if (context.tree == nullptr) {
    return kernel::ErrnoStatus(
        ENOENT, absl::StrCat("volume ", name(), " of user ", identity.user));
  }
  context.trees = trees_.get();
  context.rules = shared_.rules;
  context.invalidations = shared_.invalidations;
  context.fallback = [this](std::string_view reason) { NoteFallback(reason); };
  context.passthrough = settings_.config.passthrough() != config::v1::OFF;
  context.posix = settings_.posix();
  context.single_user = settings_.config.single_user();
  context.volume = name();
  context.audit = shared_.audit;
  context.requests = &requests_;
  context.registry = shared_.registry;
  if (!context.posix) context.limits = shared_.limits;
  return std::make_shared<Mounted>(context, std::move(identity));
}

absl::StatusOr<kernel::Fd> Volume::Serve(
    const std::shared_ptr<Mounted>& mounted) {
  kernel::FuseMountOptions mount;
  mount.source =
      settings_.mount.source.empty() ? lower() : settings_.mount.source;
  mount.subtype = settings_.mount.subtype;
  mount.read_only = settings_.mount.read_only;
  mount.nosuid = settings_.mount.nosuid;
  mount.nodev = settings_.mount.nodev;
  mount.noexec = settings_.mount.noexec;
  mount.noatime = settings_.mount.noatime;
  mount.default_permissions = settings_.posix();
  absl::StatusOr<kernel::FuseMount> fuse = kernel::CreateFuseMount(mount);
  if (!fuse.ok()) return fuse.status();

  kernel::Session::Options options;
  options.passthrough = settings_.config.passthrough() != config::v1::OFF;
  options.max_stack_depth = std::max(1u, settings_.config.max_stack_depth());
  options.posix = settings_.posix();
  mounted->uring = shared_.uring->Take();
  options.uring = mounted->uring.held();
  options.backing.warm = shared_.warm_backing_ids;
  options.backing.limit = shared_.max_backing_ids;
  absl::StatusOr<std::unique_ptr<kernel::Session>> session =
      kernel::Session::Create(options, &mounted->view, std::move(fuse->device));
  if (!session.ok()) return session.status();
  mounted->session = *std::move(session);
  struct statx root = {};
  // Known to the kernel by itself; no request is made.
  if (statx(fuse->mount.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0,
            &root) == 0) {
    mounted->device = makedev(root.stx_dev_major, root.stx_dev_minor);
    mounted->session->SetConnection(root.stx_dev_minor);
  }
  // One life for both: whoever holds the session holds the view.
  const std::shared_ptr<kernel::Session> alias(mounted, mounted->session.get());
  mounted->view.SetSession(alias);
  {
    absl::MutexLock lock(&mutex_);
    views_.push_back(mounted);
  }
  Tell(mounted->view.identity(), "a view came");
  absl::Status status =
      shared_.loop->Add(alias, [this, weak = std::weak_ptr<Mounted>(mounted)] {
        if (const std::shared_ptr<Mounted> ended = weak.lock()) Ended(ended);
      });
  if (status.ok() && !mounted->view.WaitInitialized(kInitTimeout)) {
    status = absl::DeadlineExceededError("the kernel has not sent INIT");
  }
  if (!status.ok()) {
    Ended(mounted);
    return status;
  }
  // The kernel has changed its mind since it was asked.
  if (!mounted->session->connection().uring) mounted->uring = {};
  return std::move(fuse->mount);
}

bool Volume::Concerns(const policy::Changes* changes, const View& view) {
  if (changes == nullptr) return true;
  const ViewIdentity& identity = view.identity();
  return identity.shared()
             ? changes->ForShared()
             : changes->ForPackage(identity.package, identity.uid);
}

void Volume::WatchLower() {
  if (settings_.config.watch_lower() == config::v1::WATCH_LOWER_OFF) {
    watch_reason_ = "turned off (--watch_lower=off)";
    return;
  }
  absl::StatusOr<std::unique_ptr<LowerWatch>> watch = LowerWatch::Start(
      *trees_, Telling(shared_.invalidations,
                       settings_.posix() ? nullptr : shared_.rules));
  if (watch.ok()) {
    watch_ = *std::move(watch);
  } else {
    watch_reason_ = kernel::Describe(watch.status());
  }
}

bool Volume::SyncLower(absl::Duration timeout) {
  return watch_ == nullptr || watch_->Sync(timeout);
}

absl::Status Volume::Mount() {
  WatchLower();
  absl::StatusOr<std::shared_ptr<Mounted>> mounted = NewMounted({});
  if (!mounted.ok()) return mounted.status();
  absl::StatusOr<kernel::Fd> mount = Serve(*mounted);
  if (!mount.ok()) return mount.status();
  absl::Status status = kernel::AttachMount(*mount, mountpoint());
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  (*mounted)->path = mountpoint();
  passthrough_reason_ = (*mounted)->view.passthrough_reason();
  return absl::OkStatus();
}

std::string Volume::AppViewPath(std::string_view package, uint32_t user) const {
  return absl::StrCat(shared_.views_dir, "/", user, "/", package, "/",
                      settings_.view_name);
}

absl::Status Volume::MountAppView(const ViewIdentity& identity,
                                  const std::string& path) {
  absl::StatusOr<std::shared_ptr<Mounted>> mounted = NewMounted(identity);
  if (!mounted.ok()) return mounted.status();
  const std::string user_dir =
      absl::StrCat(shared_.views_dir, "/", identity.user);
  const std::string package_dir = absl::StrCat(user_dir, "/", identity.package);
  // Nobody but the app comes through the package's directory, so the mount
  // needs no permission check of the kernel's.
  absl::Status status = MakeDirectory(user_dir, 0711, 0);
  if (status.ok()) status = MakeDirectory(package_dir, 0700, identity.uid);
  if (status.ok()) {
    status = kernel::RemoveStaleMounts(path, settings_.mount.subtype);
  }
  if (status.ok()) status = MakeDirectory(path, 0700, identity.uid);
  if (!status.ok()) return status;

  absl::StatusOr<kernel::Fd> mount = Serve(*mounted);
  if (!mount.ok()) return mount.status();
  status = kernel::AttachMount(*mount, path);
  if (!status.ok()) return status;
  absl::MutexLock lock(&mutex_);
  (*mounted)->path = path;
  return absl::OkStatus();
}

absl::StatusOr<std::string> Volume::OpenAppView(const ViewIdentity& identity) {
  const std::string path = AppViewPath(identity.package, identity.user);
  absl::MutexLock lock(&mounting_);
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    absl::MutexLock path_lock(&mutex_);
    if (mounted->path == path) return path;
  }
  absl::Status status = MountAppView(identity, path);
  if (!status.ok()) return status;
  return path;
}

absl::Status Volume::CloseAppView(std::string_view package, uint32_t user) {
  const std::string path = AppViewPath(package, user);
  absl::MutexLock lock(&mounting_);
  std::shared_ptr<Mounted> found;
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    absl::MutexLock path_lock(&mutex_);
    if (mounted->path == path) {
      found = mounted;
      mounted->path.clear();
    }
  }
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("no view is mounted at ", path));
  }
  absl::Status status = kernel::DetachMount(path);
  if (!status.ok()) return status;
  rmdir(path.c_str());
  return absl::OkStatus();
}

absl::StatusOr<kernel::Fd> Volume::DetachedView(const ViewIdentity& identity) {
  absl::StatusOr<std::shared_ptr<Mounted>> mounted = NewMounted(identity);
  if (!mounted.ok()) return mounted.status();
  return Serve(*mounted);
}

void Volume::Ended(const std::shared_ptr<Mounted>& mounted) {
  bool lost = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = std::find(views_.begin(), views_.end(), mounted);
    if (found == views_.end()) return;
    views_.erase(found);
    departed_.Add(mounted->view.counters());
    departed_unanswered_ += mounted->session->unanswered();
    departed_expired_ += mounted->session->expired();
    lost = mounted->path == mountpoint();
  }
  Tell(mounted->view.identity(), "a view went");
  mounted->view.Close();
  if (lost && shared_.lost) shared_.lost();
}

void Volume::Tell(const ViewIdentity& identity, std::string_view what) const {
  if (shared_.audit == nullptr) return;
  audit::v1::Record record =
      audit::NewRecord(audit::v1::Record::STATE, std::string(what));
  record.set_volume(name());
  record.set_package(identity.package);
  record.set_uid(identity.uid);
  shared_.audit->Say(std::move(record));
}

void Volume::InvalidateAll() {
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    mounted->view.TellRules();
  }
}

Volume::Told Volume::TellRules(const policy::Changes* changes) {
  Told told;
  if (settings_.posix()) return told;
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    if (Concerns(changes, mounted->view)) {
      told.posted = mounted->view.TellRules() || told.posted;
      ++told.views;
    } else {
      ++told.spared;
    }
  }
  return told;
}

void Volume::CountTold(const Told& told) {
  views_told_.fetch_add(told.views, std::memory_order_relaxed);
  views_spared_.fetch_add(told.spared, std::memory_order_relaxed);
}

bool Volume::PostListings(const policy::Changes* changes, uint64_t epoch) {
  bool posted = false;
  if (settings_.posix()) return posted;
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    if (!Concerns(changes, mounted->view)) continue;
    posted = mounted->view.PostListings(epoch) || posted;
  }
  return posted;
}

StaleCount Volume::AfterRules(const policy::Changes* changes,
                              absl::Time deadline) {
  StaleCount all;
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    const StaleCount count = mounted->view.AfterRules(changes, deadline);
    all.stale += count.stale;
    all.unread += count.unread;
  }
  return all;
}

std::vector<StaleFile> Volume::FindStale() const {
  std::vector<StaleFile> stale;
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    const size_t first = stale.size();
    mounted->view.FindStale(stale);
    for (size_t i = first; i < stale.size(); ++i) {
      stale[i].volume = name();
      stale[i].device = mounted->device;
    }
  }
  return stale;
}

void Volume::Unmount() {
  absl::MutexLock lock(&mounting_);
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    std::string path;
    {
      absl::MutexLock path_lock(&mutex_);
      path = std::exchange(mounted->path, "");
    }
    if (path.empty()) continue;
    const absl::Status status = kernel::DetachMount(path);
    if (!status.ok()) {
      LOG(WARNING) << path << ": " << kernel::Describe(status);
    }
    if (path != mountpoint()) rmdir(path.c_str());
  }
}

void Volume::CancelWaits() {
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    mounted->view.CancelWaits();
  }
}

void Volume::TrimBackingIds() const {
  for (const std::shared_ptr<Mounted>& mounted : views()) {
    const std::shared_ptr<kernel::Session> session = mounted->view.session();
    if (session != nullptr) session->backing().Trim();
  }
}

Volume::MountedList Volume::views() const {
  absl::MutexLock lock(&mutex_);
  return views_;
}

void Volume::NoteFallback(std::string_view reason) {
  absl::MutexLock lock(&mutex_);
  const auto found = fallbacks_.find(reason);
  if (found != fallbacks_.end()) {
    ++found->second;
  } else {
    fallbacks_.emplace(reason, 1);
  }
}

}  // namespace fused
