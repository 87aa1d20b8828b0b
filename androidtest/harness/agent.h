// The process that acts as an app.
#ifndef FUSED_ANDROIDTEST_HARNESS_AGENT_H_
#define FUSED_ANDROIDTEST_HARNESS_AGENT_H_

#include "androidtest/harness/agent.pb.h"

namespace fused::androidtest {

// Makes the system call that `call` asks for, and says what came of it.
v1::Reply Perform(const v1::Call& call);

// Answers calls from `socket` until it is closed; returns the exit status.
int RunAgent(int socket);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_AGENT_H_
