#include "fused/media/writer.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "fused/media/testing/fake_storage.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::media {
namespace {

using absl_testing::IsOk;
using absl_testing::StatusIs;

class WriterTest : public testing::Test {
 protected:
  void Start(absl::Duration retry = absl::Milliseconds(1),
             size_t most_queued = 1000) {
    writer_ = std::make_unique<Writer>(
        Writer::Options{.storage = &storage_,
                        .gather = absl::Milliseconds(1),
                        .retry = retry,
                        .most_queued = most_queued,
                        .loaded =
                            [this](bool whole) {
                              whole_ = whole;
                              loaded_.Notify();
                            },
                        .table = [this](const TreeName&) { return &table_; },
                        .tables = [this] { return std::vector{&table_}; },
                        .changed =
                            [this](const Writer::Stats& stats) {
                              absl::MutexLock lock(&told_mutex_);
                              told_.push_back(absl::StrCat(
                                  stats.degraded ? stats.reason : "works",
                                  stats.set_aside.empty() ? "" : ", aside"));
                            }});
    writer_->Start();
  }

  std::vector<std::string> Told() {
    absl::MutexLock lock(&told_mutex_);
    return told_;
  }

  uint64_t Set(const std::string& key, const Owner* owner) {
    table_.Update({key}, [owner](Record& record) { record.owner = owner; });
    return writer_->Touch(&table_, {key});
  }
  // Whose the row is on disk.
  std::string OnDisk(const std::string& key) const {
    const FakeDisk::Rows rows = disk_.rows();
    const auto found = rows.find({tree_, key});
    if (found == rows.end() || found->second.owner == nullptr) return "";
    return found->second.owner->package;
  }

  const TreeName tree_{"volume", 0};
  const Owner a_{"a", 1};
  const Owner b_{"b", 2};
  FakeDisk disk_;
  FakeStorage storage_{&disk_};
  Table table_{tree_};
  absl::Notification loaded_;
  std::optional<bool> whole_;
  absl::Mutex told_mutex_;
  std::vector<std::string> told_ ABSL_GUARDED_BY(told_mutex_);
  std::unique_ptr<Writer> writer_;
};

TEST_F(WriterTest, ChangesOfItsStateAreToldOnce) {
  Start();
  disk_.FailWith(absl::ResourceExhaustedError("full"));
  EXPECT_FALSE(writer_->Wait(Set("1", &a_)).ok());
  EXPECT_FALSE(writer_->Wait(Set("2", &a_)).ok());
  disk_.FailWith(absl::UnavailableError("locked"));
  EXPECT_FALSE(writer_->Wait(Set("3", &a_)).ok());
  disk_.FailWith(absl::OkStatus());
  EXPECT_THAT(writer_->Flush(), IsOk());
  writer_->Stop();
  EXPECT_THAT(Told(), testing::ElementsAre("full", "locked", "works"));
}

TEST_F(WriterTest, WhatIsWaitedForIsOnDisk) {
  Start();
  EXPECT_THAT(writer_->Wait(Set("1", &a_)), IsOk());
  EXPECT_EQ(OnDisk("1"), "a");
  EXPECT_THAT(writer_->Wait(Set("1", &b_)), IsOk());
  EXPECT_EQ(OnDisk("1"), "b");
  EXPECT_THAT(writer_->Wait(Set("1", nullptr)), IsOk());
  EXPECT_TRUE(disk_.rows().empty());
}

TEST_F(WriterTest, ManyWaitForOneCommit) {
  Start();
  constexpr int kThreads = 8;
  constexpr int kEach = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string key = absl::StrCat(t, "/", i);
        EXPECT_THAT(writer_->Wait(Set(key, &a_)), IsOk());
        EXPECT_EQ(OnDisk(key), "a");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(disk_.commits(), uint64_t{kThreads} * kEach);
}

TEST_F(WriterTest, StopCommitsAndMarksClean) {
  Start();
  Set("1", &a_);
  writer_->Stop();
  EXPECT_EQ(OnDisk("1"), "a");
  EXPECT_TRUE(disk_.clean());
  EXPECT_FALSE(writer_->Wait(Set("2", &a_)).ok());
}

TEST_F(WriterTest, AFailureIsToldAndMadeGoodLater) {
  Start();
  disk_.FailWith(absl::ResourceExhaustedError("full"));
  EXPECT_THAT(writer_->Wait(Set("1", &a_)),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(writer_->stats().degraded);
  EXPECT_EQ(writer_->stats().reason, "full");
  EXPECT_EQ(writer_->stats().pending, 1U);
  disk_.FailWith(absl::OkStatus());
  EXPECT_THAT(writer_->Flush(), IsOk());
  EXPECT_EQ(OnDisk("1"), "a");
  EXPECT_FALSE(writer_->stats().degraded);
  EXPECT_EQ(writer_->stats().pending, 0U);
}

TEST_F(WriterTest, ItRecoversWithoutBeingAsked) {
  Start();
  disk_.FailWith(absl::UnavailableError("locked"));
  EXPECT_FALSE(writer_->Wait(Set("1", &a_)).ok());
  disk_.FailWith(absl::OkStatus());
  while (writer_->stats().degraded) std::this_thread::yield();
  EXPECT_EQ(OnDisk("1"), "a");
}

TEST_F(WriterTest, WhoComesAfterAFailureDoesNotWaitForTheNextTry) {
  Start(absl::Hours(1));
  disk_.FailWith(absl::UnavailableError("locked"));
  EXPECT_FALSE(writer_->Wait(Set("1", &a_)).ok());
  disk_.FailWith(absl::OkStatus());
  EXPECT_THAT(writer_->Wait(Set("2", &a_)), IsOk());
  EXPECT_EQ(OnDisk("1"), "a");
}

TEST_F(WriterTest, ACorruptStoreIsWrittenAnew) {
  Start();
  EXPECT_THAT(writer_->Wait(Set("1", &a_)), IsOk());
  disk_.FailWith(absl::DataLossError("malformed"));
  // Refused, unless the new one was as quick.
  const absl::Status status = writer_->Wait(Set("2", &b_));
  EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
  EXPECT_THAT(writer_->Flush(), IsOk());
  EXPECT_EQ(disk_.set_aside(), 1U);
  EXPECT_EQ(writer_->stats().set_aside, "aside");
  EXPECT_EQ(OnDisk("1"), "a");
  EXPECT_EQ(OnDisk("2"), "b");
}

TEST_F(WriterTest, ACorruptStoreAtTheStartIsSetAside) {
  disk_.FailWith(absl::DataLossError("malformed"));
  Start();
  EXPECT_EQ(disk_.set_aside(), 1U);
  EXPECT_EQ(whole_, false);
  EXPECT_FALSE(writer_->stats().degraded);
}

TEST_F(WriterTest, MoreThanFitsTheQueueIsWrittenWhole) {
  Start(absl::Hours(1), 10);
  disk_.FailWith(absl::UnavailableError("locked"));
  EXPECT_FALSE(writer_->Wait(Set("first", &a_)).ok());
  for (int i = 0; i < 50; ++i) Set(absl::StrCat(i), &a_);
  Set("7", nullptr);
  EXPECT_LE(writer_->stats().pending, 11U);
  disk_.FailWith(absl::OkStatus());
  EXPECT_THAT(writer_->Flush(), IsOk());
  EXPECT_EQ(disk_.rows().size(), 50U);
  EXPECT_EQ(OnDisk("7"), "");
}

TEST_F(WriterTest, WhatIsLoadedLateDoesNotUndoWhatHappenedSince) {
  Record old;
  old.owner = &a_;
  disk_.SetRows({{{tree_, "kept"}, old},
                 {{tree_, "changed"}, old},
                 {{tree_, "erased"}, old}});
  disk_.FailWith(absl::UnavailableError("locked"));
  Start(absl::Hours(1));
  EXPECT_FALSE(whole_.has_value());
  EXPECT_TRUE(writer_->stats().degraded);
  Set("changed", &b_);
  Set("erased", nullptr);
  disk_.FailWith(absl::OkStatus());
  EXPECT_THAT(writer_->Flush(), IsOk());
  loaded_.WaitForNotification();
  EXPECT_EQ(table_.Find({"kept"})->owner, &a_);
  EXPECT_EQ(table_.Find({"changed"})->owner, &b_);
  EXPECT_EQ(table_.Find({"erased"}), std::nullopt);
  EXPECT_EQ(OnDisk("erased"), "");
}

TEST_F(WriterTest, StagedRowsComeBesideTheTables) {
  Start();
  Record record;
  record.owner = &a_;
  // By two; and the key is touched while it is staged.
  table_.Stage({"new"}, record);
  table_.Stage({"new"}, record);
  EXPECT_THAT(writer_->Wait(writer_->Touch(&table_, {"new"})), IsOk());
  table_.Unstage({"new"});
  EXPECT_THAT(writer_->Wait(writer_->Touch(&table_, {"new"})), IsOk());
  EXPECT_EQ(OnDisk("new"), "a");
  EXPECT_EQ(table_.size(), 0U);
  table_.Unstage({"new"});
  EXPECT_THAT(writer_->Wait(writer_->Touch(&table_, {"new"})), IsOk());
  EXPECT_EQ(OnDisk("new"), "");
}

}  // namespace
}  // namespace fused::media
