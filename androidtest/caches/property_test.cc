// Random operations by apps in views of their own and in the one that they
// share, with caches that are never to be told of by time: no answer is stale,
// and none is another's. In the own view at once, in others after a sync.
//
//   FUSED_CACHES_SEED=7 repeats a sequence.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "androidtest/caches/world.h"
#include "androidtest/harness/control.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/outcome.h"
#include "androidtest/harness/program.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest::caches {
namespace {

uint64_t Seed() {
  uint64_t seed = 0;
  const char* given = getenv("FUSED_CACHES_SEED");
  if (given != nullptr && absl::SimpleAtoi(given, &seed)) return seed;
  return std::chrono::system_clock::now().time_since_epoch().count() % 1000000;
}

// PATH: its names, by getdents(2) alone: opendir(3) asks for the directory's
// times, by which the kernel may find out that what it keeps is old.
APP_PROGRAM(RawList) {
  const int fd = open(arguments[0].c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failed("open");
  std::string names;
  alignas(dirent64) char buffer[4096];
  ssize_t size;
  while ((size = getdents64(fd, buffer, sizeof(buffer))) > 0) {
    for (ssize_t i = 0; i < size;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + i);
      absl::StrAppend(&names, entry->d_name, "\n");
      i += entry->d_reclen;
    }
  }
  close(fd);
  return size < 0 ? Failed("getdents64") : Done(0, names);
}

// One of those who act.
struct Player {
  std::string package;
  View view;
  App app;
};

// With changes below, or without anybody who listens for them.
class CachesTest : public DeviceTest, public testing::WithParamInterface<bool> {
 protected:
  CachesTest() : random_(first_) {}

  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    RecordProperty("seed", absl::StrCat(first_));
    Device::Options options;
    options.policy = world_.Policy(1);
    options.packages = Packages();
    if (!watched()) options.flags = {"--watch_lower=off"};
    device_.emplace(std::move(options));
    for (const char* name : {"one", "two", "plain"}) {
      ASSERT_TRUE(MakeDirectories(device_->LowerPath(name)));
    }
    ASSERT_TRUE(device_->Start());
    control_.emplace(device_->control());
    for (const char* package : {kCamera, kGallery, kMusic}) {
      players_.push_back(
          {package, View::kApp, device_->Launch(package, View::kApp)});
    }
    for (const char* package : {kCamera, kMusic}) {
      players_.push_back(
          {package, View::kShared, device_->Launch(package, View::kShared)});
    }
  }

  bool watched() const { return GetParam(); }

  std::vector<Package> Packages() const {
    std::vector<Package> packages;
    uid_t uid = 10100;
    for (const char* name : {kCamera, kGallery, kMusic}) {
      Package package{.name = name, .uid = ++uid};
      if (Sees(name)) package.permissions.emplace_back("SEE");
      packages.push_back(std::move(package));
    }
    return packages;
  }
  bool Sees(const std::string& package) const {
    return std::find(seers_.begin(), seers_.end(), package) != seers_.end();
  }

  int Number(int below) {
    return static_cast<int>(random_() % static_cast<uint64_t>(below));
  }
  template <typename T>
  const T& One(const std::vector<T>& of) {
    return of[static_cast<size_t>(Number(static_cast<int>(of.size())))];
  }

  // Mostly where something is, was or may come.
  std::string SomePath() {
    static const auto* const kNames = new std::vector<std::string>{
        "a", "b", "c", "d", "e", "f", ".h", ".trashed-1999999999-g"};
    const std::vector<std::string> paths = world_.Paths();
    if (!paths.empty() && Number(100) < 55) return One(paths);
    std::string above = One(world_.Directories());
    if (above.empty() || Number(100) < 5) above = "one/d";
    if (std::count(above.begin(), above.end(), '/') > 2) above = "plain";
    if (Number(60) == 0) return above + "/.nomedia";
    // One that no kernel has heard of.
    if (Number(3) == 0) return absl::StrCat(above, "/n", ++fresh_);
    return absl::StrCat(above, "/", One(*kNames));
  }

  bool Ask(const control::v1::Request& request) {
    const auto response = control_->Ask(request);
    return response.has_value() && response->error().empty() &&
           (!response->has_push() || response->push().accepted());
  }
  bool Sync() {
    control::v1::Request request;
    request.mutable_sync();
    return Ask(request);
  }
  bool Push(control::v1::PushRequest::Kind kind, const std::string& text) {
    control::v1::Request request;
    request.mutable_push()->set_kind(kind);
    request.mutable_push()->set_content(text);
    request.mutable_push()->set_file_name("pushed");
    return Ask(request);
  }
  bool ChangeRules();

  static Result Of(const Outcome& outcome) {
    return {.error = outcome.ok() ? 0 : outcome.error};
  }
  static Result StatOf(const Outcome& outcome) {
    Result result = Of(outcome);
    if (!outcome.ok()) return result;
    if (S_ISREG(outcome.attributes.mode())) {
      result.size = outcome.attributes.size();
    } else {
      result.links = static_cast<int64_t>(outcome.attributes.links());
    }
    return result;
  }
  static Result ListOf(const Outcome& outcome) {
    Result result = Of(outcome);
    if (!outcome.ok()) return result;
    std::vector<std::string> names =
        absl::StrSplit(outcome.data, '\n', absl::SkipEmpty());
    std::erase(names, ".");
    std::erase(names, "..");
    std::sort(names.begin(), names.end());
    result.names = std::move(names);
    return result;
  }
  static Outcome RenameBy(const App& app, const std::string& from,
                          const std::string& to, unsigned flags);

  // Whose kernel knows what the others may not have been told yet: the number
  // of a player with a view of its own, or one of these.
  static constexpr int kEverybodyKnows = -1;
  static constexpr int kSharedKernel = 100;
  static constexpr int kNobodysKernel = 101;
  std::optional<std::string> ActOrLook(int& changed_by);

  // Behind the daemon's back.
  std::optional<std::string> ChangeBelow(const std::string& path);

  // One operation of the player's; what differs.
  std::optional<std::string> Act(const Player& player, const std::string& path);
  std::optional<std::string> Look(const Player& player);
  std::optional<std::string> List(const Player& player,
                                  const std::string& directory);
  // Everybody looks at it, and at the directory that it is in.
  std::optional<std::string> Witness(const std::string& path);
  // Something happens that everybody has looked at before, and does after.
  std::optional<std::string> ActBeforeWitnesses();

  std::optional<std::string> Compare(const Player& player,
                                     const std::string& what,
                                     const Result& expected,
                                     const Result& seen) {
    ++answers_;
    if (expected == seen) return std::nullopt;
    return absl::StrCat(player.package, " in its ", Name(player.view), ": ",
                        what, (Sees(player.package) ? " (sees)" : ""),
                        "\n  expected ", ToString(expected), "\n  seen     ",
                        ToString(seen));
  }

  const uint64_t first_ = Seed();
  std::mt19937_64 random_;
  World world_;
  std::vector<std::string> seers_ = {kCamera};
  uint64_t version_ = 1;
  std::optional<Device> device_;
  std::optional<Control> control_;
  std::vector<Player> players_;
  int64_t answers_ = 0;
  int fresh_ = 0;
};

bool CachesTest::ChangeRules() {
  ++version_;
  if (Number(2) == 0) {
    seers_.clear();
    for (const char* package : {kCamera, kGallery, kMusic}) {
      if (Number(2) == 0) seers_.emplace_back(package);
    }
    return Push(control::v1::PushRequest::APPS, AppsText(Packages(), version_));
  }
  std::vector<std::string> veils;
  for (const char* veil :
       {"one/c", "one/d", "one/d/b", "two/e/c", "two/d", "one/e/d", "two/b"}) {
    if (Number(3) == 0) veils.emplace_back(veil);
  }
  world_.SetVeils(std::move(veils));
  return Push(control::v1::PushRequest::POLICY, world_.Policy(version_));
}

Outcome CachesTest::RenameBy(const App& app, const std::string& from,
                             const std::string& to, unsigned flags) {
  Outcome outcome = app.Rename(from, to, flags);
  if (outcome.error != ESTALE) return outcome;
  // Another view has moved a directory which this kernel moves when it next
  // looks, but not within a rename.
  app.Stat(from);
  app.Stat(to);
  return app.Rename(from, to, flags);
}

std::optional<std::string> CachesTest::Look(const Player& player) {
  const bool sees = Sees(player.package);
  const std::string path = SomePath();
  if (Number(2) == 0) {
    return Compare(player, "stat " + path,
                   world_.Stat(sees, path, player.view == View::kShared),
                   StatOf(player.app.Stat(path)));
  }
  const std::string directory = One(world_.Directories());
  if (directory.empty()) return std::nullopt;
  return List(player, directory);
}

std::optional<std::string> CachesTest::List(const Player& player,
                                            const std::string& directory) {
  const bool sees = Sees(player.package);
  std::optional<std::string> difference;
  // Again: from what the kernel has kept.
  for (int i = 0; i < 2 && !difference.has_value(); ++i) {
    difference =
        Compare(player, absl::StrCat("list ", directory, " ", i),
                world_.List(sees, directory),
                ListOf(player.app.Run("RawList", {player.app.At(directory)})));
  }
  return difference;
}

std::optional<std::string> CachesTest::Witness(const std::string& path) {
  if (!Sync()) return "the daemon does not answer";
  for (const Player& player : players_) {
    const bool sees = Sees(player.package);
    std::optional<std::string> difference =
        Compare(player, "stat " + path,
                world_.Stat(sees, path, player.view == View::kShared),
                StatOf(player.app.Stat(path)));
    if (!difference.has_value()) {
      difference = List(player, path.substr(0, path.rfind('/')));
    }
    if (difference.has_value()) return difference;
  }
  return std::nullopt;
}

std::optional<std::string> CachesTest::ActBeforeWitnesses() {
  const std::string path = SomePath();
  std::optional<std::string> difference = Witness(path);
  if (difference.has_value()) return difference;
  const int kind = Number(8);
  if (kind == 0) {
    if (!ChangeRules()) return "the push was refused";
  } else if (kind == 1 && watched()) {
    difference = ChangeBelow(path);
  } else {
    difference = Act(One(players_), path);
  }
  return difference.has_value() ? difference : Witness(path);
}

std::optional<std::string> CachesTest::Act(const Player& player,
                                           const std::string& path) {
  const bool sees = Sees(player.package);
  const App& app = player.app;
  const int64_t size = 1 + Number(9);
  const std::string text(static_cast<size_t>(size), 'x');
  // So that names meet.
  const bool crowded = world_.Paths().size() > 60;
  switch (crowded && Number(2) == 0 ? 4 : Number(9)) {
    case 0:
    case 1:
      return Compare(player, "create " + path, world_.Create(sees, path, size),
                     Of(app.Create(path, text)));
    case 2:
    case 6:
      return Compare(player, "write " + path, world_.Write(sees, path, size),
                     Of(app.Overwrite(path, text)));
    case 3:
      return Compare(player, "mkdir " + path, world_.MakeDirectory(sees, path),
                     Of(app.MakeDirectory(path)));
    case 4:
      if (world_.IsDirectory(path) && Number(2) == 0) {
        return Compare(player, "rmdir " + path,
                       world_.RemoveDirectory(sees, path),
                       Of(app.RemoveDirectory(path)));
      }
      return Compare(player, "unlink " + path, world_.Unlink(sees, path),
                     Of(app.Unlink(path)));
    case 5:
      return Compare(player, "chmod " + path,
                     {.error = world_.Stat(sees, path).error},
                     Of(app.ChangeMode(path, 0600)));
    default: {
      const std::string to = SomePath();
      const bool exchange = Number(4) == 0;
      if (path == to || world_.IsUnclearRename(sees, path, to, exchange)) {
        return std::nullopt;
      }
      return Compare(
          player,
          absl::StrCat(exchange ? "exchange " : "rename ", path, " ", to),
          world_.Rename(sees, path, to, exchange),
          Of(RenameBy(app, path, to, exchange ? RENAME_EXCHANGE : 0)));
    }
  }
}

std::optional<std::string> CachesTest::ChangeBelow(const std::string& path) {
  const std::string lower = device_->LowerPath(path);
  const int64_t size = 1 + Number(9);
  Result expected;
  int done = 0;
  switch (Number(7)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      const bool there = world_.Has(path);
      expected = there ? world_.Write(true, path, size)
                       : world_.Create(true, path, size);
      const int create = there ? 0 : O_CREAT | O_EXCL;
      const int fd = open(lower.c_str(), O_WRONLY | create | O_CLOEXEC, 0660);
      const std::string text(static_cast<size_t>(size), 'x');
      done = fd < 0 ? -1 : 0;
      if (fd >= 0 && write(fd, text.data(), text.size()) != size) done = -1;
      if (fd >= 0) close(fd);
      break;
    }
    case 4:
      expected = world_.MakeDirectory(true, path);
      done = mkdir(lower.c_str(), 0770);
      break;
    case 5:
      expected = world_.Unlink(true, path);
      done = unlink(lower.c_str());
      break;
    default: {
      const std::string to = SomePath();
      if (path == to || world_.IsUnclearRename(true, path, to, false)) {
        return std::nullopt;
      }
      expected = world_.Rename(true, path, to, false);
      done = rename(lower.c_str(), device_->LowerPath(to).c_str());
    }
  }
  const int error = done == 0 ? 0 : errno;
  if (error == expected.error) return std::nullopt;
  return absl::StrCat("below ", path, ": expected ", ToString(expected),
                      ", seen ", ErrorName(error));
}

std::optional<std::string> CachesTest::ActOrLook(int& changed_by) {
  const int number = Number(static_cast<int>(players_.size()));
  const Player& player = players_[static_cast<size_t>(number)];
  const int kernel = player.view == View::kShared ? kSharedKernel : number;
  if (changed_by != kEverybodyKnows && changed_by != kernel) {
    if (!Sync()) return "the daemon does not answer";
    changed_by = kEverybodyKnows;
  }
  if (Number(100) >= 40) return Look(player);
  changed_by = kernel;
  return Act(player, SomePath());
}

TEST_P(CachesTest, NoAnswerIsStaleOrAnothers) {
  const int steps = IsLong() ? 200'000 : 10'000;
  int changed_by = kEverybodyKnows;
  for (int step = 0; step < steps; ++step) {
    std::optional<std::string> difference;
    if (Number(20) == 0) {
      difference = ActBeforeWitnesses();
      changed_by = kEverybodyKnows;
    } else if (Number(150) == 0) {
      if (!ChangeRules()) difference = "the push was refused";
    } else if (watched() && Number(30) == 0) {
      difference = ChangeBelow(SomePath());
      changed_by = kNobodysKernel;
    } else {
      difference = ActOrLook(changed_by);
    }
    ASSERT_FALSE(difference.has_value())
        << "FUSED_CACHES_SEED=" << first_ << ", step " << step << ": "
        << *difference;
  }
  const control::v1::VolumeStatus volume = device_->Status().volumes(0);
  const control::v1::Invalidations& told = volume.invalidations();
  const auto sent = told.entries() + told.inodes() + told.listings() + 1;
  std::cout << answers_ << " answers; " << told.entries() << " names and "
            << told.listings() << " listings told, after "
            << told.lag_microseconds() / sent << " us on average and "
            << told.longest_lag_microseconds() << " us at most\n";
  RecordProperty("lag_microseconds", absl::StrCat(told.lag_microseconds()));
  EXPECT_GT(told.listings(), 0U);
  players_.clear();
  EXPECT_TRUE(device_->Stop());
}

// How long another view shows what was, where nobody waits.
TEST_P(CachesTest, TheLagIsMeasured) {
  const App& maker = players_[0].app;
  const App& other = players_[1].app;
  std::vector<absl::Duration> lags;
  const int rounds = IsLong() ? 2'000 : 200;
  for (int i = 0; i < rounds; ++i) {
    const std::string path = absl::StrCat("one/n", i);
    ASSERT_EQ(other.Stat(path).error, ENOENT);
    ASSERT_THAT(maker.Create(path), Succeeds());
    const absl::Time made = absl::Now();
    const absl::Time deadline = made + absl::Seconds(60);
    while (!other.Stat(path).ok()) ASSERT_LT(absl::Now(), deadline);
    lags.push_back(absl::Now() - made);
  }
  std::sort(lags.begin(), lags.end());
  std::cout << "lag: median " << lags[lags.size() / 2] << ", 99 % "
            << lags[lags.size() * 99 / 100] << ", most " << lags.back() << "\n";
  players_.clear();
  EXPECT_TRUE(device_->Stop());
}

INSTANTIATE_TEST_SUITE_P(, CachesTest, testing::Bool(), [](const auto& info) {
  return info.param ? "Watched" : "NotWatched";
});

}  // namespace
}  // namespace fused::androidtest::caches
