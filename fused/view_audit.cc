// What the audit log is told of requests.
#include <linux/fuse.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "fused/audit/event.h"
#include "fused/errors.h"
#include "fused/view.h"
#include "kernel/packet.h"

namespace fused {

absl::Status View::Verdict(const Actor& actor, const policy::Object& object,
                           const policy::Decision& decision) {
  if (!decision.allowed()) {
    actor.denial = {decision.error, decision.rule, object.path_class};
  }
  return StatusOf(decision.error);
}

void View::CountDenied(const Actor& actor, uint32_t opcode, kernel::NodeId node,
                       std::string_view name, const absl::Status& status) {
  const int error = kernel::ErrnoOf(status);
  if (error == EACCES || error == EPERM || error == ENOENT) {
    counters_.denied.fetch_add(1, std::memory_order_relaxed);
  }
  AuditDenied(actor, opcode, node, name, status);
}

void View::DescribeActor(const Actor& actor, audit::Event& event) const {
  event.epoch = actor.snapshot->epoch();
  event.volume = context_.volume;
  event.package = identity_.shared()
                      ? actor.snapshot->PackageOf(actor.subject.app)
                      : std::string_view(identity_.package);
}

void View::Served(uint32_t opcode, uid_t uid, std::optional<int> error,
                  uint64_t nanoseconds) {
  if (IsOfOtherUser(context_, identity_, uid) && counters_.NoteOtherUser(uid)) {
    LOG(WARNING) << "single_user is set, and a request came from uid " << uid
                 << ": such callers are shown what the kernel keeps for the "
                    "one user";
  }
  if (context_.requests != nullptr) {
    context_.requests->Count(opcode, error, nanoseconds);
  }
  if (context_.registry != nullptr) {
    CountsOf(identity_.shared() ? uid : identity_.uid)
        .Count(opcode, nanoseconds);
  }
}

void View::CountVerdict(const Actor& actor, policy::RuleId rule,
                        metrics::Verdict verdict) const {
  if (context_.registry == nullptr) return;
  const auto index = static_cast<size_t>(verdict);
  CountsOf(actor.uid).verdicts[index].fetch_add(1, std::memory_order_relaxed);
  CountsOfRule(actor, rule)[index].fetch_add(1, std::memory_order_relaxed);
}

metrics::VerdictCounts& View::CountsOfRule(const Actor& actor,
                                           policy::RuleId rule) const {
  KnownCaller& known = KnownCaller::Of(peer_->id(), actor.uid);
  // Else it is known by other rules, which number theirs otherwise.
  const bool same = known.serial == actor.lease->serial;
  if (same && known.rule_counts != nullptr && known.rule == rule) {
    return *known.rule_counts;
  }
  metrics::VerdictCounts& counts = context_.registry->RuleOf(
      posix() ? "" : actor.snapshot->policy().RuleName(rule));
  if (same) {
    known.rule = rule;
    known.rule_counts = &counts;
  }
  return counts;
}

metrics::AppCounts& View::CountsOf(uid_t uid) const {
  KnownCaller& known = KnownCaller::Of(peer_->id(), uid);
  if (known.counts == nullptr) known.counts = &context_.registry->AppOf(uid);
  return *known.counts;
}

void View::AuditDenied(const Actor& actor, uint32_t opcode, kernel::NodeId node,
                       std::string_view name,
                       const absl::Status& status) const {
  if (posix()) return;
  const int error = kernel::ErrnoOf(status);
  ViewDenial denial = actor.denial;
  const bool by_rule = denial.error != policy::Error::kNone &&
                       kernel::ErrnoOf(StatusOf(denial.error)) == error;
  // What is absent was not denied.
  if (!by_rule && error != EACCES && error != EPERM) return;
  if (!by_rule) denial = {};
  CountVerdict(actor, denial.rule, metrics::Verdict::kDenied);
  if (context_.audit == nullptr) return;
  const audit::Key key = {.kind = audit::v1::Record::DENY,
                          .uid = actor.uid,
                          .operation = opcode,
                          .rule = denial.rule,
                          .path_class = denial.path_class,
                          .error = error,
                          .volume = reinterpret_cast<uintptr_t>(context_.tree)};
  context_.audit->Note(key, [&](audit::Event& event) {
    DescribeActor(actor, event);
    const policy::CompiledPolicy& policy = actor.snapshot->policy();
    event.operation = kernel::OpcodeName(opcode);
    event.rule = policy.RuleName(denial.rule);
    if (by_rule) event.path_class = policy.ClassName(denial.path_class);
    const Ref<Node> at = FindNode(actor, node);
    if (at == nullptr) return;
    std::string path = PathOf(*at);
    if (!name.empty()) absl::StrAppend(&path, path.empty() ? "" : "/", name);
    event.path = path;
  });
}

void View::AuditRedacted(const Actor& actor, const Node& node,
                         const policy::Decision& decision) const {
  if (context_.audit == nullptr) return;
  const audit::Key key = {.kind = audit::v1::Record::REDACTED_OPEN,
                          .uid = actor.uid,
                          .operation = FUSE_OPEN,
                          .rule = decision.rule,
                          .volume = reinterpret_cast<uintptr_t>(context_.tree)};
  context_.audit->Note(key, [&](audit::Event& event) {
    DescribeActor(actor, event);
    event.operation = kernel::OpcodeName(FUSE_OPEN);
    event.rule = actor.snapshot->policy().RuleName(decision.rule);
    event.path_class = actor.snapshot->policy().ClassName(
        node.Classify(*actor.snapshot).object.path_class);
    event.path = PathOf(node);
  });
}

std::string View::PathOf(const Node& node) {
  const LowerTree& tree = node.lower->tree();
  return node.place() != nullptr ? tree.PathAt(*node.place())
                                 : tree.PathOf(*node.lower);
}

}  // namespace fused
