// Devices whose lower trees lie on all the kinds of file systems that the media
// index tells apart.
#ifndef FUSED_ANDROIDTEST_HARNESS_MEDIA_DEVICE_H_
#define FUSED_ANDROIDTEST_HARNESS_MEDIA_DEVICE_H_

#include <string>

#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "gtest/gtest.h"

namespace fused::androidtest {

enum class MediaLower {
  kTmpfs,
  kDisk,     // what /tmp lies on: ext4, xfs, btrfs ...
  kOverlay,  // extended attributes, but no stable inode numbers
  kRamfs,    // neither
  kVfat,     // neither, and folds case; an image on a loop device
};

inline constexpr MediaLower kMediaLowers[] = {
    MediaLower::kTmpfs, MediaLower::kDisk, MediaLower::kOverlay,
    MediaLower::kRamfs, MediaLower::kVfat};

bool HasXattrs(MediaLower lower);
std::string MediaLowerName(const testing::TestParamInfo<MediaLower>& info);

class MediaDevice {
 public:
  explicit MediaDevice(MediaLower lower);
  MediaDevice(const MediaDevice&) = delete;
  MediaDevice& operator=(const MediaDevice&) = delete;

  // Empty where it can be had here.
  const std::string& why_not() const { return why_not_; }
  Device& device() { return device_; }

 private:
  std::string why_not_;
  Device device_;
};

// The index's database, locked as SQLite locks it, until this goes.
class LockedDatabase {
 public:
  explicit LockedDatabase(const std::string& path);
  LockedDatabase(const LockedDatabase&) = delete;
  LockedDatabase& operator=(const LockedDatabase&) = delete;
  bool locked() const { return locked_; }

 private:
  const Descriptor descriptor_;
  bool locked_ = false;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_MEDIA_DEVICE_H_
