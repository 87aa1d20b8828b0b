// Names to nodes.
#include <linux/fuse.h>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "fused/errors.h"
#include "fused/view.h"
#include "kernel/lower.h"
#include "policy/names.h"

namespace fused {
namespace {

using policy::Operation;

bool IsDot(std::string_view name) { return name == "." || name == ".."; }

absl::StatusOr<struct stat> LookAgain(const ViewTarget& target) {
  // A file without a name.
  if (target.parent == nullptr) return target.lower->Stat();
  absl::StatusOr<Pin> parent = target.parent->lower->Descriptor();
  if (!parent.ok()) return parent.status();
  return kernel::StatChild((*parent)->get(), target.place_name().data());
}

// Of a node by which the view can be told of what becomes of it: whether it has
// the target's name still, and its attributes are no older than that. Before,
// nobody could tell it.
bool IsUpToDate(ViewTarget& target) {
  const LowerNode& lower = *target.lower;
  const LowerTree::Tellings now = lower.tree().tellings();
  if (now.directories == target.tellings.directories &&
      (lower.is_directory() || now.others == target.tellings.others)) {
    return true;
  }
  const absl::StatusOr<struct stat> stat = LookAgain(target);
  if (!stat.ok() || stat->st_ino != lower.inode() ||
      static_cast<uint32_t>(stat->st_dev) != lower.device()) {
    return false;
  }
  target.stat = *stat;
  return true;
}

}  // namespace

absl::StatusOr<View::Target> View::Resolve(const Actor& actor,
                                           kernel::NodeId parent,
                                           const char* name) {
  Ref<Node> node = FindNode(actor, parent);
  if (node == nullptr) return Stale();
  return ResolveAt(actor, std::move(node), name);
}

absl::StatusOr<View::Target> View::ResolveAt(const Actor& actor,
                                             Ref<Node> parent,
                                             const char* name) {
  absl::StatusOr<Target> target = AimAt(actor, std::move(parent), name);
  if (!target.ok()) return target;
  absl::Status status = Refresh(actor, *target);
  if (!status.ok()) return status;
  return target;
}

absl::StatusOr<View::Target> View::Aim(const Actor& actor,
                                       kernel::NodeId parent,
                                       const char* name) {
  Ref<Node> node = FindNode(actor, parent);
  if (node == nullptr) return Stale();
  return AimAt(actor, std::move(node), name);
}

absl::StatusOr<View::Target> View::AimAt(const Actor& actor, Ref<Node> parent,
                                         const char* name) {
  if (!parent->lower->is_directory()) return NotDirectory();
  Target target;
  target.parent = std::move(parent);
  target.name = name;
  if (!posix()) {
    Locate(actor, target);
    // A name that is denied is answered before the lower tree is asked: so an
    // absent one can't be told from a forbidden one by what the daemon does.
    if (!MaySee(actor, target.location, target.name)) {
      NoteShadowOfName(actor, target);
      return NoEntry();
    }
  }
  return target;
}

// Of a name that is denied whatever stands there: as if it were a file, and
// nobody's.
void View::NoteShadowOfName(const Actor& actor, const Target& target) {
  if (actor.shadow == nullptr) return;
  const policy::Object object = actor.snapshot->ObjectAt(
      target.location, target.name, false, policy::kNoApp);
  NoteShadow(actor, object, Operation::kLookup,
             actor.snapshot->Decide(actor.subject, object, Operation::kLookup));
}

void View::Locate(const Actor& actor, Target& target) const {
  if (posix()) return;
  const bool folds = target.parent->lower->tree().folds_case();
  const policy::Location parent =
      target.parent->Classify(*actor.snapshot).location;
  // Its parent is where it was the last time.
  if (target.below == parent && !folds) return;
  target.below = parent;
  target.location = actor.snapshot->Child(parent, target.name);
  target.alias_of.reset();
  if (!folds || policy::FoldsPlainly(target.name) ||
      !MaySee(actor, target.location, target.name)) {
    return;
  }
  target.alias_of =
      OtherNameOf(actor, parent, *target.parent->lower, target.name.data());
  if (target.alias_of.has_value()) {
    target.location = actor.snapshot->Child(parent, *target.alias_of);
  }
}

// What counts is which directory is found, and not how its name was spelt.
std::optional<std::string> View::OtherNameOf(const Actor& actor,
                                             const policy::Location& parent,
                                             LowerNode& lower,
                                             const char* name) {
  absl::StatusOr<Pin> pin = lower.Descriptor();
  if (!pin.ok()) return std::nullopt;
  const absl::StatusOr<struct stat> found =
      kernel::StatChild((*pin)->get(), name);
  if (!found.ok()) return std::nullopt;
  std::vector<std::string_view> names = actor.snapshot->NamesBelow(parent);
  names.emplace_back(policy::kNomedia);
  for (const std::string_view known : names) {
    std::string text(known);
    const absl::StatusOr<struct stat> stat =
        kernel::StatChild((*pin)->get(), text.c_str());
    if (stat.ok() && stat->st_dev == found->st_dev &&
        stat->st_ino == found->st_ino) {
      return text;
    }
  }
  return std::nullopt;
}

absl::Status View::Refresh(const Actor& actor, Target& target, bool there) {
  target.lower = nullptr;
  // What is there, and the kernel has no node for, is opened at once.
  const bool look =
      !there || told_.Find(ToldNames::KeyOf(target.parent->id(), target.name))
                    .has_value();
  target.tellings = target.parent->lower->tree().tellings();
  // Its place is where it stands, whichever spelling led there.
  absl::StatusOr<LowerTree::Found> found = target.parent->lower->tree().Lookup(
      target.parent->lower, target.place_name().data(), look);
  if (!found.ok()) {
    // Nothing there; for the media profile neither is what it does not show,
    // nor what was mounted below or leads elsewhere (EXDEV, ELOOP).
    if (kernel::IsErrno(found.status(), ENOENT)) return absl::OkStatus();
    // A name that can't be made is judged as a name, not looked for.
    if (!posix() && kernel::IsErrno(found.status(), ENAMETOOLONG)) {
      return absl::OkStatus();
    }
    return found.status();
  }
  return Take(actor, target, *std::move(found));
}

absl::Status View::Take(const Actor& actor, Target& target,
                        LowerTree::Found found) {
  if (!Shows(found.node->type())) return absl::OkStatus();
  if (!posix()) {
    if (found.node->is_directory() || found.stat.st_nlink == 1) {
      target.facts = found.node->Classify(*actor.snapshot);
    } else {
      target.facts = found.node->ClassifyAt(
          *actor.snapshot, {target.parent->lower, std::string(target.name)});
    }
    if (!Check(actor, target.facts.object, Operation::kLookup).ok()) {
      return NoEntry();
    }
  }
  target.lower = std::move(found.node);
  target.stat = found.stat;
  return absl::OkStatus();
}

bool View::IsShownDifferently(const Actor& actor,
                              const policy::Location& location) const {
  if (posix() || !identity_.shared()) return false;
  // Another user's caller finds nothing in the root, and comes no deeper.
  if (location.depth <= 1 && !context_.single_user) return true;
  return !actor.snapshot->UniformLookup(location);
}

// What is absent and what is denied are kept alike, or the next question would
// tell them apart by how long it takes.
bool View::KeepsAbsence(const Actor& actor, const Node& parent,
                        std::string_view name) const {
  // Nobody could take it back when the rules change.
  if (!connection_.inc_epoch) return false;
  // Where names have several spellings, it is told of one.
  if (parent.lower->tree().folds_case()) return false;
  if (posix() || !identity_.shared()) return true;
  // What it is told of is not what the one user is.
  if (IsOfOtherUser(context_, identity_, actor.uid)) return false;
  return !IsShownDifferently(
      actor,
      actor.snapshot->Child(parent.Classify(*actor.snapshot).location, name));
}

Ref<Node> View::EnterNode(const Actor& actor, Target& target,
                          kernel::Entry& entry) {
  LowerNode& lower = *target.lower;
  NodeKey key;
  std::optional<Place> place;
  // One that has several spellings would stay under the others.
  bool cache_name = !lower.tree().folds_case();
  if (lower.is_regular()) {
    key.io = ServedAs(actor, target.facts.object, lower, target.stat);
    if (!posix() && target.stat.st_nlink > 1) {
      // One node for each class that its names lie in. Its place is this
      // name's, so the name is looked up each time.
      key.path_class = 1u + target.facts.object.path_class;
      place = Place{target.parent->lower, std::string(target.name)};
      cache_name = false;
    }
  }
  cache_name = cache_name && !IsShownDifferently(actor, target.location) &&
               (posix() || !identity_.shared() || !lower.is_regular() ||
                actor.snapshot->UniformIo(target.location));
  Ref<Node> node = nodes_.Enter(target.lower, key, std::move(place));
  Told(target, node);
  entry.node = node->id();
  // The root's is fixed.
  if (node->id() != kernel::kRootNode) entry.generation = generation_;
  NoteAsked(*node);
  const bool up_to_date = IsUpToDate(target);
  entry.cache_name = cache_name && up_to_date;
  entry.attributes =
      AttributesOf(actor, lower, node->writers.load(std::memory_order_acquire),
                   target.stat, target.facts);
  entry.attributes.cache = entry.attributes.cache && up_to_date;
  return node;
}

void View::ReplyEntry(const Actor& actor, Target& target,
                      kernel::EntryReply reply) {
  kernel::Entry entry;
  EnterNode(actor, target, entry);
  if (!reply.Send(entry)) DropNode(entry.node, 1);
}

void View::Told(const Target& target, const Ref<Node>& node) {
  // A file without a name has no parent.
  if (target.parent == nullptr) return;
  told_.Set(ToldNames::KeyOf(target.parent->id(), target.name), node);
}

bool View::AsTold(const Target& target) const {
  const std::optional<kernel::NodeId> told =
      told_.Find(ToldNames::KeyOf(target.parent->id(), target.name));
  if (!told.has_value()) return true;
  const Ref<Node> node = nodes_.Find(*told);
  return node == nullptr || node->lower == target.lower;
}

void View::ToldMoved(const Target& from, const Target& to, bool exchanged) {
  const ToldNames::Key old_key = ToldNames::KeyOf(from.parent->id(), from.name);
  const ToldNames::Key new_key = ToldNames::KeyOf(to.parent->id(), to.name);
  const std::optional<kernel::NodeId> moved = told_.Find(old_key);
  const std::optional<kernel::NodeId> other = told_.Find(new_key);
  const auto set = [this](ToldNames::Key key,
                          std::optional<kernel::NodeId> id) {
    const Ref<Node> node = id.has_value() ? nodes_.Find(*id) : nullptr;
    if (node == nullptr) return told_.Erase(key);
    told_.Set(key, node);
  };
  // What a node was told as before makes room for what it is now.
  told_.Erase(old_key);
  told_.Erase(new_key);
  set(new_key, moved);
  set(old_key, exchanged ? other : std::nullopt);
}

void View::DropNode(kernel::NodeId node, uint64_t lookups) {
  const Ref<Node> known = nodes_.Find(node);
  if (!nodes_.Forget(node, lookups)) return;
  if (known != nullptr) {
    told_.EraseNode(*known);
    if (known->lower->is_directory()) {
      peer_->listings().Take(node);
      peer_->kept().Forget(node);
    }
  }
  kernel::BackingRegistry* const backing =
      backing_.load(std::memory_order_acquire);
  if (backing != nullptr) backing->Doom(node);
}

// "." and ".." of a node that a file handle of an exported mount names
// (EXPORT_SUPPORT): the kernel may have forgotten all of it but the id.
void View::LookupDot(const Actor& actor, kernel::NodeId node_id,
                     std::string_view name, kernel::EntryReply reply) {
  const Ref<Node> node = nodes_.FindRemembered(node_id);
  if (node == nullptr || !posix()) return reply.Error(Stale());
  Target target;
  target.lower = node->lower;
  if (name == "..") {
    if (!node->lower->is_directory()) return reply.Error(NotDirectory());
    target.lower = node->lower->place().parent;
    if (target.lower == nullptr) target.lower = node->lower->tree().root();
  }
  target.tellings = target.lower->tree().tellings();
  absl::StatusOr<struct stat> stat = target.lower->Stat();
  if (!stat.ok()) return reply.Error(stat.status());
  // Removed, and held by others.
  if (stat->st_nlink == 0) return reply.Error(Stale());
  target.stat = *stat;
  // The kernel takes no other node's id for ".": it is another where the file
  // is to be served differently now.
  if (name == "." && target.lower->is_regular() &&
      ServedAs(actor, target.facts.object, *target.lower, *stat) !=
          node->key.io) {
    return reply.Error(Stale());
  }
  ReplyEntry(actor, target, std::move(reply));
}

void View::Lookup(const kernel::Caller& caller, kernel::NodeId parent,
                  const char* name, kernel::EntryReply reply) {
  Actor actor = ActorOf(caller.uid);
  actor.retries = retries_.Has(caller.pid);
  if (IsDot(name)) return LookupDot(actor, parent, name, std::move(reply));
  const Ref<Node> node = FindNode(actor, parent);
  LowerTree::Tellings tellings;
  if (node != nullptr) tellings = node->lower->tree().tellings();
  absl::StatusOr<Target> target = Stale();
  if (node != nullptr) target = ResolveAt(actor, node, name);
  if (target.ok() && target->lower == nullptr) target = NoEntry();
  if (!target.ok()) {
    told_.Erase(ToldNames::KeyOf(parent, name));
    AuditDenied(actor, FUSE_LOOKUP, parent, name, target.status());
    if (kernel::IsErrno(target.status(), ENOENT) &&
        KeepsAbsence(actor, *node, name)) {
      peer_->kept().NoteAbsence(parent, name);
      // Who makes it from here on finds that noted.
      if (node->lower->tree().tellings().directories == tellings.directories) {
        return reply.NegativeCached();
      }
    }
    return reply.Error(target.status());
  }
  ReplyEntry(actor, *target, std::move(reply));
}

void View::Forget(absl::Span<const kernel::Forget> forgets) {
  for (const kernel::Forget& forget : forgets) {
    DropNode(forget.node, forget.lookups);
  }
}

}  // namespace fused
