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

// Callers that are nobody special for files of others, whatever their type.
const std::string kPlain = " nobody new_reader new_writer installer ";
const std::string kReaders = " images video audio old_reader ";
const std::string kAlmighty = " mtp downloads shell root ";
const std::string kApps = kPlain + kReaders + " old_writer manager gallery ";
const std::string kEveryone = kApps + kAlmighty + " unlisted ";

const std::string kAnyOwner = "other none";
const std::string kAnyType = "x.{jpg,png,mp4,mkv,mp3,flac,m3u,srt,pdf,bin}";
const std::string kSound =
    "{Alarms,Audiobooks,Notifications,Podcasts,"
    "Recordings,Ringtones}";
const std::string kDefault =
    "{Alarms,Audiobooks,DCIM,Documents,Download,Movies,Music,Notifications,"
    "Pictures,Podcasts,Recordings,Ringtones}";

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

// Where whoever may see may read what the permissions are for: files of others,
// in `at`, of which nobody has more than the columns of the media permissions.
std::vector<Row> OthersFiles(const std::string& at) {
  return {
      {kPlain, at + kAnyType, kAnyOwner, "ok SA, EACCES RWDN, EPERM KYX"},
      {"images", at + "x.{jpg,png}", kAnyOwner, "ok SAR, EACCES WDN"},
      {"images", at + "x.{mp4,mkv,mp3,flac,m3u,srt,pdf,bin}", kAnyOwner,
       "ok SA, EACCES RWDN"},
      {"video", at + "x.{mp4,mkv,srt}", kAnyOwner, "ok SAR, EACCES WDN"},
      {"video", at + "x.{jpg,png,mp3,flac,m3u,pdf,bin}", kAnyOwner,
       "ok SA, EACCES RWDN"},
      {"audio", at + "x.{mp3,flac,m3u,srt}", kAnyOwner, "ok SAR, EACCES WDN"},
      {"audio", at + "x.{jpg,png,mp4,mkv,pdf,bin}", kAnyOwner,
       "ok SA, EACCES RWDN"},
      {"old_reader", at + "x.{jpg,png,mp4,mkv,mp3,flac,m3u,srt}", kAnyOwner,
       "ok SAR, EACCES WDN"},
      {"old_reader", at + "x.{pdf,bin}", kAnyOwner, "ok SA, EACCES RWDN"},
      {"old_writer", at + "x.{jpg,mp4,mp3}", kAnyOwner, "ok SAW, EPERM KYX"},
      {"gallery", at + "x.{jpg,png,mp4,mkv}", kAnyOwner,
       "ok SARWDN, EPERM KYX"},
      {"gallery", at + "x.{mp3,flac,m3u,srt,pdf,bin}", kAnyOwner,
       "ok SA, EACCES RWDN"},
      {"manager" + kAlmighty, at + kAnyType, kAnyOwner,
       "ok SARWDNCT, EPERM KYX"},
      {"unlisted", at + kAnyType, kAnyOwner, "ok S, EACCES RWDNCTAKYX"},
  };
}

// New files where every caller without a role may make `takes`, and not
// `refuses`.
std::vector<Row> NewFiles(const std::string& at, const std::string& takes,
                          const std::string& refuses) {
  std::vector<Row> rows = {
      {kPlain + kReaders + "old_writer gallery", at + takes, "none", "ok CT"}};
  if (!refuses.empty()) {
    rows.push_back({kPlain + kReaders, at + refuses, "none", "EPERM CT"});
  }
  return rows;
}

std::vector<Row> OwnFiles(const std::string& at) {
  return {
      {kApps + "mtp downloads", at + kAnyType, "self", "ok SARWDN, EPERM KYX"}};
}

std::vector<Row> operator+(std::vector<Row> rows,
                           const std::vector<Row>& others) {
  rows.insert(rows.end(), others.begin(), others.end());
  return rows;
}

TEST(ScopedStorageTest, PrivateDirectories) {
  const std::string below =
      "/com.test.other/{,cache/,x.jpg,cache/x.mp4,.x,.pending-17-x.jpg,y} ";
  const std::string strange = "/{x.jpg,x,com.gone/,com.gone/x.jpg,.nomedia} ";
  const std::string none =
      "nobody new_reader new_writer old_writer manager gallery unlisted" +
      kReaders;
  const std::string own = "{own}/{x.jpg,x.bin,cache/x.mp3,.x,.pending-17-x}";
  Expect(
      Table().Check({
          {none + "installer",
           "Android/data" + below + "Android/data" + strange, kAnyOwner,
           "ENOENT SLRWCDNTAKYX"},
          {none, "Android/obb" + below + "Android/obb" + strange, kAnyOwner,
           "ENOENT SLRWCDNTAKYX"},
          {"installer", "Android/obb/com.test.other/{x.obb,patch/x.jpg}",
           kAnyOwner, "ok SRWCDNTA, EPERM KYX"},
          {"installer", "Android/obb/com.test.other/{,patch/}", "none",
           "ok SLCDNA"},
          {kAlmighty, "Android/{data,obb}/com.test.other/{x.bin,cache/x.jpg}",
           kAnyOwner, "ok SRWCDNTA, EPERM KYX"},
          {kAlmighty, "Android/{data,obb}/com.test.other/{,cache/}", "none",
           "ok SLCDNA"},
          {kApps + "mtp downloads", "Android/{data,obb}/" + own, "self",
           "ok SRWCDNTA, EPERM KYX"},
          {kApps + "mtp downloads", "Android/{data,obb}/{own}/{x.jpg,x.bin}",
           kAnyOwner, "ok SRWCDNTA"},
          {kApps + "mtp downloads", "Android/{data,obb}/{own}/{,cache/}",
           "none", "ok SLCDNA"},
      }),
      5000);
}

TEST(ScopedStorageTest, TheDirectoriesOfPackages) {
  const std::string most = "nobody new_reader new_writer gallery" + kReaders;
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
             {kAlmighty, "Android/", "none", "ok SL"},
             {kAlmighty, "Android/{data/,obb/,media/}", "none", "ok SLDN"},
             {kApps + kAlmighty, "Android/{,data/,obb/,media/}", "none",
              "ok A, EPERM KYX"},
             {kApps + "mtp downloads", "Android/{data,obb,media}/{own}/",
              "none", "ok SLC"},
             {most + "installer", "Android/{,media/}x.{txt,mp3,bin}", "none",
              "ok S, EPERM CTKYX"},
             {kPlain + kReaders, "Android/{,media/}x.{jpg,mp4}", "none",
              "ok S, EPERM CTKYX"},
         }),
         1000);
}

TEST(ScopedStorageTest, AndroidMedia) {
  const std::string there = "Android/media/com.test.other/{,sub/}";
  Expect(
      Table().Check(
          OthersFiles(there) +
          std::vector<Row>{
              {kPlain + kReaders, there + kAnyType, "none", "EACCES CT"},
              {"gallery", there + "x.{jpg,png,mp4}", "none", "ok CT"},
              {"gallery", there + "x.{mp3,srt,pdf,bin}", "none", "EACCES CT"},
              {kEveryone, there, "none", "ok SL"},
              {kApps, "Android/media/{own}/{,sub/}" + kAnyType,
               "self other none", "ok SRWCDNTA, EPERM KYX"},
              {kApps, "Android/media/{own}/{,sub/}", "none", "ok SLCDNA"},
          }),
      10000);
}

TEST(ScopedStorageTest, DcimAndPictures) {
  const std::string there = "{DCIM,Pictures}/{,sub/,Camera/}";
  Expect(Table().Check(OthersFiles(there) + OwnFiles(there) +
                       NewFiles(there, "x.{jpg,png,webp,mp4,mkv,3gp}",
                                "x.{mp3,flac,m3u,srt,pdf,bin,apk} x")),
         10000);
}

TEST(ScopedStorageTest, MoviesAndMusic) {
  const std::string movies = "Movies/{,sub/}";
  const std::string music = "Music/{,sub/a/}";
  Expect(Table().Check(
             OthersFiles(movies) + OthersFiles(music) + OwnFiles(movies) +
             OwnFiles(music) +
             NewFiles(movies, "x.{mp4,mkv,m3u,srt}", "x.{jpg,mp3,pdf,bin} ") +
             NewFiles(music, "x.{mp3,flac,m3u,srt}", "x.{jpg,mp4,pdf,bin}")),
         10000);
}

TEST(ScopedStorageTest, SoundsByKind) {
  const std::string there = kSound + "/{,sub/}";
  Expect(Table().Check(
             OthersFiles(there) + OwnFiles(there) +
             NewFiles(there, "x.{mp3,flac,ogg}", "x.{jpg,mp4,m3u,srt,pdf}")),
         20000);
}

TEST(ScopedStorageTest, DownloadAndDocuments) {
  const std::string there = "{Download,Documents}/{,sub/}";
  Expect(Table().Check(OthersFiles(there) + OwnFiles(there) +
                       NewFiles(there, kAnyType, "")),
         10000);
}

TEST(ScopedStorageTest, DirectoriesOfCollections) {
  Expect(Table().Check({
             {kEveryone, kDefault + "/{,sub/,sub/sub/}", "none", "ok SL"},
             {kApps + kAlmighty, kDefault + "/", "none", "ok CA, EPERM KYX"},
             {kApps + kAlmighty, kDefault + "/{sub/,sub/sub/}", "none",
              "ok CDNA, EPERM KYX"},
             {"unlisted", kDefault + "/{,sub/}", "none", "EACCES CDNAKYX"},
         }),
         5000);
}

TEST(ScopedStorageTest, VolumeRoot) {
  Expect(Table().Check({
             {kEveryone, "/", "none", "ok SL"},
             {kPlain + kReaders, "x.{jpg,mp3,pdf} x " + kDefault, "none",
              "EPERM CT"},
             {"gallery", "x.{mp3,pdf} x " + kDefault, "none", "EPERM CT"},
             {kPlain + kReaders + "gallery", "Foo/ x.jpg/ .x/ DCIM2/", "none",
              "EPERM C"},
             {"manager" + kAlmighty, "x.{jpg,mp3,pdf} x .x", "none", "ok CT"},
             {"manager" + kAlmighty, "Foo/ x.jpg/ .x/ DCIM2/", "none", "ok C"},
             {"unlisted", "x.jpg Foo/ DCIM/", "none", "EACCES C"},
         }),
         1000);
}

TEST(ScopedStorageTest, OtherPlaces) {
  const std::string there = "{Foo,Android2,DCIM2}/{,sub/}";
  Expect(Table().Check(
             OthersFiles(there) + OwnFiles(there) + OthersFiles("") +
             OwnFiles("") +
             std::vector<Row>{
                 {kPlain + kReaders, there + kAnyType, "none", "EPERM CT"},
                 {"gallery", there + "x.{jpg,mp4}", "none", "ok CT"},
                 {"gallery", there + "x.{mp3,pdf}", "none", "EPERM CT"},
                 {kEveryone, there, "none", "ok SL"},
                 {kPlain + kReaders + "gallery", there, "none",
                  "ok A, EPERM CKYX, EACCES DN"},
                 {"manager" + kAlmighty, there, "none", "ok CDNA"},
                 {"unlisted", there, "none", "EACCES CDNA"},
             }),
         10000);
}

TEST(ScopedStorageTest, PendingAndTrashed) {
  const std::string mark = "{.pending-1732100000-,.trashed-1732100000-}";
  const std::string there =
      "{DCIM,Pictures,Movies,Download,Foo}/{,sub/}" + mark;
  const std::string music = "{Music,Download,Foo}/{,sub/}" + mark;
  Expect(Table().Check({
             {kPlain + kReaders, there + "x.{jpg,mp4}", kAnyOwner,
              "ok SA, EACCES RWDN, EPERM KYX"},
             {kPlain + kReaders, music + "x.{mp3,srt}", kAnyOwner,
              "ok SA, EACCES RWDN, EPERM KYX"},
             {"old_writer", there + "x.{jpg,mp4}", kAnyOwner, "EACCES RWDN"},
             {kApps, there + "x.{jpg,mp4,pdf}", "self", "ok SARWDN"},
             {kApps, music + "x.{mp3,pdf}", "self", "ok SARWDN"},
             {"manager", there + "x.{jpg,mp4,pdf}", kAnyOwner, "ok SARWDNCT"},
             {"gallery", there + "x.{jpg,mp4}", kAnyOwner, "ok SARWDN"},
             {"gallery", music + "x.{mp3,pdf}", kAnyOwner, "ok S, EACCES RWDN"},
             {kPlain + kReaders, "{DCIM,Pictures,Download}/" + mark + "x.jpg",
              "none", "ok CT"},
             {kPlain + kReaders, "{DCIM,Pictures}/" + mark + "x.pdf", "none",
              "EPERM CT"},
             {"unlisted", there + "x.jpg", kAnyOwner, "ok S, EACCES RWDNCT"},
         }),
         5000);
}

TEST(ScopedStorageTest, Hidden) {
  const std::string hidden = "{.x,.thumbnails/x,.a/b/x,b/.a/b/x}";
  const std::string there = "{DCIM,Pictures,Movies,Download,Foo}/" + hidden;
  const std::string music = "{Music,Alarms,Download,Foo}/" + hidden;
  const std::string media = "Android/media/com.test.other/" + hidden;
  Expect(
      Table().Check({
          {kPlain + kReaders, there + ".{jpg,mp4,srt}", kAnyOwner,
           "ok SA, EACCES RWDN"},
          {kPlain + kReaders, music + ".{mp3,m3u}", kAnyOwner,
           "ok SA, EACCES RWDN"},
          {kPlain + kReaders, media + ".{jpg,mp3}", kAnyOwner,
           "ok SA, EACCES RWDN"},
          {kApps, there + ".{jpg,mp4}", "self", "ok SARWDN"},
          {kApps, music + ".{mp3,m3u}", "self", "ok SARWDN"},
          {"manager" + kAlmighty, there + ".{jpg,mp4}", kAnyOwner, "ok SARWDN"},
          {"gallery", there + ".{jpg,mp4}", kAnyOwner, "ok SARWDN"},
          {kPlain + kReaders, "{DCIM,Pictures,Download}/" + hidden + ".jpg",
           "none", "ok CT"},
          {kEveryone, "{DCIM,Music}/{.a/,.a/b/}", "none", "ok SL"},
      }),
      5000);
}

TEST(ScopedStorageTest, NoMedia) {
  Expect(Table().Check({
             {kPlain + kReaders + "old_writer gallery manager",
              ".nomedia " + kDefault + "/.nomedia DCIM/Camera/.nomedia", "none",
              "EPERM CT"},
             {kPlain + kReaders + "manager",
              "{Download,Documents}/{sub,sub/sub}/.nomedia", "none", "ok CT"},
         }),
         1000);
}

TEST(ScopedStorageTest, NamesThatFatCannotHold) {
  const std::string bad = "{a:b,a?,a*,a|b,a<,a>,a\\b,\x01,\x7f,\xff,\"a\"}";
  const std::string bad_end = "{a.jpg.,a..,...}";
  Expect(Table().Check({
             {kApps + kAlmighty,
              "{DCIM,Music,Download,Alarms,Foo}/" + bad + ".jpg", "none",
              "EPERM CT"},
             {kApps + kAlmighty, "{DCIM,Music,Download,Foo}/" + bad + "/",
              "none", "EPERM C"},
             {kApps + kAlmighty, "{DCIM,Download,Foo}/" + bad_end, "none",
              "EPERM CT"},
             {"manager" + kAlmighty, bad + ".jpg " + bad + "/ " + bad_end,
              "none", "EPERM C"},
             {kApps, "Android/{data,obb,media}/{own}/{,sub/}" + bad, "none",
              "EPERM CT"},
             {kApps, "Android/{data,obb,media}/{own}/{,sub/}" + bad_end + "/",
              "none", "EPERM C"},
             // What is there already is not asked for its name.
             {"manager" + kAlmighty, "{DCIM,Foo}/" + bad + ".jpg", kAnyOwner,
              "ok SRWDN"},
             {kPlain, "{DCIM,Foo}/" + bad + ".jpg", "self", "ok SRWDN"},
         }),
         5000);
}

TEST(ScopedStorageTest, OtherUsers) {
  const std::string places =
      "/ DCIM/ DCIM/x.jpg Download/x.pdf Android/ Android/data/ Foo/ x.jpg "
      "Android/data/{own}/ Android/data/{own}/x.jpg Android/media/{own}/x.jpg "
      "Android/obb/com.test.other/x.obb DCIM/.pending-17-x.jpg";
  Expect(Table().CheckOtherUsers({
             {kApps + "mtp downloads unlisted", places, "none other",
              "ENOENT SLRWCDNTAKYX"},
             {kApps + "mtp downloads", places, "self", "ENOENT SLRWCDNTAKYX"},
             {"shell root", "DCIM/x.jpg Download/x.pdf Foo/x.jpg", "none other",
              "ok SRWDNCTA"},
             {"shell root",
              "DCIM/ Foo/ Android/data/com.test.other/ Android/data/", "none",
              "ok SL"},
         }),
         1000);
}

}  // namespace
}  // namespace fused::policy::oracle
