// Which version this is: //fused/package:version.bzl says it.
#ifndef FUSED_FUSED_VERSION_H_
#define FUSED_FUSED_VERSION_H_

namespace fused {

inline constexpr char kVersion[] = FUSED_VERSION;

}  // namespace fused

#endif  // FUSED_FUSED_VERSION_H_
