// From a request to the backend's answer.
#ifndef FUSED_FUSED_CONTROL_DISPATCH_H_
#define FUSED_FUSED_CONTROL_DISPATCH_H_

#include <sys/types.h>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "fused/control/backend.h"
#include "kernel/fd.h"
#include "proto/control.pb.h"

namespace fused::control {

struct Answer {
  v1::Response message;
  std::vector<kernel::Fd> fds;
};

// Who asks.
struct Asker {
  uid_t uid = 0;
  bool admin = false;
};

// Asks the backend, where the peer may: an admin everything, others `status`.
// Returns soon where `stopping` becomes true. Thread-safe.
Answer Dispatch(Backend& backend, const v1::Request& request, Asker asker,
                const std::atomic<bool>& stopping);

// Says in a request who it comes from, whatever it said itself.
void SetPeer(uid_t uid, v1::Request& request);

// As it is sent. One that is too long says less, and of a push still what came
// of it.
std::string FrameOf(v1::Response response);

// A response that says what is wrong.
v1::Response ErrorResponse(int error, std::string_view text);

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_DISPATCH_H_
