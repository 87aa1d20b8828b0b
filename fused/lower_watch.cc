#include "fused/lower_watch.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "kernel/status.h"
#include "policy/names.h"

namespace fused {
namespace {

using Kind = kernel::LowerEvent::Kind;

// Most changes are this process's own, each of which would wake a thread for
// nothing: after one look the next comes no sooner.
constexpr int kPauseMilliseconds = 10;

}  // namespace

absl::StatusOr<std::unique_ptr<LowerWatch>> LowerWatch::Start(
    UserTrees& trees, const Telling& telling) {
  if (!trees.main().has_handles()) {
    return kernel::ErrnoStatus(EOPNOTSUPP,
                               "the lower file system has no file handles");
  }
  absl::StatusOr<std::unique_ptr<kernel::LowerEvents>> events =
      kernel::LowerEvents::Open(trees.main().root_descriptor());
  if (!events.ok()) return events.status();
  kernel::Fd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return kernel::ErrnoStatus(errno, "eventfd");
  return std::unique_ptr<LowerWatch>(
      new LowerWatch(trees, telling, *std::move(events), std::move(wake)));
}

LowerWatch::LowerWatch(UserTrees& trees, const Telling& telling,
                       std::unique_ptr<kernel::LowerEvents> events,
                       kernel::Fd wake)
    : trees_(trees),
      telling_(telling),
      events_(std::move(events)),
      wake_(std::move(wake)),
      self_(getpid()),
      thread_([this] { Run(); }) {}

LowerWatch::~LowerWatch() {
  stopping_.store(true);
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

LowerWatch::Stats LowerWatch::stats() const {
  return {changes_.load(std::memory_order_relaxed),
          overflows_.load(std::memory_order_relaxed)};
}

bool LowerWatch::Sync(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  const uint64_t target = ++asked_;
  eventfd_write(wake_.get(), 1);
  const auto reached = [this, target] {
    mutex_.AssertHeld();
    return drained_ >= target;
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&reached), timeout);
}

void LowerWatch::Run() {
  pthread_setname_np(pthread_self(), "fused-watch");
  bool pause = false;
  while (!stopping_.load()) {
    LeaveOutOwnWrites();
    struct pollfd fds[] = {{wake_.get(), POLLIN, 0},
                           {events_->descriptor(), POLLIN, 0}};
    poll(fds, pause ? 1 : 2, pause ? kPauseMilliseconds : -1);
    eventfd_t woken;
    eventfd_read(wake_.get(), &woken);
    uint64_t asked;
    {
      absl::MutexLock lock(&mutex_);
      asked = asked_;
    }
    Drain();
    // After events, a pause; after a pause without any, a wait.
    pause = !pause;
    absl::MutexLock lock(&mutex_);
    drained_ = asked;
  }
}

void LowerWatch::LeaveOutOwnWrites() {
  const std::vector<LowerTree*> trees = trees_.All();
  if (trees.size() == left_out_) return;
  left_out_ = trees.size();
  for (LowerTree* const tree : trees) {
    // A kernel that can't tells of more than it has to.
    events_->LeaveOutWritesOn(tree->root_descriptor()).IgnoreError();
  }
}

void LowerWatch::Drain() {
  const auto take = [this](const kernel::LowerEvent& event) { Handle(event); };
  while (events_->Read(self_, take)) {
  }
}

void LowerWatch::Handle(const kernel::LowerEvent& event) {
  if (event.kind == Kind::kLost) {
    overflows_.fetch_add(1, std::memory_order_relaxed);
    for (LowerTree* const tree : trees_.All()) {
      tree->NomediaChanged();
      telling_.Everything(*tree);
    }
    return;
  }
  for (LowerTree* const tree : trees_.All()) {
    // It tells whose it is by an attribute.
    if (event.object.has_value()) tree->marks().Forget(*event.object);
    // Somebody may just have found what nobody knew before.
    tree->NoteTelling(true);
    tree->NoteTelling(false);
  }
  for (LowerTree* const tree : trees_.All()) {
    if (event.kind == Kind::kChanged) {
      const Ref<LowerNode> node =
          event.object.has_value() ? tree->FindKnown(*event.object) : nullptr;
      if (node == nullptr) continue;
      telling_.Attributes(*node, {}, node->is_regular());
    } else {
      const Ref<LowerNode> directory = event.directory.has_value()
                                           ? tree->FindKnown(*event.directory)
                                           : nullptr;
      if (directory == nullptr) continue;
      HandleName(*tree, directory, event);
    }
    changes_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
}

void LowerWatch::HandleName(LowerTree& tree, const Ref<LowerNode>& directory,
                            const kernel::LowerEvent& event) {
  if (event.kind == Kind::kMovedTo) {
    // Finds where it stands now.
    tree.Lookup(directory, event.name.c_str()).status().IgnoreError();
  }
  const bool moved = event.is_directory && (event.kind == Kind::kMovedTo ||
                                            event.kind == Kind::kMovedFrom);
  const bool nomedia = policy::IsNomedia(event.name);
  if (nomedia) tree.NomediaChanged();
  if (moved || nomedia) {
    // What is below is judged otherwise.
    tree.BumpGeneration();
    telling_.Everything(tree);
  }
  telling_.AttributesOfDirectory(*directory, {});
  // One that was made may have been looked up already, and be somebody's
  // working directory: that is not taken away.
  telling_.Name(*directory, {}, event.name,
                event.kind == Kind::kMade ? NameChange::kMade
                : event.is_directory      ? NameChange::kDirectoryGone
                                          : NameChange::kGone,
                std::nullopt);
  // Link count and times of what had it.
  if (!event.object.has_value()) return;
  const Ref<LowerNode> node = tree.FindKnown(*event.object);
  if (node != nullptr) telling_.Attributes(*node, {}, false);
}

}  // namespace fused
