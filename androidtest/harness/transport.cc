#include "androidtest/harness/transport.h"

#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace fused::androidtest {
namespace {

constexpr char kPath[] = "/sys/module/fuse/parameters/enable_uring";

std::string Read() {
  std::string value;
  std::ifstream(kPath) >> value;
  return value;
}

}  // namespace

bool OverUring() {
  const char* transport = getenv("FUSED_TEST_TRANSPORT");
  return transport != nullptr && std::string_view(transport) == "uring";
}

void UringParameter::Set() {
  const std::string value = Read();
  if (value != "N") return;
  std::ofstream(kPath) << "Y";
  if (UringParameterIsSet()) before_ = value;
}

UringParameter::~UringParameter() {
  if (!before_.empty()) std::ofstream(kPath) << before_;
}

bool UringParameterIsSet() { return Read() == "Y"; }

}  // namespace fused::androidtest
