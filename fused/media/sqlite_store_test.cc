#include "fused/media/sqlite_store.h"

#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/testing/scratch.h"

namespace fused::media {
namespace {

using absl_testing::IsOk;
using absl_testing::IsOkAndHolds;
using absl_testing::StatusIs;
using testing::HasSubstr;

class SqliteStoreTest : public testing::Test {
 protected:
  std::string path() const { return scratch_.Path("media.db"); }

  std::unique_ptr<Store> Open() {
    absl::StatusOr<std::unique_ptr<Store>> store = storage_.Open();
    EXPECT_THAT(store, IsOk());
    return store.ok() ? *std::move(store) : nullptr;
  }

  using Rows = std::map<std::pair<TreeName, std::string>, Record>;
  static Rows Load(Store& store) {
    Rows rows;
    EXPECT_THAT(store.Load([&rows](const TreeName& tree, const FileKey& key,
                                   const Record& record) {
      rows[{tree, key.bytes}] = record;
    }),
                IsOk());
    return rows;
  }

  Record Owned(const std::string& package) {
    Record record;
    record.owner = interner_.Intern({package, 10061});
    return record;
  }

  // A program of its own, for what another process does.
  void Sql(const std::string& sql) const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr),
              SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  kernel::ScratchDirectory scratch_;
  Interner interner_;
  SqliteStorage storage_{scratch_.Path("media.db"), &interner_};
  const TreeName tree_{"external_primary", 0};
  const TreeName other_{"external_primary", 10};
};

TEST_F(SqliteStoreTest, KeepsEverythingOfARecord) {
  Record record = Owned("com.example");
  record.media_type = interner_.InternType("IMAGE");
  record.expires = 1'800'000'000;
  record.ctime = 1'700'000'000'123'456'789;
  record.size = 1LL << 40;
  record.waiting = Waiting::kTrashed;
  record.hidden = true;
  record.location = Location::kNone;
  Record bare;
  bare.location = Location::kHas;
  const std::string key("h\0\xff\x01", 4);
  {
    const std::unique_ptr<Store> store = Open();
    ASSERT_THAT(store->Apply({{&tree_, {key}, record},
                              {&other_, {key}, bare},
                              {&tree_, {"gone"}, record}},
                             false),
                IsOk());
    ASSERT_THAT(store->Apply({{&tree_, {"gone"}, std::nullopt}}, false),
                IsOk());
  }
  const std::unique_ptr<Store> store = Open();
  const Rows rows = Load(*store);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_TRUE(rows.at({tree_, key}).Same(record));
  EXPECT_TRUE(rows.at({other_, key}).Same(bare));
  struct stat stat;
  ASSERT_EQ(::stat(path().c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 0777, 0600U);
}

TEST_F(SqliteStoreTest, AnewDropsTheRest) {
  const std::unique_ptr<Store> store = Open();
  const Record record = Owned("a");
  ASSERT_THAT(
      store->Apply({{&tree_, {"1"}, record}, {&tree_, {"2"}, record}}, false),
      IsOk());
  ASSERT_THAT(store->Apply({{&other_, {"3"}, record}}, true), IsOk());
  const Rows rows = Load(*store);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_TRUE(rows.contains({other_, "3"}));
}

TEST_F(SqliteStoreTest, KnowsWhetherItWasClosedCleanly) {
  EXPECT_FALSE(Open()->was_clean());
  {
    const std::unique_ptr<Store> store = Open();
    EXPECT_FALSE(store->was_clean());
    EXPECT_THAT(store->MarkClean(), IsOk());
  }
  EXPECT_TRUE(Open()->was_clean());
  // That one was opened, and not marked.
  EXPECT_FALSE(Open()->was_clean());
}

TEST_F(SqliteStoreTest, WhatWasCommittedSurvivesAKill) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::unique_ptr<Store> store = Open();
    const Record record = Owned("a");
    for (int i = 0; i < 100; ++i) {
      const FileKey key{absl::StrCat(i)};
      if (!store->Apply({{&tree_, key, record}}, false).ok()) _exit(1);
    }
    const char done = 1;
    if (write(pipes[1], &done, 1) != 1) _exit(1);
    pause();
  }
  char done = 0;
  EXPECT_EQ(read(pipes[0], &done, 1), 1);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  close(pipes[0]);
  close(pipes[1]);
  const std::unique_ptr<Store> store = Open();
  EXPECT_FALSE(store->was_clean());
  EXPECT_EQ(Load(*store).size(), 100U);
}

TEST_F(SqliteStoreTest, CountsStatements) {
  const std::unique_ptr<Store> store = Open();
  const uint64_t before = store->statements();
  const Record record = Owned("a");
  ASSERT_THAT(
      store->Apply({{&tree_, {"1"}, record}, {&tree_, {"2"}, record}}, false),
      IsOk());
  // BEGIN, the tree, two rows, COMMIT.
  EXPECT_EQ(store->statements() - before, 5U);
}

TEST_F(SqliteStoreTest, ANewerSchemaIsLeftAlone) {
  Open().reset();
  Sql("PRAGMA user_version = 1000");
  EXPECT_THAT(storage_.Open(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                        HasSubstr("1000 is newer")));
}

TEST_F(SqliteStoreTest, MigratesStepByStepOrNotAtAll) {
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &raw), SQLITE_OK);
  const Database database(raw);
  std::atomic<uint64_t> count{0};
  const char* const first[] = {"CREATE TABLE a (x INTEGER) STRICT;"};
  const char* const both[] = {first[0],
                              "ALTER TABLE a ADD COLUMN y TEXT;"
                              "INSERT INTO a VALUES (1, 'one');"};
  const char* const broken[] = {both[0], both[1],
                                "CREATE TABLE b (x INTEGER) STRICT;"
                                "INSERT INTO nowhere VALUES (1);"};
  EXPECT_THAT(Migrate(raw, first, &count), IsOk());
  EXPECT_THAT(Migrate(raw, both, &count), IsOk());
  EXPECT_THAT(Migrate(raw, both, &count), IsOk());
  EXPECT_FALSE(Migrate(raw, broken, &count).ok());
  absl::StatusOr<Statement> statement = Statement::Prepare(
      raw,
      "SELECT (SELECT count(*) FROM a WHERE y = 'one'), (SELECT user_version "
      "FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)",
      &count);
  ASSERT_THAT(statement, IsOk());
  ASSERT_THAT(statement->Step(), IsOkAndHolds(true));
  EXPECT_EQ(statement->Integer(0), 1);
  EXPECT_EQ(statement->Integer(1), 2);
  EXPECT_EQ(statement->Integer(2), 1);
}

TEST_F(SqliteStoreTest, WhatIsNoDatabaseIsCorruptAndCanBeSetAside) {
  for (int n = 1; n <= 2; ++n) {
    std::ofstream(path()) << "this is no database, though it is long enough "
                             "for somebody to look for one in it"
                          << std::string(8192, 'x');
    EXPECT_THAT(storage_.Open(), StatusIs(absl::StatusCode::kDataLoss));
    const std::string aside = absl::StrCat(path(), ".corrupt-", n);
    EXPECT_THAT(storage_.SetAside(), IsOkAndHolds(aside));
    EXPECT_EQ(access(aside.c_str(), F_OK), 0);
    Open().reset();
  }
}

TEST_F(SqliteStoreTest, ADamagedPageIsFoundAfterAnUncleanEnd) {
  {
    const std::unique_ptr<Store> store = Open();
    std::vector<Change> changes;
    const Record record = Owned("com.example");
    for (int i = 0; i < 2000; ++i) {
      changes.push_back({&tree_, {absl::StrCat("key", i)}, record});
    }
    ASSERT_THAT(store->Apply(changes, false), IsOk());
  }
  {
    std::fstream file(path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(std::streamoff{5} * 4096);
    file << std::string(4096, '\xa5');
  }
  EXPECT_THAT(storage_.Open(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(SqliteStoreTest, AnothersLockIsNotWaitedFor) {
  Open().reset();
  sqlite3* raw = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &raw), SQLITE_OK);
  Database other(raw);
  ASSERT_EQ(sqlite3_exec(raw, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr),
            SQLITE_OK);
  EXPECT_THAT(storage_.Open(),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("locked")));
  other = nullptr;
  EXPECT_NE(Open(), nullptr);
}

TEST_F(SqliteStoreTest, AFullDiskIsSaidAndSurvived) {
  if (!kernel::CanMount()) GTEST_SKIP() << "needs root";
  const std::string small = scratch_.MakeDirectory("small");
  ASSERT_EQ(mount("small", small.c_str(), "tmpfs", 0, "size=256k"), 0);
  SqliteStorage storage(small + "/media.db", &interner_);
  {
    absl::StatusOr<std::unique_ptr<Store>> store = storage.Open();
    ASSERT_THAT(store, IsOk());
    const Record record = Owned("com.example");
    ASSERT_THAT((*store)->Apply({{&tree_, {"first"}, record}}, false), IsOk());
    std::vector<Change> changes;
    for (int i = 0; i < 10'000; ++i) {
      changes.push_back({&tree_, {absl::StrCat("key", i)}, record});
    }
    EXPECT_THAT((*store)->Apply(changes, false),
                StatusIs(absl::StatusCode::kResourceExhausted));
    // All or nothing; and what fits goes on.
    EXPECT_EQ(Load(**store).size(), 1U);
    EXPECT_THAT((*store)->Apply({{&other_, {"second"}, record}}, false),
                IsOk());
    EXPECT_EQ(Load(**store).size(), 2U);
  }
  EXPECT_EQ(umount(small.c_str()), 0);
}

}  // namespace
}  // namespace fused::media
