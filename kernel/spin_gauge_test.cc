#include "kernel/spin_gauge.h"

#include "gtest/gtest.h"

namespace fused::kernel {
namespace {

// How often it is looked in so many waits, of which one in `each` would find
// something; 0: none.
int Looks(SpinGauge& gauge, int waits, int each) {
  int looks = 0;
  for (int i = 0; i < waits; ++i) {
    if (!gauge.Pays()) continue;
    ++looks;
    gauge.Note(each != 0 && i % each == 0);
  }
  return looks;
}

TEST(SpinGaugeTest, LooksWhereSomethingIsFound) {
  SpinGauge gauge;
  EXPECT_GE(Looks(gauge, 1000, 1), 980);
}

TEST(SpinGaugeTest, SeldomLooksWhereNothingIs) {
  SpinGauge gauge;
  EXPECT_LE(Looks(gauge, 1600, 0), 100);
  EXPECT_GE(Looks(gauge, 1600, 0), 90);
}

TEST(SpinGaugeTest, HalfIsNotEnough) {
  SpinGauge gauge;
  EXPECT_LE(Looks(gauge, 1600, 2), 400);
}

TEST(SpinGaugeTest, FollowsAChange) {
  SpinGauge gauge;
  Looks(gauge, 1000, 1);
  EXPECT_LE(Looks(gauge, 160, 0), 20);
  EXPECT_GE(Looks(gauge, 160, 1), 130);
}

}  // namespace
}  // namespace fused::kernel
