#include "kernel/testing/fake_kernel.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "fuse_kernel.h"
#include "kernel/fd.h"

namespace fused::kernel {
namespace {

constexpr int kSocketBuffer = 8 << 20;

}  // namespace

FakeKernel::FakeKernel() {
  int pair[2];
  PCHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  for (int end : pair) {
    // Beyond the system's limit where we are root; else as much as there is.
    if (setsockopt(end, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBuffer,
                   sizeof(kSocketBuffer)) != 0) {
      PCHECK(setsockopt(end, SOL_SOCKET, SO_SNDBUF, &kSocketBuffer,
                        sizeof(kSocketBuffer)) == 0);
    }
  }
  kernel_.Reset(pair[0]);
  device_.Reset(pair[1]);
}

Fd FakeKernel::TakeDevice() { return std::move(device_); }

uint64_t FakeKernel::SendInit(uint32_t minor, uint64_t flags, uint32_t major) {
  fuse_init_in in = {};
  in.major = major;
  in.minor = minor;
  in.max_readahead = 131072;
  // What the kernel wrote before it knew more than 32 flags.
  const bool extended = minor >= 36;
  in.flags = static_cast<uint32_t>(flags);
  if (extended) {
    in.flags |= FUSE_INIT_EXT;
    in.flags2 = static_cast<uint32_t>(flags >> 32);
  } else {
    in.flags &= ~FUSE_INIT_EXT;
  }
  const size_t size = extended ? sizeof(in) : offsetof(fuse_init_in, flags2);
  return Send(FUSE_INIT, 0, {reinterpret_cast<const char*>(&in), size});
}

std::string FakeKernel::Packet(uint32_t opcode, uint64_t node,
                               std::string_view body) {
  fuse_in_header header = {};
  header.len = static_cast<uint32_t>(sizeof(header) + body.size());
  header.opcode = opcode;
  // As the kernel counts: even, for interrupts are odd.
  unique_ += 2;
  header.unique = unique_;
  header.nodeid = node;
  header.uid = 10001;
  header.gid = 10001;
  header.pid = 4242;
  std::string packet(reinterpret_cast<const char*>(&header), sizeof(header));
  packet.append(body);
  return packet;
}

uint64_t FakeKernel::Send(uint32_t opcode, uint64_t node,
                          std::string_view body) {
  SendRaw(Packet(opcode, node, body));
  return unique_;
}

void FakeKernel::SendRaw(std::string_view packet) {
  // An empty one would read as the end of the connection.
  if (packet.empty()) return;
  PCHECK(send(kernel_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) >= 0 ||
         errno == EPIPE);
}

std::optional<FakeKernel::Message> FakeKernel::Read(int flags) {
  const ssize_t waiting =
      recv(kernel_.get(), nullptr, 0, flags | MSG_PEEK | MSG_TRUNC);
  if (waiting <= 0) return std::nullopt;
  std::string buffer(static_cast<size_t>(waiting), '\0');
  const ssize_t size = recv(kernel_.get(), buffer.data(), buffer.size(), flags);
  PCHECK(size == waiting);
  fuse_out_header header;
  CHECK_GE(static_cast<size_t>(size), sizeof(header));
  std::memcpy(&header, buffer.data(), sizeof(header));
  CHECK_EQ(header.len, static_cast<size_t>(size));
  Message message;
  message.unique = header.unique;
  message.error = header.error;
  message.body =
      buffer.substr(sizeof(header), static_cast<size_t>(size) - sizeof(header));
  return message;
}

std::optional<FakeKernel::Message> FakeKernel::Poll() {
  return Read(MSG_DONTWAIT);
}

FakeKernel::Message FakeKernel::Receive() {
  std::optional<Message> message = Read(0);
  CHECK(message.has_value());
  return *std::move(message);
}

void FakeKernel::Close() { kernel_.Reset(); }

uint64_t FakeKernel::AllFlags() {
  constexpr int kReserved = 31;
  uint64_t flags = 0;
  for (int bit = 0; bit <= 42; ++bit) {
    if (bit != kReserved) flags |= uint64_t{1} << bit;
  }
  return flags;
}

std::string Terminated(std::string_view name) {
  std::string text(name);
  text.push_back('\0');
  return text;
}

}  // namespace fused::kernel
