// Spellings of one name, on a lower file system that folds them: the file that
// they lead to has one answer, whichever is used. The harness's own folds all
// of them; with FUSED_TEST_FOLDING=vfat or casefold, and FUSED_TEST_LOWER_ON
// naming a directory there, it is one of the kernel's, which takes some for
// names of their own.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/folding_lower.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// U+0130, the Turkish capital that `i` is folded from.
constexpr char kTurkishI[] = "\xc4\xb0";
// U+FF21, a full-width A; U+200B, of no width; U+00AD, a soft hyphen.
constexpr char kWideA[] = "\xef\xbc\xa1";
constexpr char kNoWidth[] = "\xe2\x80\x8b";
constexpr char kSoftHyphen[] = "\xc2\xad";

// Who takes two spellings for one name.
enum class Folds {
  kAll,
  kUnicode,  // ext4 with casefold: full case folding, canonical order
  kShort,    // vfat: its short names
  kHarness,  // nobody but the harness's
};

// The lower tree's kind: empty, "vfat" or "casefold".
std::string Kind() {
  const char* kind = getenv("FUSED_TEST_FOLDING");
  return kind == nullptr ? "" : kind;
}

bool IsFolded(Folds folds) {
  const std::string kind = Kind();
  switch (folds) {
    case Folds::kAll:
      return true;
    case Folds::kUnicode:
      return kind.empty() || kind == "casefold";
    case Folds::kShort:
      return kind.empty() || kind == "vfat";
    case Folds::kHarness:
      return kind.empty();
  }
  return false;
}

// `Android/data` as it may be written.
struct Spelling {
  std::string path;
  Folds folds;
};
std::vector<Spelling> Spellings() {
  return {
      {"Android/data", Folds::kAll},
      {"android/data", Folds::kAll},
      {"ANDROID/DATA", Folds::kAll},
      {"aNDROID/dATA", Folds::kAll},
      {absl::StrCat("ANDRO", kTurkishI, "D/data"), Folds::kHarness},
      {absl::StrCat(kWideA, "ndroid/data"), Folds::kHarness},
      {absl::StrCat("And", kNoWidth, "roid/data"), Folds::kUnicode},
      {absl::StrCat("Android/da", kSoftHyphen, "ta"), Folds::kUnicode},
      {absl::StrCat("Android/d", kWideA, "ta"), Folds::kHarness},
  };
}

class SpellingTest : public BothViewsTest {
 protected:
  struct State {
    State() {
      if (Kind().empty()) {
        char path[] = "/tmp/fused-folding.XXXXXX";
        EXPECT_NE(mkdtemp(path), nullptr);
        mountpoint = path;
        lower = std::make_unique<FoldingLower>(mountpoint);
        EXPECT_TRUE(lower->mounted());
      }
      device = std::make_unique<Device>(Device::Options{
          .packages = StandardPackages(), .lower_path = mountpoint});
      PlantDirectories(*device);
      EXPECT_TRUE(device->Start());
    }
    ~State() {
      apps.clear();
      EXPECT_TRUE(device->Stop());
      device.reset();
      if (lower == nullptr) return;
      lower.reset();
      rmdir(mountpoint.c_str());
    }

    // Empty, null: one of the kernel's.
    std::string mountpoint;
    std::unique_ptr<FoldingLower> lower;
    std::unique_ptr<Device> device;
    std::map<std::pair<View, std::string>, App> apps;
  };

 public:
  static void SetUpTestSuite() {
    if (WhyNoDevice().empty()) state_ = new State;
  }
  static void TearDownTestSuite() { delete std::exchange(state_, nullptr); }

 protected:
  void SetUp() override {
    BothViewsTest::SetUp();
    if (IsSkipped()) return;
    place_ = absl::StrCat(
        "Download/",
        absl::StrReplaceAll(
            testing::UnitTest::GetInstance()->current_test_info()->name(),
            {{"/", "-"}}));
    ASSERT_THAT(As(kStranger).MakeDirectory(place_), Succeeds());
    Sync();
  }

  const App& As(const char* package) { return In(view(), package); }
  const App& In(View view, const char* package) {
    const std::pair<View, std::string> key(view, package);
    auto found = state_->apps.find(key);
    if (found == state_->apps.end()) {
      App app = state_->device->Launch(package, view);
      found = state_->apps.emplace(key, std::move(app)).first;
    }
    return found->second;
  }
  static void Sync() { ASSERT_TRUE(state_->device->Sync()); }

  // Made as the first, used as the second.
  void ExpectAnswers(const std::string& made, const std::string& used,
                     Folds folds) {
    if (IsFolded(folds)) {
      ExpectOneFile(made, used);
    } else {
      ExpectTwoFiles(made, used);
    }
  }

  void ExpectTwoFiles(const std::string& made, const std::string& other) {
    const App& app = As(kCamera);
    const std::string first = absl::StrCat(place_, "/", made);
    const std::string second = absl::StrCat(place_, "/", other);
    ASSERT_THAT(app.Create(first, "first"), Succeeds()) << first;
    EXPECT_THAT(app.Stat(second), FailsWith(ENOENT)) << second;
    ASSERT_THAT(As(kGallery).Create(second, "second, another's"), Succeeds())
        << second;
    Sync();
    EXPECT_THAT(app.Read(first), Reads("first"));
    EXPECT_THAT(app.Open(second, O_RDONLY), FailsWith(EACCES)) << second;
    EXPECT_THAT(As(kGallery).Open(first, O_RDONLY), FailsWith(EACCES)) << first;
    EXPECT_THAT(app.List(place_), Lists(UnorderedElementsAre(made, other)));
    EXPECT_THAT(As(kGallery).Unlink(second), Succeeds()) << second;
    Sync();
    EXPECT_THAT(app.Stat(second), FailsWith(ENOENT)) << second;
    EXPECT_THAT(app.Read(first), Reads("first"));
    EXPECT_THAT(app.Unlink(first), Succeeds()) << first;
    EXPECT_THAT(app.List(place_), Lists(IsEmpty()));
    Sync();
  }

  void ExpectOneFile(const std::string& made, const std::string& used) {
    const App& app = As(kCamera);
    const std::string first = absl::StrCat(place_, "/", made);
    const std::string second = absl::StrCat(place_, "/", used);
    ASSERT_THAT(app.Create(first, "content"), Succeeds()) << first;
    EXPECT_THAT(app.Stat(second), HasSize(7)) << second;
    EXPECT_THAT(app.Read(second), Reads("content")) << second;
    EXPECT_THAT(app.Create(second), FailsWith(EEXIST)) << second;
    EXPECT_THAT(app.MakeDirectory(second), FailsWith(EEXIST)) << second;
    EXPECT_THAT(app.Overwrite(second, "CONTENT"), Succeeds()) << second;
    EXPECT_THAT(app.Read(first), Reads("CONTENT")) << first;
    Sync();
    const App& stranger = As(kStranger);
    for (const std::string& path : {first, second}) {
      EXPECT_THAT(stranger.Open(path, O_RDONLY), FailsWith(EACCES)) << path;
      EXPECT_THAT(stranger.Unlink(path), FailsWith(EACCES)) << path;
    }
    EXPECT_THAT(app.List(place_), Lists(ElementsAre(made)));
    EXPECT_THAT(app.Unlink(second), Succeeds()) << second;
    EXPECT_THAT(app.Stat(first), FailsWith(ENOENT)) << first;
    EXPECT_THAT(app.Stat(second), FailsWith(ENOENT)) << second;
    EXPECT_THAT(app.List(place_), Lists(IsEmpty()));
    Sync();
  }

  std::string place_;
  static State* state_;
};

SpellingTest::State* SpellingTest::state_ = nullptr;

TEST_P(SpellingTest, Case) {
  ExpectAnswers("Photo.jpg", "pHOTO.JPG", Folds::kAll);
}
TEST_P(SpellingTest, CaseBeyondAscii) {
  ExpectAnswers("\xc3\x84\xd0\x96.txt", "\xc3\xa4\xd0\xb6.txt",
                Folds::kUnicode);
}
TEST_P(SpellingTest, TheSharpS) {
  ExpectAnswers(
      "Stra\xc3\x9f"
      "e.txt",
      "STRASSE.txt", Folds::kUnicode);
}
TEST_P(SpellingTest, TheTurkishI) {
  ExpectAnswers("file.txt", absl::StrCat("F", kTurkishI, "LE.TXT"),
                Folds::kHarness);
}
TEST_P(SpellingTest, Width) {
  ExpectAnswers("a.txt", absl::StrCat(kWideA, ".txt"), Folds::kHarness);
}
TEST_P(SpellingTest, OrderOfMarks) {
  // a, a dot below and a circumflex, in both orders.
  ExpectAnswers("a\xcc\xa3\xcc\x82.txt", "a\xcc\x82\xcc\xa3.txt",
                Folds::kUnicode);
}
TEST_P(SpellingTest, ComposedOrNot) {
  ExpectAnswers("\xc3\xa9.txt", "e\xcc\x81.txt", Folds::kUnicode);
}
TEST_P(SpellingTest, ShortNames) {
  ExpectAnswers("Recording of today.txt", "RECORD~1.TXT", Folds::kShort);
}

// Names that show nothing more are the same to the file system.
TEST_P(SpellingTest, CodePointsOfNoWidth) {
  ExpectAnswers("ab.txt", absl::StrCat("a", kNoWidth, "b.txt"),
                Folds::kUnicode);
}

TEST_P(SpellingTest, AnothersPrivateDirectory) {
  const std::string secret = absl::StrCat("/", kCamera, "/files/secret.txt");
  As(kCamera).Create("Android/data" + secret, "secret");
  Sync();
  for (const auto& [data, folds] : Spellings()) {
    if (!IsFolded(folds)) {
      // Nothing is there, and none may make it.
      EXPECT_THAT(As(kCamera), SeesNothingAt(data + secret)) << data;
      EXPECT_THAT(As(kStranger), SeesNothingAt(data + secret)) << data;
      continue;
    }
    EXPECT_THAT(As(kCamera).Read(data + secret), Reads("secret")) << data;
    for (const char* package : {kStranger, kManager, kSystemGallery}) {
      EXPECT_THAT(As(package), SeesNothingAt(data + "/" + kCamera)) << data;
      EXPECT_THAT(As(package), SeesNothingAt(data + secret)) << data;
      EXPECT_THAT(As(package), SeesNothingAt(data + "/com.absent")) << data;
    }
    EXPECT_THAT(As(kStranger).List(data), FailsWith(EACCES)) << data;
    EXPECT_THAT(As(kCamera).Read(data + secret), Reads("secret")) << data;
  }
}

TEST_P(SpellingTest, ThePackagesName) {
  const std::string upper = "Android/data/COM.EXAMPLE.CAMERA";
  EXPECT_THAT(As(kCamera).Stat(upper), Succeeds());
  EXPECT_THAT(As(kStranger), SeesNothingAt(upper));
  EXPECT_THAT(As(kStranger), SeesNothingAt(upper + "/files"));
  EXPECT_THAT(As(kStranger),
              SeesNothingAt(absl::StrCat("Android/data/com.example", kNoWidth,
                                         ".camera/files")));
  EXPECT_THAT(As(kStranger), SeesNothingAt("Android/data/COMEXA~1"));
  EXPECT_THAT(As(kStranger), SeesNothingAt("Android/data/COMEXA~1.CAM/files"));
}

// A collection takes its types under any spelling.
TEST_P(SpellingTest, Collections) {
  const App& app = As(kStranger);
  const std::string name = absl::StrCat("/", Name(view()), ".txt");
  for (const char* music : {"music", "MUSIC", "mUSIC"}) {
    EXPECT_THAT(app.Create(music + name), FailsWith(EPERM)) << music;
  }
  EXPECT_THAT(app.MakeDirectory("dcim"), FailsWith(EEXIST));
  if (IsFolded(Folds::kShort)) {
    EXPECT_THAT(app.Create("RECORD~1" + name), FailsWith(EPERM));
    EXPECT_THAT(app.Create("NOTIFI~1" + name), FailsWith(EPERM));
  }
  EXPECT_THAT(app.Create("documents" + name, "x"), Succeeds());
  EXPECT_THAT(app.Read("Documents" + name), Reads("x"));
  EXPECT_THAT(
      app.Unlink((IsFolded(Folds::kShort) ? "DOCUME~1" : "dOCUMENTS") + name),
      Succeeds());
}

// What looks like a directory of the rules and is none to the lower tree: found
// there, it is any other directory, and nobody makes one.
TEST_P(SpellingTest, LookAlikes) {
  const App& app = As(kStranger);
  const std::string android = absl::StrCat("Andro", kNoWidth, "id");
  const std::string wide = absl::StrCat(kWideA, "ndroid");
  const std::string turkish = absl::StrCat("AndRO", kTurkishI, "D");
  for (const auto& [name, folds] :
       std::vector<Spelling>{{android, Folds::kUnicode},
                             {wide, Folds::kHarness},
                             {turkish, Folds::kHarness}}) {
    if (IsFolded(folds)) {
      EXPECT_THAT(app.MakeDirectory(name), FailsWith(EEXIST)) << name;
      continue;
    }
    EXPECT_THAT(app.MakeDirectory(name), FailsWith(EPERM)) << name;
    const std::string file = absl::StrCat(name, "/data/", kCamera, "/found");
    ASSERT_TRUE(MakeDirectories(
        state_->device->LowerPath(absl::StrCat(name, "/data/", kCamera))));
    ASSERT_TRUE(WriteFile(state_->device->LowerPath(file), "found"));
    Sync();
    // Whatever it is taken for, it is nobody's.
    EXPECT_THAT(app.Open(file, O_RDONLY), testing::Not(Succeeds())) << file;
    EXPECT_THAT(app.Unlink(file), testing::Not(Succeeds())) << file;
    EXPECT_THAT(app.Create(absl::StrCat(name, "/data/", kCamera, "/made")),
                testing::Not(Succeeds()))
        << file;
    std::error_code error;
    std::filesystem::remove_all(state_->device->LowerPath(name), error);
    EXPECT_FALSE(error) << error.message();
    Sync();
  }
}

TEST_P(SpellingTest, RenamesOntoAnotherSpelling) {
  const App& app = As(kCamera);
  ASSERT_THAT(app.Create(place_ + "/a.txt", "a"), Succeeds());
  ASSERT_THAT(app.Create(place_ + "/b.txt", "b"), Succeeds());
  ASSERT_THAT(As(kStranger).Create(place_ + "/s.txt", "s"), Succeeds());
  Sync();
  EXPECT_THAT(app.Rename(place_ + "/a.txt", place_ + "/S.TXT"),
              FailsWith(EACCES));
  EXPECT_THAT(
      app.Rename(place_ + "/a.txt", place_ + "/B.TXT", RENAME_NOREPLACE),
      FailsWith(EEXIST));
  EXPECT_THAT(app.Rename(place_ + "/a.txt", place_ + "/B.TXT"), Succeeds());
  EXPECT_THAT(app.Read(place_ + "/b.txt"), Reads("a"));
  EXPECT_THAT(app.Stat(place_ + "/a.txt"), FailsWith(ENOENT));
}

// The kernel finds one file under both, and leaves it at that.
TEST_P(SpellingTest, RenamesOfTheSpellingAlone) {
  const App& app = As(kCamera);
  ASSERT_THAT(app.Create(place_ + "/a.txt", "a"), Succeeds());
  EXPECT_THAT(app.Rename(place_ + "/a.txt", place_ + "/A.txt"), Succeeds());
  EXPECT_THAT(app.List(place_), Lists(testing::SizeIs(1)));
  EXPECT_THAT(app.Read(place_ + "/a.txt"), Reads("a"));
  EXPECT_THAT(app.Read(place_ + "/A.txt"), Reads("a"));
}

// Across views: who knows a file by another spelling is told too.
TEST_P(SpellingTest, OneViewRemovesWhatAnotherKnows) {
  const App& here = As(kCamera);
  const App& there =
      In(view() == View::kApp ? View::kShared : View::kApp, kCamera);
  ASSERT_THAT(here.Create(place_ + "/a.txt", "a"), Succeeds());
  Sync();
  EXPECT_THAT(there.Read(place_ + "/A.TXT"), Reads("a"));
  EXPECT_THAT(there.Read(place_ + "/a.txt"), Reads("a"));
  ASSERT_THAT(here.Unlink(place_ + "/a.txt"), Succeeds());
  Sync();
  EXPECT_THAT(there.Stat(place_ + "/A.TXT"), FailsWith(ENOENT));
  EXPECT_THAT(there.Stat(place_ + "/a.txt"), FailsWith(ENOENT));
  ASSERT_THAT(here.Create(place_ + "/A.txt", "new"), Succeeds());
  Sync();
  EXPECT_THAT(there.Read(place_ + "/a.txt"), Reads("new"));
}

TEST_P(SpellingTest, DirectoriesAreOne) {
  const App& app = As(kCamera);
  ASSERT_THAT(app.MakeDirectory(place_ + "/Dir"), Succeeds());
  ASSERT_THAT(app.Create(place_ + "/DIR/a.txt", "a"), Succeeds());
  EXPECT_THAT(app.Read(place_ + "/dir/A.txt"), Reads("a"));
  EXPECT_THAT(app.RemoveDirectory(place_ + "/dIR"), FailsWith(ENOTEMPTY));
  EXPECT_THAT(app.Rename(place_ + "/DIR", place_ + "/Other"), Succeeds());
  EXPECT_THAT(app.Stat(place_ + "/dir"), FailsWith(ENOENT));
  EXPECT_THAT(app.Stat(place_ + "/Dir/a.txt"), FailsWith(ENOENT));
  EXPECT_THAT(app.Read(place_ + "/OTHER/a.txt"), Reads("a"));
}

INSTANTIATE_BOTH_VIEWS(SpellingTest);

}  // namespace
}  // namespace fused::androidtest
