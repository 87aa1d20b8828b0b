// All metrics of the daemon.
#ifndef FUSED_FUSED_METRICS_RENDER_H_
#define FUSED_FUSED_METRICS_RENDER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fused/audit/log.h"
#include "fused/metrics/exposition.h"
#include "fused/metrics/registry.h"
#include "fused/metrics/requests.h"
#include "kernel/loop.h"
#include "proto/control.pb.h"

namespace fused::metrics {

// A push's outcomes.
struct PushCounts {
  uint64_t accepted = 0;
  uint64_t unchanged = 0;
  uint64_t refused = 0;
};

struct Inputs {
  control::v1::Status status;
  struct VolumeRequests {
    std::string name;
    std::vector<OpcodeCounts> opcodes;
  };
  std::vector<VolumeRequests> requests;
  const Registry* registry = nullptr;
  audit::Log::Stats audit;
  kernel::Loop::Stats loop;
  PushCounts policy_pushes;
  PushCounts apps_pushes;
  uint64_t control_refused = 0;
  // The package of a uid; empty where it has none.
  std::function<std::string(uid_t)> package_of;
};

std::string Render(const Inputs& inputs, Exposition::Format format);

}  // namespace fused::metrics

#endif  // FUSED_FUSED_METRICS_RENDER_H_
