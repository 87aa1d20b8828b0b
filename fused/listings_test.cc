#include "fused/listings.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

using kernel::DirectoryCache;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr kernel::NodeId kDirectory = 7;

class ListingsTest : public testing::Test {
 protected:
  DirectoryCache Open(Listings::Reader& reader) {
    return listings_.Open(kDirectory, reader);
  }
  void Read(Listings::Reader& reader) { listings_.Read(kDirectory, reader); }
  void Close(Listings::Reader& reader) { listings_.Close(kDirectory, reader); }
  // As `ls`.
  DirectoryCache List() {
    Listings::Reader reader;
    const DirectoryCache cache = Open(reader);
    if (cache != DirectoryCache::kKept) Read(reader);
    Close(reader);
    return cache;
  }

  Listings listings_;
};

TEST_F(ListingsTest, TheFirstFillsAndOthersRead) {
  EXPECT_EQ(List(), DirectoryCache::kEmptied);
  EXPECT_EQ(List(), DirectoryCache::kKept);
  EXPECT_EQ(List(), DirectoryCache::kKept);
}

TEST_F(ListingsTest, HasWhatWasReadAndNotTaken) {
  EXPECT_FALSE(listings_.Has(kDirectory));
  List();
  EXPECT_TRUE(listings_.Has(kDirectory));
  EXPECT_TRUE(listings_.Take(kDirectory));
  EXPECT_FALSE(listings_.Has(kDirectory));
  Listings::Reader reader;
  Open(reader);
  EXPECT_FALSE(listings_.Has(kDirectory));
  Read(reader);
  EXPECT_TRUE(listings_.Has(kDirectory));
  Close(reader);
}

TEST_F(ListingsTest, NobodyIsGivenThePagesUntilTheyAreKnownToBeDropped) {
  Listings::Reader first;
  Listings::Reader second;
  Listings::Reader third;
  EXPECT_EQ(Open(first), DirectoryCache::kEmptied);
  EXPECT_EQ(Open(second), DirectoryCache::kNone);
  EXPECT_FALSE(second.keeps());
  // Another's says nothing of them.
  Read(second);
  EXPECT_EQ(Open(third), DirectoryCache::kNone);
  Close(third);
  Read(first);
  EXPECT_EQ(List(), DirectoryCache::kKept);
}

TEST_F(ListingsTest, OneThatWasClosedUnreadHasDroppedThem) {
  Listings::Reader first;
  Listings::Reader second;
  EXPECT_EQ(Open(second), DirectoryCache::kEmptied);
  Close(second);
  EXPECT_EQ(Open(first), DirectoryCache::kEmptied);
  Read(first);
  Listings::Reader third;
  EXPECT_EQ(Open(third), DirectoryCache::kKept);
}

TEST_F(ListingsTest, OneThatTheKernelDidNotTakeHasNot) {
  Listings::Reader other;
  Read(other);
  Listings::Reader first;
  EXPECT_EQ(Open(first), DirectoryCache::kEmptied);
  listings_.Abandon(kDirectory, first);
  EXPECT_EQ(List(), DirectoryCache::kEmptied);
}

TEST_F(ListingsTest, WhoNeitherReadsNorClosesIsNotWaitedForForEver) {
  Listings::Reader first;
  EXPECT_EQ(Open(first), DirectoryCache::kEmptied);
  int refused = 0;
  while (List() == DirectoryCache::kNone) ++refused;
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 20);
  EXPECT_EQ(List(), DirectoryCache::kKept);
}

TEST_F(ListingsTest, WhatIsTakenIsDroppedByWhoOpensNext) {
  List();
  EXPECT_TRUE(listings_.Take(kDirectory));
  EXPECT_FALSE(listings_.Take(kDirectory));
  EXPECT_EQ(List(), DirectoryCache::kEmptied);
  EXPECT_EQ(List(), DirectoryCache::kKept);
}

TEST_F(ListingsTest, WhoMayBeEnteringWhatWasTakenKeepsOthersFromThePages) {
  Listings::Reader late;
  EXPECT_EQ(Open(late), DirectoryCache::kEmptied);
  Read(late);
  EXPECT_TRUE(listings_.Take(kDirectory));
  EXPECT_EQ(List(), DirectoryCache::kNone);
  EXPECT_EQ(List(), DirectoryCache::kNone);
  // It asks again: what it was told has been entered.
  Read(late);
  EXPECT_EQ(List(), DirectoryCache::kEmptied);
  EXPECT_EQ(List(), DirectoryCache::kKept);
  EXPECT_TRUE(listings_.Take(kDirectory));
  EXPECT_EQ(List(), DirectoryCache::kNone);
  Close(late);
  EXPECT_EQ(List(), DirectoryCache::kEmptied);
}

TEST_F(ListingsTest, WhoWasNotAnsweredKeepsNobody) {
  List();
  Listings::Reader held;
  EXPECT_EQ(Open(held), DirectoryCache::kKept);
  EXPECT_TRUE(listings_.Take(kDirectory));
  EXPECT_EQ(List(), DirectoryCache::kEmptied);
  EXPECT_EQ(List(), DirectoryCache::kKept);
  // What it is told now is as right as what others are.
  Read(held);
  EXPECT_EQ(List(), DirectoryCache::kKept);
}

TEST_F(ListingsTest, WhoDroppedThemBeforeHasNotDroppedWhatCameSince) {
  Listings::Reader early;
  EXPECT_EQ(Open(early), DirectoryCache::kEmptied);
  Listings::Reader other;
  Read(other);
  EXPECT_TRUE(listings_.Take(kDirectory));
  Listings::Reader next;
  EXPECT_EQ(Open(next), DirectoryCache::kEmptied);
  Read(early);
  Listings::Reader third;
  EXPECT_EQ(Open(third), DirectoryCache::kNone);
  Read(next);
  EXPECT_EQ(List(), DirectoryCache::kKept);
}

TEST_F(ListingsTest, AllAreTakenThatWereRead) {
  Listings::Reader reader;
  listings_.Read(1, reader);
  listings_.Read(20, reader);
  Listings::Reader unread;
  listings_.Open(30, unread);
  EXPECT_THAT(listings_.TakeAll(), UnorderedElementsAre(1, 20));
  EXPECT_THAT(listings_.TakeAll(), IsEmpty());
  EXPECT_EQ(listings_.size(), 1u);
}

TEST_F(ListingsTest, NothingIsRememberedOfWhatIsClosedAndTaken) {
  for (int i = 0; i < 3; ++i) List();
  EXPECT_EQ(listings_.size(), 1u);
  Listings::Reader held;
  Open(held);
  Read(held);
  listings_.Take(kDirectory);
  EXPECT_EQ(listings_.size(), 1u);
  Close(held);
  EXPECT_EQ(listings_.size(), 0u);
}

}  // namespace
}  // namespace fused
