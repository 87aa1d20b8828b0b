#include "fused/app_limits.h"

namespace fused {
namespace {

constexpr uid_t kUserRange = 100000;
constexpr uid_t kFirstApp = 10000;

// A power of two. Probing ends after as many places.
constexpr size_t kPlaces = 1 << 15;
constexpr size_t kProbes = 64;

}  // namespace

struct AppLimits::Usage {
  // 0: free, which is no app's.
  std::atomic<uid_t> uid{0};
  std::atomic<uint32_t> handles{0};
  std::atomic<uint32_t> backing_ids{0};
};

namespace {

// Counts one up, unless there are `most`.
bool Raise(std::atomic<uint32_t>& count, uint32_t most) {
  if (count.fetch_add(1, std::memory_order_relaxed) < most) return true;
  count.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

}  // namespace

AppLimits::AppLimits(const Most& most)
    : most_(most), usages_(new Usage[kPlaces + 1]) {}

AppLimits::~AppLimits() = default;

size_t AppLimits::PlaceOf(uid_t uid) {
  // Fibonacci hashing: app ids follow one another.
  size_t place = (uid * uint64_t{11400714819323198485u}) >> 49;
  for (size_t i = 0; i < kProbes; ++i, place = (place + 1) % kPlaces) {
    std::atomic<uid_t>& holder = usages_[place].uid;
    uid_t now = holder.load(std::memory_order_relaxed);
    if (now == uid) return place;
    if (now == 0 && (holder.compare_exchange_strong(now, uid) || now == uid)) {
      return place;
    }
  }
  return kPlaces;
}

std::optional<AppLimits::Share> AppLimits::Open(uid_t uid) {
  Share share;
  if (uid % kUserRange < kFirstApp) return share;
  const size_t place = PlaceOf(uid);
  if (!Raise(usages_[place].handles, most_.handles)) {
    handles_refused_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  share.limits_ = this;
  share.usage_ = place;
  return share;
}

AppLimits::Share& AppLimits::Share::operator=(Share&& other) noexcept {
  if (this == &other) return *this;
  Reset();
  limits_ = std::exchange(other.limits_, nullptr);
  usage_ = other.usage_;
  backing_ = other.backing_;
  return *this;
}

bool AppLimits::Share::TakeBacking(bool must) {
  if (limits_ == nullptr || backing_) return true;
  std::atomic<uint32_t>& count = limits_->usages_[usage_].backing_ids;
  if (must) {
    count.fetch_add(1, std::memory_order_relaxed);
  } else if (!Raise(count, limits_->most_.backing_ids)) {
    limits_->backing_ids_refused_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  backing_ = true;
  return true;
}

void AppLimits::Share::Reset() {
  if (limits_ == nullptr) return;
  Usage& usage = limits_->usages_[usage_];
  usage.handles.fetch_sub(1, std::memory_order_relaxed);
  if (backing_) usage.backing_ids.fetch_sub(1, std::memory_order_relaxed);
  limits_ = nullptr;
}

}  // namespace fused
