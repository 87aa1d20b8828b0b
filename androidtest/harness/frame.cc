#include "androidtest/harness/frame.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>

namespace fused::androidtest {
namespace {

bool SendAll(int socket, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = send(socket, data, size, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= n;
  }
  return true;
}

bool ReceiveAll(int socket, char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = recv(socket, data, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= n;
  }
  return true;
}

}  // namespace

bool SendMessage(int socket, const google::protobuf::MessageLite& message) {
  std::string body = message.SerializeAsString();
  const uint32_t size = body.size();
  std::string frame(sizeof(size), '\0');
  memcpy(frame.data(), &size, sizeof(size));
  frame += body;
  return SendAll(socket, frame.data(), frame.size());
}

bool ReceiveMessage(int socket, google::protobuf::MessageLite* message) {
  uint32_t size = 0;
  if (!ReceiveAll(socket, reinterpret_cast<char*>(&size), sizeof(size))) {
    return false;
  }
  std::string body(size, '\0');
  return ReceiveAll(socket, body.data(), body.size()) &&
         message->ParseFromString(body);
}

}  // namespace fused::androidtest
