// Messages on the control socket: four bytes of length in network order, then
// the message.
#ifndef FUSED_FUSED_CONTROL_FRAME_H_
#define FUSED_FUSED_CONTROL_FRAME_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "google/protobuf/message_lite.h"

namespace fused::control {

// The longest message, without its length.
inline constexpr size_t kMaxMessage = 16 << 20;

// `message` behind its length. RESOURCE_EXHAUSTED: it is longer than
// kMaxMessage.
absl::StatusOr<std::string> EncodeFrame(
    const google::protobuf::MessageLite& message);

// Takes messages out of a stream of bytes, however it is cut. Holds what was
// fed and never more, whatever length a peer claims. Not thread-safe.
class FrameDecoder {
 public:
  explicit FrameDecoder(size_t max_message = kMaxMessage)
      : max_message_(max_message) {}

  // Appends what came from the peer.
  void Feed(std::string_view bytes) { buffer_.append(bytes); }

  // The next whole message, or nothing yet. RESOURCE_EXHAUSTED: its length is
  // above the limit; the stream is of no more use.
  absl::StatusOr<std::optional<std::string>> Next();

  // Whether neither a message nor a part of one waits here.
  bool empty() const { return buffer_.empty(); }

 private:
  size_t max_message_;
  std::string buffer_;
};

}  // namespace fused::control

#endif  // FUSED_FUSED_CONTROL_FRAME_H_
