#include "androidtest/harness/control.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace fused::androidtest {

Control::Control(const std::string& socket)
    : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket.c_str(), sizeof(address.sun_path) - 1);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    close(fd_);
    fd_ = -1;
  }
}

Control::~Control() {
  if (fd_ >= 0) close(fd_);
}

bool Control::Transfer(char* bytes, size_t size, bool send) {
  while (size > 0) {
    const ssize_t done = send ? ::send(fd_, bytes, size, MSG_NOSIGNAL)
                              : recv(fd_, bytes, size, 0);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    bytes += done;
    size -= static_cast<size_t>(done);
  }
  return true;
}

std::optional<control::v1::Response> Control::Ask(
    const control::v1::Request& request) {
  std::string body = request.SerializeAsString();
  const uint32_t length = htonl(static_cast<uint32_t>(body.size()));
  body.insert(0, reinterpret_cast<const char*>(&length), sizeof(length));
  uint32_t answered = 0;
  if (fd_ < 0 || !Transfer(body.data(), body.size(), true) ||
      !Transfer(reinterpret_cast<char*>(&answered), sizeof(answered), false)) {
    return std::nullopt;
  }
  std::string answer(ntohl(answered), '\0');
  control::v1::Response response;
  if (!Transfer(answer.data(), answer.size(), false) ||
      !response.ParseFromString(answer)) {
    return std::nullopt;
  }
  return response;
}

}  // namespace fused::androidtest
