// Each grant stays with the file that it was made for.
#include "fused/grant_book.h"

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status_matchers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "fused/testing/lower_fixture.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;
using policy::Operation;

class GrantBookTest : public LowerNodeTest {
 protected:
  void SetUp() override {
    LowerNodeTest::SetUp();
    for (const char* name : {"a", "b"}) scratch_.MakeFile(name, "content");
    scratch_.MakeDirectory("d");
    OpenState();
  }
  void TearDown() override {
    Close();
    LowerNodeTest::TearDown();
  }

  void OpenState() {
    absl::StatusOr<std::unique_ptr<StateDir>> state =
        StateDir::Open(state_directory_.Path("state"));
    ASSERT_THAT(state, IsOk());
    state_ = *std::move(state);
    book_ = std::make_unique<GrantBook>(
        state_.get(), [this](std::string_view volume, uint32_t user) {
          return volume == "external_primary" && user == 0 ? tree_.get()
                                                           : nullptr;
        });
    book_->Load();
  }
  void Close() {
    grants_ = nullptr;
    book_ = nullptr;
    state_ = nullptr;
  }
  void Restart() {
    Close();
    Start({});
    OpenState();
  }

  void Bind(std::string_view grants) {
    const auto before = rules_;
    rules_ = MakeSnapshot(kPolicy, absl::StrCat(kApps, grants), ++epoch_);
    warnings_.clear();
    auto bound =
        book_->Bind(*rules_, before == nullptr ? *rules_ : *before, warnings_);
    ASSERT_THAT(bound, IsOk());
    grants_ = *std::move(bound);
  }
  // As for a push that is then refused.
  void BindInVain(std::string_view grants) {
    const auto next =
        MakeSnapshot(kPolicy, absl::StrCat(kApps, grants), ++epoch_);
    ASSERT_THAT(book_->Bind(*next, *rules_, warnings_), IsOk());
  }

  std::string Granted(const std::string& name, uint32_t uid = 10001) {
    const policy::OperationSet operations =
        grants_->OperationsOf(Lookup(name)->file_id(), rules_->SubjectOf(uid));
    return absl::StrCat(operations.Has(Operation::kRead) ? "r" : "",
                        operations.Has(Operation::kWrite) ? "w" : "");
  }

  kernel::ScratchDirectory state_directory_;
  std::unique_ptr<StateDir> state_;
  std::unique_ptr<GrantBook> book_;
  std::shared_ptr<const policy::Snapshot> rules_;
  std::shared_ptr<const Grants> grants_;
  policy::Issues warnings_;
  uint64_t epoch_ = 1;
};

constexpr char kReadA[] =
    "grants { package: 'com.example' path: 'a' access: GRANT_READ }\n";
constexpr char kWriteB[] =
    "grants { package: 'com.example' path: 'b' access: GRANT_WRITE }\n";

TEST_F(GrantBookTest, ToWhomAndForWhat) {
  Bind(absl::StrCat(kReadA, kWriteB));
  EXPECT_TRUE(warnings_.empty());
  EXPECT_EQ(Granted("a"), "r");
  EXPECT_EQ(Granted("b"), "rw");
  EXPECT_EQ(Granted("a", 10002), "");
  EXPECT_EQ(Granted("a", 110001), "");
  EXPECT_EQ(Granted("a", 0), "");
  EXPECT_EQ(Granted("d"), "");
  Bind("");
  EXPECT_EQ(Granted("a"), "");
  EXPECT_TRUE(grants_->empty());
}

TEST_F(GrantBookTest, StayWithTheFile) {
  Bind(kReadA);
  Rename("a", "d/moved");
  scratch_.MakeFile("a", "another");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Granted("a"), "");
    const NodePtr moved = Lookup(Lookup("d"), "moved");
    EXPECT_TRUE(grants_->Has(moved->file_id()));
    if (i == 0) Bind(absl::StrCat(kWriteB, kReadA));
    if (i == 1) {
      if (!tree_->has_handles()) return;
      Restart();
      Bind(absl::StrCat(kWriteB, kReadA));
    }
  }
  // One that was taken back and is made again is a new one.
  Bind(kWriteB);
  Bind(kReadA);
  EXPECT_EQ(Granted("a"), "r");
}

TEST_F(GrantBookTest, ARefusedPushTakesNothingAway) {
  Bind(kReadA);
  Rename("a", "d/moved");
  scratch_.MakeFile("a", "another");
  for (int i = 0; i < 2; ++i) {
    BindInVain(kWriteB);
    BindInVain("");
    if (i == 1 && tree_->has_handles()) Restart();
    Bind(kReadA);
    EXPECT_EQ(Granted("a"), "") << i;
    EXPECT_TRUE(grants_->Has(Lookup(Lookup("d"), "moved")->file_id())) << i;
  }
  // What came to nothing binds nothing either.
  Rename("b", "d/b");
  scratch_.MakeFile("b", "another");
  Bind(kWriteB);
  EXPECT_EQ(Granted("b"), "rw");
}

TEST_F(GrantBookTest, GoWithTheFile) {
  Bind(kReadA);
  NodePtr a = Lookup("a");
  ASSERT_EQ(unlink(scratch_.Path("a").c_str()), 0);
  grants_->SetGone(a->file_id());
  EXPECT_TRUE(
      grants_->OperationsOf(a->file_id(), rules_->SubjectOf(10001)).empty());
  a = nullptr;
  scratch_.MakeFile("a", "another");
  EXPECT_EQ(Granted("a"), "");
  Bind(absl::StrCat(kReadA, kWriteB));
  EXPECT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(Granted("a"), "");
  Restart();
  Bind(absl::StrCat(kReadA, kWriteB));
  // Without file handles no binding outlives the daemon.
  EXPECT_EQ(warnings_.size(), tree_->has_handles() ? 1u : 2u);
  EXPECT_EQ(Granted("a"), "");
}

TEST_F(GrantBookTest, Expire) {
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  const auto until = [](int64_t seconds) {
    return absl::StrCat(
        "grants { package: 'com.example' path: 'a' access: GRANT_READ "
        "expires { seconds: ",
        seconds, " } }\n");
  };
  Bind(until(now - 10));
  EXPECT_EQ(Granted("a"), "");
  Bind(absl::StrCat(until(now - 10), until(now + 3600)));
  EXPECT_EQ(Granted("a"), "r");
}

TEST_F(GrantBookTest, WhatCantBeBoundGrantsNothing) {
  ASSERT_EQ(symlink("b", scratch_.Path("link").c_str()), 0);
  Bind(absl::StrCat(
      "grants { package: 'com.example' path: 'none' access: GRANT_READ }\n"
      "grants { package: 'com.example' path: 'd' access: GRANT_READ }\n"
      "grants { package: 'com.example' path: 'link' access: GRANT_READ }\n"
      "grants { package: 'com.example' path: 'a/a' access: GRANT_READ }\n"
      "grants { package: 'com.none' path: 'a' access: GRANT_READ }\n"
      "grants { package: 'com.example' path: 'a' access: GRANT_READ "
      "volume: 'card' }\n"
      "grants { package: 'com.example' path: 'a' access: GRANT_READ "
      "user: 10 }\n"));
  EXPECT_EQ(warnings_.size(), 7u);
  EXPECT_FALSE(policy::HasErrors(warnings_));
  EXPECT_TRUE(grants_->empty());
  // A file that comes later is not it.
  scratch_.MakeFile("none", "");
  Bind("grants { package: 'com.example' path: 'none' access: GRANT_READ }\n");
  EXPECT_EQ(Granted("none"), "");
}

TEST_F(GrantBookTest, ABrokenFileOfBindings) {
  ASSERT_THAT(state_->Write(kGrantsFile, "\xff\xff\xff"), IsOk());
  Restart();
  Bind(kReadA);
  EXPECT_EQ(Granted("a"), "r");
}

}  // namespace
}  // namespace fused
