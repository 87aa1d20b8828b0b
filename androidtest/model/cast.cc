#include "androidtest/model/cast.h"

namespace fused::androidtest::model {

const std::vector<Actor>& Cast() {
  const std::set<Type> audio = {Type::kAudio, Type::kPlaylist, Type::kSubtitle};
  const std::set<Type> all_media = {Type::kImage, Type::kVideo, Type::kAudio,
                                    Type::kPlaylist, Type::kSubtitle};
  static const auto* const kCast = new std::vector<Actor>{
      {.subject = {.name = "camera",
                   .owner = 10061,
                   .packages = {"camera", "editor"}},
       .package = "camera",
       .uid = 10061},
      {.subject = {.name = "editor",
                   .owner = 10061,
                   .packages = {"camera", "editor"}},
       .package = "editor",
       .uid = 10061},
      {.subject = {.name = "gallery",
                   .owner = 10062,
                   .packages = {"gallery"},
                   .reads = {Type::kImage, Type::kVideo, Type::kSubtitle}},
       .package = "gallery",
       .uid = 10062},
      {.subject = {.name = "music",
                   .owner = 10063,
                   .packages = {"music"},
                   .reads = audio},
       .package = "music",
       .uid = 10063},
      {.subject = {.name = "stranger",
                   .owner = 10064,
                   .packages = {"stranger"}},
       .package = "stranger",
       .uid = 10064},
      {.subject = {.name = "old",
                   .owner = 10065,
                   .packages = {"old"},
                   .reads = all_media},
       .package = "old",
       .uid = 10065},
      {.subject = {.name = "manager",
                   .owner = 10066,
                   .packages = {"manager"},
                   .manager = true},
       .package = "manager",
       .uid = 10066},
      {.subject = {.name = "photos",
                   .owner = 10067,
                   .packages = {"photos"},
                   .gallery = true},
       .package = "photos",
       .uid = 10067},
      {.subject = {.name = "store",
                   .owner = 10068,
                   .packages = {"store"},
                   .installer = true},
       .package = "store",
       .uid = 10068},
      {.subject =
           {.name = "mtp", .owner = 10069, .packages = {"mtp"}, .all = true},
       .package = "mtp",
       .uid = 10069},
      {.subject = {.name = "root", .owner = kNobody, .all = true}, .uid = 0},
      {.subject = {.name = "unlisted", .owner = kNobody, .unlisted = true},
       .uid = 10999},
  };
  return *kCast;
}

std::vector<Package> CastPackages() {
  return {
      {.name = "camera", .uid = 10061},
      {.name = "editor", .uid = 10061},
      {.name = "gallery",
       .uid = 10062,
       .permissions = {"READ_MEDIA_IMAGES", "READ_MEDIA_VIDEO",
                       "ACCESS_MEDIA_LOCATION"}},
      {.name = "music", .uid = 10063, .permissions = {"READ_MEDIA_AUDIO"}},
      {.name = "stranger", .uid = 10064},
      {.name = "old",
       .uid = 10065,
       .permissions = {"READ_EXTERNAL_STORAGE"},
       .target_sdk = 32},
      {.name = "manager", .uid = 10066, .roles = {"MANAGER"}},
      {.name = "photos", .uid = 10067, .roles = {"SYSTEM_GALLERY"}},
      {.name = "store", .uid = 10068, .roles = {"INSTALLER"}},
      {.name = "mtp", .uid = 10069, .roles = {"MTP"}},
  };
}

}  // namespace fused::androidtest::model
