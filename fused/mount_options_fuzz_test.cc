// What mount(8) hands over comes from fstab lines and command lines.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fused/settings.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto profile :
       {fused::config::v1::MEDIA, fused::config::v1::POSIX}) {
    fused::MountOptions options;
    fused::FlagValues flags;
    const absl::Status status =
        fused::ParseMountOptions(text, profile, options, &flags);
    // Whatever is said, a media mount stays without set-id and devices.
    if (profile == fused::config::v1::MEDIA &&
        (!options.nosuid || !options.nodev || !options.noatime)) {
      std::abort();
    }
    if (!status.ok() && status.message().empty()) std::abort();
  }
  return 0;
}
