// What any local process may write to the control socket.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fused/control/frame.h"
#include "proto/control.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.empty()) return 0;
  // The first byte says how the stream is cut.
  const size_t piece = static_cast<unsigned char>(text[0]) + 1;
  text.remove_prefix(1);
  fused::control::FrameDecoder decoder(1000);
  size_t taken = 0;
  for (size_t at = 0; at < text.size(); at += piece) {
    decoder.Feed(text.substr(at, piece));
    for (;;) {
      auto next = decoder.Next();
      if (!next.ok()) return 0;
      if (!next->has_value()) break;
      taken += 4 + (*next)->size();
      if (taken > text.size() || (*next)->size() > 1000) std::abort();
      fused::control::v1::Request request;
      if (!request.ParseFromString(**next)) continue;
      auto frame = fused::control::EncodeFrame(request);
      if (!frame.ok()) std::abort();
    }
  }
  return 0;
}
