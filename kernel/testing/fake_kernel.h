// Plays the kernel's side of /dev/fuse over a socket pair, one message for each
// packet: requests of any bytes, answers and notifications as they come.
#ifndef FUSED_KERNEL_TESTING_FAKE_KERNEL_H_
#define FUSED_KERNEL_TESTING_FAKE_KERNEL_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/fd.h"

namespace fused::kernel {

// Not thread-safe; requests and answers fit into the socket's buffer, so that a
// test may send, have the session serve, and receive, on one thread.
class FakeKernel {
 public:
  // What a session sent: an answer, or a notification (`unique` 0, `error`
  // its code).
  struct Message {
    uint64_t unique = 0;
    int error = 0;  // as the kernel sees it: -ENOENT
    std::string body;

    // The body as a structure of the wire, zeros where it is shorter.
    template <typename T>
    T As() const {
      T value;
      std::memset(&value, 0, sizeof(value));
      std::memcpy(&value, body.data(), std::min(sizeof(value), body.size()));
      return value;
    }
  };

  FakeKernel();

  // The session's end; once.
  Fd TakeDevice();

  // Sends INIT as a kernel of this minor that offers `flags`.
  uint64_t SendInit(uint32_t minor, uint64_t flags, uint32_t major = 7);

  // Sends a request from uid 10001. Returns its unique number.
  uint64_t Send(uint32_t opcode, uint64_t node, std::string_view body);
  template <typename T>
  uint64_t SendStruct(uint32_t opcode, uint64_t node, const T& in,
                      std::string_view rest = {}) {
    std::string body(reinterpret_cast<const char*>(&in), sizeof(in));
    body.append(rest);
    return Send(opcode, node, body);
  }
  // Any bytes at all.
  void SendRaw(std::string_view packet);
  // A request's bytes with a header that is right.
  std::string Packet(uint32_t opcode, uint64_t node, std::string_view body);
  uint64_t last_unique() const { return unique_; }

  // What the session has sent, without waiting.
  std::optional<Message> Poll();
  // Waits for it; for sessions that a loop serves.
  Message Receive();

  // The superblock goes.
  void Close();

  // All that a current kernel offers.
  static uint64_t AllFlags();

 private:
  std::optional<Message> Read(int flags);

  Fd kernel_;
  Fd device_;
  uint64_t unique_ = 0;
};

// `name` with its terminator, as names stand in a request.
std::string Terminated(std::string_view name);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TESTING_FAKE_KERNEL_H_
