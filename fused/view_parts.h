// What a view is made from, and what it makes of a request.
#ifndef FUSED_FUSED_VIEW_PARTS_H_
#define FUSED_FUSED_VIEW_PARTS_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fused/app_limits.h"
#include "fused/audit/log.h"
#include "fused/grants.h"
#include "fused/handle.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/media/tree.h"
#include "fused/metrics/registry.h"
#include "fused/metrics/requests.h"
#include "fused/node.h"
#include "fused/rules.h"
#include "fused/user_trees.h"
#include "kernel/invalidation.h"
#include "kernel/reply.h"
#include "policy/engine.h"

namespace fused {

// What the views of a volume share. Outlives them.
struct VolumeContext {
  // The view's; of a shared view, user 0's.
  LowerTree* tree = nullptr;
  // Null: there is but one.
  UserTrees* trees = nullptr;
  const Rules* rules = nullptr;
  kernel::InvalidationWorker* invalidations = nullptr;
  // An open that passthrough was wanted for is served by the daemon; why.
  std::function<void(std::string_view reason)> fallback;
  // Of all volumes; null: there are none.
  AppLimits* limits = nullptr;
  // Opens may be given to the kernel.
  bool passthrough = true;
  // The lower tree's own ownership and modes; the kernel checks them, and the
  // policy allows all.
  bool posix = false;
  // No other user's callers come through the shared view, the operator says.
  bool single_user = false;
  std::string volume;
  // Null: nothing is recorded.
  audit::Log* audit = nullptr;
  // Null: nothing is measured.
  metrics::Requests* requests = nullptr;
  metrics::Registry* registry = nullptr;
};

// Whom a view belongs to.
struct ViewIdentity {
  // Empty: the shared view, where the caller's uid tells.
  std::string package;
  uint32_t user = 0;
  // The app's absolute uid; files show as its own.
  uid_t uid = 0;

  bool shared() const { return package.empty(); }
};

// Whether a caller comes against the operator's word that there is one user.
inline bool IsOfOtherUser(const VolumeContext& context,
                          const ViewIdentity& identity, uid_t uid) {
  constexpr uid_t kUserRange = 100000;
  // A volume without trees of users is user 0's.
  return context.single_user && !context.posix && identity.shared() &&
         uid / kUserRange != 0;
}

// What was last denied in a request, and by which rule.
struct ViewDenial {
  policy::Error error = policy::Error::kNone;
  policy::RuleId rule = policy::kNoRule;
  policy::ClassId path_class = policy::kOtherClass;
};

// The rules, and on whose behalf they are asked, for one request.
struct ViewActor {
  // Keeps the next three.
  std::shared_ptr<const InForce> lease;
  const policy::Snapshot* snapshot = nullptr;
  // Null: there are none.
  const Grants* grants = nullptr;
  // Null: there are no shadow rules.
  ShadowCounts* shadow = nullptr;
  policy::Subject subject;
  uid_t uid = 0;
  // Names the subject and the rules to KeptRights.
  uint64_t judge = 0;
  // In the second try of an open (Retries): what may be served redacted is, so
  // that no writer who comes or goes makes it stale again.
  bool retries = false;
  // For the audit log.
  mutable ViewDenial denial;
};

// A name that a request is about: its parent and what stands there, if the
// actor may know.
struct ViewTarget {
  Ref<Node> parent;
  // The request's own bytes, with a terminator.
  std::string_view name;
  // Where the lower tree has another name for the same, which patterns know.
  std::optional<std::string> alias_of;
  policy::Location location;
  // The parent's, from which that was made.
  std::optional<policy::Location> below;
  // Null: nothing is there.
  Ref<LowerNode> lower;
  struct stat stat = {};
  // From before `stat`.
  LowerTree::Tellings tellings;
  Facts facts;  // where `lower` is not null
  // Of what was made: what the media index has to keep before it is told.
  uint64_t recorded = 0;

  // With a terminator.
  std::string_view place_name() const { return alias_of ? *alias_of : name; }
};

// What the rules in force say of an open file.
enum class ViewStanding {
  kGood,
  kForbidden,
  // It may be read, but not where it was made.
  kTellsLocation,
  // The same, perhaps.
  kMayTellLocation,
};

// Open files that the kernel serves against the rules, and those of them that
// may be.
struct StaleCount {
  uint64_t stale = 0;
  uint64_t unread = 0;
};

// So many, with what is said of each, fit into one message.
inline constexpr int kMostListed = 8192;

// An open file that the kernel serves against the rules.
struct StaleFile {
  std::string volume;
  // Of the view; empty for the shared view.
  std::string package;
  uid_t uid = 0;
  std::string path;
  std::string reason;
  // As its holders see it.
  dev_t device = 0;
  ino_t inode = 0;
};

// The media index's part in a rename.
struct ViewStaging {
  // What stands at the new name is looked at; else nothing may.
  bool look = true;
  // Not so: it has to be looked at, and nothing was moved.
  bool vacant = true;
  // What rows were written for.
  std::vector<media::Tree::Moved> plan;
  // Not so: they were the wrong ones, and nothing was moved.
  bool right = true;
  // Both names are the same file's, so nothing was moved either.
  bool same = false;
  // Not so: a directory is moved, for which more is to be locked.
  bool locked = true;
};

// What a new handle is made of.
struct ViewNewHandle {
  std::shared_ptr<Handle> handle;
  std::optional<kernel::OpenFlags> flags;
};

// How a new regular file is made in the lower tree.
struct ViewNewFile {
  mode_t mode = 0;
  // open(2)'s of the app.
  int flags = 0;
};

}  // namespace fused

#endif  // FUSED_FUSED_VIEW_PARTS_H_
