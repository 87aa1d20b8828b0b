// What came of a system call that an app made.
#ifndef FUSED_ANDROIDTEST_HARNESS_OUTCOME_H_
#define FUSED_ANDROIDTEST_HARNESS_OUTCOME_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "androidtest/harness/agent.pb.h"

namespace fused::androidtest {

struct Outcome {
  explicit Outcome(const v1::Reply& reply)
      : value(reply.value()),
        error(reply.error()),
        data(reply.data()),
        names(reply.names().begin(), reply.names().end()),
        attributes(reply.attributes()),
        detail(reply.detail()) {}

  bool ok() const { return value >= 0; }

  // What the call returned; -1 if it failed.
  int64_t value;
  // errno then.
  int error;
  // What was read.
  std::string data;
  // What was listed.
  std::vector<std::string> names;
  v1::Attributes attributes;
  // Of a program that failed.
  std::string detail;
};

// "EACCES".
std::string ErrorName(int error);
void PrintTo(const Outcome& outcome, std::ostream* os);

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_OUTCOME_H_
