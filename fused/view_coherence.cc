// Telling other views' kernels.
#include "fused/view.h"

namespace fused {

void View::InvalidateElsewhere(const LowerNode& lower, kernel::NodeId own,
                               bool data) const {
  telling_.Attributes(lower, {peer_, own}, data);
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

void View::TellName(const Node& parent, std::string_view name,
                    NameChange change, Telling::Before before) const {
  const Sighting own{peer_, parent.id()};
  telling_.AttributesOfDirectory(*parent.lower, own);
  telling_.Name(*parent.lower, own, name, change, before);
}

void View::TellMoved(const Actor& actor, const Target& from,
                     const Target& to) const {
  if (posix() || JudgedAlikeBelow(from.location, to.location)) return;
  telling_.Moved(from.parent->lower->tree(), *actor.snapshot,
                 {from.location, from.name}, {to.location, to.name},
                 {peer_, 0});
}

void View::ForgetTimeouts(kernel::NodeId parent, std::string_view name) const {
  const std::shared_ptr<kernel::Session> session = this->session();
  if (session == nullptr || session->IncrementEpoch().ok()) return;
  // A kernel without epochs: by the worker, for the request holds the
  // directory.
  context_.invalidations->PostEntry(session, parent, name);
}

void View::ExpireAllNames() const {
  for (const Ref<Node>& node : nodes_.All()) {
    const Place place = node->lower->place();
    if (place.parent == nullptr) continue;
    for (const Sighting& sighting : place.parent->sightings()) {
      if (sighting.peer != peer_) continue;
      context_.invalidations->PostEntry(peer_->session(), sighting.node,
                                        place.name);
    }
  }
}

void View::AfterRemoved(const Ref<LowerNode>& lower, bool gone,
                        kernel::NodeId known) const {
  // Link count and ctime. First: who has found it meanwhile, and is none of the
  // others yet, looks again.
  InvalidateElsewhere(*lower, known, false);
  const Sighting own{peer_, known};
  const bool elsewhere = lower->SeenElsewhere(own);
  if (lower->is_regular() && gone) {
    if (elsewhere) lower->SetRemovedBy(peer_->id());
    const std::shared_ptr<const InForce> now = context_.rules->Lease();
    if (now->grants != nullptr) now->grants->SetGone(lower->file_id());
  }
  // This view's kernel is about to forget it.
  if (gone && !elsewhere) return;
  for (const Sighting& sighting : lower->sightings()) {
    if (gone && sighting == own) continue;
    const std::shared_ptr<kernel::Session> session =
        sighting.peer->session().lock();
    if (session != nullptr) session->backing().Doom(sighting.node);
  }
}

}  // namespace fused
