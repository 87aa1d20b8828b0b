#include "androidtest/model/generator.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "androidtest/model/cast.h"

namespace fused::androidtest::model {
namespace {

// So few that steps meet.
const std::vector<std::string>& FileNames() {
  static const auto* const kNames = new std::vector<std::string>{
      "a.jpg",
      "b.jpg",
      "c.mp4",
      "d.mp3",
      "e.m3u",
      "f.srt",
      "g.pdf",
      "h",
      ".i.jpg",
      ".pending-1999999999-k.jpg",
      ".trashed-1999999999-l.mp3",
      "bad?.jpg",
      "m.",
  };
  return *kNames;
}

const std::vector<std::string>& DirectoryNames() {
  static const auto* const kNames =
      new std::vector<std::string>{"n", "o", "p", ".q", "r.jpg"};
  return *kNames;
}

// Where a new name may be beside the directories that there are.
const std::vector<std::string>& Places() {
  static const auto* const kPlaces = new std::vector<std::string>{
      "",
      "DCIM",
      "Pictures",
      "Movies",
      "Music",
      "Ringtones",
      "Download",
      "Documents",
      "Own",
      "Android",
      "Android/data",
      "Android/data/camera",
      "Android/data/stranger",
      "Android/data/absent",
      "Android/obb",
      "Android/obb/camera",
      "Android/media",
      "Android/media/camera",
      "Android/media/stranger",
  };
  return *kPlaces;
}

std::string Below(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : absl::StrCat(directory, "/", name);
}

struct Weight {
  Action action;
  int weight;
};

constexpr Weight kWeights[] = {
    {Action::kStat, 8},          {Action::kList, 6},
    {Action::kAccess, 4},        {Action::kRead, 10},
    {Action::kWrite, 6},         {Action::kReadAndWrite, 5},
    {Action::kAppend, 3},        {Action::kTruncatingRead, 3},
    {Action::kTruncate, 3},      {Action::kSetTimes, 3},
    {Action::kChangeMode, 2},    {Action::kCreate, 14},
    {Action::kOpenOrCreate, 6},  {Action::kMakeNode, 2},
    {Action::kMakeDirectory, 8}, {Action::kRemoveDirectory, 5},
    {Action::kUnlink, 6},        {Action::kRename, 16},
    {Action::kLink, 1},          {Action::kSymlink, 1},
    {Action::kHold, 4},          {Action::kReadHeld, 4},
    {Action::kWriteHeld, 4},     {Action::kLetGo, 2},
};

constexpr size_t kCrowd = 150;

}  // namespace

int Generator::Number(int below) {
  return static_cast<int>(random_() % static_cast<uint64_t>(below));
}

Action Generator::SomeAction(bool crowded) {
  if (crowded && Chance(50)) {
    return Chance(70) ? Action::kUnlink : Action::kRemoveDirectory;
  }
  int sum = 0;
  for (const Weight& weight : kWeights) sum += weight.weight;
  int left = Number(sum);
  for (const Weight& weight : kWeights) {
    left -= weight.weight;
    if (left < 0) return weight.action;
  }
  return Action::kStat;
}

std::string Generator::There(const World& world) {
  return Chance(85) ? One(world.Paths()) : New(world, Chance(30));
}

std::string Generator::New(const World& world, bool directory) {
  const std::string place =
      Chance(50) ? One(world.Directories()) : One(Places());
  // Deeper trees tell no more.
  const std::string shallow = Split(place).size() > 5 ? "Download" : place;
  if (shallow.empty() && directory) {
    return Chance(50) ? "Own"
                      : One(std::vector<std::string>{"Ringtones", "Podcasts"});
  }
  if (shallow.size() < 14 &&
      absl::StrCat(shallow, "/").rfind("Android/", 0) == 0 && Chance(60)) {
    return Below(shallow, One(std::vector<std::string>{"camera", "stranger",
                                                       "store", "absent"}));
  }
  return Below(shallow, One(directory ? DirectoryNames() : FileNames()));
}

Step Generator::Any(const World& world) {
  Step step;
  step.actor = Number(static_cast<int>(Cast().size()));
  const bool shared = Cast()[step.actor].package.empty() || Chance(50);
  step.view = shared ? View::kShared : View::kApp;
  step.action = SomeAction(world.Paths().size() > kCrowd);
  step.path = There(world);
  step.text = absl::StrCat("text", Number(1000));
  switch (step.action) {
    case Action::kAccess:
      step.flags = One(std::vector<int>{F_OK, R_OK, W_OK, R_OK | W_OK});
      break;
    case Action::kTruncate:
      step.number = Number(20);
      break;
    case Action::kSetTimes:
      step.number = 1'000'000'000 + Number(1'000'000);
      break;
    case Action::kCreate:
    case Action::kOpenOrCreate:
    case Action::kMakeNode:
    case Action::kMakeDirectory:
      if (Chance(80)) {
        step.path = New(world, step.action == Action::kMakeDirectory);
      }
      break;
    case Action::kRename: {
      step.flags =
          One(std::vector<int>{0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE});
      const bool directory = step.path.find('.') == std::string::npos;
      const bool onto = step.flags == RENAME_EXCHANGE || Chance(30);
      step.target = onto ? There(world) : New(world, directory);
      break;
    }
    case Action::kLink:
      step.target = New(world, /*directory=*/false);
      break;
    case Action::kSymlink:
      step.path = New(world, /*directory=*/false);
      break;
    case Action::kHold:
      step.flags = Chance(50) ? O_RDONLY : O_RDWR;
      break;
    default:
      break;
  }
  return step;
}

Step Generator::Next(const World& world) {
  for (;;) {
    Step step = Any(world);
    if (!world.IsUnclear(step) && !world.IsNothing(step)) return step;
  }
}

}  // namespace fused::androidtest::model
