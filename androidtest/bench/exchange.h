// What it takes at least that one process asks another for something.
#ifndef FUSED_ANDROIDTEST_BENCH_EXCHANGE_H_
#define FUSED_ANDROIDTEST_BENCH_EXCHANGE_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace fused::androidtest {

// Nanoseconds, from what one of two processes says until it knows the other's
// answer, where the two share a page and say nothing but a number.
struct Exchange {
  // Both are on one processor, and neither sleeps: each yields to the other.
  int64_t one_cpu_ns = 0;
  // Each is on one of its own. Who answers never sleeps, and takes `kServing`
  // for it, which is not counted; who asks sleeps meanwhile, as who asks a FUSE
  // daemon does. Nothing where there is but one processor.
  std::optional<int64_t> two_cpus_ns;

  static constexpr absl::Duration kServing = absl::Microseconds(5);
};

// The quickest of some runs, each of which takes about `each`. For a process of
// one thread, which may go to any processor then. Errors are the kernel's.
absl::StatusOr<Exchange> MeasureExchange(absl::Duration each);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_BENCH_EXCHANGE_H_
