#include "fused/telling.h"

#include <memory>
#include <optional>
#include <vector>

#include "fused/visibility.h"
#include "kernel/session.h"

namespace fused {
namespace {

// Of a view that has gone, or has not begun, nothing is cached: null.
std::shared_ptr<kernel::Session> LiveSession(const Peer& peer) {
  std::shared_ptr<kernel::Session> session = peer.session().lock();
  if (session != nullptr && (!session->initialized() || session->ended())) {
    return nullptr;
  }
  return session;
}

// Whether the view's app may be shown something of that name. By the rules in
// force after the change: those that come later have all names looked up again.
bool MaySee(const policy::Snapshot& snapshot, const Peer& peer,
            const policy::Location& location, std::string_view name) {
  if (!peer.app().has_value()) return snapshot.UniformLookup(location);
  const auto sees = [&](const policy::Subject& subject) {
    return MaySeeName(snapshot, subject, location, name);
  };
  const policy::Subject app = snapshot.SubjectOf(*peer.app());
  // Nobody, once its package is installed no more.
  return sees(app) || sees(NobodyOf(snapshot, app.user));
}

bool HidesNames(const policy::Snapshot& snapshot, const Peer& peer,
                const policy::Location& directory) {
  if (!peer.app().has_value()) {
    return HidesNamesBelow(snapshot, nullptr, directory);
  }
  const policy::Subject app = snapshot.SubjectOf(*peer.app());
  const policy::Subject nobody = NobodyOf(snapshot, app.user);
  return HidesNamesBelow(snapshot, &app, directory) &&
         HidesNamesBelow(snapshot, &nobody, directory);
}

}  // namespace

void Telling::Attributes(const LowerNode& lower, const Sighting& own,
                         bool data) const {
  lower.tree().NoteTelling(lower.is_directory());
  if (!lower.SeenElsewhere(own)) return;
  for (const Sighting& sighting : lower.sightings()) {
    if (sighting == own) continue;
    const std::shared_ptr<kernel::Session> session =
        LiveSession(*sighting.peer);
    if (session == nullptr) continue;
    // Attributes only, at once: with data the kernel waits for page locks,
    // which a request may hold.
    AttributesIn(lower, sighting, *session);
    if (data) worker_.PostInode(session, sighting.node, true);
  }
}

void Telling::AttributesOfDirectory(LowerNode& directory,
                                    const Sighting& own) const {
  directory.tree().NoteTelling(true);
  if (!directory.SeenElsewhere(own)) return;
  std::shared_ptr<const policy::Snapshot> snapshot;
  policy::Location location;
  if (rules_ != nullptr) {
    snapshot = rules_->snapshot();
    location = directory.Classify(*snapshot).location;
  }
  for (const Sighting& sighting : directory.sightings()) {
    KeptAnswers& kept = sighting.peer->kept();
    if (sighting == own || !kept.HasAttributes(sighting.node)) continue;
    // Of one that hides names no time or size is shown that changes.
    if (snapshot != nullptr &&
        HidesNames(*snapshot, *sighting.peer, location)) {
      continue;
    }
    kept.TakeAttributes(sighting.node);
    const std::shared_ptr<kernel::Session> session =
        LiveSession(*sighting.peer);
    if (session == nullptr) continue;
    AttributesIn(directory, sighting, *session);
  }
}

void Telling::AttributesIn(const LowerNode& lower, const Sighting& sighting,
                           kernel::Session& session) const {
  const absl::StatusOr<bool> known = session.DropAttributes(sighting.node);
  if (known.value_or(true)) return;
  // It has forgotten the node; or it is about to learn of it, with the
  // attributes from before.
  const Place place = lower.place();
  if (place.parent == nullptr) return;
  for (const kernel::NodeId parent : place.parent->NodesIn(*sighting.peer)) {
    worker_.PostLookup(sighting.peer->session(), parent, place.name,
                       sighting.node);
  }
}

void Telling::Name(LowerNode& directory, const Sighting& own,
                   std::string_view name, NameChange change,
                   Before before) const {
  if (!directory.SeenElsewhere(own)) return;
  std::shared_ptr<const policy::Snapshot> snapshot;
  policy::Location location;
  // Where a name has other spellings, it is not known which is asked for.
  if (rules_ != nullptr && !directory.tree().folds_case()) {
    snapshot = rules_->snapshot();
    location = snapshot->Child(directory.Classify(*snapshot).location, name);
  }
  for (const Sighting& sighting : directory.sightings()) {
    if (sighting == own) continue;
    const Peer& peer = *sighting.peer;
    const bool known =
        !before.has_value() || peer.kept().HasAbsence(sighting.node, name) ||
        (*before != nullptr && !(*before)->NodesIn(peer).empty());
    if (!known && !peer.listings().Has(sighting.node)) continue;
    // A mount that all share keeps no name that it shows differently; but what
    // it knows to be a directory it must be told to forget.
    const bool shared_directory =
        !peer.app().has_value() && change == NameChange::kDirectoryGone;
    if (snapshot != nullptr && !shared_directory &&
        !MaySee(*snapshot, peer, location, name)) {
      continue;
    }
    if (known) {
      // In this order: what is noted from here on is told of later.
      peer.kept().TakeAbsence(sighting.node, name);
      if (change == NameChange::kMade) {
        worker_.PostEntry(peer.session(), sighting.node, name);
      } else {
        worker_.PostRemoved(peer.session(), sighting.node, name);
      }
    }
    if (peer.listings().Take(sighting.node)) {
      worker_.PostListing(peer.session(), sighting.node);
    }
  }
}

bool Telling::Listings(kernel::InvalidationWorker& worker, const Peer& peer) {
  const std::vector<kernel::NodeId> directories = peer.listings().TakeAll();
  for (const kernel::NodeId directory : directories) {
    worker.PostListing(peer.session(), directory);
  }
  return !directories.empty();
}

void Telling::AllOf(const Peer& peer) const {
  const std::shared_ptr<kernel::Session> session = LiveSession(peer);
  if (session == nullptr) return;
  // A kernel without epochs keeps what it knows.
  session->IncrementEpoch().IgnoreError();
  Listings(worker_, peer);
}

void Telling::Everything(const LowerTree& tree) const {
  for (const Sighting& sighting : tree.root()->sightings()) {
    AllOf(*sighting.peer);
  }
}

void Telling::Moved(const LowerTree& tree, const policy::Snapshot& snapshot,
                    const Whereabouts& from, const Whereabouts& to,
                    const Sighting& own) const {
  for (const Sighting& sighting : tree.root()->sightings()) {
    const Peer& peer = *sighting.peer;
    if (sighting.peer == own.peer) continue;
    if (MaySee(snapshot, peer, from.location, from.name) ||
        MaySee(snapshot, peer, to.location, to.name)) {
      AllOf(peer);
    }
  }
}

}  // namespace fused
