// Asking the policy.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <array>
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

// What a decision is made of: all that Snapshot::Decide() looks at.
struct Question {
  uint64_t serial = 0;  // of what is in force
  uint64_t word = 0;
  policy::AppIndex app = policy::kNoApp;
  uint32_t row = 0;
  uint32_t subject_user = 0;
  policy::AppIndex path_owner = policy::kNoApp;
  policy::AppIndex file_owner = policy::kNoApp;
  uint32_t object_user = 0;
  uint32_t facts = 0;
  uint32_t operations = 0;
  policy::ClassId path_class = 0;
  bool listed = false;

  friend bool operator==(const Question&, const Question&) = default;
};

// As Snapshot::Decide(). Each thread knows its last answers: what an app asks
// is mostly of the same class and type as what it asked before.
policy::Decision Decide(const ViewActor& actor, const policy::Object& object,
                        policy::OperationSet operations) {
  struct Answer {
    Question question;
    policy::Decision decision;
  };
  constexpr uint32_t kBits = 6;
  thread_local std::array<Answer, 1 << kBits> answers;
  const policy::Subject& subject = actor.subject;
  const Question question = {.serial = actor.lease->serial,
                             .word = subject.word,
                             .app = subject.app,
                             .row = subject.row,
                             .subject_user = subject.user,
                             .path_owner = object.path_owner,
                             .file_owner = object.file_owner,
                             .object_user = object.user,
                             .facts = object.facts,
                             .operations = operations.bits(),
                             .path_class = object.path_class,
                             .listed = subject.listed};
  const uint32_t mixed =
      (operations.bits() ^ object.facts << 7 ^ subject.row << 13 ^
       static_cast<uint32_t>(object.path_class) << 20 ^
       static_cast<uint32_t>(object.file_owner) << 3) *
      2654435769u;
  Answer& answer = answers[mixed >> (32 - kBits)];
  if (answer.question != question) {
    answer = {question,
              actor.snapshot->Decide(actor.subject, object, operations)};
  }
  return answer.decision;
}

enum class By { kRules, kShadow };

// By the one or the other rules; by the shadow ones only where there are any.
policy::Decision DecideBy(By by, const ViewActor& actor,
                          const policy::Object& object,
                          policy::OperationSet operations) {
  if (by == By::kShadow) {
    return actor.snapshot->DecideShadow(actor.subject, object, operations)
        .value_or(policy::Decision());
  }
  return Decide(actor, object, operations);
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
  KnownCaller& known = KnownCaller::Of(peer_->id(), actor.uid);
  if (known.serial != actor.lease->serial) Recognize(*actor.lease, known);
  actor.subject = known.subject;
  actor.judge = known.judge;
  return actor;
}

void View::Recognize(const InForce& now, KnownCaller& known) const {
  const policy::Snapshot& snapshot = *now.snapshot;
  known.subject = snapshot.SubjectOf(known.uid);
  if (!identity_.shared() &&
      snapshot.AppIdOf(identity_.package) != identity_.uid % kUserRange) {
    // The uid may be another package's by now: nobody in particular.
    known.subject = NobodyOf(snapshot, identity_.user);
  }
  known.judge = JudgeOf(now.serial, known.uid);
  known.rule_counts = nullptr;
  known.serial = now.serial;
}

// One for all threads: what one of them keeps another finds.
uint64_t View::JudgeOf(uint64_t serial, uid_t uid) const {
  constexpr size_t kMost = 4096;
  static std::atomic<uint64_t> last{0};
  absl::MutexLock lock(&judges_mutex_);
  if (judges_.size() >= kMost && !judges_.contains(uid)) judges_.clear();
  JudgedBy& judge = judges_[uid];
  if (judge.serial != serial) {
    judge = {serial, 1 + last.fetch_add(1, std::memory_order_relaxed)};
  }
  return judge.id;
}

std::optional<FileRights> View::RightsOf(const Actor& actor,
                                         const Node& node) const {
  LowerNode& lower = *node.lower;
  if (actor.shadow != nullptr ||
      (actor.grants != nullptr && actor.grants->Has(lower.file_id()))) {
    return std::nullopt;
  }
  // First: of what changes meanwhile they are not kept.
  const uint64_t changes = lower.changes();
  FileRights rights;
  if (node.rights.Get(actor.judge, changes, &rights)) return rights;
  rights = WeighFile(actor, node.Classify(*actor.snapshot).object);
  if (node.place() == nullptr && node.rights.Takes(actor.judge, changes) &&
      lower.KeepsFacts(*actor.snapshot)) {
    node.rights.Set(actor.judge, changes, rights);
  }
  return rights;
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
  return Decide(actor, object, operations);
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

bool View::MaySee(const Actor& actor, const policy::Location& location,
                  std::string_view name) const {
  if (posix()) return true;
  AskedName asked;
  if (MaySeeName(*actor.snapshot, actor.subject, location, name, &asked)) {
    return true;
  }
  Verdict(actor, asked.object, asked.decision).IgnoreError();
  return false;
}

FileRights View::WeighFile(const Actor& actor,
                           const policy::Object& object) const {
  FileRights rights;
  rights.read = Weigh(actor, object, Operation::kRead);
  rights.write = Weigh(actor, object, Operation::kWrite);
  rights.seen = rights.read.allowed() || rights.write.allowed() ||
                Weigh(actor, object, Operation::kLookup).allowed();
  return rights;
}

policy::IoMode View::ServedAs(const Actor& actor, const policy::Object& object,
                              LowerNode& lower, const struct stat& stat) const {
  if (posix()) {
    return HasPrivileges(lower, stat) ? policy::IoMode::kDaemon
                                      : policy::IoMode::kPassthrough;
  }
  FileRights rights;
  rights.read = Weigh(actor, object, Operation::kRead);
  rights.write = Weigh(actor, object, Operation::kWrite);
  return ServedBy(actor, rights, lower, stat);
}

policy::IoMode View::ServedBy(const Actor& actor, const FileRights& rights,
                              LowerNode& lower, const struct stat& stat) {
  policy::IoMode strictest = policy::IoMode::kPassthrough;
  bool redact = false;
  for (const policy::Decision& decision : {rights.read, rights.write}) {
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
