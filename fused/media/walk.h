// Goes through all files of a lower tree.
#ifndef FUSED_FUSED_MEDIA_WALK_H_
#define FUSED_FUSED_MEDIA_WALK_H_

#include <atomic>
#include <string>

#include "absl/functional/function_ref.h"

namespace fused::media {

// A regular file. The references live during the call.
struct Walked {
  // Of its directory; the name is to be opened from there.
  int directory = -1;
  const std::string& directory_path;  // from the root; "" is the root
  const std::string& name;

  std::string path() const {
    return directory_path.empty() ? name : directory_path + "/" + name;
  }
};

// Follows nothing and locks nothing; what is moved meanwhile may be seen twice
// or not at all. False: there was something that could not be walked, or
// `stop` was set.
bool Walk(int root, const std::atomic<bool>& stop,
          absl::FunctionRef<void(const Walked&)> visit);

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_WALK_H_
