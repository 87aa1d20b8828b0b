// One copy of each owner and media type, however many files have it.
#ifndef FUSED_FUSED_MEDIA_INTERNER_H_
#define FUSED_FUSED_MEDIA_INTERNER_H_

#include <set>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "fused/owner.h"

namespace fused::media {

// There are as many as packages and types; none is ever let go. Thread-safe;
// its mutex is a leaf.
class Interner {
 public:
  const Owner* Intern(const Owner& owner) {
    absl::MutexLock lock(&mutex_);
    return &*owners_.insert(owner).first;
  }
  // Null for an empty one.
  const std::string* InternType(std::string_view type) {
    if (type.empty()) return nullptr;
    absl::MutexLock lock(&mutex_);
    return &*types_.emplace(type).first;
  }

 private:
  struct Less {
    bool operator()(const Owner& a, const Owner& b) const {
      return std::tie(a.app_id, a.package) < std::tie(b.app_id, b.package);
    }
  };

  absl::Mutex mutex_;
  std::set<Owner, Less> owners_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> types_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_INTERNER_H_
