// Asks a daemon.
#ifndef FUSED_FUSED_CONTROL_CLIENT_H_
#define FUSED_FUSED_CONTROL_CLIENT_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fused/control/frame.h"
#include "kernel/fd.h"
#include "proto/control.pb.h"

namespace fused::control {

// A connection. Not thread-safe.
class Client {
 public:
  struct Reply {
    // A refusal is a message with `error`, not a status.
    v1::Response message;
    std::vector<kernel::Fd> fds;
  };

  // The errno of connect(2), with the path as its text: ENOENT and ECONNREFUSED
  // where there is no daemon.
  static absl::StatusOr<Client> Connect(const std::string& socket);

  // DEADLINE_EXCEEDED: no whole answer by `deadline`; UNAVAILABLE: the daemon
  // closed. The connection is of no more use after either.
  absl::StatusOr<Reply> Call(const v1::Request& request, absl::Time deadline);

 private:
  explicit Client(kernel::Fd socket) : socket_(std::move(socket)) {}

  absl::Status Wait(int events, absl::Time deadline);
  absl::Status Send(const std::string& frame, absl::Time deadline);

  kernel::Fd socket_;
  FrameDecoder decoder_;
};

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_CLIENT_H_
