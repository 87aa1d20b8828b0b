#include "policy/redaction/zero_ranges.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "policy/redaction/types.h"

namespace fused::policy::redaction {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string Read(const std::vector<Range>& ranges, uint64_t offset,
                 size_t size) {
  std::string buffer(size, 'x');
  ZeroRanges(ranges, offset, absl::MakeSpan(buffer));
  std::replace(buffer.begin(), buffer.end(), '\0', '0');
  return buffer;
}

TEST(NormalizeTest, SortsMergesAndClips) {
  std::vector<Range> ranges = {{8, 9}, {1, 3}, {2, 5},    {5, 6},
                               {7, 7}, {9, 8}, {20, 100}, {200, 300}};
  Normalize(ranges, 50);
  EXPECT_THAT(ranges, ElementsAre(Range{1, 6}, Range{8, 9}, Range{20, 50}));
}

TEST(NormalizeTest, LeavesNothingOfNothing) {
  std::vector<Range> ranges = {{3, 3}, {50, 60}};
  Normalize(ranges, 50);
  EXPECT_THAT(ranges, IsEmpty());
}

TEST(NormalizeTest, KeepsTheLongerOfTwoThatBeginTogether) {
  std::vector<Range> ranges = {{0, 9}, {0, 2}, {1, 4}};
  Normalize(ranges, 50);
  EXPECT_THAT(ranges, ElementsAre(Range{0, 9}));
}

TEST(ZeroRangesTest, ZeroesWhatOverlaps) {
  const std::vector<Range> ranges = {{2, 4}, {6, 7}};
  EXPECT_EQ(Read(ranges, 0, 8), "xx00xx0x");
  EXPECT_EQ(Read(ranges, 3, 2), "0x");
  EXPECT_EQ(Read(ranges, 2, 2), "00");
  EXPECT_EQ(Read(ranges, 4, 2), "xx");
  EXPECT_EQ(Read(ranges, 7, 3), "xxx");
  EXPECT_EQ(Read(ranges, 3, 0), "");
  EXPECT_EQ(Read({}, 0, 3), "xxx");
}

TEST(ZeroRangesTest, TakesOffsetsBeyondFourGigabytes) {
  const uint64_t far = uint64_t{5} << 32;
  EXPECT_EQ(Read({{far + 1, far + 2}}, far, 3), "x0x");
}

// No byte of a range is ever read, and every other one is, in whatever pieces.
TEST(ZeroRangesTest, HoldsForAnyMixOfReads) {
  std::mt19937 dice(1);  // NOLINT: the same in every run
  const auto upto = [&dice](size_t most) { return dice() % (most + 1); };
  constexpr size_t kSize = 512;
  for (int round = 0; round < 2000; ++round) {
    std::vector<Range> ranges;
    std::vector<bool> zero(kSize);
    for (size_t i = upto(8); i > 0; --i) {
      const uint64_t begin = upto(kSize + 20);
      const uint64_t end = begin + upto(i % 2 == 0 ? 4 : 100);
      ranges.push_back({begin, end});
      for (uint64_t at = begin; at < std::min<uint64_t>(end, kSize); ++at) {
        zero[at] = true;
      }
    }
    Normalize(ranges, kSize);
    for (int read = 0; read < 20; ++read) {
      const size_t offset = upto(kSize - 1);
      const size_t size = upto(kSize - offset);
      const std::string got = Read(ranges, offset, size);
      for (size_t i = 0; i < size; ++i) {
        ASSERT_EQ(got[i] == '0', zero[offset + i])
            << "round " << round << ", " << size << " bytes at " << offset;
      }
    }
  }
}

}  // namespace
}  // namespace fused::policy::redaction
