#include "fused/control/frame.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::control {
namespace {

std::string Header(uint32_t size) {
  std::string header;
  for (int shift = 24; shift >= 0; shift -= 8) {
    header += static_cast<char>(size >> shift & 0xff);
  }
  return header;
}

TEST(FrameTest, RoundTripInAnyPieces) {
  v1::Request request;
  request.mutable_push()->set_content(std::string(1000, 'x'));
  auto frame = EncodeFrame(request);
  ASSERT_TRUE(frame.ok());
  const std::string stream = *frame + *frame + Header(0);
  for (size_t piece : {1, 3, 999, 5000}) {
    FrameDecoder decoder;
    int whole = 0;
    for (size_t at = 0; at < stream.size(); at += piece) {
      decoder.Feed(stream.substr(at, piece));
      for (;;) {
        auto next = decoder.Next();
        ASSERT_TRUE(next.ok());
        if (!next->has_value()) break;
        ++whole;
        v1::Request again;
        ASSERT_TRUE(again.ParseFromString(**next));
        EXPECT_EQ(whole < 3, again.has_push());
      }
    }
    EXPECT_EQ(3, whole);
    EXPECT_TRUE(decoder.empty());
  }
}

TEST(FrameTest, TheLongestMessage) {
  FrameDecoder decoder;
  decoder.Feed(Header(kMaxMessage));
  EXPECT_FALSE((*decoder.Next()).has_value());
  decoder.Feed(std::string(kMaxMessage, 'x'));
  auto next = decoder.Next();
  ASSERT_TRUE(next.ok() && next->has_value());
  EXPECT_EQ(kMaxMessage, (*next)->size());
}

TEST(FrameTest, ALengthAboveTheLimitIsRefusedAtOnce) {
  FrameDecoder decoder;
  decoder.Feed(Header(kMaxMessage + 1));
  EXPECT_TRUE(absl::IsResourceExhausted(decoder.Next().status()));
  EXPECT_TRUE(absl::IsResourceExhausted(decoder.Next().status()));
  FrameDecoder small(10);
  small.Feed(Header(11));
  EXPECT_TRUE(absl::IsResourceExhausted(small.Next().status()));
}

TEST(FrameTest, AMessageAboveTheLimitIsNotEncoded) {
  v1::Request request;
  request.mutable_push()->set_content(std::string(kMaxMessage, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(EncodeFrame(request).status()));
}

}  // namespace
}  // namespace fused::control
