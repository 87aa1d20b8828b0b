#include "androidtest/harness/media_device.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/process.h"

namespace fused::androidtest {
namespace {

Device::Options OptionsFor(MediaLower lower) {
  Device::Options options;
  options.packages = StandardPackages();
  switch (lower) {
    case MediaLower::kDisk:
      options.lower = Device::Lower::kDisk;
      break;
    case MediaLower::kOverlay:
      options.lower = Device::Lower::kOverlay;
      break;
    case MediaLower::kTmpfs:
    case MediaLower::kRamfs:
    case MediaLower::kVfat:
      break;
  }
  return options;
}

bool KernelHas(std::string_view type) {
  for (std::string_view line :
       absl::StrSplit(ReadFile("/proc/filesystems"), '\n')) {
    if (absl::EndsWith(line, absl::StrCat("\t", type))) return true;
  }
  return false;
}

// Over the tmpfs that the device has made. Empty, or why it can't be.
std::string MountVfat(const std::string& image, const std::string& lower) {
  if (!KernelHas("vfat")) {
    return "NOT TESTED ON VFAT: this kernel has no vfat";
  }
  if (!WriteFile(image, "") || truncate(image.c_str(), 64 << 20) != 0) {
    return "no room for an image";
  }
  const Completed made = RunCommand({"/usr/sbin/mkfs.vfat", "-F32", image});
  if (made.exit != 0) return absl::StrCat("mkfs.vfat: ", made.error);
  const Completed mounted =
      RunCommand({"/usr/bin/mount", "-t", "vfat", "-o",
                  "loop,utf8,shortname=mixed,umask=0000", image, lower});
  if (mounted.exit == 0) return "";
  return absl::StrCat("NOT TESTED ON VFAT: ", mounted.error);
}

}  // namespace

bool HasXattrs(MediaLower lower) {
  return lower != MediaLower::kRamfs && lower != MediaLower::kVfat;
}

std::string MediaLowerName(const testing::TestParamInfo<MediaLower>& info) {
  switch (info.param) {
    case MediaLower::kTmpfs:
      return "OnTmpfs";
    case MediaLower::kDisk:
      return "OnDisk";
    case MediaLower::kOverlay:
      return "OnOverlay";
    case MediaLower::kRamfs:
      return "OnRamfs";
    case MediaLower::kVfat:
      return "OnVfat";
  }
  return "";
}

LockedDatabase::LockedDatabase(const std::string& path)
    : descriptor_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
  // SQLite's pending, reserved and shared locks: sqlite.org/lockingv3.html.
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = 0x40000000;
  lock.l_len = 512;
  locked_ = fcntl(descriptor_.get(), F_SETLK, &lock) == 0;
}

MediaDevice::MediaDevice(MediaLower lower) : device_(OptionsFor(lower)) {
  if (lower == MediaLower::kRamfs &&
      mount("ramfs", device_.lower().c_str(), "ramfs", 0, "mode=0777") != 0) {
    why_not_ = absl::StrCat("no ramfs: ", strerror(errno));
  }
  if (lower == MediaLower::kVfat) {
    why_not_ = MountVfat(device_.directory() + "/image", device_.lower());
  }
}

}  // namespace fused::androidtest
