// Answers fusedctl on a Unix socket.
#ifndef FUSED_FUSED_CONTROL_SERVER_H_
#define FUSED_FUSED_CONTROL_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fused/control/backend.h"

namespace fused::control {

// Has its own threads, so that no peer, slow, dead or malicious, delays a file
// operation or another peer: descriptors are never blocking, connections and
// queued bytes are bounded, and one connection has one request at work.
// Thread-safe.
class Server {
 public:
  struct Options {
    std::string socket;
    // Who may do what uid 0 may. Others may ask for `status` only.
    std::vector<uid_t> admin_uids;
    // Threads on which the backend is called.
    int threads = 4;
    // One more: the one that has been idle for longest is closed, or, where
    // every one has a request at work, the new one.
    int max_connections = 64;
    // For the rest of a message that has begun, and for a peer to take its
    // answer.
    absl::Duration message_timeout = absl::Seconds(10);
  };

  // Listens. The socket's parent directory is made (0755) where it is missing;
  // a socket that nobody answers on is replaced. ALREADY_EXISTS: somebody
  // does, or another server of this path is starting.
  // `backend` must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Options& options,
                                                       Backend* backend);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Stops.
  ~Server();

  // Closes every connection and removes the socket. Returns when no thread is
  // in the backend. Must not be called by the backend.
  void Stop();

 private:
  Server();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_SERVER_H_
