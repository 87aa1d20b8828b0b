// Where the table is silent, or says two things.
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "absl/strings/str_cat.h"
#include "androidtest/model/cast.h"
#include "androidtest/model/world.h"

namespace fused::androidtest::model {
namespace {

bool HasPending(const std::vector<std::string>& path) {
  return std::any_of(path.begin(), path.end(), [](const std::string& name) {
    return IsPendingOrTrashed(name);
  });
}

bool HasPendingBelow(const Node& node) {
  return std::any_of(node.children.begin(), node.children.end(),
                     [](const auto& child) {
                       return IsPendingOrTrashed(child.first) ||
                              HasPendingBelow(*child.second);
                     });
}

// `Android` and the directories of packages' directories.
bool IsSkeleton(Place place) {
  return place == Place::kRoot || place == Place::kAndroid ||
         place == Place::kAndroidData || place == Place::kAndroidObb ||
         place == Place::kAndroidMedia;
}

bool IsMaking(Action action) {
  return action == Action::kCreate || action == Action::kOpenOrCreate ||
         action == Action::kMakeNode;
}

// A file in the place of a directory: of a package's, or a default one.
bool IsFileForDirectory(const Subject& subject,
                        const std::vector<std::string>& path) {
  const Place place = PlaceOf(path);
  const bool package = (place == Place::kMedia || place == Place::kData ||
                        place == Place::kObb) &&
                       path.size() == 3;
  return (package && (subject.special() || OwnsPath(subject, path))) ||
         (place == Place::kCollection && subject.special());
}

bool ByThePlace(const Subject& subject, const Step& step,
                const std::vector<std::string>& path) {
  const Place place = PlaceOf(path);
  // What those may do in `Android` who may do more than others.
  if (place == Place::kOther && path[0] == "Android" && subject.special()) {
    return true;
  }
  // What "in existing" means at the top.
  if (place == Place::kOtherTop && subject.gallery) return true;
  return IsMaking(step.action) && IsFileForDirectory(subject, path);
}

}  // namespace

bool World::IsUnclearRename(const Subject& subject, const Step& step) const {
  const std::vector<std::string> from = Split(step.path);
  const std::vector<std::string> to = Split(step.target);
  const bool exchange = step.flags == RENAME_EXCHANGE;
  const auto unclear_target = [&](const std::vector<std::string>& path,
                                  const Node* moved) {
    // A file of one app's in the directory of another's.
    if (PlaceOf(path) == Place::kMedia && subject.special() &&
        !OwnsPath(subject, path)) {
      return true;
    }
    // Whether an app may rename a directory to a default name.
    if (PlaceOf(path) == Place::kCollection && !subject.manager) return true;
    return IsSkeleton(PlaceOf(path)) ||
           (moved != nullptr && !moved->directory &&
            IsFileForDirectory(subject, path));
  };
  const std::shared_ptr<Node> moved = At(from);
  const std::shared_ptr<Node> other = At(to);
  if (unclear_target(to, moved.get())) return true;
  if (exchange && unclear_target(from, other.get())) return true;
  if (subject.all && moved != nullptr && HasPendingBelow(*moved)) return true;
  if (subject.all && other != nullptr && HasPendingBelow(*other)) return true;
  return subject.all && IsSkeleton(PlaceOf(from));
}

bool World::IsUnclear(const Step& step) const {
  const Subject& subject = Cast()[step.actor].subject;
  const std::vector<std::string> path = Split(step.path);
  const std::vector<std::string> target = Split(step.target);
  // Whether MTP may touch a pending file.
  if (subject.all && (HasPending(path) || HasPending(target))) return true;
  if (ByThePlace(subject, step, path) ||
      (!target.empty() && ByThePlace(subject, step, target))) {
    return true;
  }
  const std::shared_ptr<Node> node = At(path);
  const bool directory = node != nullptr && node->directory;
  switch (step.action) {
    case Action::kSetTimes:
    case Action::kChangeMode:
      return directory || subject.unlisted;
    case Action::kAccess:
      return directory && (step.flags & W_OK) != 0;
    case Action::kHold:
    case Action::kRead:
      // Opening one is listing it.
      return directory;
    case Action::kRemoveDirectory:
      return subject.all && IsSkeleton(PlaceOf(path));
    case Action::kRename:
      return IsUnclearRename(subject, step);
    case Action::kLink:
    case Action::kSymlink:
      return subject.unlisted;
    default:
      return false;
  }
}

bool World::IsNothing(const Step& step) const {
  const bool on_held = step.action == Action::kReadHeld ||
                       step.action == Action::kWriteHeld ||
                       step.action == Action::kLetGo;
  return on_held && held_.count({step.actor, step.view}) == 0;
}

namespace {

void Collect(const std::string& path, const Node& node, bool directories,
             std::vector<std::string>& out) {
  for (const auto& [name, child] : node.children) {
    const std::string here = absl::StrCat(path, path.empty() ? "" : "/", name);
    if (!directories || child->directory) out.push_back(here);
    Collect(here, *child, directories, out);
  }
}

}  // namespace

std::vector<std::string> World::Paths() const {
  std::vector<std::string> paths;
  Collect("", *root_, /*directories=*/false, paths);
  return paths;
}

std::vector<std::string> World::Directories() const {
  std::vector<std::string> paths;
  Collect("", *root_, /*directories=*/true, paths);
  return paths;
}

}  // namespace fused::androidtest::model
