#include "fused/control/client.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/time/clock.h"
#include "fused/control/socket.h"
#include "kernel/status.h"

namespace fused::control {

absl::StatusOr<Client> Client::Connect(const std::string& socket) {
  auto connected = ConnectUnix(socket);
  if (!connected.ok()) return connected.status();
  return Client(*std::move(connected));
}

absl::Status Client::Wait(int events, absl::Time deadline) {
  for (;;) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("the daemon does not answer in time");
    }
    struct pollfd one = {socket_.get(), static_cast<int16_t>(events), 0};
    const int64_t milliseconds =
        std::min<int64_t>(absl::ToInt64Milliseconds(left), 60'000) + 1;
    const int ready = poll(&one, 1, static_cast<int>(milliseconds));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return kernel::ErrnoStatus(errno, "poll");
  }
}

absl::Status Client::Send(const std::string& frame, absl::Time deadline) {
  std::string_view left = frame;
  while (!left.empty()) {
    if (auto status = Wait(POLLOUT, deadline); !status.ok()) return status;
    auto sent = SendSome(socket_.get(), left, {});
    // A server that refuses closes before it has read all; its answer is there.
    if (!sent.ok()) return absl::OkStatus();
    left.remove_prefix(*sent);
  }
  return absl::OkStatus();
}

absl::StatusOr<Client::Reply> Client::Call(const v1::Request& request,
                                           absl::Time deadline) {
  auto frame = EncodeFrame(request);
  if (!frame.ok()) return frame.status();
  if (auto status = Send(*frame, deadline); !status.ok()) return status;
  Reply reply;
  std::array<char, 64 << 10> buffer;
  for (;;) {
    auto message = decoder_.Next();
    if (!message.ok()) return message.status();
    if (message->has_value()) {
      if (!reply.message.ParseFromString(**message)) {
        return absl::InternalError("the daemon's answer cannot be understood");
      }
      return reply;
    }
    if (auto status = Wait(POLLIN, deadline); !status.ok()) return status;
    auto got =
        ReceiveSome(socket_.get(), buffer.data(), buffer.size(), &reply.fds);
    if (!got.ok() && kernel::IsErrno(got.status(), EAGAIN)) continue;
    if (!got.ok() || *got == 0) {
      return absl::UnavailableError("the daemon closed the connection");
    }
    decoder_.Feed(std::string_view(buffer.data(), *got));
  }
}

}  // namespace fused::control
