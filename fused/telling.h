// Tells the kernels of a volume's views what has changed below them.
#ifndef FUSED_FUSED_TELLING_H_
#define FUSED_FUSED_TELLING_H_

#include <optional>
#include <string_view>

#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/rules.h"
#include "kernel/invalidation.h"
#include "policy/engine.h"

namespace fused {

// What has become of a name.
enum class NameChange {
  kMade,
  // It leads elsewhere, or nowhere.
  kGone,
  // The same, of a directory.
  kDirectoryGone,
};

// A view that is never shown a name is not told of it either: how long its next
// question takes would tell its app that something is there. Thread-safe.
class Telling {
 public:
  // Both outlive it. Null `rules`: everybody is shown everything.
  Telling(kernel::InvalidationWorker* worker, const Rules* rules)
      : worker_(*worker), rules_(rules) {}

  // The attributes of what shows `lower`, but for `own`, and with `data` what
  // is mapped of it. The former at once, and with no lock in the kernel: to be
  // called before the reply.
  void Attributes(const LowerNode& lower, const Sighting& own, bool data) const;
  // The same of a directory in which a name has changed.
  void AttributesOfDirectory(LowerNode& directory, const Sighting& own) const;

  // What had a name until it changed; null: nothing. Nothing: it is not known.
  using Before = std::optional<const LowerNode*>;

  // A name, and the listing that it is in or missing from; after
  // AttributesOfDirectory(). Posted to those that may know something of it:
  // that there was nothing, or what there was.
  void Name(LowerNode& directory, const Sighting& own, std::string_view name,
            NameChange change, Before before) const;

  // All names and listings, of all views of the tree.
  void Everything(const LowerTree& tree) const;
  // The same of those views that may be shown what is at the one place or the
  // other, but for `own`: a directory has moved, and is judged otherwise now.
  // The locations are the snapshot's.
  struct Whereabouts {
    const policy::Location& location;
    std::string_view name;
  };
  void Moved(const LowerTree& tree, const policy::Snapshot& snapshot,
             const Whereabouts& from, const Whereabouts& to,
             const Sighting& own) const;

  // All listings that the view's kernel may have kept. False: there are none.
  static bool Listings(kernel::InvalidationWorker& worker, const Peer& peer);

 private:
  void AllOf(const Peer& peer) const;
  // What one view's kernel has of the attributes.
  void AttributesIn(const LowerNode& lower, const Sighting& sighting,
                    kernel::Session& session) const;

  kernel::InvalidationWorker& worker_;
  const Rules* const rules_;
};

}  // namespace fused

#endif  // FUSED_FUSED_TELLING_H_
