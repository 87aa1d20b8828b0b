// How much of the daemon's tables one app may take, so that it starves no
// other.
#ifndef FUSED_FUSED_APP_LIMITS_H_
#define FUSED_FUSED_APP_LIMITS_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace fused {

// By absolute uid: an app of one user. Uids below 10000 of a user's range are
// the system's, and are not limited. Thread-safe; takes no lock.
class AppLimits {
 public:
  struct Most {
    // Open files and directories.
    uint32_t handles = 16384;
    // Of them, those that hold a backing id.
    uint32_t backing_ids = 8192;
  };

  // What one handle counts for; given back when it goes. Move-only.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept
        : limits_(std::exchange(other.limits_, nullptr)),
          usage_(other.usage_),
          backing_(other.backing_) {}
    Share& operator=(Share&& other) noexcept;
    ~Share() { Reset(); }

    // A backing id. False: the app holds as many as it may; one that joins
    // others, which the kernel asks for, it gets all the same (`must`).
    bool TakeBacking(bool must);

   private:
    friend class AppLimits;
    void Reset();

    AppLimits* limits_ = nullptr;  // null: nothing is counted
    size_t usage_ = 0;
    bool backing_ = false;
  };

  explicit AppLimits(const Most& most);
  // No Share may live on.
  ~AppLimits();
  AppLimits(const AppLimits&) = delete;
  AppLimits& operator=(const AppLimits&) = delete;

  // Nothing: the app has as many handles as it may.
  std::optional<Share> Open(uid_t uid);

  // Handles and backing ids that were refused.
  uint64_t handles_refused() const { return handles_refused_.load(); }
  uint64_t backing_ids_refused() const { return backing_ids_refused_.load(); }

 private:
  struct Usage;

  // The place that `uid` has, or gets. More apps than there are places share
  // the last one, and its limit.
  size_t PlaceOf(uid_t uid);

  const Most most_;
  const std::unique_ptr<Usage[]> usages_;
  std::atomic<uint64_t> handles_refused_{0};
  std::atomic<uint64_t> backing_ids_refused_{0};
};

}  // namespace fused

#endif  // FUSED_FUSED_APP_LIMITS_H_
