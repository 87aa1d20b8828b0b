// Messages between a test and its agents.
#ifndef FUSED_ANDROIDTEST_HARNESS_FRAME_H_
#define FUSED_ANDROIDTEST_HARNESS_FRAME_H_

#include "google/protobuf/message_lite.h"

namespace fused::androidtest {

// Both are false when the other end is gone.
bool SendMessage(int socket, const google::protobuf::MessageLite& message);
bool ReceiveMessage(int socket, google::protobuf::MessageLite* message);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_FRAME_H_
