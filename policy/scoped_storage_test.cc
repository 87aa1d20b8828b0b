// The built-in policy against the table that it is made from: for each kind of
// caller and place one cell, as the operations that are allowed and the errors
// of the others.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"

namespace fused::policy {
namespace {

constexpr std::string_view kApps = R"(
apps { package: "nobody" uid: 10001 target_sdk: 34 }
apps { package: "owner" uid: 10002 target_sdk: 34 }
apps { package: "images" uid: 10003 target_sdk: 34
       permissions: "READ_MEDIA_IMAGES" }
apps { package: "video" uid: 10004 target_sdk: 34
       permissions: "READ_MEDIA_VIDEO" }
apps { package: "audio" uid: 10005 target_sdk: 34
       permissions: "READ_MEDIA_AUDIO" }
apps { package: "old" uid: 10006 target_sdk: 32
       permissions: "READ_EXTERNAL_STORAGE"
       permissions: "WRITE_EXTERNAL_STORAGE" }
apps { package: "older" uid: 10007 target_sdk: 29
       permissions: "READ_EXTERNAL_STORAGE"
       permissions: "WRITE_EXTERNAL_STORAGE" }
apps { package: "new_with_old" uid: 10008 target_sdk: 33
       permissions: "READ_EXTERNAL_STORAGE"
       permissions: "WRITE_EXTERNAL_STORAGE" }
apps { package: "manager" uid: 10009 target_sdk: 34 roles: MANAGER }
apps { package: "gallery" uid: 10010 target_sdk: 34 roles: SYSTEM_GALLERY }
apps { package: "installer" uid: 10011 target_sdk: 34 roles: INSTALLER }
apps { package: "mtp" uid: 10012 target_sdk: 34 roles: MTP }
apps { package: "downloads" uid: 10013 target_sdk: 34 roles: DOWNLOADS }
)";

class ScopedStorageTest : public testing::Test {
 protected:
  ScopedStorageTest() {
    Issues issues;
    const auto apps = ParseApps(kApps, "apps", issues);
    snapshot_ =
        Snapshot::Build(1, CompiledPolicy::BuiltIn(), apps.value(), issues);
  }

  Subject Who(std::string_view who) const {
    if (who == "root") return snapshot_->SubjectOf(0);
    if (who == "shell") return snapshot_->SubjectOf(2000);
    if (who == "unlisted") return snapshot_->SubjectOf(10099);
    return snapshot_->SubjectOfPackage(who, 0).value();
  }

  // What `who` may do to a file that "owner" made, or with a slash at the end
  // to a directory: a letter for each operation that is allowed, then the
  // others by error. S is LOOKUP, L LIST, R W C D as in the table, M is MKDIR,
  // X RMDIR, N RENAME_FROM, T RENAME_TO.
  std::string Cell(std::string_view who, std::string_view path) const {
    bool directory = path == "/";
    Location location = snapshot_->Root(0);
    std::string_view name;
    if (!directory) {
      for (const std::string_view part : absl::StrSplit(path, '/')) {
        if (part.empty()) {
          directory = true;
          break;
        }
        location = snapshot_->Child(location, part);
        name = part;
      }
    }
    const AppIndex owner =
        directory ? kNoApp : snapshot_->SubjectOfPackage("owner", 0)->app;
    const Object object = snapshot_->ObjectAt(location, name, directory, owner);
    struct Letter {
      char letter;
      Operation operation;
    };
    constexpr Letter kFile[] = {
        {'S', Operation::kLookup},   {'R', Operation::kRead},
        {'W', Operation::kWrite},    {'C', Operation::kCreate},
        {'D', Operation::kUnlink},   {'N', Operation::kRenameFrom},
        {'T', Operation::kRenameTo},
    };
    constexpr Letter kDirectory[] = {
        {'S', Operation::kLookup},     {'L', Operation::kList},
        {'M', Operation::kMkdir},      {'X', Operation::kRmdir},
        {'N', Operation::kRenameFrom}, {'T', Operation::kRenameTo},
    };
    std::map<Error, std::string> letters;
    const auto ask = [&](const Letter& letter) {
      letters[snapshot_->Decide(Who(who), object, letter.operation).error] +=
          letter.letter;
    };
    if (directory) {
      for (const Letter& letter : kDirectory) ask(letter);
    } else {
      for (const Letter& letter : kFile) ask(letter);
    }
    std::string cell = letters[Error::kNone];
    const auto add = [&](std::string_view word, Error error) {
      if (!letters[error].empty()) {
        absl::StrAppend(&cell, " ", word, ":", letters[error]);
      }
    };
    add("ENOENT", Error::kNoEntry);
    add("EACCES", Error::kAccess);
    add("EPERM", Error::kNotPermitted);
    return cell;
  }

  std::shared_ptr<const Snapshot> snapshot_;
};

constexpr std::string_view kAllOfFile = "SRWCDNT";
constexpr std::string_view kAllOfDirectory = "SLMXNT";

TEST_F(ScopedStorageTest, SystemDoesEverything) {
  for (const char* who : {"root", "shell", "mtp", "downloads"}) {
    for (const char* path :
         {"Android/data/owner/x", "Android/obb/owner/x", "Android/media/x",
          "Android/x", "DCIM/x", "Music/.trashed-1-x.mp3", "x", "y/x"}) {
      EXPECT_EQ(Cell(who, path), kAllOfFile) << who << " " << path;
    }
    for (const char* path : {"/", "Android/", "Android/data/", "Android/obb/",
                             "Android/data/owner/", "DCIM/", "x/"}) {
      EXPECT_EQ(Cell(who, path), kAllOfDirectory) << who << " " << path;
    }
  }
}

TEST_F(ScopedStorageTest, PrivateIsNotThereForOthers) {
  for (const char* who : {"nobody", "images", "old", "older", "manager",
                          "gallery", "installer", "unlisted"}) {
    EXPECT_EQ(Cell(who, "Android/data/owner/x.jpg"), " ENOENT:SRWCDNT") << who;
    EXPECT_EQ(Cell(who, "Android/data/owner/"), " ENOENT:SLMXNT") << who;
    EXPECT_EQ(Cell(who, "Android/data/absent"), " ENOENT:SRWCDNT") << who;
    if (std::string_view(who) == "installer") continue;
    EXPECT_EQ(Cell(who, "Android/obb/owner/x"), " ENOENT:SRWCDNT") << who;
  }
  EXPECT_EQ(Cell("owner", "android/DATA/Owner/.trashed-1-x"), kAllOfFile);
  EXPECT_EQ(Cell("owner", "Android/obb/owner/"), kAllOfDirectory);
  EXPECT_EQ(Cell("installer", "Android/obb/owner/x"), kAllOfFile);
}

TEST_F(ScopedStorageTest, SystemDirectories) {
  EXPECT_EQ(Cell("nobody", "Android/"), "SL EACCES:XN EPERM:MT");
  EXPECT_EQ(Cell("nobody", "Android/media/"), "SL EACCES:XN EPERM:MT");
  EXPECT_EQ(Cell("nobody", "Android/data/"), "S EACCES:LXN EPERM:MT");
  EXPECT_EQ(Cell("nobody", "Android/obb/"), "S EACCES:LXN EPERM:MT");
  EXPECT_EQ(Cell("installer", "Android/obb/"), "SL EACCES:XN EPERM:MT");
  EXPECT_EQ(Cell("installer", "Android/data/"), "S EACCES:LXN EPERM:MT");
  EXPECT_EQ(Cell("manager", "Android/data/"), "SLM EACCES:XN EPERM:T");
  EXPECT_EQ(Cell("manager", "Android/"), "SLM EPERM:XNT");
  EXPECT_EQ(Cell("unlisted", "Android/"), "SL EACCES:MXNT");
  EXPECT_EQ(Cell("unlisted", "Android/data/"), "S EACCES:LMXNT");
  // A file in Android or Android/media.
  EXPECT_EQ(Cell("nobody", "Android/x.jpg"), "S EACCES:RWDN EPERM:CT");
  EXPECT_EQ(Cell("manager", "Android/x"), "SRWDN EPERM:CT");
  EXPECT_EQ(Cell("nobody", "Android/media/x.jpg"), "S EACCES:RWDN EPERM:CT");
}

TEST_F(ScopedStorageTest, MediaOfPackages) {
  constexpr std::string_view kFile = "Android/media/owner/d/x.jpg";
  EXPECT_EQ(Cell("nobody", kFile), "S EACCES:RWCDNT");
  EXPECT_EQ(Cell("owner", kFile), kAllOfFile);
  EXPECT_EQ(Cell("owner", "Android/media/owner/any.thing"), kAllOfFile);
  EXPECT_EQ(Cell("images", kFile), "SR EACCES:WCDNT");
  EXPECT_EQ(Cell("video", kFile), "S EACCES:RWCDNT");
  EXPECT_EQ(Cell("manager", kFile), kAllOfFile);
  EXPECT_EQ(Cell("gallery", kFile), kAllOfFile);
  EXPECT_EQ(Cell("gallery", "Android/media/owner/x.mp3"), "S EACCES:RWCDNT");
  EXPECT_EQ(Cell("installer", kFile), "S EACCES:RWCDNT");
  EXPECT_EQ(Cell("owner", "Android/media/owner/"), kAllOfDirectory);
  EXPECT_EQ(Cell("nobody", "Android/media/owner/"), "SL EACCES:MXNT");
  EXPECT_EQ(Cell("manager", "Android/media/owner/"), kAllOfDirectory);
}

TEST_F(ScopedStorageTest, Pictures) {
  for (const char* path : {"DCIM/x.jpg", "Pictures/a/b/x.HEIC"}) {
    EXPECT_EQ(Cell("nobody", path), "SCT EACCES:RWDN") << path;
    EXPECT_EQ(Cell("owner", path), kAllOfFile) << path;
    EXPECT_EQ(Cell("images", path), "SRCT EACCES:WDN") << path;
    EXPECT_EQ(Cell("video", path), "SCT EACCES:RWDN") << path;
    EXPECT_EQ(Cell("old", path), "SRCT EACCES:WDN") << path;
    EXPECT_EQ(Cell("older", path), "SRWCT EACCES:DN") << path;
    EXPECT_EQ(Cell("new_with_old", path), "SCT EACCES:RWDN") << path;
    EXPECT_EQ(Cell("manager", path), kAllOfFile) << path;
    EXPECT_EQ(Cell("gallery", path), kAllOfFile) << path;
    EXPECT_EQ(Cell("installer", path), "SCT EACCES:RWDN") << path;
    EXPECT_EQ(Cell("unlisted", path), "S EACCES:RWCDNT") << path;
  }
  EXPECT_EQ(Cell("nobody", "DCIM/x.mp3"), "S EACCES:RWDN EPERM:CT");
  EXPECT_EQ(Cell("owner", "DCIM/x.mp3"), "SRWDN EPERM:CT");
  EXPECT_EQ(Cell("manager", "DCIM/x.mp3"), kAllOfFile);
  EXPECT_EQ(Cell("gallery", "DCIM/x.mp3"), "S EACCES:RWDN EPERM:CT");
  EXPECT_EQ(Cell("audio", "DCIM/x.mp3"), "SR EACCES:WDN EPERM:CT");
}

TEST_F(ScopedStorageTest, CollectionsTakeTheirTypes) {
  const std::string kTaken = "SCT EACCES:RWDN";
  const std::string kRefused = "S EACCES:RWDN EPERM:CT";
  for (const char* path :
       {"Movies/x.mkv", "Movies/x.m3u", "Movies/x.srt", "Music/x.mp3",
        "Music/x.pls", "Music/x.vtt", "Alarms/x.ogg", "Audiobooks/x.m4b",
        "Notifications/x.wav", "Podcasts/x.mp3", "Recordings/x.amr",
        "Ringtones/x.flac", "Download/x", "Documents/x.exe",
        "Music/.pending-1-x.mp3", "Pictures/a/.nomedia"}) {
    EXPECT_EQ(Cell("nobody", path), kTaken) << path;
  }
  for (const char* path : {"Movies/x.jpg", "Movies/x.mp3", "Music/x.mp4",
                           "Alarms/x.m3u", "Ringtones/x", "Podcasts/x.srt",
                           "Pictures/x.pdf", "Music/.pending-1-x.jpg"}) {
    EXPECT_EQ(Cell("nobody", path), kRefused) << path;
  }
  EXPECT_EQ(Cell("gallery", "Music/x.jpg"), kAllOfFile);
}

TEST_F(ScopedStorageTest, MediaPermissionsReadTheirTypes) {
  EXPECT_EQ(Cell("images", "Download/x.png"), "SRCT EACCES:WDN");
  EXPECT_EQ(Cell("images", "Download/x.pdf"), "SCT EACCES:RWDN");
  EXPECT_EQ(Cell("video", "Movies/x.srt"), "SRCT EACCES:WDN");
  EXPECT_EQ(Cell("audio", "Movies/x.srt"), "SRCT EACCES:WDN");
  EXPECT_EQ(Cell("audio", "Music/x.m3u8"), "SRCT EACCES:WDN");
  EXPECT_EQ(Cell("video", "Music/x.m3u8"), "SCT EACCES:RWDN");
  EXPECT_EQ(Cell("old", "Download/x.m3u8"), "SRCT EACCES:WDN");
  EXPECT_EQ(Cell("older", "Download/x.pdf"), "SCT EACCES:RWDN");
}

TEST_F(ScopedStorageTest, PendingAndTrashedAreTheirMakers) {
  for (const char* path :
       {"DCIM/.pending-17-x.jpg", "DCIM/.TRASHED-17-x.jpg"}) {
    EXPECT_EQ(Cell("owner", path), kAllOfFile) << path;
    EXPECT_EQ(Cell("manager", path), kAllOfFile) << path;
    EXPECT_EQ(Cell("gallery", path), kAllOfFile) << path;
    EXPECT_EQ(Cell("images", path), "SCT EACCES:RWDN") << path;
    EXPECT_EQ(Cell("older", path), "SCT EACCES:RWDN") << path;
  }
  EXPECT_EQ(Cell("gallery", "Music/.trashed-17-x.mp3"), "SCT EACCES:RWDN");
}

TEST_F(ScopedStorageTest, MediaPermissionsDoNotReadWhatIsHidden) {
  for (const char* path : {"DCIM/.x.jpg", "DCIM/.thumbnails/x.jpg"}) {
    EXPECT_EQ(Cell("images", path), "SCT EACCES:RWDN") << path;
    EXPECT_EQ(Cell("older", path), "SCT EACCES:RWDN") << path;
    EXPECT_EQ(Cell("owner", path), kAllOfFile) << path;
    EXPECT_EQ(Cell("gallery", path), kAllOfFile) << path;
  }
}

TEST_F(ScopedStorageTest, NobodyHidesACollection) {
  for (const char* who : {"nobody", "owner", "manager", "root"}) {
    for (const char* path : {".nomedia", "DCIM/.nomedia", "Music/.NOMEDIA",
                             "DCIM/Camera/.nomedia"}) {
      EXPECT_TRUE(Cell(who, path).ends_with(" EPERM:CT")) << who << " " << path;
    }
  }
  EXPECT_TRUE(Cell("manager", "DCIM/x/.nomedia").ends_with("CDNT"));
}

TEST_F(ScopedStorageTest, DirectoriesBelowCollectionsAreNobodys) {
  for (const char* path : {"DCIM/Camera/", "Music/a/b/", "Download/.x/"}) {
    EXPECT_EQ(Cell("nobody", path), kAllOfDirectory) << path;
    EXPECT_EQ(Cell("unlisted", path), "SL EACCES:MXNT") << path;
  }
  // As a new one, from a directory that may be moved.
  EXPECT_EQ(Cell("nobody", "DCIM/"), "SLMT EACCES:XN");
  EXPECT_EQ(Cell("manager", "DCIM/"), kAllOfDirectory);
}

TEST_F(ScopedStorageTest, RootAndOtherNames) {
  EXPECT_TRUE(Cell("nobody", "/").starts_with("SL"));
  EXPECT_EQ(Cell("nobody", "x.jpg"), "S EACCES:RWDN EPERM:CT");
  EXPECT_EQ(Cell("nobody", "DCIM"), "S EACCES:RWDN EPERM:CT");
  EXPECT_EQ(Cell("gallery", "x.jpg"), "SRWDN EPERM:CT");
  EXPECT_EQ(Cell("gallery", "mine/x.jpg"), kAllOfFile);
  EXPECT_EQ(Cell("nobody", "mine/"), "SL EACCES:XN EPERM:MT");
  EXPECT_EQ(Cell("gallery", "mine/"), "SL EACCES:XN EPERM:MT");
  EXPECT_EQ(Cell("nobody", "mine/x.jpg"), "S EACCES:RWDN EPERM:CT");
  EXPECT_EQ(Cell("owner", "mine/x.jpg"), "SRWDN EPERM:CT");
  EXPECT_EQ(Cell("images", "mine/x.jpg"), "SR EACCES:WDN EPERM:CT");
  EXPECT_EQ(Cell("manager", "x.jpg"), kAllOfFile);
  EXPECT_EQ(Cell("manager", "mine/"), kAllOfDirectory);
}

TEST_F(ScopedStorageTest, NobodyMakesLinksAndDevices) {
  const Object object = snapshot_->ObjectAt(
      snapshot_->Child(snapshot_->Root(0), "x"), "x", false, kNoApp);
  for (const Operation operation :
       {Operation::kLink, Operation::kSymlink, Operation::kMknod}) {
    for (const char* who : {"nobody", "manager", "root"}) {
      EXPECT_EQ(snapshot_->Decide(Who(who), object, operation).error,
                Error::kNotPermitted);
    }
  }
}

TEST_F(ScopedStorageTest, SharedMountMayCacheAllButPrivateNames) {
  const auto at = [&](std::string_view path) {
    Location location = snapshot_->Root(0);
    for (const std::string_view part : absl::StrSplit(path, '/')) {
      location = snapshot_->Child(location, part);
    }
    return location;
  };
  for (const char* path : {"DCIM", "DCIM/x.jpg", "Android", "Android/data",
                           "Android/media/owner", "x/y"}) {
    EXPECT_TRUE(snapshot_->UniformLookup(at(path))) << path;
  }
  // Where a photo may be, one reader sees its location and another does not.
  EXPECT_FALSE(snapshot_->UniformIo(at("DCIM/x.jpg")));
  EXPECT_TRUE(snapshot_->UniformIo(at("Android/data/owner/x")));
  EXPECT_FALSE(snapshot_->UniformLookup(at("Android/data/owner")));
  EXPECT_FALSE(snapshot_->UniformLookup(at("Android/obb/x")));
}

}  // namespace
}  // namespace fused::policy
