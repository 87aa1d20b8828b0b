// Which views' requests come over io_uring.
#ifndef FUSED_FUSED_TRANSPORT_H_
#define FUSED_FUSED_TRANSPORT_H_

#include <atomic>
#include <utility>

#include "absl/status/statusor.h"
#include "fused/settings.h"
#include "kernel/probe.h"

namespace fused {

// How many may: none where the settings, or the kernel, say so. An error where
// they ask for what the kernel does not offer: one line for the operator.
absl::StatusOr<int> ViewsOverUring(const Settings& settings,
                                   const kernel::Features& features,
                                   int processors);

// The places of those views. Thread-safe.
class UringPlaces {
 public:
  explicit UringPlaces(int most) : free_(most) {}

  // A place that is given back with it. Move-only.
  class Place {
   public:
    Place() = default;
    Place(Place&& other) noexcept
        : places_(std::exchange(other.places_, nullptr)) {}
    Place& operator=(Place&& other) noexcept {
      std::swap(places_, other.places_);
      return *this;
    }
    ~Place() {
      if (places_ != nullptr) places_->free_.fetch_add(1);
    }
    bool held() const { return places_ != nullptr; }

   private:
    friend class UringPlaces;
    explicit Place(UringPlaces* places) : places_(places) {}
    UringPlaces* places_ = nullptr;
  };

  // Not held where there is none left.
  Place Take() {
    int free = free_.load();
    while (free > 0) {
      if (free_.compare_exchange_weak(free, free - 1)) return Place(this);
    }
    return Place();
  }

 private:
  std::atomic<int> free_;
};

}  // namespace fused

#endif  // FUSED_FUSED_TRANSPORT_H_
