#include "fused/audit/gate.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdint>

#include "absl/hash/hash.h"

namespace fused::audit {
namespace {

uint64_t RandomSeed() {
  uint64_t seed = 0;
  // Without entropy the address of a variable is what is left.
  if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
    seed = absl::HashOf(&seed);
  }
  return seed;
}

}  // namespace

Gate::Gate(const Options& options) : options_(options), seed_(RandomSeed()) {
  for (std::atomic<int32_t>& bucket : buckets_) {
    bucket.store(static_cast<int32_t>(options_.burst),
                 std::memory_order_relaxed);
  }
}

// The finalizer of a good hash with the seed on both sides of a multiplication.
uint64_t Gate::Mix(uint64_t value) const {
  value ^= seed_;
  value = (value ^ (value >> 32)) * 0xd6e8feb86659fd93u;
  value = (value ^ (value >> 29)) * (seed_ | 1);
  return value ^ (value >> 32);
}

std::atomic<int32_t>& Gate::BucketOf(uint32_t uid) {
  return buckets_[Mix(uid) % kBuckets];
}

bool Gate::Spend(uint32_t uid) {
  std::atomic<int32_t>& bucket = BucketOf(uid);
  int32_t left = bucket.load(std::memory_order_relaxed);
  while (left > 0) {
    if (bucket.compare_exchange_weak(left, left - 1,
                                     std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void Gate::GiveBack(uint32_t uid) {
  BucketOf(uid).fetch_add(1, std::memory_order_relaxed);
}

Gate::Admission Gate::Admit(const Key& key) {
  const uint64_t hash = Mix(absl::HashOf(key));
  // Never 0, which is a free slot.
  const uint64_t tag = (hash | uint64_t{1} << 63) & ~kCountMask;
  const auto first = static_cast<uint32_t>(hash & kCountMask);
  for (uint32_t i = 0; i < kProbes; ++i) {
    std::atomic<uint64_t>& slot = slots_[(first + i) % kSlots];
    uint64_t now = slot.load(std::memory_order_relaxed);
    // The tag and the count change as one, so that none is counted for a slot
    // that has been given to another.
    while ((now & ~kCountMask) == tag) {
      if ((now & kCountMask) == kCountMask) break;
      if (slot.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) {
        return {Answer::kCounted};
      }
    }
  }
  if (!Spend(key.uid)) return {Answer::kLimited};
  for (uint32_t i = 0; i < kProbes; ++i) {
    const uint32_t place = (first + i) % kSlots;
    uint64_t free = 0;
    if (slots_[place].compare_exchange_strong(free, tag,
                                              std::memory_order_relaxed)) {
      return {Answer::kNew, place};
    }
  }
  GiveBack(key.uid);
  return {Answer::kFull};
}

uint64_t Gate::Release(uint32_t slot) {
  return slots_[slot].exchange(0, std::memory_order_relaxed) & kCountMask;
}

void Gate::Refill(double seconds) {
  owed_ += seconds * options_.per_second;
  const auto most = static_cast<int32_t>(options_.burst);
  const auto more =
      static_cast<int32_t>(std::min(owed_, static_cast<double>(most)));
  if (more == 0) return;
  owed_ -= std::min(owed_, static_cast<double>(more));
  if (more == most) owed_ = 0;
  for (std::atomic<int32_t>& bucket : buckets_) {
    int32_t left = bucket.load(std::memory_order_relaxed);
    while (left < most &&
           !bucket.compare_exchange_weak(left, std::min(left + more, most),
                                         std::memory_order_relaxed)) {
    }
  }
}

}  // namespace fused::audit
