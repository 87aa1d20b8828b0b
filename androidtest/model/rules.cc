#include "androidtest/model/rules.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace fused::androidtest::model {
namespace {

// One row of the table: the letters of what each column may do. What nobody
// special may not do is EACCES, unless it is in `eperm`, or the row is secret.
struct Row {
  Place place;
  bool secret;
  std::string_view everybody;
  std::string_view eperm;
  std::string_view owner;
  std::string_view reader;
  std::string_view manager;
  std::string_view gallery;
  std::string_view installer;
};

constexpr std::string_view kAll = "SLRWCMDXNn";
constexpr std::string_view kFile = "RWDN";

// The last column (MTP, DOWNLOADS, SHELL, ROOT) has everything everywhere.
constexpr Row kRows[] = {
    // place, secret, everybody, eperm, owner, reader, manager, gallery,
    // installer
    {Place::kRoot, false, "SL", "", "", "", kAll, "", ""},
    {Place::kAndroid, false, "SL", "", "", "", "", "", ""},
    {Place::kAndroidData, false, "S", "", "", "", "L", "", ""},
    {Place::kAndroidObb, false, "S", "", "", "", "L", "", "L"},
    {Place::kAndroidMedia, false, "SL", "", "", "", "", "", ""},
    {Place::kData, true, "", "", kAll, "", "", "", ""},
    {Place::kObb, true, "", "", kAll, "", "", "", kAll},
    {Place::kMedia, false, "SL", "", kAll, "R", kAll, "RWCDN", ""},
    {Place::kCollection, false, "SLM", "C", "", "", kAll, "", ""},
    {Place::kImages, false, "SLMXn", "C", kFile, "R", kAll, "RWCDN", ""},
    {Place::kFilms, false, "SLMXn", "C", kFile, "R", kAll, "RWCDN", ""},
    {Place::kMusic, false, "SLMXn", "C", kFile, "R", kAll, "RWCDN", ""},
    {Place::kSounds, false, "SLMXn", "C", kFile, "R", kAll, "RWCDN", ""},
    {Place::kPapers, false, "SLCMXn", "", kFile, "R", kAll, "RWCDN", ""},
    {Place::kOtherTop, false, "SL", "CM", kFile, "R", kAll, kFile, ""},
    {Place::kOther, false, "SL", "CM", kFile, "R", kAll, "RWCDN", ""},
};

const Row& RowOf(Place place) {
  return *std::find_if(std::begin(kRows), std::end(kRows),
                       [&](const Row& row) { return row.place == place; });
}

bool Has(std::string_view letters, char operation) {
  return letters.find(operation) != std::string_view::npos;
}

// What is behind `.pending-<epoch>-` or `.trashed-<epoch>-`; else nothing.
std::string_view Behind(std::string_view name) {
  for (const std::string_view prefix : {".pending-", ".trashed-"}) {
    if (!absl::StartsWith(name, prefix)) continue;
    std::string_view rest = name.substr(prefix.size());
    const size_t dash = rest.find('-');
    if (dash == std::string_view::npos || dash == 0) continue;
    const std::string_view epoch = rest.substr(0, dash);
    if (std::all_of(epoch.begin(), epoch.end(),
                    [](char c) { return isdigit(c) != 0; })) {
      return rest.substr(dash + 1);
    }
  }
  return {};
}

// Which types a place takes of nobody special.
bool Takes(Place place, Type type) {
  switch (place) {
    case Place::kImages:
      return type == Type::kImage || type == Type::kVideo;
    case Place::kFilms:
      return type == Type::kVideo || type == Type::kPlaylist ||
             type == Type::kSubtitle;
    case Place::kMusic:
      return type == Type::kAudio || type == Type::kPlaylist ||
             type == Type::kSubtitle;
    case Place::kSounds:
      return type == Type::kAudio;
    default:
      return false;
  }
}

bool IsOwner(const Subject& subject, const Object& object) {
  const Place place = PlaceOf(object.path);
  if (place == Place::kData || place == Place::kObb || place == Place::kMedia) {
    return OwnsPath(subject, object.path);
  }
  return !object.directory && object.owner != kNobody &&
         object.owner == subject.owner;
}

bool MaySee(const Subject& subject, const Object& object) {
  const Row& row = RowOf(PlaceOf(object.path));
  return !row.secret || subject.all ||
         (IsOwner(subject, object) && Has(row.owner, 'S')) ||
         (subject.installer && Has(row.installer, 'S'));
}

// By any of the special columns.
bool Allows(const Row& row, const Subject& subject, char operation,
            const Object& object) {
  const std::string& name = object.path.empty() ? "" : object.path.back();
  const Type type = TypeOf(name);
  const bool pending = IsPendingOrTrashed(name) && !object.directory;
  if (subject.all) return true;
  if (IsOwner(subject, object) && Has(row.owner, operation)) return true;
  if (subject.manager && Has(row.manager, operation)) return true;
  if (subject.installer && Has(row.installer, operation)) return true;
  if (object.directory) return false;
  if (subject.gallery && (type == Type::kImage || type == Type::kVideo) &&
      Has(row.gallery, operation)) {
    return true;
  }
  return subject.reads.count(type) > 0 && Has(row.reader, operation) &&
         !pending && !IsHidden(object.path);
}

int JudgeSeen(const Subject& subject, char operation, const Object& object) {
  const Place place = PlaceOf(object.path);
  const Row& row = RowOf(place);
  if (subject.unlisted) {
    return Has("SL", operation) && Has(row.everybody, operation) ? 0 : EACCES;
  }
  if (Allows(row, subject, operation, object)) return 0;
  if (Has(row.everybody, operation)) return 0;
  if (operation == 'C') {
    if (Takes(place, TypeOf(object.path.back()))) return 0;
    // A file where packages have their directories.
    if (place == Place::kMedia && object.path.size() == 3) return EPERM;
  }
  if (place == Place::kAndroid && subject.manager && Has("Xn", operation)) {
    return EPERM;
  }
  return Has(row.eperm, operation) ? EPERM : EACCES;
}

}  // namespace

int Judge(const Subject& subject, char operation, const Object& object) {
  if (!MaySee(subject, object)) return ENOENT;
  return JudgeSeen(subject, operation, object);
}

std::set<int> JudgeNew(const Subject& subject, char operation,
                       const Object& object) {
  const int error = Judge(subject, operation, object);
  if (error == ENOENT || IsGoodName(object.path.back())) return {error};
  return {error, EPERM};
}

Place PlaceOf(const std::vector<std::string>& path) {
  static const auto* const kCollections = new std::map<std::string, Place>{
      {"DCIM", Place::kImages},          {"Pictures", Place::kImages},
      {"Movies", Place::kFilms},         {"Music", Place::kMusic},
      {"Alarms", Place::kSounds},        {"Audiobooks", Place::kSounds},
      {"Notifications", Place::kSounds}, {"Podcasts", Place::kSounds},
      {"Recordings", Place::kSounds},    {"Ringtones", Place::kSounds},
      {"Download", Place::kPapers},      {"Documents", Place::kPapers},
  };
  if (path.empty()) return Place::kRoot;
  if (path[0] == "Android") {
    if (path.size() == 1) return Place::kAndroid;
    const bool itself = path.size() == 2;
    if (path[1] == "data") return itself ? Place::kAndroidData : Place::kData;
    if (path[1] == "obb") return itself ? Place::kAndroidObb : Place::kObb;
    if (path[1] == "media") {
      return itself ? Place::kAndroidMedia : Place::kMedia;
    }
    return Place::kOther;
  }
  const auto collection = kCollections->find(path[0]);
  if (collection != kCollections->end()) {
    return path.size() == 1 ? Place::kCollection : collection->second;
  }
  return path.size() == 1 ? Place::kOtherTop : Place::kOther;
}

Type TypeOf(std::string_view name) {
  if (const std::string_view behind = Behind(name); !behind.empty()) {
    name = behind;
  }
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return Type::kOther;
  const std::string_view extension = name.substr(dot + 1);
  if (extension == "jpg" || extension == "png") return Type::kImage;
  if (extension == "mp4") return Type::kVideo;
  if (extension == "mp3") return Type::kAudio;
  if (extension == "m3u") return Type::kPlaylist;
  if (extension == "srt") return Type::kSubtitle;
  return Type::kOther;
}

bool IsPendingOrTrashed(std::string_view name) { return !Behind(name).empty(); }

bool IsHidden(const std::vector<std::string>& path) {
  return std::any_of(path.begin(), path.end(), [](const std::string& name) {
    return absl::StartsWith(name, ".");
  });
}

bool IsGoodName(std::string_view name) {
  return name.find_first_of("\"*:<>?\\|") == std::string_view::npos &&
         !absl::EndsWith(name, ".") && !absl::EndsWith(name, " ");
}

bool OwnsPath(const Subject& subject, const std::vector<std::string>& path) {
  return path.size() >= 3 &&
         std::find(subject.packages.begin(), subject.packages.end(), path[2]) !=
             subject.packages.end();
}

std::vector<std::string> Split(std::string_view path) {
  return absl::StrSplit(path, '/', absl::SkipEmpty());
}

}  // namespace fused::androidtest::model
