// Many apps do everything at once to one small tree. Nobody is told that the
// daemon is at fault, and in the end every view shows what there is.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/outcome.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

// What may happen to who races with others. Between views, which learn of each
// other's changes a little later, also that what a name has meant is gone, or
// is where that cannot be.
bool tolerate_stale = false;

bool IsExpected(int error) {
  if (error == ESTALE || error == ELOOP) return tolerate_stale;
  constexpr int kExpected[] = {ENOENT, EEXIST, ENOTEMPTY, ENOTDIR,
                               EISDIR, EINVAL, EPERM,     EBUSY};
  return std::find(std::begin(kExpected), std::end(kExpected), error) !=
         std::end(kExpected);
}

class Chaos {
 public:
  Chaos(std::string root, uint64_t seed)
      : root_(std::move(root)), random_(seed) {}

  // The call that failed as none should; empty otherwise.
  std::string Step() {
    static constexpr char kText[] = "some text that is written";
    const std::string path = Path();
    const std::string other = Path();
    switch (Draw(14)) {
      case 0:
      case 1:
        return WithFile(path, O_RDWR | O_CREAT,
                        [](int fd) { return write(fd, kText, sizeof(kText)); });
      case 2:
        return WithFile(path, O_WRONLY | O_APPEND,
                        [](int fd) { return write(fd, kText, 4); });
      case 3:
        return WithFile(path, O_RDONLY, [](int fd) {
          char buffer[100];
          return read(fd, buffer, sizeof(buffer));
        });
      case 4:
        return WithFile(path, O_RDWR | O_TRUNC,
                        [](int fd) -> ssize_t { return ftruncate(fd, 10); });
      case 5:
        return Judge("mkdir", path, mkdir(path.c_str(), 0700));
      case 6:
        return Judge("rmdir", path, rmdir(path.c_str()));
      case 7:
      case 8:
        return Judge("unlink", path, unlink(path.c_str()));
      case 9:
      case 10:
        return Judge("rename", path + " " + other,
                     rename(path.c_str(), other.c_str()));
      case 11:
        return Judge("exchange", path + " " + other,
                     renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, other.c_str(),
                               RENAME_EXCHANGE));
      case 12:
        return List(path);
      default: {
        struct stat st;
        return Judge("stat", path, stat(path.c_str(), &st));
      }
    }
  }

 private:
  uint64_t Draw(uint64_t below) { return random_() % below; }

  std::string Path() {
    std::string path = root_;
    for (uint64_t depth = 1 + Draw(3); depth > 0; --depth) {
      absl::StrAppend(&path, "/n", Draw(4));
    }
    return path;
  }

  static std::string Judge(std::string_view call, const std::string& path,
                           int64_t result) {
    if (result >= 0 || IsExpected(errno)) return "";
    return absl::StrCat(call, " ", path, ": ", ErrorName(errno));
  }

  template <typename Act>
  static std::string WithFile(const std::string& path, int flags,
                              const Act& act) {
    const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd < 0) return Judge("open", path, fd);
    const int64_t result = act(fd);
    // What is open works; a directory is not read this way.
    std::string wrong = result >= 0 || errno == EISDIR
                            ? ""
                            : absl::StrCat("on ", path, ": ", ErrorName(errno));
    struct stat st;
    if (wrong.empty() && fstat(fd, &st) != 0) {
      wrong = absl::StrCat("fstat of ", path, ": ", ErrorName(errno));
    }
    close(fd);
    return wrong;
  }

  static std::string List(const std::string& path) {
    std::error_code error;
    auto it = std::filesystem::directory_iterator(path, error);
    while (!error && it != std::filesystem::directory_iterator()) {
      it.increment(error);
    }
    if (!error || IsExpected(error.value())) return "";
    return absl::StrCat("list ", path, ": ", ErrorName(error.value()));
  }

  const std::string root_;
  std::mt19937_64 random_;
};

// ROOT SEED STEPS STALE
APP_PROGRAM(DoAnything) {
  uint64_t seed = 0;
  int steps = 0;
  if (!absl::SimpleAtoi(arguments[1], &seed) ||
      !absl::SimpleAtoi(arguments[2], &steps)) {
    return Wrong("ROOT SEED STEPS STALE");
  }
  tolerate_stale = arguments[3] == "stale";
  Chaos chaos(arguments[0], seed);
  // What failed as none should: how often, and where at first.
  std::map<std::string, std::pair<int, std::string>> wrong;
  for (int i = 0; i < steps; ++i) {
    const std::string text = chaos.Step();
    if (text.empty()) continue;
    const std::string error = text.substr(text.rfind(' ') + 1);
    const auto [it, first] = wrong.try_emplace(error, 0, text);
    ++it->second.first;
  }
  if (wrong.empty()) return Done(steps);
  std::string all;
  for (const auto& [error, seen] : wrong) {
    absl::StrAppend(&all, error, " ", seen.first, " times, at first ",
                    seen.second, "; ");
  }
  return Wrong(all);
}

// ROOT: everything below it, with content, sorted.
APP_PROGRAM(TellTree) {
  std::vector<std::string> lines;
  std::error_code error;
  auto it = std::filesystem::recursive_directory_iterator(arguments[0], error);
  for (; !error && it != std::filesystem::recursive_directory_iterator();
       it.increment(error)) {
    const std::string path = it->path();
    struct stat st;
    if (stat(path.c_str(), &st) != 0) return Failed("stat " + path);
    std::string line = path.substr(arguments[0].size());
    if (S_ISREG(st.st_mode)) {
      absl::StrAppend(&line, " ", st.st_size, " ", ReadFile(path));
    }
    lines.push_back(std::move(line));
  }
  if (error) return Wrong(error.message());
  std::sort(lines.begin(), lines.end());
  return Done(static_cast<int64_t>(lines.size()), absl::StrJoin(lines, "\n"));
}

// Tells the first differences alone: trees are large.
testing::AssertionResult SameTree(const std::string& seen,
                                  const std::string& truth) {
  const std::vector<std::string> a = absl::StrSplit(seen, '\n');
  const std::vector<std::string> b = absl::StrSplit(truth, '\n');
  std::vector<std::string> differences;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(),
                                std::back_inserter(differences));
  if (differences.empty()) return testing::AssertionSuccess();
  constexpr size_t kShown = 8;
  testing::AssertionResult result = testing::AssertionFailure();
  result << differences.size() << " lines differ of " << b.size() << ":\n";
  for (size_t i = 0; i < std::min(kShown, differences.size()); ++i) {
    const bool missing = std::binary_search(b.begin(), b.end(), differences[i]);
    result << (missing ? "missing: " : "too much: ") << differences[i] << "\n";
  }
  return result;
}

struct Setting {
  const char* name;
  Device::Lower lower;
  const char* flag;
  std::vector<std::pair<const char*, View>> apps;
};

void PrintTo(const Setting& setting, std::ostream* os) { *os << setting.name; }

class ChaosTest : public testing::TestWithParam<Setting> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(MakeDirectories(device_.LowerPath("tree")));
    ASSERT_TRUE(device_.Start());
  }

  static bool OneView() {
    return std::all_of(
        GetParam().apps.begin(), GetParam().apps.end(),
        [](const auto& app) { return app.second == View::kShared; });
  }

  // All of them at once.
  static void Act(const std::vector<App>& apps, int round) {
    for (size_t i = 0; i < apps.size(); ++i) {
      apps[i].Begin("DoAnything",
                    {apps[i].At("tree"), absl::StrCat(round, i),
                     IsLong() ? "5000" : "1500", OneView() ? "" : "stale"});
    }
    for (const App& app : apps) {
      EXPECT_THAT(app.Finish(), Succeeds()) << app.name();
    }
  }

  Device device_{{.lower = GetParam().lower,
                  .policy = AllowAllPolicy(),
                  .packages = StandardPackages(),
                  .flags = {GetParam().flag}}};
};

TEST_P(ChaosTest, EveryViewEndsWithWhatThereIs) {
  std::vector<App> apps;
  for (const auto& [package, view] : GetParam().apps) {
    apps.push_back(device_.Launch(package, view));
  }
  const App native = device_.LaunchAt(device_.lower(), 0, 0);
  const int rounds = IsLong() ? 40 : 4;
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    Act(apps, round);
    ASSERT_TRUE(device_.Sync());
    const Outcome truth = native.Run("TellTree", {native.At("tree")});
    ASSERT_THAT(truth, Succeeds());
    for (const App& app : apps) {
      const Outcome seen = app.Run("TellTree", {app.At("tree")});
      EXPECT_THAT(seen, Succeeds()) << app.name();
      EXPECT_TRUE(SameTree(seen.data, truth.data)) << app.name();
    }
  }
  EXPECT_TRUE(Eventually([&] {
    return device_.Status().volumes(0).handles() == 0;
  })) << device_.Status().volumes(0).DebugString();
  EXPECT_EQ(device_.Status().volumes(0).unanswered(), 0U);
  EXPECT_TRUE(device_.Stop());
}

std::vector<Setting> Settings() {
  const std::vector<std::pair<const char*, View>> one_view = {
      {kCamera, View::kShared},
      {kGallery, View::kShared},
      {kMusic, View::kShared}};
  const std::vector<std::pair<const char*, View>> two_modes = {
      {kCamera, View::kShared},
      {kServed, View::kShared},
      {kMusic, View::kShared}};
  const std::vector<std::pair<const char*, View>> many_views = {
      {kCamera, View::kApp},    {kServed, View::kApp},
      {kGallery, View::kApp},   {kCamera, View::kShared},
      {kServed, View::kShared}, {kMusic, View::kShared}};
  const char* by_kernel = "--passthrough=auto";
  const char* by_daemon = "--passthrough=off";
  return {
      {"OneView", Device::Lower::kTmpfs, by_kernel, one_view},
      {"OneViewByTheDaemon", Device::Lower::kTmpfs, by_daemon, one_view},
      {"OneViewTwoModes", Device::Lower::kTmpfs, by_kernel, two_modes},
      {"ManyViews", Device::Lower::kTmpfs, by_kernel, many_views},
      {"ManyViewsByTheDaemon", Device::Lower::kTmpfs, by_daemon, many_views},
      {"ManyViewsOnDisk", Device::Lower::kDisk, by_kernel, many_views},
  };
}

INSTANTIATE_TEST_SUITE_P(, ChaosTest, testing::ValuesIn(Settings()),
                         [](const testing::TestParamInfo<Setting>& info) {
                           return info.param.name;
                         });

}  // namespace
}  // namespace fused::androidtest
