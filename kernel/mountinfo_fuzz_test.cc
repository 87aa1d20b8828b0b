// Mount tables of any content.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/log/check.h"
#include "kernel/mount.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const fused::kernel::MountInfo& mount :
       fused::kernel::ParseMountInfo(text)) {
    // Unescaping only shortens.
    CHECK_LE(mount.path.size() + mount.type.size() + mount.source.size(), size);
  }
  return 0;
}
