// Unix stream sockets by path. Thread-safe; errors are errno statuses.
#ifndef FUSED_FUSED_CONTROL_SOCKET_H_
#define FUSED_FUSED_CONTROL_SOCKET_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "kernel/fd.h"

namespace fused::control {

// Listens at `path`, for everybody (0666): who may ask for what is told by the
// peer's uid. Makes the directory where it is missing (0755) and replaces a
// socket that nobody answers on. ALREADY_EXISTS: somebody does, or what is
// there is no socket. The descriptor does not block.
absl::StatusOr<kernel::Fd> ListenUnix(const std::string& path);

// Connects; the descriptor does not block.
absl::StatusOr<kernel::Fd> ConnectUnix(const std::string& path);

// Sends some of `bytes`, which must not be empty, with `fds` beside the first
// of them. 0: the peer's buffer is full.
absl::StatusOr<size_t> SendSome(int socket, std::string_view bytes,
                                const std::vector<kernel::Fd>& fds);

// Receives into `buffer`, and descriptors into `fds` (without it they are
// dropped). Returns how many bytes came; 0: the peer has closed. EAGAIN:
// nothing is there.
absl::StatusOr<size_t> ReceiveSome(int socket, char* buffer, size_t size,
                                   std::vector<kernel::Fd>* fds);

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_SOCKET_H_
