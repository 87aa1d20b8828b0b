// Whether a name may be known, before it is known what stands there.
#ifndef FUSED_FUSED_VISIBILITY_H_
#define FUSED_FUSED_VISIBILITY_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "policy/engine.h"

namespace fused {

// kDepends: on what the file is. For kNever the lower tree is not asked.
enum class Visibility { kNever, kDepends, kAlways };

// What was asked last, and the answer.
struct AskedName {
  policy::Object object;
  policy::Decision decision;
};

// Whether LOOKUP of anything of that name (a directory, or not, where that is
// known) is allowed.
Visibility SeesName(const policy::Snapshot& snapshot,
                    const policy::Subject& subject,
                    const policy::Location& location, std::string_view name,
                    std::optional<bool> directory, AskedName* asked = nullptr);
// Whether that is not kNever where it is not known what stands there; `asked`
// is set where it is.
bool MaySeeName(const policy::Snapshot& snapshot,
                const policy::Subject& subject,
                const policy::Location& location, std::string_view name,
                AskedName* asked = nullptr);

// Of a user: nobody in particular, as an app that is installed no more.
policy::Subject NobodyOf(const policy::Snapshot& snapshot, uint32_t user);

// Whether in that directory the subject may be kept from knowing of names, so
// that its size and times must not tell of them; null: any of a mount that all
// share.
bool HidesNamesBelow(const policy::Snapshot& snapshot,
                     const policy::Subject* subject,
                     const policy::Location& directory);

// Whether, in a mount that all share, all may list the directory, and are shown
// the same. With `single_user` all are callers of one user.
bool ListsAlike(const policy::Snapshot& snapshot,
                const policy::Location& directory, bool single_user);

// Whether the rules look at what makes a file hidden before they let it be
// seen.
bool HiddenIsUnseen(const policy::Snapshot& snapshot);

// Whether what is below a directory is judged alike at either place.
bool JudgedAlikeBelow(const policy::Location& a, const policy::Location& b);

}  // namespace fused

#endif  // FUSED_FUSED_VISIBILITY_H_
