// The main of every device test, and of its agents.
#include <string_view>

#include "androidtest/harness/agent.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/mounts.h"
#include "androidtest/harness/transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "agent") {
    return fused::androidtest::RunAgent(/*socket=*/0);
  }
  testing::InitGoogleMock(&argc, argv);
  if (fused::androidtest::WhyNoDevice().empty() &&
      !fused::androidtest::EnterMountNamespace()) {
    GTEST_LOG_(ERROR) << "no mount namespace for the test";
    return 1;
  }
  fused::androidtest::UringParameter parameter;
  if (fused::androidtest::OverUring()) parameter.Set();
  return RUN_ALL_TESTS();
}
