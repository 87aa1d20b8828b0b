#include "fused/transport.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernel/loop.h"
#include "kernel/worker_table.h"

namespace fused {
namespace {

bool Offered(const kernel::Features& features) {
  const auto found = features.has.find("over_io_uring");
  return found != features.has.end() && found->second;
}

}  // namespace

absl::StatusOr<int> ViewsOverUring(const Settings& settings,
                                   const kernel::Features& features,
                                   int processors) {
  const bool asked = settings.transport == config::v1::URING;
  const bool chosen = settings.transport == config::v1::TRANSPORT_AUTO &&
                      settings.mounts_end_with_daemon;
  if (!asked && !chosen) return 0;
  if (!Offered(features)) {
    if (!asked) return 0;
    return absl::InvalidArgumentError(
        "--transport=uring: the kernel does not offer FUSE over io_uring "
        "(Linux 6.14, with Y in /sys/module/fuse/parameters/enable_uring)");
  }
  // Half of the threads that there may be are for standing in for others.
  const int each = kernel::Loop::Options().seats_per_slow_queue * processors;
  const int most =
      static_cast<int>(kernel::WorkerTable::kSeats) / 2 / std::max(1, each);
  if (most == 0 && asked) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--transport=uring: needs ", each,
        " threads for each view with so many processors, which is too many"));
  }
  return std::min(static_cast<int>(settings.uring_views), most);
}

}  // namespace fused
