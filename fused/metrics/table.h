// Counters of what is not known beforehand, in a bounded table.
#ifndef FUSED_FUSED_METRICS_TABLE_H_
#define FUSED_FUSED_METRICS_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace fused::metrics {

// N places of type T (atomic counters) under 64-bit keys other than 0, each
// with a name. Once a key has its place it keeps it; where there is none left,
// it gets the place that all others share, which has no key. Thread-safe; a key
// that is known is found without a lock.
template <typename T, size_t N>
class Table {
 public:
  struct Entry {
    uint64_t key = 0;
    std::string name;  // empty: the others
    const T* value = nullptr;
  };

  Table() : places_(std::make_unique<std::array<Place, N + 1>>()) {}

  T& Of(uint64_t key, std::string_view name) {
    for (size_t i = 0; i < kProbes; ++i) {
      Place& place = (*places_)[(key + i) % N];
      uint64_t found = place.key.load(std::memory_order_acquire);
      if (found == 0 && place.key.compare_exchange_strong(
                            found, key, std::memory_order_acq_rel)) {
        absl::MutexLock lock(&mutex_);
        names_.emplace_back((key + i) % N, name);
        return place.value;
      }
      if (found == key) return place.value;
    }
    return (*places_)[N].value;
  }

  // Those that have a place, and the others.
  std::vector<Entry> All() const {
    std::vector<Entry> all;
    absl::ReaderMutexLock lock(&mutex_);
    for (const auto& [place, name] : names_) {
      const Place& one = (*places_)[place];
      all.push_back(
          {one.key.load(std::memory_order_relaxed), name, &one.value});
    }
    all.push_back({0, "", &(*places_)[N].value});
    return all;
  }

 private:
  static constexpr size_t kProbes = 16;

  struct Place {
    std::atomic<uint64_t> key{0};
    T value;
  };

  const std::unique_ptr<std::array<Place, N + 1>> places_;
  mutable absl::Mutex mutex_;
  std::vector<std::pair<size_t, std::string>> names_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace fused::metrics

#endif  // FUSED_FUSED_METRICS_TABLE_H_
