// What the profiles make of ownership and modes.
#ifndef FUSED_FUSED_PROFILE_H_
#define FUSED_FUSED_PROFILE_H_

#include <sys/stat.h>
#include <sys/types.h>

namespace fused {

// Android's media_rw: the group of every lower file of a media volume, and of
// every file that its shared view shows.
inline constexpr gid_t kMediaGid = 1023;

// What files are made with and shown as in the media profile, whatever the
// caller asks for.
inline constexpr mode_t kMediaFileMode = 0660;
inline constexpr mode_t kMediaDirectoryMode = 0770;

}  // namespace fused

#endif  // FUSED_FUSED_PROFILE_H_
