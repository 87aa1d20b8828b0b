#include "androidtest/harness/control.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace fused::androidtest {
namespace {

// Both are false when the other end is gone.
bool SendAll(int socket, const std::string& data) {
  for (size_t done = 0; done < data.size();) {
    const ssize_t sent =
        send(socket, data.data() + done, data.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    done += static_cast<size_t>(sent);
  }
  return true;
}

bool ReceiveAll(int socket, char* data, size_t size) {
  while (size > 0) {
    const ssize_t got = recv(socket, data, size, 0);
    if (got <= 0) return false;
    data += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

Control::Control(const std::string& socket)
    : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  struct sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, socket.c_str(), sizeof(address.sun_path) - 1);
  if (connect(socket_, reinterpret_cast<struct sockaddr*>(&address),
              sizeof(address)) != 0) {
    close(socket_);
    socket_ = -1;
  }
}

Control::~Control() {
  if (socket_ >= 0) close(socket_);
}

control::v1::Response Control::Ask(const control::v1::Request& request) {
  const std::string body = request.SerializeAsString();
  const uint32_t length = htonl(static_cast<uint32_t>(body.size()));
  std::string frame(reinterpret_cast<const char*>(&length), sizeof(length));
  frame += body;
  control::v1::Response response;
  uint32_t size = 0;
  if (!SendAll(socket_, frame) ||
      !ReceiveAll(socket_, reinterpret_cast<char*>(&size), sizeof(size))) {
    response.set_error("the daemon does not answer");
    return response;
  }
  std::string answer(ntohl(size), '\0');
  if (!ReceiveAll(socket_, answer.data(), answer.size()) ||
      !response.ParseFromString(answer)) {
    response.set_error("the daemon's answer is none");
  }
  return response;
}

}  // namespace fused::androidtest
