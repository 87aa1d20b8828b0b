// The built-in policy against the table of Android's scoped storage, written
// down here from the design alone: rows by place, columns by caller. Cells on
// which the design says two things, or nothing, are not here.
#include <iostream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "policy/oracle/cells.h"

namespace fused::policy::oracle {
namespace {

void Expect(const Outcome& outcome, int at_least) {
  std::cout << outcome.cells << " cells\n";
  EXPECT_GE(outcome.cells, at_least);
  int shown = 0;
  for (const Cell& cell : outcome.different) {
    if (++shown > 60) break;
    ADD_FAILURE() << cell;
  }
  EXPECT_EQ(outcome.different.size(), 0u);
}

std::vector<Row> operator+(std::vector<Row> rows,
                           const std::vector<Row>& others) {
  rows.insert(rows.end(), others.begin(), others.end());
  return rows;
}

class ScopedStorageTest : public testing::Test {
 protected:
  // Where whoever may see may read what the permissions are for: files of
  // others, in `at`, of which nobody has more than the columns of the media
  // permissions.
  std::vector<Row> OthersFiles(const std::string& at) const {
    return {
        {plain_, at + any_type_, any_owner_, "ok SA, EACCES RWDN, EPERM KYX"},
        {"images", at + "x.{jpg,png}", any_owner_, "ok SAR, EACCES WDN"},
        {"images", at + "x.{mp4,mkv,mp3,flac,m3u,srt,pdf,bin}", any_owner_,
         "ok SA, EACCES RWDN"},
        {"video", at + "x.{mp4,mkv,srt}", any_owner_, "ok SAR, EACCES WDN"},
        {"video", at + "x.{jpg,png,mp3,flac,m3u,pdf,bin}", any_owner_,
         "ok SA, EACCES RWDN"},
        {"audio", at + "x.{mp3,flac,m3u,srt}", any_owner_,
         "ok SAR, EACCES WDN"},
        {"audio", at + "x.{jpg,png,mp4,mkv,pdf,bin}", any_owner_,
         "ok SA, EACCES RWDN"},
        {"old_reader", at + "x.{jpg,png,mp4,mkv,mp3,flac,m3u,srt}", any_owner_,
         "ok SAR, EACCES WDN"},
        {"old_reader", at + "x.{pdf,bin}", any_owner_, "ok SA, EACCES RWDN"},
        {"old_writer", at + "x.{jpg,mp4,mp3}", any_owner_, "ok SAW, EPERM KYX"},
        {"gallery", at + "x.{jpg,png,mp4,mkv}", any_owner_,
         "ok SARWDN, EPERM KYX"},
        {"gallery", at + "x.{mp3,flac,m3u,srt,pdf,bin}", any_owner_,
         "ok SA, EACCES RWDN"},
        {"manager" + almighty_, at + any_type_, any_owner_,
         "ok SARWDNCT, EPERM KYX"},
        {"unlisted", at + any_type_, any_owner_, "ok S, EACCES RWDNCTAKYX"},
    };
  }

  // New files where every caller without a role may make `takes`, and not
  // `refuses`.
  std::vector<Row> NewFiles(const std::string& at, const std::string& takes,
                            const std::string& refuses) const {
    std::vector<Row> rows = {{plain_ + readers_ + "old_writer gallery",
                              at + takes, "none", "ok CT"}};
    if (!refuses.empty()) {
      rows.push_back({plain_ + readers_, at + refuses, "none", "EPERM CT"});
    }
    return rows;
  }

  std::vector<Row> OwnFiles(const std::string& at) const {
    return {{apps_ + "mtp downloads", at + any_type_, "self",
             "ok SARWDN, EPERM KYX"}};
  }

  // Callers that are nobody special for files of others, whatever their type.
  const std::string plain_ = " nobody new_reader new_writer installer ";
  const std::string readers_ = " images video audio old_reader ";
  const std::string almighty_ = " mtp downloads shell root ";
  const std::string apps_ = plain_ + readers_ + " old_writer manager gallery ";
  const std::string everyone_ = apps_ + almighty_ + " unlisted ";

  const std::string any_owner_ = "other none";
  const std::string any_type_ = "x.{jpg,png,mp4,mkv,mp3,flac,m3u,srt,pdf,bin}";
  const std::string sound_ =
      "{Alarms,Audiobooks,Notifications,Podcasts,"
      "Recordings,Ringtones}";
  const std::string default_ =
      "{Alarms,Audiobooks,DCIM,Documents,Download,Movies,Music,Notifications,"
      "Pictures,Podcasts,Recordings,Ringtones}";
};

TEST_F(ScopedStorageTest, PrivateDirectories) {
  const std::string below =
      "/com.test.other/{,cache/,x.jpg,cache/x.mp4,.x,.pending-17-x.jpg,y} ";
  const std::string strange = "/{x.jpg,x,com.gone/,com.gone/x.jpg,.nomedia} ";
  const std::string none =
      "nobody new_reader new_writer old_writer manager gallery unlisted" +
      readers_;
  const std::string own = "{own}/{x.jpg,x.bin,cache/x.mp3,.x,.pending-17-x}";
  Expect(
      Table().Check({
          {none + "installer",
           "Android/data" + below + "Android/data" + strange, any_owner_,
           "ENOENT SLRWCDNTAKYX"},
          {none, "Android/obb" + below + "Android/obb" + strange, any_owner_,
           "ENOENT SLRWCDNTAKYX"},
          {"installer", "Android/obb/com.test.other/{x.obb,patch/x.jpg}",
           any_owner_, "ok SRWCDNTA, EPERM KYX"},
          {"installer", "Android/obb/com.test.other/{,patch/}", "none",
           "ok SLCDNA"},
          {almighty_, "Android/{data,obb}/com.test.other/{x.bin,cache/x.jpg}",
           any_owner_, "ok SRWCDNTA, EPERM KYX"},
          {almighty_, "Android/{data,obb}/com.test.other/{,cache/}", "none",
           "ok SLCDNA"},
          {apps_ + "mtp downloads", "Android/{data,obb}/" + own, "self",
           "ok SRWCDNTA, EPERM KYX"},
          {apps_ + "mtp downloads", "Android/{data,obb}/{own}/{x.jpg,x.bin}",
           any_owner_, "ok SRWCDNTA"},
          {apps_ + "mtp downloads", "Android/{data,obb}/{own}/{,cache/}",
           "none", "ok SLCDNA"},
      }),
      5000);
}

TEST_F(ScopedStorageTest, TheDirectoriesOfPackages) {
  const std::string most = "nobody new_reader new_writer gallery" + readers_;
  Expect(Table().Check({
             {most + "unlisted", "Android/{data,obb}/", "none",
              "ok S, EACCES LDN"},
             {"old_writer", "Android/{data,obb}/", "none", "ok S, EACCES L"},
             {"installer", "Android/data/", "none", "ok S, EACCES LDN"},
             {"installer", "Android/obb/", "none", "ok SL, EACCES DN"},
             {most + "installer unlisted", "Android/{,media/}", "none",
              "ok SL, EACCES DN"},
             {"manager", "Android/{data/,obb/,media/}", "none",
              "ok SL, EACCES DN"},
             {"manager", "Android/", "none", "ok SL, EPERM DN"},
             {almighty_, "Android/", "none", "ok SL"},
             {almighty_, "Android/{data/,obb/,media/}", "none", "ok SLDN"},
             {apps_ + almighty_, "Android/{,data/,obb/,media/}", "none",
              "ok A, EPERM KYX"},
             {apps_ + "mtp downloads", "Android/{data,obb,media}/{own}/",
              "none", "ok SLC"},
             {most + "installer", "Android/{,media/}x.{txt,mp3,bin}", "none",
              "ok S, EPERM CTKYX"},
             {plain_ + readers_, "Android/{,media/}x.{jpg,mp4}", "none",
              "ok S, EPERM CTKYX"},
         }),
         1000);
}

TEST_F(ScopedStorageTest, AndroidMedia) {
  const std::string there = "Android/media/com.test.other/{,sub/}";
  Expect(
      Table().Check(
          OthersFiles(there) +
          std::vector<Row>{
              {plain_ + readers_, there + any_type_, "none", "EACCES CT"},
              {"gallery", there + "x.{jpg,png,mp4}", "none", "ok CT"},
              {"gallery", there + "x.{mp3,srt,pdf,bin}", "none", "EACCES CT"},
              {everyone_, there, "none", "ok SL"},
              {apps_, "Android/media/{own}/{,sub/}" + any_type_,
               "self other none", "ok SRWCDNTA, EPERM KYX"},
              {apps_, "Android/media/{own}/{,sub/}", "none", "ok SLCDNA"},
          }),
      10000);
}

TEST_F(ScopedStorageTest, DcimAndPictures) {
  const std::string there = "{DCIM,Pictures}/{,sub/,Camera/}";
  Expect(Table().Check(OthersFiles(there) + OwnFiles(there) +
                       NewFiles(there, "x.{jpg,png,webp,mp4,mkv,3gp}",
                                "x{.mp3,.flac,.m3u,.srt,.pdf,.bin,.apk,}")),
         10000);
}

TEST_F(ScopedStorageTest, MoviesAndMusic) {
  const std::string movies = "Movies/{,sub/}";
  const std::string music = "Music/{,sub/a/}";
  Expect(Table().Check(
             OthersFiles(movies) + OthersFiles(music) + OwnFiles(movies) +
             OwnFiles(music) +
             NewFiles(movies, "x.{mp4,mkv,m3u,srt}", "x.{jpg,mp3,pdf,bin}") +
             NewFiles(music, "x.{mp3,flac,m3u,srt}", "x.{jpg,mp4,pdf,bin}")),
         10000);
}

TEST_F(ScopedStorageTest, SoundsByKind) {
  const std::string there = sound_ + "/{,sub/}";
  Expect(Table().Check(
             OthersFiles(there) + OwnFiles(there) +
             NewFiles(there, "x.{mp3,flac,ogg}", "x.{jpg,mp4,m3u,srt,pdf}")),
         20000);
}

TEST_F(ScopedStorageTest, DownloadAndDocuments) {
  const std::string there = "{Download,Documents}/{,sub/}";
  Expect(Table().Check(OthersFiles(there) + OwnFiles(there) +
                       NewFiles(there, any_type_, "")),
         10000);
}

TEST_F(ScopedStorageTest, DirectoriesOfCollections) {
  Expect(Table().Check({
             {everyone_, default_ + "/{,sub/,sub/sub/}", "none", "ok SL"},
             {apps_ + almighty_, default_ + "/", "none", "ok CA, EPERM KYX"},
             {apps_ + almighty_, default_ + "/{sub/,sub/sub/}", "none",
              "ok CDNA, EPERM KYX"},
             {"unlisted", default_ + "/{,sub/}", "none", "EACCES CDNAKYX"},
         }),
         5000);
}

TEST_F(ScopedStorageTest, VolumeRoot) {
  Expect(Table().Check({
             {everyone_, "/", "none", "ok SL"},
             {plain_ + readers_, "x.{jpg,mp3,pdf} x " + default_, "none",
              "EPERM CT"},
             {"gallery", "x.{mp3,pdf} x " + default_, "none", "EPERM CT"},
             {plain_ + readers_ + "gallery", "Foo/ x.jpg/ .x/ DCIM2/", "none",
              "EPERM C"},
             {"manager" + almighty_, "x.{jpg,mp3,pdf} x .x", "none", "ok CT"},
             {"manager" + almighty_, "Foo/ x.jpg/ .x/ DCIM2/", "none", "ok C"},
             {"unlisted", "x.jpg Foo/ DCIM/", "none", "EACCES C"},
         }),
         1000);
}

TEST_F(ScopedStorageTest, OtherPlaces) {
  const std::string there = "{Foo,Android2,DCIM2}/{,sub/}";
  Expect(Table().Check(
             OthersFiles(there) + OwnFiles(there) + OthersFiles("") +
             OwnFiles("") +
             std::vector<Row>{
                 {plain_ + readers_, there + any_type_, "none", "EPERM CT"},
                 {"gallery", there + "x.{jpg,mp4}", "none", "ok CT"},
                 {"gallery", there + "x.{mp3,pdf}", "none", "EPERM CT"},
                 {everyone_, there, "none", "ok SL"},
                 {plain_ + readers_ + "gallery", there, "none",
                  "ok A, EPERM CKYX, EACCES DN"},
                 {"manager" + almighty_, there, "none", "ok CDNA"},
                 {"unlisted", there, "none", "EACCES CDNA"},
             }),
         10000);
}

TEST_F(ScopedStorageTest, PendingAndTrashed) {
  const std::string mark = "{.pending-1732100000-,.trashed-1732100000-}";
  const std::string there =
      "{DCIM,Pictures,Movies,Download,Foo}/{,sub/}" + mark;
  const std::string music = "{Music,Download,Foo}/{,sub/}" + mark;
  Expect(
      Table().Check({
          {plain_ + readers_, there + "x.{jpg,mp4}", any_owner_,
           "ok SA, EACCES RWDN, EPERM KYX"},
          {plain_ + readers_, music + "x.{mp3,srt}", any_owner_,
           "ok SA, EACCES RWDN, EPERM KYX"},
          {"old_writer", there + "x.{jpg,mp4}", any_owner_, "EACCES RWDN"},
          {apps_, there + "x.{jpg,mp4,pdf}", "self", "ok SARWDN"},
          {apps_, music + "x.{mp3,pdf}", "self", "ok SARWDN"},
          {"manager", there + "x.{jpg,mp4,pdf}", any_owner_, "ok SARWDNCT"},
          {"gallery", there + "x.{jpg,mp4}", any_owner_, "ok SARWDN"},
          {"gallery", music + "x.{mp3,pdf}", any_owner_, "ok S, EACCES RWDN"},
          {plain_ + readers_, "{DCIM,Pictures,Download}/" + mark + "x.jpg",
           "none", "ok CT"},
          {plain_ + readers_, "{DCIM,Pictures}/" + mark + "x.pdf", "none",
           "EPERM CT"},
          {"unlisted", there + "x.jpg", any_owner_, "ok S, EACCES RWDNCT"},
      }),
      5000);
}

TEST_F(ScopedStorageTest, Hidden) {
  const std::string hidden = "{.x,.thumbnails/x,.a/b/x,b/.a/b/x}";
  const std::string there = "{DCIM,Pictures,Movies,Download,Foo}/" + hidden;
  const std::string music = "{Music,Alarms,Download,Foo}/" + hidden;
  const std::string media = "Android/media/com.test.other/" + hidden;
  Expect(Table().Check({
             {plain_ + readers_, there + ".{jpg,mp4,srt}", any_owner_,
              "ok SA, EACCES RWDN"},
             {plain_ + readers_, music + ".{mp3,m3u}", any_owner_,
              "ok SA, EACCES RWDN"},
             {plain_ + readers_, media + ".{jpg,mp3}", any_owner_,
              "ok SA, EACCES RWDN"},
             {apps_, there + ".{jpg,mp4}", "self", "ok SARWDN"},
             {apps_, music + ".{mp3,m3u}", "self", "ok SARWDN"},
             {"manager" + almighty_, there + ".{jpg,mp4}", any_owner_,
              "ok SARWDN"},
             {"gallery", there + ".{jpg,mp4}", any_owner_, "ok SARWDN"},
             {plain_ + readers_, "{DCIM,Pictures,Download}/" + hidden + ".jpg",
              "none", "ok CT"},
             {everyone_, "{DCIM,Music}/{.a/,.a/b/}", "none", "ok SL"},
         }),
         5000);
}

TEST_F(ScopedStorageTest, NoMedia) {
  Expect(Table().Check({
             {plain_ + readers_ + "old_writer gallery manager",
              ".nomedia " + default_ + "/.nomedia DCIM/Camera/.nomedia", "none",
              "EPERM CT"},
             {plain_ + readers_ + "manager",
              "{Download,Documents}/{sub,sub/sub}/.nomedia", "none", "ok CT"},
         }),
         1000);
}

TEST_F(ScopedStorageTest, NamesThatFatCannotHold) {
  const std::string bad = "{a:b,a?,a*,a|b,a<,a>,a\\b,\x01,\x7f,\xff,\"a\"}";
  const std::string bad_end = "{a.jpg.,a..,...}";
  Expect(Table().Check({
             {apps_ + almighty_,
              "{DCIM,Music,Download,Alarms,Foo}/" + bad + ".jpg", "none",
              "EPERM CT"},
             {apps_ + almighty_, "{DCIM,Music,Download,Foo}/" + bad + "/",
              "none", "EPERM C"},
             {apps_ + almighty_, "{DCIM,Download,Foo}/" + bad_end, "none",
              "EPERM CT"},
             {"manager" + almighty_, bad + ".jpg " + bad + "/ " + bad_end,
              "none", "EPERM C"},
             {apps_, "Android/{data,obb,media}/{own}/{,sub/}" + bad, "none",
              "EPERM CT"},
             {apps_, "Android/{data,obb,media}/{own}/{,sub/}" + bad_end + "/",
              "none", "EPERM C"},
             // What is there already is not asked for its name.
             {"manager" + almighty_, "{DCIM,Foo}/" + bad + ".jpg", any_owner_,
              "ok SRWDN"},
             {plain_, "{DCIM,Foo}/" + bad + ".jpg", "self", "ok SRWDN"},
         }),
         5000);
}

TEST_F(ScopedStorageTest, OtherUsers) {
  const std::string places =
      "/ DCIM/ DCIM/x.jpg Download/x.pdf Android/ Android/data/ Foo/ x.jpg "
      "Android/data/{own}/ Android/data/{own}/x.jpg Android/media/{own}/x.jpg "
      "Android/obb/com.test.other/x.obb DCIM/.pending-17-x.jpg";
  Expect(Table().CheckOtherUsers({
             {apps_ + "mtp downloads unlisted", places, "none other",
              "ENOENT SLRWCDNTAKYX"},
             {apps_ + "mtp downloads", places, "self", "ENOENT SLRWCDNTAKYX"},
             {"shell root", "DCIM/x.jpg Download/x.pdf Foo/x.jpg", "none other",
              "ok SRWDNCTA"},
             {"shell root",
              "DCIM/ Foo/ Android/data/com.test.other/ Android/data/", "none",
              "ok SL"},
         }),
         1000);
}

TEST_F(ScopedStorageTest, OnlyPrivateDirectoriesAreSeenDifferently) {
  const Table table;
  for (const char* path :
       {"/", "DCIM/", "DCIM/x.jpg", "Download/.x/y", "Foo/", "Foo/x.pdf",
        "Android/", "Android/data/", "Android/obb/", "Android/media/",
        "Android/media/com.test.other/x.jpg", "DCIM/.pending-17-x.jpg"}) {
    EXPECT_TRUE(table.SharesLookup(path)) << path;
  }
  for (const char* path :
       {"Android/data/com.test.other/", "android/DATA/com.test.other/x/y.jpg",
        "Android/data/com.gone/", "Android/obb/com.test.other/",
        "Android/obb/x.txt"}) {
    EXPECT_FALSE(table.SharesLookup(path)) << path;
  }
}

}  // namespace
}  // namespace fused::policy::oracle
