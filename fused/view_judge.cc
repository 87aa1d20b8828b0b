// Asking the policy.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "fused/errors.h"
#include "fused/redaction.h"
#include "fused/view.h"
#include "kernel/lower.h"

namespace fused {

namespace {

// App ids are below it; the user is the rest.
constexpr uint32_t kUserRange = 100000;

using policy::Operation;

enum class By { kRules, kShadow };

// By the one or the other rules; by the shadow ones only where there are any.
policy::Decision DecideBy(By by, const ViewActor& actor,
                          const policy::Object& object,
                          policy::OperationSet operations) {
  const policy::Snapshot& snapshot = *actor.snapshot;
  if (by == By::kShadow) {
    return snapshot.DecideShadow(actor.subject, object, operations)
        .value_or(policy::Decision());
  }
  return snapshot.Decide(actor.subject, object, operations);
}

// As DecideBy(), where there are grants.
policy::Decision DecideGranted(By by, const ViewActor& actor,
                               const policy::Object& object,
                               policy::OperationSet operations) {
  const policy::OperationSet granted =
      actor.grants->OperationsOf(object.file, actor.subject);
  if (granted.empty()) return DecideBy(by, actor, object, operations);
  // What the grant is for is judged with it, the rest without.
  policy::Object with = object;
  with.facts |= policy::kFactGranted;
  const policy::OperationSet inside =
      operations & (granted | Operation::kLookup);
  const policy::OperationSet outside = operations.Without(inside);
  const policy::Decision first = DecideBy(by, actor, with, inside);
  if (!first.allowed() || outside.empty()) return first;
  const policy::Decision second = DecideBy(by, actor, object, outside);
  return !second.allowed() || second.io > first.io ? second : first;
}

}  // namespace

View::Actor View::ActorOf(uid_t uid) const {
  Actor actor;
  actor.lease = context_.rules->Lease();
  actor.snapshot = actor.lease->snapshot.get();
  actor.grants = actor.lease->grants.get();
  actor.shadow = actor.lease->shadow.get();
  // Whoever comes through an app view is the app, root too.
  actor.uid = identity_.shared() ? uid : identity_.uid;
  actor.subject = actor.snapshot->SubjectOf(actor.uid);
  if (!identity_.shared() && !StillInstalled(*actor.snapshot)) {
    // The uid may be another package's by now: nobody in particular.
    actor.subject = NobodyOf(*actor.snapshot, identity_.user);
  }
  return actor;
}

bool View::StillInstalled(const policy::Snapshot& snapshot) const {
  const uint64_t seen = installed_.load(std::memory_order_relaxed);
  if (seen >> 1 == snapshot.epoch()) return (seen & 1) != 0;
  const bool installed =
      snapshot.AppIdOf(identity_.package) == identity_.uid % kUserRange;
  installed_.store(snapshot.epoch() << 1 | (installed ? 1 : 0),
                   std::memory_order_relaxed);
  return installed;
}

policy::Decision View::Judge(const Actor& actor, const policy::Object& object,
                             policy::OperationSet operations) const {
  const policy::Decision decision = Weigh(actor, object, operations);
  if (actor.shadow != nullptr) {
    NoteShadow(actor, object, operations, decision);
  }
  return decision;
}

policy::Decision View::Weigh(const Actor& actor, const policy::Object& object,
                             policy::OperationSet operations) const {
  if (posix()) {
    return {policy::Error::kNone, policy::IoMode::kPassthrough,
            policy::kNoRule};
  }
  if (actor.grants != nullptr && object.file != 0) {
    return DecideGranted(By::kRules, actor, object, operations);
  }
  return actor.snapshot->Decide(actor.subject, object, operations);
}

void View::NoteShadow(const Actor& actor, const policy::Object& object,
                      policy::OperationSet operations,
                      const policy::Decision& live) {
  if (actor.shadow == nullptr) return;
  const policy::Decision shadow =
      actor.grants != nullptr && object.file != 0
          ? DecideGranted(By::kShadow, actor, object, operations)
          : DecideBy(By::kShadow, actor, object, operations);
  actor.shadow->Note(live, shadow);
}

absl::Status View::Check(const Actor& actor, const policy::Object& object,
                         policy::OperationSet operations) const {
  return Verdict(actor, object, Judge(actor, object, operations));
}

absl::Status View::CheckNew(const Actor& actor, const policy::Object& made,
                            policy::OperationSet operations,
                            std::string_view name) const {
  if (posix()) return absl::OkStatus();
  const policy::Decision decision =
      actor.snapshot->DecideName(actor.subject, made, operations, name);
  NoteShadow(actor, made, operations, decision);
  return Verdict(actor, made, decision);
}

Visibility View::Sees(const Actor& actor, const policy::Location& location,
                      std::string_view name,
                      std::optional<bool> directory) const {
  if (posix()) return Visibility::kAlways;
  AskedName asked;
  const Visibility seen = SeesName(*actor.snapshot, actor.subject, location,
                                   name, directory, &asked);
  if (seen == Visibility::kNever) {
    Verdict(actor, asked.object, asked.decision).IgnoreError();
  }
  return seen;
}

policy::IoMode View::ServedAs(const Actor& actor, const policy::Object& object,
                              LowerNode& lower, const struct stat& stat) const {
  if (posix()) {
    return HasPrivileges(lower, stat) ? policy::IoMode::kDaemon
                                      : policy::IoMode::kPassthrough;
  }
  policy::IoMode strictest = policy::IoMode::kPassthrough;
  bool redact = false;
  for (const Operation operation : {Operation::kRead, Operation::kWrite}) {
    const policy::Decision decision = Weigh(actor, object, operation);
    if (!decision.allowed()) continue;
    if (decision.io == policy::IoMode::kRedacted) {
      redact = true;
    } else if (decision.io > strictest) {
      strictest = decision.io;
    }
  }
  if (!redact) return strictest;
  // Of a file that is known to hold nothing to hide, and that nobody is
  // writing to, there is nothing to redact.
  const std::shared_ptr<const Redaction> known = lower.redaction();
  const bool clean =
      stat.st_size == 0 ||
      (known != nullptr && known->Matches(stat) && !known->hides());
  return clean && lower.writers() == 0 && !actor.retries
             ? strictest
             : policy::IoMode::kRedacted;
}

absl::Status View::CheckRedacted(const Intent& intent, LowerNode& lower) {
  if (!intent.read) return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<const Redaction>> found = FindRedaction(lower);
  if (!found.ok()) return found.status();
  const bool refused =
      (*found)->finding.kind == policy::redaction::Finding::Kind::kRefused;
  // A store through a mapping would write the zeros back.
  if (refused || ((*found)->hides() && intent.write)) return AccessDenied();
  return absl::OkStatus();
}

bool View::HasPrivileges(LowerNode& lower, const struct stat& stat) {
  // Nobody clears set-id bits on a passthrough write when the kernel has been
  // told that the daemon does (HANDLE_KILLPRIV_V2), so the daemon must see
  // every write to such a file; and a node has one mode for all its handles.
  if ((stat.st_mode & (S_ISUID | S_ISGID)) != 0) return true;
  if ((stat.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0) return false;
  absl::StatusOr<Pin> pin = lower.Descriptor();
  // What can't be told is served the careful way.
  if (!pin.ok()) return true;
  return getxattr(kernel::ProcPath((*pin)->get()).text, "security.capability",
                  nullptr, 0) > 0;
}

bool View::Shows(mode_t type) const {
  // In the media profile a symbolic link or a special file in the lower tree
  // can only have been planted there: it does not exist.
  return posix() || S_ISREG(type) || S_ISDIR(type);
}

std::optional<Owner> View::OwnerFor(const Actor& actor) const {
  const std::string_view package = actor.snapshot->PackageOf(actor.subject.app);
  if (package.empty()) return std::nullopt;
  return Owner{std::string(package), actor.uid % kUserRange};
}

}  // namespace fused
