// Real programs, as an app runs them: they work, and what they leave is right.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "androidtest/harness/bulk.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/photo.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "androidtest/scoped/scene.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;
using testing::Not;

// SCRIPT: what a shell makes of it; returns its status, with what it printed.
APP_PROGRAM(Shell) {
  const Completed done =
      RunCommand({"/bin/sh", "-c", arguments[0]}, absl::Seconds(60));
  return Done(done.exit, absl::StrCat(done.output, done.error));
}

// A script that ended well.
MATCHER(Works, "works") {
  *result_listener << "status " << arg.value << ", printed:\n" << arg.data;
  return arg.ok() && arg.value == 0;
}

MATCHER_P(Prints, text, "works and prints " + testing::PrintToString(text)) {
  *result_listener << "status " << arg.value << ", printed:\n" << arg.data;
  return arg.ok() && arg.value == 0 &&
         absl::StripTrailingAsciiWhitespace(arg.data) == text;
}

class ClientsTest : public ScopedTest {
 protected:
  void SetUp() override {
    ScopedTest::SetUp();
    if (IsSkipped()) return;
    place_ = Place("Documents");
    // Beside the volume, for the app.
    outside_ = absl::StrCat(device().directory(), "/", Own());
    ASSERT_TRUE(MakeDirectories(outside_));
  }

  // In `place_`, with OUTSIDE set.
  Outcome Run(std::string_view script, const char* package = kCamera) {
    return As(package).Run(
        "Shell", {absl::StrCat("set -e; umask 022; OUTSIDE=", outside_,
                               "; export HOME=", outside_, "; cd ",
                               As(package).At(place_), "; ", script)});
  }

  // A tree of files of all sizes, with times of their own.
  void PlantTree() {
    for (const char* name : {"a.txt", "b/c.txt", "b/d/e.bin", "b/d/empty"}) {
      const std::string path = absl::StrCat(outside_, "/tree/", name);
      std::string content(absl::StrContains(name, "bin") ? 3'000'000 : 100, 0);
      FillPattern(content.data(), content.size(), 0, 1);
      if (absl::StrContains(name, "empty")) content.clear();
      ASSERT_TRUE(WriteFile(path, content, 0644));
      const timespec times[2] = {{.tv_sec = 1'000'000'000, .tv_nsec = 0},
                                 {.tv_sec = 1'000'000'000, .tv_nsec = 0}};
      ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
    }
  }

  std::string place_;
  std::string outside_;
};

TEST_P(ClientsTest, CpKeepsContentAndTimes) {
  PlantTree();
  // The shared view's files are root's: the kernel, which asks nobody, lets no
  // other set their access lists, as cp does to keep modes.
  const std::string cp =
      view() == View::kShared ? "cp -r --preserve=timestamps " : "cp -a ";
  EXPECT_THAT(Run(cp + "$OUTSIDE/tree copy && diff -r $OUTSIDE/tree copy"),
              Works());
  // Within the volume, and out again.
  EXPECT_THAT(Run(cp + "copy again && diff -r copy again"), Works());
  EXPECT_THAT(Run("stat -c %Y copy/a.txt copy/b/d/e.bin again/b/c.txt | uniq"),
              Prints("1000000000"));
  EXPECT_THAT(Run("cp -a again $OUTSIDE/back && diff -r copy $OUTSIDE/back"),
              Works());
  EXPECT_THAT(Run("rm -r copy again && ls"), Prints(""));
}

TEST_P(ClientsTest, TarPacksAndUnpacks) {
  PlantTree();
  EXPECT_THAT(Run("tar -C $OUTSIDE -cf - tree | tar -xf - && "
                  "diff -r $OUTSIDE/tree tree"),
              Works());
  EXPECT_THAT(Run("tar -cf tree.tar tree && mkdir out && "
                  "tar -C out -xf tree.tar && diff -r tree out/tree"),
              Works());
  EXPECT_THAT(Run("stat -c %Y out/tree/a.txt"), Prints("1000000000"));
}

TEST_P(ClientsTest, GitClonesAndCommits) {
  std::string config = "[user]\nname = a\nemail = a@b.c\n";
  // In the shared view files are root's, which git asks to be told of.
  if (view() == View::kShared) config += "[safe]\ndirectory = *\n";
  ASSERT_TRUE(WriteFile(outside_ + "/.gitconfig", config, 0644));
  ASSERT_THAT(Run("cd $OUTSIDE; git init -q -b main repo; cd repo; "
                  "for i in 1 2 3; do echo $i > f$i; git add .; "
                  "git commit -q -m $i; done; chmod +x f1"),
              Works());
  EXPECT_THAT(Run("git clone -q $OUTSIDE/repo clone"), Works());
  EXPECT_THAT(Run("cd clone; git log --oneline | wc -l"), Prints("3"));
  EXPECT_THAT(Run("cat clone/f1 clone/f2 clone/f3 | tr -d '\\n'"),
              Prints("123"));
  EXPECT_THAT(Run("cd clone; git status --short"), Prints(""));
  EXPECT_THAT(Run("cd clone; echo 4 > f4; git add f4; git commit -q -m 4; "
                  "git mv f4 f5; git commit -q -m 5; git fsck --strict; "
                  "git gc -q"),
              Works());
  // From the volume to the volume, where there are no links.
  EXPECT_THAT(Run("git clone -q clone second; cat second/f5"), Prints("4"));
  EXPECT_THAT(Run("cd second; git pull -q; git status --short"), Prints(""));
  EXPECT_THAT(As(kStranger).Open(place_ + "/clone/f1", O_RDONLY),
              FailsWith(EACCES));
}

TEST_P(ClientsTest, SqliteWithAWriteAheadLog) {
  EXPECT_THAT(Run("sqlite3 app.db 'PRAGMA journal_mode=WAL; "
                  "CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); "
                  "INSERT INTO t(s) VALUES (\"one\"), (\"two\");'"),
              Prints("wal"));
  EXPECT_THAT(Run("sqlite3 app.db 'SELECT count(*) FROM t'"), Prints("2"));
  // Two processes that write at once, one of the other package of the uid.
  const std::string insert =
      "for i in $(seq 1 50); do sqlite3 -cmd '.timeout 10000' app.db "
      "\"INSERT INTO t(s) VALUES ('$i')\"; done";
  EXPECT_THAT(Run(absl::StrCat("(", insert, ") & ", insert, "; wait $!")),
              Works());
  EXPECT_THAT(Run("sqlite3 app.db 'SELECT count(*) FROM t'", kCameraEditor),
              Prints("102"));
  EXPECT_THAT(Run("sqlite3 app.db 'PRAGMA integrity_check'"), Prints("ok"));
  EXPECT_THAT(Run("sqlite3 app.db 'SELECT count(*) FROM t'", kStranger),
              Not(Works()));
}

// In two views of the same files at once: a writer holds the log open.
TEST_P(ClientsTest, SqliteInTwoViewsAtOnce) {
  ASSERT_THAT(Run("sqlite3 app.db 'PRAGMA journal_mode=WAL; "
                  "CREATE TABLE t(s); INSERT INTO t VALUES (1);'"),
              Works());
  ASSERT_TRUE(device().Sync());
  const std::string insert = absl::StrCat(
      "cd ", As(kCamera).At(place_),
      "; for i in $(seq 1 60); do sqlite3 -cmd '.timeout 20000' app.db "
      "'INSERT INTO t VALUES (2)' || exit 1; done");
  const App& there = In(other_view(), kCameraEditor);
  As(kCamera).Begin("Shell", {insert});
  there.Begin("Shell", {insert});
  EXPECT_THAT(As(kCamera).Finish(), Works());
  EXPECT_THAT(there.Finish(), Works());
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(Run("sqlite3 app.db 'SELECT count(*) FROM t'"), Prints("121"));
  EXPECT_THAT(Run("sqlite3 app.db 'PRAGMA integrity_check'"), Prints("ok"));
}

TEST_P(ClientsTest, ExiftoolReadsWhatItMay) {
  const std::string path = Place("Pictures") + "/photo.jpg";
  Given(kCamera, path, Photo());
  const auto latitude = [&](const char* package) {
    return Run("exiftool -s3 -n -GPSLatitude " + As(package).At(path), package);
  };
  EXPECT_THAT(latitude(kCamera).data, HasSubstr("48.2"));
  EXPECT_THAT(latitude(kGallery).data, HasSubstr("48.2"));
  EXPECT_THAT(latitude(kBlind).data, Not(HasSubstr("48")));
  EXPECT_THAT(latitude(kStranger), Not(Works()));
}

TEST_P(ClientsTest, ExiftoolWrites) {
  EXPECT_THAT(Run("convert -size 64x64 gradient: a.jpg && "
                  "exiftool -q -overwrite_original -GPSLatitude=48 "
                  "-GPSLatitudeRef=N -Artist=somebody a.jpg"),
              Works());
  EXPECT_THAT(Run("exiftool -s3 -n -GPSLatitude a.jpg"), Prints("48"));
  EXPECT_THAT(Run("identify -format '%wx%h' a.jpg"), Prints("64x64"));
  ASSERT_TRUE(device().Sync());
  // Another reads the picture whole, but for where it was taken.
  EXPECT_THAT(Run("exiftool -s3 -n -GPSLatitude -Artist a.jpg", kBlind),
              Prints("somebody"));
  EXPECT_THAT(Run("identify -format '%wx%h' a.jpg", kBlind), Prints("64x64"));
}

TEST_P(ClientsTest, FfmpegWritesAndFfprobeReads) {
  EXPECT_THAT(Run("ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x64:r=10 "
                  "-metadata location=+48.2000+016.3667/ "
                  "-movflags +faststart a.mp4"),
              Works());
  const char* duration =
      "ffprobe -v error -show_entries format=duration -of csv=p=0 a.mp4";
  EXPECT_THAT(Run(duration), Prints("1.000000"));
  ASSERT_TRUE(device().Sync());
  EXPECT_THAT(Run(duration, kCinema), Prints("1.000000"));
  EXPECT_THAT(Run("ffprobe -v error -show_entries format_tags a.mp4").data,
              HasSubstr("48.2"));
  EXPECT_THAT(
      Run("ffprobe -v error -show_entries format_tags a.mp4", kSystemGallery)
          .data,
      Not(HasSubstr("48.2")));
  EXPECT_THAT(Run("ffprobe a.mp4", kBlind), Not(Works()));
}

TEST_P(ClientsTest, SmallTools) {
  EXPECT_THAT(Run("seq 1 1000 | sort -R > n; sort -n -o n n; "
                  "seq 1 1000 | cmp - n"),
              Works());
  EXPECT_THAT(Run("dd if=/dev/zero of=z bs=64k count=20 status=none; "
                  "truncate -s 1M z; stat -c %s z"),
              Prints("1048576"));
  EXPECT_THAT(Run("sed s/1000/last/ n > m; mv m n; tail -n1 n"),
              Prints("last"));
  EXPECT_THAT(Run("touch -d @1000000000 n; stat -c %Y n; mv n m; test ! -e n"),
              Prints("1000000000"));
  EXPECT_THAT(Run("mkdir -p a/b/c; touch a/b/c/f; find a | wc -l; rm -rf a"),
              Prints("4"));
  EXPECT_THAT(Run("flock m -c 'echo locked'"), Prints("locked"));
  EXPECT_THAT(Run("ln m link || ln -s m link || echo none; rm m z; ls"),
              Works());
  // Across collections, as far as types allow.
  EXPECT_THAT(Run(absl::StrCat("echo x > a.jpg; mv a.jpg ",
                               As(kCamera).At(Place("DCIM")),
                               "; echo x > b.txt; mv b.txt ",
                               As(kCamera).At(Place("DCIM")), " || cat b.txt")),
              Works());
}

INSTANTIATE_BOTH_VIEWS(ClientsTest);

}  // namespace
}  // namespace fused::androidtest
