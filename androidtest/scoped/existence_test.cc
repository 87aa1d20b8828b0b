// That an app is never told whether there is anything below another's private
// directory: whatever it asks, what is there and what is not look the same,
// also right after the owner has touched it.
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/program.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

struct Probe {
  const char* name;
  // The error of asking about `path`; 0 if it came to something. `own` is a
  // file of the asking app's.
  std::function<int(const App&, const std::string& path,
                    const std::string& own)>
      ask;
};

void PrintTo(const Probe& probe, std::ostream* os) { *os << probe.name; }

Probe Opening(const char* name, int flags) {
  return {name,
          [flags](const App& app, const std::string& path, const std::string&) {
            const File file = app.Open(path, flags);
            return file.ok() ? 0 : file.error();
          }};
}

template <typename Call>
Probe Calling(const char* name, Call call) {
  return {name, [call](const App& app, const std::string& path,
                       const std::string& own) {
            const Outcome outcome = call(app, path, own);
            return outcome.ok() ? 0 : outcome.error;
          }};
}

#define CALLING(name, expression)                                     \
  Calling(name, [](const App& app, [[maybe_unused]] const auto& path, \
                   [[maybe_unused]] const auto& own) { return expression; })

std::vector<Probe> Probes() {
  return {
      CALLING("Stat", app.Stat(path)),
      CALLING("LinkStat", app.LinkStat(path)),
      CALLING("Access", app.Access(path, F_OK)),
      CALLING("AccessToRead", app.Access(path, R_OK)),
      CALLING("AccessToWrite", app.Access(path, W_OK)),
      CALLING("StatFs", app.FileSystemType(path)),
      CALLING("ReadLink", app.ReadLink(path)),
      CALLING("ChangeDirectory", app.ChangeDirectory(path)),
      CALLING("GetXattr", app.GetXattr(path, "user.a")),
      CALLING("SetXattr", app.SetXattr(path, "user.a", "b")),
      Opening("Open", O_RDONLY),
      Opening("OpenToWrite", O_WRONLY),
      Opening("OpenToReadAndWrite", O_RDWR),
      Opening("OpenToTruncate", O_RDONLY | O_TRUNC),
      Opening("OpenToAppend", O_WRONLY | O_APPEND),
      Opening("OpenThePath", O_PATH),
      Opening("OpenAnUnnamedFile", O_TMPFILE | O_RDWR),
      Opening("OpenOrCreate", O_RDWR | O_CREAT),
      Opening("Create", O_WRONLY | O_CREAT | O_EXCL),
      CALLING("List", app.List(path)),
      CALLING("MakeDirectory", app.MakeDirectory(path)),
      CALLING("RemoveDirectory", app.RemoveDirectory(path)),
      CALLING("Unlink", app.Unlink(path)),
      CALLING("MakeNode", app.MakeNode(path, S_IFREG | 0600)),
      CALLING("MakeFifo", app.MakeNode(path, S_IFIFO | 0600)),
      CALLING("Symlink", app.Symlink("target", path)),
      CALLING("LinkTo", app.Link(own, path)),
      CALLING("LinkFrom", app.Link(path, own + ".name")),
      CALLING("RenameFrom", app.Rename(path, own + ".moved")),
      CALLING("RenameTo", app.Rename(own, path)),
      CALLING("RenameToUnlessThere", app.Rename(own, path, RENAME_NOREPLACE)),
      CALLING("ExchangeFrom", app.Rename(path, own, RENAME_EXCHANGE)),
      CALLING("ExchangeTo", app.Rename(own, path, RENAME_EXCHANGE)),
      CALLING("Truncate", app.Truncate(path, 0)),
      CALLING("ChangeMode", app.ChangeMode(path, 0600)),
      CALLING("ChangeOwner", app.ChangeOwner(path, 0, 0)),
      CALLING("SetTimes", app.SetTimes(path, 1'000'000'000)),
  };
}

using Case = std::tuple<View, Probe>;

class ExistenceTest : public DeviceTest,
                      public testing::WithParamInterface<Case> {
 public:
  static void SetUpTestSuite() { ScopedTest::SetUpTestSuite(); }
  static void TearDownTestSuite() { ScopedTest::TearDownTestSuite(); }

 protected:
  View view() const { return std::get<0>(GetParam()); }

  // What `package` is told of each path, with the owner looking on.
  void ExpectNothingTold(const char* package,
                         const std::vector<std::string>& paths) {
    const App& app = Scene::In(view(), package);
    const std::string own = DataOf(package, "files/" + Scene::Own());
    for (const std::string& path : paths) {
      for (const View owners : {view(), View::kApp, View::kShared}) {
        const App& owner = Scene::In(owners, kCamera);
        if (owner.Stat(path).ok()) owner.Open(path, O_RDONLY);
        app.Create(own, "own");
        EXPECT_EQ(ErrorName(std::get<1>(GetParam()).ask(app, path, own)),
                  "ENOENT")
            << path << " asked by " << package << " after the owner in its "
            << Name(owners);
      }
    }
    EXPECT_THAT(app.Read(own), Reads("own")) << package;
  }
};

TEST_P(ExistenceTest, IsNotTold) {
  const App& camera = Scene::In(view(), kCamera);
  const std::string secret = DataOf(kCamera, "files/" + Scene::Own());
  ASSERT_THAT(camera.Create(secret, "secret"), Succeeds());
  const std::vector<std::string> paths = {
      DataOf(kCamera),
      DataOf("com.not.installed"),
      DataOf(kCamera, "files"),
      DataOf(kCamera, "absent"),
      DataOf("com.not.installed", "files"),
      secret,
      secret + ".absent",
      DataOf("file.txt"),
  };
  for (const char* package : {kStranger, kManager, kSystemGallery, kInstaller,
                              kGallery, kOldReader}) {
    ExpectNothingTold(package, paths);
  }
  EXPECT_THAT(camera.Read(secret), Reads("secret"));
  // Gone again: as before.
  ASSERT_THAT(camera.Unlink(secret), Succeeds());
  ExpectNothingTold(kStranger, {secret, DataOf(kCamera)});
}

TEST_P(ExistenceTest, IsNotToldOfObb) {
  const App& camera = Scene::In(view(), kCamera);
  camera.MakeDirectory(ObbOf(kCamera));
  const std::string secret = ObbOf(kCamera, Scene::Own());
  ASSERT_THAT(camera.Create(secret, "secret"), Succeeds());
  for (const char* package : {kStranger, kManager, kSystemGallery}) {
    ExpectNothingTold(
        package, {ObbOf(kCamera), ObbOf(kGallery), secret, secret + ".absent",
                  ObbOf("com.not.installed", "a")});
  }
  EXPECT_THAT(camera.Read(secret), Reads("secret"));
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  return absl::StrCat(std::get<1>(info.param).name, "_",
                      Name(std::get<0>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(, ExistenceTest,
                         testing::Combine(testing::Values(View::kApp,
                                                          View::kShared),
                                          testing::ValuesIn(Probes())),
                         CaseName);

class TracesTest : public ScopedTest {
 protected:
  static std::string Attributes(const App& app, const char* path) {
    v1::Attributes attributes = app.Stat(path).attributes;
    return attributes.ShortDebugString();
  }
};

// Size, times and links of the directory that they lie in say nothing.
TEST_P(TracesTest, TheDirectoryAboveDoesNotChange) {
  for (const char* above : {"Android/data", "Android/obb"}) {
    const std::string before = Attributes(As(kStranger), above);
    const std::string dir = absl::StrCat(above, "/", kMusic);
    for (const View view : {View::kApp, View::kShared}) {
      const App& music = In(view, kMusic);
      music.RemoveDirectory(dir + "/files");
      music.RemoveDirectory(dir);
      ASSERT_TRUE(device().Sync());
      EXPECT_EQ(Attributes(As(kStranger), above), before);
      ASSERT_THAT(music.MakeDirectory(dir), Succeeds());
      ASSERT_TRUE(device().Sync());
      EXPECT_EQ(Attributes(As(kStranger), above), before);
    }
  }
}

TEST_P(TracesTest, ListingsOfForeignPrivateDirectoriesFailAlike) {
  for (const char* package :
       {kStranger, kGallery, kSystemGallery, kOldReader, kMusic}) {
    EXPECT_THAT(As(package).List("Android/data"), FailsWith(EACCES));
    EXPECT_THAT(As(package).List("Android/obb"), FailsWith(EACCES));
  }
  EXPECT_THAT(As(kInstaller).List("Android/data"), FailsWith(EACCES));
}

// The manager may list, and finds its own alone.
TEST_P(TracesTest, ListingsNameOnesOwnAlone) {
  EXPECT_THAT(As(kManager).List("Android/data"),
              Lists(testing::ElementsAre(kManager)));
}

// Its name was known to all where it came from.
TEST_P(TracesTest, ADirectoryMovedToAPrivateName) {
  const std::string place = Place("Download");
  const std::string dir = ObbOf(kMusic);
  GivenDirectory(kMusic, place + "/d");
  EXPECT_THAT(As(kStranger).Stat(place + "/d"), Succeeds());
  ASSERT_THAT(As(kMusic).Rename(place + "/d", dir), Succeeds());
  EXPECT_THAT(As(kStranger), SeesNothingAt(dir));
  EXPECT_THAT(In(other_view(), kStranger), SeesNothingAt(dir));
  EXPECT_THAT(As(kMusic).RemoveDirectory(dir), Succeeds());
}

// ".." from one's own directory leads to no other.
TEST_P(TracesTest, NoWayRoundByDots) {
  for (const char* path : {"/../", "/files/../../", "/./../"}) {
    EXPECT_THAT(As(kStranger).Stat(DataOf(kStranger) + path + kCamera),
                FailsWith(ENOENT))
        << path;
  }
}

// A directory that is held open does not let others in.
TEST_P(TracesTest, AWorkingDirectoryHelpsNobody) {
  const App& app = As(kStranger);
  ASSERT_THAT(app.ChangeDirectory("Android/data"), Succeeds());
  const File camera =
      app.Open(absl::StrCat("/proc/self/cwd/", kCamera), O_PATH);
  EXPECT_THAT(camera, FailsWith(ENOENT));
  EXPECT_THAT(app.Stat(absl::StrCat("/proc/self/cwd/", kCamera, "/files")),
              FailsWith(ENOENT));
  EXPECT_THAT(app.ChangeDirectory("/"), Succeeds());
}

INSTANTIATE_BOTH_VIEWS(TracesTest);

// DIRECTORY: a descriptor that tells what becomes of it and of its children.
APP_PROGRAM(Watch) {
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return Failed("inotify_init1");
  if (inotify_add_watch(fd, arguments[0].c_str(), IN_ALL_EVENTS) < 0) {
    return Failed("inotify_add_watch");
  }
  return Done(fd);
}

// FD: how many events, and their names.
APP_PROGRAM(Told) {
  int fd = -1;
  if (!absl::SimpleAtoi(arguments[0], &fd)) return Wrong("FD");
  alignas(inotify_event) char buffer[64 << 10];
  int events = 0;
  std::string names;
  ssize_t n;
  while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
    for (ssize_t i = 0; i < n;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + i);
      absl::StrAppend(&names, absl::StrCat(absl::Hex(event->mask)), ":",
                      event->len > 0 ? event->name : "", " ");
      ++events;
      i += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
    }
  }
  if (errno != EAGAIN) return Failed("read");
  return Done(events, names);
}

// A directory that was known elsewhere, came below the apps' with the one above
// it, and from there to another app's name.
TEST_P(TracesTest, NoTimeIsKeptFromWhereANameStood) {
  const std::string place = Own();
  const std::string below = absl::StrCat("Android/obb/", Own());
  const std::string other = absl::StrCat("Android/data/", Own());
  const App& mtp = As(kMtp);
  PlantDirectory(place + "/d/o");
  EXPECT_THAT(As(kStranger).Open(place + "/d/o/f", O_WRONLY),
              FailsWith(ENOENT));
  ASSERT_THAT(mtp.MakeDirectory(other), Succeeds());
  ASSERT_THAT(mtp.Rename(place, below), Succeeds());
  ASSERT_THAT(mtp.Rename(other, below + "/d/o", RENAME_EXCHANGE), Succeeds());
  ASSERT_TRUE(device().Sync());
  for (const char* package : {kStranger, kManager, kGallery}) {
    EXPECT_THAT(As(package).Open(other, O_RDWR), FailsWith(ENOENT)) << package;
    EXPECT_THAT(As(package).Stat(other), FailsWith(ENOENT)) << package;
  }
  EXPECT_THAT(mtp.Stat(other), Succeeds());
}

class WatchTest : public DeviceTest {
 public:
  static void SetUpTestSuite() { ScopedTest::SetUpTestSuite(); }
  static void TearDownTestSuite() { ScopedTest::TearDownTestSuite(); }
};

// In app views; the shared view's superblock is everybody's.
TEST_F(WatchTest, WatchesTellNothing) {
  const App& stranger = Scene::In(View::kApp, kStranger);
  const Outcome data = stranger.Run("Watch", {stranger.At("Android/data")});
  const Outcome obb = stranger.Run("Watch", {stranger.At("Android/obb")});
  ASSERT_THAT(data, Succeeds());
  ASSERT_THAT(obb, Succeeds());
  for (const View view : {View::kApp, View::kShared}) {
    const App& camera = Scene::In(view, kCamera);
    for (const std::string& dir : {DataOf(kCamera), ObbOf(kCamera)}) {
      stranger.Stat(dir);
      camera.MakeDirectory(dir);
      EXPECT_THAT(camera.Create(dir + "/f", "x"), Succeeds());
      EXPECT_THAT(camera.Read(dir + "/f"), Reads("x"));
      EXPECT_THAT(camera.ChangeMode(dir, 0700), Succeeds());
      EXPECT_THAT(camera.Rename(dir + "/f", dir + "/g"), Succeeds());
      EXPECT_THAT(camera.Unlink(dir + "/g"), Succeeds());
      stranger.Stat(dir);
    }
    EXPECT_THAT(camera.RemoveDirectory(ObbOf(kCamera)), Succeeds());
    ASSERT_TRUE(Scene::device().Sync());
  }
  for (const Outcome& watch : {data, obb}) {
    const Outcome told = stranger.Run("Told", {absl::StrCat(watch.value)});
    EXPECT_THAT(told, Returns(0)) << told.data;
  }
  // It does tell of what the app may see.
  EXPECT_THAT(stranger.ChangeMode(DataOf(kStranger), 0700), Succeeds());
  EXPECT_THAT(stranger.Run("Told", {absl::StrCat(data.value)}), Returns(1));
}

}  // namespace
}  // namespace fused::androidtest
