#include "fused/view.h"

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <random>
#include <utility>

#include "absl/log/log.h"

namespace fused {
namespace {

// What file handles of an exported mount can be opened of what the kernel has
// forgotten.
constexpr size_t kMostRemembered = 1 << 16;

// The kernel keeps 32 bits of it.
uint64_t Generation() {
  std::random_device random;
  return std::uniform_int_distribution<uint32_t>(1, UINT32_MAX)(random);
}

uint64_t NextViewId() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

struct timespec Now() {
  struct timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

}  // namespace

View::View(const VolumeContext& context, ViewIdentity identity)
    : context_(context),
      identity_(std::move(identity)),
      peer_(MakeRef<Peer>(NextViewId(),
                          identity_.shared()
                              ? std::nullopt
                              : std::optional<uid_t>(identity_.uid))),
      telling_(context.invalidations, context.posix ? nullptr : context.rules),
      mounted_(Now()),
      generation_(context.posix ? Generation() : 0),
      nodes_(
          peer_, context.tree->root(),
          context.posix && context.tree->has_handles() ? kMostRemembered : 0) {}

View::~View() { Close(); }

void View::SetSession(const std::shared_ptr<kernel::Session>& session) {
  peer_->SetSession(session);
  backing_.store(session == nullptr ? nullptr : &session->backing(),
                 std::memory_order_release);
}

void View::CancelWaits() {
  for (const std::shared_ptr<Handle>& handle : files_.All()) {
    if (LockTable* const locks = handle->node->lower->locks_or_null()) {
      locks->CancelAll();
    }
  }
}

void View::Close() {
  for (const std::shared_ptr<Handle>& handle : files_.All()) {
    if (files_.Remove(handle->record.id) != nullptr) {
      CloseHandle(handle, std::nullopt);
      if (LockTable* const locks = handle->node->lower->locks_or_null()) {
        locks->ReleaseView(peer_->id());
      }
    }
  }
  for (const std::shared_ptr<DirectoryHandle>& handle : directories_.All()) {
    directories_.Remove(handle->id);
  }
  told_.Clear();
  nodes_.Clear();
  absl::MutexLock lock(&roots_mutex_);
  for (const auto& [user, root] : roots_) {
    root->lower->RemoveSighting({peer_, kernel::kRootNode});
  }
  roots_.clear();
}

Ref<Node> View::FindNode(const Actor& actor, kernel::NodeId id) const {
  const bool several = context_.trees != nullptr &&
                       context_.trees->per_user() && identity_.shared();
  if (id != kernel::kRootNode || !several) return nodes_.Find(id);
  return RootOf(actor.subject.user);
}

Ref<Node> View::RootOf(uint32_t user) const {
  {
    absl::ReaderMutexLock lock(&roots_mutex_);
    const auto found = roots_.find(user);
    if (found != roots_.end()) return found->second;
  }
  LowerTree* const tree = context_.trees->Of(user);
  // Who has no tree stands before another's, which does not exist for him.
  if (tree == nullptr || tree == context_.tree) {
    return nodes_.Find(kernel::kRootNode);
  }
  Ref<Node> made =
      Node::Make(kernel::kRootNode, tree->root(), NodeKey(), std::nullopt);
  absl::MutexLock lock(&roots_mutex_);
  const auto [entry, inserted] = roots_.emplace(user, std::move(made));
  if (inserted) {
    entry->second->lower->AddSighting({peer_, kernel::kRootNode});
  }
  return entry->second;
}

void View::Init(const kernel::Connection& connection) {
  connection_ = connection;
  passthrough_.store(context_.passthrough && connection.passthrough,
                     std::memory_order_release);
  initialized_.Notify();
}

std::string View::passthrough_reason() const {
  if (!initialized_.HasBeenNotified()) return "INIT is not done";
  if (!context_.passthrough) return "turned off (--passthrough=off)";
  if (!connection_.passthrough) return connection_.passthrough_reason;
  return "";
}

void View::Destroy() {}

kernel::BackingRegistry::Stats View::backing_stats() const {
  const std::shared_ptr<kernel::Session> session = peer_->session().lock();
  if (session == nullptr) return {};
  return session->backing().stats();
}

}  // namespace fused
