// What views know of each other.
#ifndef FUSED_FUSED_PEER_H_
#define FUSED_FUSED_PEER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "fused/kept_answers.h"
#include "fused/listings.h"
#include "fused/ref.h"
#include "kernel/session.h"
#include "kernel/types.h"

namespace fused {

// What other views know of a view: how to reach its kernel's caches. Outlives
// the view. Thread-safe.
class Peer : public RefCounted {
 public:
  explicit Peer(uint64_t id, std::optional<uid_t> app = std::nullopt)
      : id_(id), app_(app) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // The view's number, unique in the process.
  uint64_t id() const { return id_; }
  // Whose it is; nothing: everybody's.
  std::optional<uid_t> app() const { return app_; }
  Listings& listings() const { return listings_; }
  KeptAnswers& kept() const { return kept_; }

  void SetSession(std::weak_ptr<kernel::Session> session) {
    absl::MutexLock lock(&mutex_);
    session_ = std::move(session);
  }
  std::weak_ptr<kernel::Session> session() const {
    absl::MutexLock lock(&mutex_);
    return session_;
  }

 private:
  const uint64_t id_;
  const std::optional<uid_t> app_;
  mutable Listings listings_;
  mutable KeptAnswers kept_;
  mutable absl::Mutex mutex_;
  std::weak_ptr<kernel::Session> session_ ABSL_GUARDED_BY(mutex_);
};

// One node of one view that shows a lower node.
struct Sighting {
  Ref<const Peer> peer;
  kernel::NodeId node = 0;

  friend bool operator==(const Sighting&, const Sighting&) = default;
};

}  // namespace fused

#endif  // FUSED_FUSED_PEER_H_
