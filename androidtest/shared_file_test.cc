// Apps that work on one file at once, each in its own view.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sqlite3.h"

namespace fused::androidtest {
namespace {

using testing::Pair;

class Database {
 public:
  explicit Database(const std::string& path) {
    if (sqlite3_open(path.c_str(), &handle_) == SQLITE_OK) {
      sqlite3_busy_timeout(handle_, 30'000);
    }
  }
  ~Database() { sqlite3_close(handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The first column of the last row; `error` where it failed.
  std::string Execute(const std::string& sql, std::string* error) {
    std::string last;
    char* message = nullptr;
    const auto keep = [](void* to, int, char** values, char**) {
      *static_cast<std::string*>(to) = values[0] == nullptr ? "" : values[0];
      return 0;
    };
    if (sqlite3_exec(handle_, sql.c_str(), keep, &last, &message) !=
        SQLITE_OK) {
      *error = message == nullptr ? "no database" : message;
    }
    sqlite3_free(message);
    return last;
  }

 private:
  sqlite3* handle_ = nullptr;
};

// PATH SQL: the first column of the last row.
APP_PROGRAM(Sqlite) {
  Database database(arguments[0]);
  std::string error;
  const std::string value = database.Execute(arguments[1], &error);
  return error.empty() ? Done(0, value) : Wrong(error);
}

// PATH WHO COUNT: as many transactions, each of which counts on from the last.
APP_PROGRAM(SqliteInsert) {
  int count = 0;
  if (!absl::SimpleAtoi(arguments[2], &count)) return Wrong("PATH WHO COUNT");
  Database database(arguments[0]);
  std::string error;
  for (int i = 0; i < count; ++i) {
    database.Execute(absl::StrCat("BEGIN IMMEDIATE;"
                                  "INSERT INTO log(who, number, seen) SELECT '",
                                  arguments[1], "', ", i,
                                  ", count(*) FROM log;"
                                  "COMMIT;"),
                     &error);
    if (!error.empty()) return Wrong(error);
  }
  return Done(count);
}

constexpr size_t kRecord = 100;

std::string Record(std::string_view who, int number) {
  std::string record = absl::StrCat(who, " ", number, " ");
  record.resize(kRecord - 1, '.');
  return record + "\n";
}

// PATH WHO COUNT
APP_PROGRAM(AppendRecords) {
  int count = 0;
  if (!absl::SimpleAtoi(arguments[2], &count)) return Wrong("PATH WHO COUNT");
  const int fd =
      open(arguments[0].c_str(), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (fd < 0) return Failed("open");
  for (int i = 0; i < count; ++i) {
    const std::string record = Record(arguments[1], i);
    if (write(fd, record.data(), record.size()) != kRecord) {
      return Failed("write");
    }
  }
  close(fd);
  return Done(count);
}

struct Pairing {
  const char* name;
  View first_view;
  View second_view;
  // The second app's package: served by the kernel or by the daemon.
  const char* second;
};

void PrintTo(const Pairing& pairing, std::ostream* os) { *os << pairing.name; }

class SharedFileTest : public testing::TestWithParam<Pairing> {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoDevice(); !why.empty()) {
      GTEST_SKIP() << why;
    }
    ASSERT_TRUE(device_.Start());
  }

  App First() { return device_.Launch(kCamera, GetParam().first_view); }
  App Second() {
    return device_.Launch(GetParam().second, GetParam().second_view);
  }

  Device device_{{.policy = AllowAllPolicy(), .packages = StandardPackages()}};
};

TEST_P(SharedFileTest, AppendingNeverOverwrites) {
  const App first = First();
  const App second = Second();
  ASSERT_THAT(first.Create("log", ""), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const int count = IsLong() ? 20'000 : 2'000;
  first.Begin("AppendRecords", {first.At("log"), "first", absl::StrCat(count)});
  second.Begin("AppendRecords",
               {second.At("log"), "second", absl::StrCat(count)});
  EXPECT_THAT(first.Finish(), Returns(count));
  EXPECT_THAT(second.Finish(), Returns(count));

  const std::string log = ReadFile(device_.LowerPath("log"));
  ASSERT_EQ(log.size(), 2 * kRecord * count);
  std::map<std::string, int> seen;
  for (size_t at = 0; at < log.size(); at += kRecord) {
    const std::string record = log.substr(at, kRecord);
    const std::string who = record.substr(0, record.find(' '));
    EXPECT_EQ(record, Record(who, seen[who]++));
  }
  EXPECT_THAT(seen, testing::UnorderedElementsAre(Pair("first", count),
                                                  Pair("second", count)));
  ASSERT_TRUE(device_.Sync());
  EXPECT_THAT(first.Stat("log"), HasSize(log.size()));
  EXPECT_THAT(second.Stat("log"), HasSize(log.size()));
}

// One app has the file open while it grows by the other's hand.
TEST_P(SharedFileTest, AppendingGoesToTheEndAsItIsNow) {
  const App first = First();
  const App second = Second();
  ASSERT_THAT(first.Create("log", "0"), Succeeds());
  ASSERT_TRUE(device_.Sync());
  const File mine = first.Open("log", O_WRONLY | O_APPEND);
  const File theirs = second.Open("log", O_WRONLY | O_APPEND);
  std::string expected = "0";
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(mine.Write("a"), Returns(1));
    EXPECT_THAT(theirs.Write("b"), Returns(1));
    expected += "ab";
  }
  EXPECT_EQ(ReadFile(device_.LowerPath("log")), expected);
}

INSTANTIATE_TEST_SUITE_P(
    , SharedFileTest,
    testing::Values(
        Pairing{"TwoAppViews", View::kApp, View::kApp, kGallery},
        Pairing{"AppViewAndSharedView", View::kApp, View::kShared, kGallery},
        Pairing{"TheSharedView", View::kShared, View::kShared, kGallery},
        Pairing{"KernelAndDaemon", View::kApp, View::kApp, kServed},
        Pairing{"KernelAndDaemonShared", View::kShared, View::kShared,
                kServed}),
    [](const testing::TestParamInfo<Pairing>& info) {
      return info.param.name;
    });

class SqliteTest : public SharedFileTest {};

TEST_P(SqliteTest, ADatabaseWithAWriteAheadLogStaysWhole) {
  const App first = First();
  const App second = Second();
  ASSERT_THAT(
      first.Run("Sqlite",
                {first.At("a.db"),
                 "PRAGMA journal_mode=WAL;"
                 "CREATE TABLE log(who TEXT, number INTEGER, seen INTEGER)"}),
      Succeeds());
  EXPECT_THAT(first.Run("Sqlite", {first.At("a.db"), "PRAGMA journal_mode"}),
              Reads("wal"));
  ASSERT_TRUE(device_.Sync());
  const int count = IsLong() ? 5'000 : 300;
  first.Begin("SqliteInsert", {first.At("a.db"), "first", absl::StrCat(count)});
  second.Begin("SqliteInsert",
               {second.At("a.db"), "second", absl::StrCat(count)});
  EXPECT_THAT(first.Finish(), Returns(count));
  EXPECT_THAT(second.Finish(), Returns(count));
  for (const App& app : {first, second}) {
    const std::string path = app.At("a.db");
    EXPECT_THAT(app.Run("Sqlite", {path, "PRAGMA integrity_check"}),
                Reads("ok"));
    EXPECT_THAT(app.Run("Sqlite", {path, "SELECT count(*) FROM log"}),
                Reads(absl::StrCat(2 * count)));
    // Each transaction saw all those before it.
    EXPECT_THAT(app.Run("Sqlite", {path,
                                   "SELECT count(DISTINCT seen) || ' ' || "
                                   "max(seen) FROM log"}),
                Reads(absl::StrCat(2 * count, " ", 2 * count - 1)));
  }
}

// The same without a shared mapping: a rollback journal, whose readers and
// writers meet at locks alone. So it may be served by kernel and daemon.
TEST_P(SqliteTest, ADatabaseWithARollbackJournalStaysWhole) {
  const App first = First();
  const App second = Second();
  ASSERT_THAT(
      first.Run("Sqlite",
                {first.At("a.db"),
                 "PRAGMA journal_mode=TRUNCATE;"
                 "CREATE TABLE log(who TEXT, number INTEGER, seen INTEGER)"}),
      Succeeds());
  ASSERT_TRUE(device_.Sync());
  const int count = IsLong() ? 1'000 : 60;
  first.Begin("SqliteInsert", {first.At("a.db"), "first", absl::StrCat(count)});
  second.Begin("SqliteInsert",
               {second.At("a.db"), "second", absl::StrCat(count)});
  EXPECT_THAT(first.Finish(), Returns(count));
  EXPECT_THAT(second.Finish(), Returns(count));
  EXPECT_THAT(
      second.Run("Sqlite", {second.At("a.db"), "PRAGMA integrity_check"}),
      Reads("ok"));
  EXPECT_THAT(first.Run("Sqlite", {first.At("a.db"),
                                   "SELECT count(DISTINCT seen) FROM log"}),
              Reads(absl::StrCat(2 * count)));
}

INSTANTIATE_TEST_SUITE_P(
    , SqliteTest,
    testing::Values(
        Pairing{"TwoAppViews", View::kApp, View::kApp, kGallery},
        Pairing{"AppViewAndSharedView", View::kApp, View::kShared, kGallery},
        Pairing{"TheSharedView", View::kShared, View::kShared, kGallery}),
    [](const testing::TestParamInfo<Pairing>& info) {
      return info.param.name;
    });

}  // namespace
}  // namespace fused::androidtest
