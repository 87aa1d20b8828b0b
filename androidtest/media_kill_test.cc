// What was acknowledged is whose it was: the daemon is killed in the middle of
// creates, renames and removals, again and again.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/media_device.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

constexpr int kDirectories = 3;
constexpr int kNames = 6;

// An app's own files, and what the test knows of them: a file or a directory
// that is in `files_` was acknowledged to be there.
class Maker {
 public:
  Maker(std::string package, std::string prefix, unsigned seed)
      : package_(std::move(package)),
        prefix_(std::move(prefix)),
        random_(seed) {}

  const std::string& package() const { return package_; }
  const std::set<std::string>& files() const { return files_; }

  // Until a call fails, which is when the daemon is gone. Counts what was
  // acknowledged.
  void ActUntilKilled(const App& app, std::atomic<int>& done) {
    while (Step(app)) ++done;
  }

  // Finds out what became of the call that was not acknowledged, by what lies
  // below.
  void Settle(const Device& device) {
    const auto there = [&device](const std::string& path) {
      return Exists(device.LowerPath(path));
    };
    switch (doubt_.kind) {
      case Doubt::kNone:
        break;
      case Doubt::kCreate:
        // It may have come without an owner: that was never acknowledged.
        unlink(device.LowerPath(doubt_.from).c_str());
        break;
      case Doubt::kMakeDirectory:
        if (there(doubt_.from)) directories_.insert(doubt_.from);
        break;
      case Doubt::kUnlink:
        if (!there(doubt_.from)) files_.erase(doubt_.from);
        break;
      case Doubt::kRename:
        if (!there(doubt_.from)) Move(doubt_.from, doubt_.to);
        break;
    }
    doubt_ = {};
  }

 private:
  struct Doubt {
    enum Kind { kNone, kCreate, kMakeDirectory, kUnlink, kRename };
    Kind kind = kNone;
    std::string from;
    std::string to;
  };

  int Random(int below) {
    return std::uniform_int_distribution<int>(0, below - 1)(random_);
  }
  std::string Directory() {
    return absl::StrCat("Download/", prefix_, Random(kDirectories));
  }
  std::string Path() {
    return absl::StrCat(Directory(), "/f", Random(kNames), ".bin");
  }
  static std::string Parent(const std::string& path) {
    return path.substr(0, path.rfind('/'));
  }

  void Move(const std::string& from, const std::string& to) {
    std::set<std::string> moved;
    for (const std::string& path : files_) {
      if (path == from || absl::StartsWith(path, from + "/")) {
        moved.insert(to + path.substr(from.size()));
      } else if (path != to) {
        moved.insert(path);
      }
    }
    files_ = std::move(moved);
    if (directories_.erase(from) != 0) directories_.insert(to);
  }

  // False: not acknowledged.
  bool Ask(Doubt::Kind kind, const std::string& from, const std::string& to,
           const Outcome& outcome) {
    if (outcome.ok()) return true;
    doubt_ = {kind, from, to};
    // Nothing but the daemon's end is in the way of it.
    EXPECT_THAT(outcome.error,
                testing::AnyOf(ENOTCONN, ECONNABORTED, EIO, ENODEV))
        << from << " " << to << " " << testing::PrintToString(outcome);
    return false;
  }

  // One call.
  bool Step(const App& app) {
    std::optional<bool> answered;
    while (!answered.has_value()) answered = Try(app);
    return *answered;
  }

  // Nothing where chance has chosen what can't be done.
  std::optional<bool> Try(const App& app) {
    const std::string path = Path();
    if (!directories_.contains(Parent(path))) {
      const std::string directory = Parent(path);
      if (!Ask(Doubt::kMakeDirectory, directory, "",
               app.MakeDirectory(directory))) {
        return false;
      }
      directories_.insert(directory);
    }
    if (!files_.contains(path)) {
      if (!Ask(Doubt::kCreate, path, "",
               Random(2) == 0 ? app.MakeNode(path, S_IFREG | 0600)
                              : app.Create(path, "x"))) {
        return false;
      }
      files_.insert(path);
      return true;
    }
    switch (Random(4)) {
      case 0:
        if (!Ask(Doubt::kUnlink, path, "", app.Unlink(path))) return false;
        files_.erase(path);
        return true;
      case 1: {
        const std::string from = Parent(path);
        const std::string to = Directory();
        if (directories_.contains(to)) return std::nullopt;
        if (!Ask(Doubt::kRename, from, to, app.Rename(from, to))) return false;
        Move(from, to);
        return true;
      }
      default: {
        const std::string to = Path();
        if (to == path || !directories_.contains(Parent(to))) {
          return std::nullopt;
        }
        if (!Ask(Doubt::kRename, path, to, app.Rename(path, to))) return false;
        Move(path, to);
        return true;
      }
    }
  }

  const std::string package_;
  const std::string prefix_;
  std::mt19937 random_;
  std::set<std::string> files_;
  std::set<std::string> directories_;
  Doubt doubt_;
};

class MediaKillTest : public testing::TestWithParam<MediaLower> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    media_ = std::make_unique<MediaDevice>(GetParam());
    if (const std::string why = media_->why_not(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    device_ = &media_->device();
    PlantDirectories(*device_);
  }

  // One life of the daemon; returns what was acknowledged in it.
  int LiveAndDie() {
    std::vector<App> apps;
    for (const Maker& maker : makers_) {
      apps.push_back(device_->Launch(maker.package(), View::kShared));
    }
    std::atomic<int> done{0};
    std::vector<std::thread> threads;
    for (size_t i = 0; i < makers_.size(); ++i) {
      threads.emplace_back(
          [&, i] { makers_[i].ActUntilKilled(apps[i], done); });
    }
    // Some changes on, and then anywhere within one.
    const int enough = std::uniform_int_distribution<int>(0, 60)(random_);
    const int spins = std::uniform_int_distribution<int>(0, 100)(random_);
    while (done < enough && !HasFailure()) std::this_thread::yield();
    for (int i = 0; i < spins; ++i) std::this_thread::yield();
    device_->Kill();
    for (std::thread& thread : threads) thread.join();
    for (Maker& maker : makers_) maker.Settle(*device_);
    return done;
  }

  void CheckOwners() {
    for (size_t i = 0; i < makers_.size(); ++i) {
      const App owner = device_->Launch(makers_[i].package(), View::kShared);
      const App other = device_->Launch(
          makers_[(i + 1) % makers_.size()].package(), View::kShared);
      for (const std::string& path : makers_[i].files()) {
        EXPECT_THAT(owner.Open(path, O_WRONLY), Opens()) << path;
        EXPECT_THAT(other.Open(path, O_WRONLY), FailsWith(EACCES)) << path;
      }
    }
  }

  // Index and attributes: a scan after the one that the kill brought about
  // finds nothing to do.
  void CheckAgreement() {
    ASSERT_TRUE(Eventually([this] {
      return device_->Status().volumes(0).media().state() == "READY";
    }));
    EXPECT_EQ(device_->Ctl({"scan"}).exit, 0);
    const control::v1::MediaStatus media = device_->Status().volumes(0).media();
    EXPECT_EQ(media.adopted(), 0U);
    EXPECT_EQ(media.repaired(), 0U);
    size_t files = 0;
    for (const Maker& maker : makers_) files += maker.files().size();
    EXPECT_EQ(media.owned(), files);
    if (!HasXattrs(GetParam())) return;
    for (const Maker& maker : makers_) {
      for (const std::string& path : maker.files()) {
        char value[256];
        const ssize_t size =
            lgetxattr(device_->LowerPath(path).c_str(), "trusted.fused.owner",
                      value, sizeof(value));
        EXPECT_GT(size, 0) << path;
        EXPECT_THAT(
            std::string(value, static_cast<size_t>(std::max<ssize_t>(size, 0))),
            testing::EndsWith(maker.package()));
      }
    }
  }

  std::unique_ptr<MediaDevice> media_;
  Device* device_ = nullptr;
  std::mt19937 random_{12345};
  std::vector<Maker> makers_ = {Maker(kCamera, "c", 1),
                                Maker(kStranger, "s", 2)};
};

TEST_P(MediaKillTest, NothingAcknowledgedIsLost) {
  const int kills = IsLong() ? 500 : 15;
  int acknowledged = 0;
  for (int i = 0; i < kills && !HasFailure(); ++i) {
    ASSERT_TRUE(device_->Start()) << i;
    CheckOwners();
    if (i % 5 == 0) CheckAgreement();
    acknowledged += LiveAndDie();
  }
  ASSERT_TRUE(device_->Start());
  CheckOwners();
  CheckAgreement();
  EXPECT_GT(acknowledged, kills);
  GTEST_LOG_(INFO) << kills << " kills, " << acknowledged
                   << " acknowledged changes";
  EXPECT_TRUE(device_->Stop());
}

INSTANTIATE_TEST_SUITE_P(, MediaKillTest, testing::ValuesIn(kMediaLowers),
                         MediaLowerName);

}  // namespace
}  // namespace fused::androidtest
