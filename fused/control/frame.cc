#include "fused/control/frame.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace fused::control {
namespace {

constexpr size_t kHeader = 4;

absl::Status TooLong(uint64_t size, size_t limit) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "a message of ", size, " bytes; at most ", limit, " are taken"));
}

}  // namespace

absl::StatusOr<std::string> EncodeFrame(
    const google::protobuf::MessageLite& message) {
  const size_t size = message.ByteSizeLong();
  if (size > kMaxMessage) return TooLong(size, kMaxMessage);
  std::string frame;
  frame.reserve(kHeader + size);
  for (int shift = 24; shift >= 0; shift -= 8) {
    frame += static_cast<char>(size >> shift & 0xff);
  }
  if (!message.AppendToString(&frame)) {
    return absl::InternalError("a message that cannot be encoded");
  }
  return frame;
}

absl::StatusOr<std::optional<std::string>> FrameDecoder::Next() {
  if (buffer_.size() < kHeader) return std::nullopt;
  size_t size = 0;
  for (size_t i = 0; i < kHeader; ++i) {
    size = size << 8 | static_cast<unsigned char>(buffer_[i]);
  }
  if (size > max_message_) return TooLong(size, max_message_);
  if (buffer_.size() - kHeader < size) return std::nullopt;
  std::string message = buffer_.substr(kHeader, size);
  buffer_.erase(0, kHeader + size);
  if (buffer_.empty()) buffer_.shrink_to_fit();
  return message;
}

}  // namespace fused::control
