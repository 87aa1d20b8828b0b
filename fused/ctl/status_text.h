// The daemon's state, for people.
#ifndef FUSED_FUSED_CTL_STATUS_TEXT_H_
#define FUSED_FUSED_CTL_STATUS_TEXT_H_

#include <string>

#include "proto/control.pb.h"

namespace fused::ctl {

std::string StatusText(const control::v1::Status& status);

}  // namespace fused::ctl

#endif  // FUSED_FUSED_CTL_STATUS_TEXT_H_
