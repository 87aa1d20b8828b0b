// The apps that act in the sequences.
#ifndef FUSED_ANDROIDTEST_MODEL_CAST_H_
#define FUSED_ANDROIDTEST_MODEL_CAST_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "androidtest/harness/device.h"
#include "androidtest/model/rules.h"

namespace fused::androidtest::model {

struct Actor {
  Subject subject;
  // Empty: a uid without a package, in the shared view alone.
  std::string package;
  uid_t uid = 0;
};

const std::vector<Actor>& Cast();
// As the device knows them.
std::vector<Package> CastPackages();

}  // namespace fused::androidtest::model

#endif  // FUSED_ANDROIDTEST_MODEL_CAST_H_
