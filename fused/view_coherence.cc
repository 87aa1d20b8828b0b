// Telling other views' kernels.
#include "fused/view.h"

namespace fused {
namespace {

void Invalidate(const Sighting& sighting, bool data) {
  const std::shared_ptr<kernel::Session> session =
      sighting.peer->session().lock();
  // A view that has gone, or has not begun, caches nothing.
  if (session == nullptr || !session->initialized() || session->ended()) return;
  session->InvalidateInode(sighting.node, data).IgnoreError();
}

}  // namespace

void View::InvalidateElsewhere(const LowerNode& lower, kernel::NodeId own,
                               bool data) const {
  const Sighting self{peer_, own};
  if (!lower.SeenElsewhere(self)) return;
  for (const Sighting& sighting : lower.sightings()) {
    if (sighting == self) continue;
    // Attributes only, at once: with data the kernel waits for page locks,
    // which a request may hold.
    Invalidate(sighting, false);
    if (data) {
      context_.invalidations->PostInode(sighting.peer->session(), sighting.node,
                                        true);
    }
  }
}

void View::InvalidateEverywhere(const LowerNode& lower, bool data) const {
  InvalidateElsewhere(lower, 0, data);
}

bool View::IsLeftBehind(Node& node) const {
  const uint64_t view = node.lower->removed_by();
  if (view == 0 || view == peer_->id()) return false;
  // Who has it open may open it again, by its descriptor.
  absl::MutexLock lock(&node.open_mutex);
  return node.handles == 0;
}

void View::PostName(const LowerNode& parent, kernel::NodeId own,
                    std::string_view name, bool directory_went) const {
  const Sighting self{peer_, own};
  if (!parent.SeenElsewhere(self)) return;
  for (const Sighting& sighting : parent.sightings()) {
    if (sighting == self) continue;
    if (directory_went) {
      context_.invalidations->PostRemoved(sighting.peer->session(),
                                          sighting.node, name);
    } else {
      context_.invalidations->PostEntry(sighting.peer->session(), sighting.node,
                                        name);
    }
  }
}

void View::ForgetTimeouts(kernel::NodeId parent, std::string_view name) const {
  const std::shared_ptr<kernel::Session> session = this->session();
  if (session == nullptr || session->IncrementEpoch().ok()) return;
  // A kernel without epochs: by the worker, for the request holds the
  // directory.
  context_.invalidations->PostEntry(session, parent, name);
}

void View::ExpireAllNames() const {
  for (const std::shared_ptr<Node>& node : nodes_.All()) {
    const Place place = node->lower->place();
    if (place.parent == nullptr) continue;
    for (const Sighting& sighting : place.parent->sightings()) {
      if (sighting.peer != peer_) continue;
      context_.invalidations->PostEntry(peer_->session(), sighting.node,
                                        place.name);
    }
  }
}

void View::AfterRemoved(const std::shared_ptr<LowerNode>& lower,
                        bool gone) const {
  if (lower->is_regular() && gone) {
    lower->SetRemovedBy(peer_->id());
    const std::shared_ptr<const InForce> now = context_.rules->Lease();
    if (now->grants != nullptr) now->grants->SetGone(lower->file_id());
  }
  for (const Sighting& sighting : lower->sightings()) {
    const std::shared_ptr<kernel::Session> session =
        sighting.peer->session().lock();
    if (session != nullptr) session->backing().Doom(sighting.node);
  }
  // Link count and ctime.
  InvalidateEverywhere(*lower, false);
}

}  // namespace fused
