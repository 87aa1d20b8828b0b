// POSIX and flock locks: one table for each lower node, for all views.
#include <fcntl.h>
#include <sys/file.h>

#include <atomic>
#include <memory>
#include <utility>

#include "fused/errors.h"
#include "fused/view.h"

namespace fused {
namespace {

// A reply that a lock table answers, now or later.
LockTable::Done Answer(std::shared_ptr<kernel::StatusReply> reply) {
  return [reply = std::move(reply)](const absl::Status& status) {
    reply->Send(status);
  };
}

// A request that may wait, and the signal to its caller that takes it back. The
// signal may come before the table has given the request a ticket.
class Waiting {
 public:
  explicit Waiting(Ref<LowerNode> lower) : lower_(std::move(lower)) {}

  void Interrupt() {
    interrupted_.store(true);
    CancelIfBoth();
  }
  void SetTicket(uint64_t ticket) {
    ticket_.store(ticket);
    CancelIfBoth();
  }

 private:
  void CancelIfBoth() {
    const uint64_t ticket = ticket_.load();
    if (ticket != 0 && interrupted_.load()) lower_->locks().Cancel(ticket);
  }

  const Ref<LowerNode> lower_;
  std::atomic<uint64_t> ticket_{0};
  std::atomic<bool> interrupted_{false};
};

// Makes `ask` ask the table, with an answer that can wait.
template <typename Ask>
void AskTable(const Ref<LowerNode>& lower, bool may_wait,
              kernel::StatusReply reply, Ask ask) {
  auto shared = std::make_shared<kernel::StatusReply>(std::move(reply));
  if (!may_wait) {
    ask(Answer(std::move(shared)));
    return;
  }
  // Before the table can answer: afterwards the reply is not ours to touch.
  auto waiting = std::make_shared<Waiting>(lower);
  shared->OnInterrupt([waiting] { waiting->Interrupt(); });
  waiting->SetTicket(ask(Answer(std::move(shared))));
}

}  // namespace

void View::GetLock(const kernel::Caller& caller, kernel::NodeId node,
                   kernel::HandleId handle_id,
                   const kernel::LockRequest& request,
                   kernel::LockReply reply) {
  const std::shared_ptr<Handle> handle = files_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  reply.Send(handle->node->lower->locks().Test({peer_->id(), request.owner},
                                               request.range));
}

void View::SetLock(const kernel::Caller& caller, kernel::NodeId node,
                   kernel::HandleId handle_id,
                   const kernel::LockRequest& request, bool wait,
                   kernel::StatusReply reply) {
  const std::shared_ptr<Handle> handle = files_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  handle->NoteLockOwner(request.owner);
  const Ref<LowerNode> lower = handle->node->lower;
  AskTable(lower, wait, std::move(reply), [&](LockTable::Done done) {
    return lower->locks().Set({peer_->id(), request.owner}, request.range, wait,
                              std::move(done));
  });
}

void View::Flock(const kernel::Caller& caller, kernel::NodeId node,
                 kernel::HandleId handle_id, uint64_t owner, int operation,
                 kernel::StatusReply reply) {
  const std::shared_ptr<Handle> handle = files_.Find(handle_id);
  if (handle == nullptr) return reply.Error(BadHandle());
  const Ref<LowerNode> lower = handle->node->lower;
  AskTable(lower, (operation & LOCK_NB) == 0, std::move(reply),
           [&](LockTable::Done done) {
             return lower->locks().Flock({peer_->id(), owner}, operation,
                                         std::move(done));
           });
}

}  // namespace fused
